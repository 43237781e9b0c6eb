//! The ring buffer in which the programs keep packets for addresses that are changing hands, and the way on from there.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd as _, OwnedFd};

use aya::maps::{Map, MapData, RingBuf};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, sendto, socket};
use reflex::layout;

use super::Error;

/// Packets that the kernel holds back. Each has the heir's hardware address on it already.
pub struct Held {
    ring: RingBuf<MapData>,
    socket: OwnedFd,
    /// The interfaces by number, as they were when [`Self::prepare`] was called.
    interfaces: BTreeMap<u32, LinkAddr>,
}

impl Held {
    /// The ring buffer in that map, and a socket to send by that receives nothing.
    pub(super) fn new(map: Map) -> Result<Self, Error> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket =
            socket(AddressFamily::Packet, SockType::Raw, flags, None).map_err(std::io::Error::from)?;
        Ok(Self { ring: RingBuf::try_from(map)?, socket, interfaces: BTreeMap::new() })
    }

    /// Learns which interfaces there are, and forgets what an earlier agent left here: it is long out of date.
    pub fn prepare(&mut self) {
        while self.ring.next().is_some() {}
        let links =
            getifaddrs().into_iter().flatten().filter_map(|entry| entry.address?.as_link_addr().copied());
        self.interfaces =
            links.filter_map(|link| Some((u32::try_from(link.ifindex()).ok()?, link))).collect();
    }

    /// Sends on what was held, in its order; how many packets that were. One that the interface does not take is lost, as
    /// on any queue that is full.
    pub fn send_on(&mut self) -> usize {
        let mut sent = 0;
        while let Some(entry) = self.ring.next() {
            if let Some((ifindex, packet)) = layout::Held::parse(&entry)
                && let Some(link) = self.interfaces.get(&ifindex)
            {
                sent += usize::from(
                    sendto(self.socket.as_raw_fd(), packet, link, MsgFlags::MSG_DONTWAIT).is_ok(),
                );
            }
        }
        sent
    }
}
