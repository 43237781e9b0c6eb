//! The wire at a switch port: what a node really sends, and frames that a test makes up.
//!
//! A capture is a packet socket in the switch's namespace. It sees each frame as it comes out of the node's cable,
//! whoever made it: the node's stack, or its XDP program. Reading is in the order of arrival at the port, so a
//! [`Wire::mark`] that the node sends tells what it sent before from what it sent after.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket,
};

use crate::arp::Mac;
use crate::lan::{CLIENT, Lan, Network};
use crate::{netlink, sys};

/// Where marks go: nobody listens there.
const MARK_PORT: u16 = 40_009;

/// Holds what 5 kHz of traffic make of frames in a few seconds of not reading.
const BUFFER: usize = 64 << 20;

/// `PACKET_OUTGOING` of linux/if_packet.h: what the switch itself sends to the port.
const OUTGOING: u8 = 4;

const ETHERNET: usize = 14;

/// A frame that came in at the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// In whose name: the source address of a packet, the sender of an ARP message, the target of a neighbour advertisement.
    pub from: IpAddr,
    /// Whether it is ARP.
    pub arp: bool,
    /// IP protocol (17 is UDP, 6 TCP); 0 for ARP.
    pub protocol: u8,
    mark: bool,
}

/// A capture at the port of one node's eth0.
#[derive(Debug)]
pub struct Wire {
    socket: OwnedFd,
    port: usize,
    node: std::sync::Arc<crate::netns::Netns>,
    address: Ipv4Addr,
}

impl Wire {
    /// Listens at the port of node `node`, from now on.
    pub fn listen(lan: &Lan, node: usize) -> Result<Self> {
        let port = netlink::index(lan.switch(), lan.name(node))? as usize;
        let open = || -> nix::Result<OwnedFd> {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
            setsockopt(&socket, RcvBufForce, &BUFFER)?;
            Ok(socket)
        };
        let socket = lan.switch().run(open)?.context("the capture's socket")?;
        Ok(Self { socket, port, node: lan.node(node).clone(), address: lan.address(node, Network::Eth0) })
    }

    /// The node sends a mark: what [`Wire::until_mark`] reads up to here was sent before.
    pub fn mark(&self) -> Result<()> {
        let address = self.address;
        let send = || UdpSocket::bind((address, 0))?.send_to(b"mark", (CLIENT, MARK_PORT));
        self.node.run(send)?.context("sending the mark")?;
        Ok(())
    }

    /// All that the node sent before its next mark.
    pub fn until_mark(&self) -> Result<Vec<Sent>> {
        let mut seen = Vec::new();
        while let Some(sent) = self.next()? {
            if sent.mark {
                return Ok(seen);
            }
            seen.push(sent);
        }
        bail!("the node's mark did not arrive at the switch")
    }

    /// The next frame; `None` when none comes for a long time.
    fn next(&self) -> Result<Option<Sent>> {
        let mut buffer = [0; 2048];
        loop {
            match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut buffer) {
                Ok((length, Some(from))) if from.ifindex() == self.port && from.pkttype() != OUTGOING => {
                    if let Some(sent) = parse(&buffer[..length]) {
                        return Ok(Some(sent));
                    }
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    let mut sockets = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
                    if poll(&mut sockets, PollTimeout::from(10_000u16))? == 0 {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error).context("reading the capture"),
            }
        }
    }
}

fn parse(frame: &[u8]) -> Option<Sent> {
    let address = |at: usize| -> Option<IpAddr> {
        let bytes: [u8; 4] = frame.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(bytes).into())
    };
    let address6 = |at: usize| -> Option<IpAddr> {
        let bytes: [u8; 16] = frame.get(at..at + 16)?.try_into().ok()?;
        Some(Ipv6Addr::from(bytes).into())
    };
    match frame.get(12..14)? {
        [0x08, 0x06] => Some(Sent { from: address(ETHERNET + 14)?, arp: true, protocol: 0, mark: false }),
        [0x08, 0x00] => {
            let header = usize::from(frame.get(ETHERNET)? & 0x0f) * 4;
            let protocol = *frame.get(ETHERNET + 9)?;
            let to = frame.get(ETHERNET + header + 2..ETHERNET + header + 4);
            let mark = protocol == 17 && to == Some(MARK_PORT.to_be_bytes().as_slice());
            Some(Sent { from: address(ETHERNET + 12)?, arp: false, protocol, mark })
        }
        [0x86, 0xdd] => {
            const ICMP: u8 = 58;
            const ADVERTISEMENT: u8 = 136;
            let protocol = *frame.get(ETHERNET + 6)?;
            let advertises = protocol == ICMP && frame.get(ETHERNET + 40) == Some(&ADVERTISEMENT);
            let from = if advertises { address6(ETHERNET + 48) } else { address6(ETHERNET + 8) };
            Some(Sent { from: from?, arp: false, protocol, mark: false })
        }
        _ => None,
    }
}

/// Sends `frame` as the client's eth0 would.
pub fn send_from_client(lan: &Lan, frame: &[u8]) -> Result<()> {
    let interface = netlink::index(lan.client(), Network::Eth0.interface())?;
    let socket = lan.client().run(|| sys::arp_socket(interface))?.context("a packet socket")?;
    nix::unistd::write(&socket, frame).map_err(io::Error::from).context("sending a frame")?;
    Ok(())
}

/// A UDP request to `port` of `address`, as the client would send it, to the station `to`.
pub fn request(to: Mac, from: Mac, address: Ipv4Addr, port: u16, payload: &[u8]) -> Vec<u8> {
    let length = |header: usize| u16::try_from(header + payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut ip = vec![0x45, 0];
    ip.extend(length(28));
    ip.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    ip.extend(CLIENT.octets());
    ip.extend(address.octets());
    let sum = checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);
    let mut frame = Vec::new();
    frame.extend(to);
    frame.extend(from);
    frame.extend([0x08, 0x00]);
    frame.extend(ip);
    frame.extend(MARK_PORT.to_be_bytes());
    frame.extend(port.to_be_bytes());
    frame.extend(length(8));
    // No checksum: allowed over IPv4 (RFC 768).
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

/// RFC 1071.
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lan::VIP;

    const NODE: Mac = [2, 0, 0, 0, 0, 1];
    const ASKER: Mac = [2, 0, 0, 0, 0, 9];

    #[test]
    fn a_request_is_read_back_as_what_it_is() {
        let frame = request(NODE, ASKER, VIP, 5000, b"?");
        let sent = Sent { from: CLIENT.into(), arp: false, protocol: 17, mark: false };
        assert_eq!(parse(&frame), Some(sent));
        assert_eq!(checksum(&frame[ETHERNET..ETHERNET + 20]), 0, "a right header sums up to zero");
        let mark = request(NODE, ASKER, VIP, MARK_PORT, b"mark");
        assert!(parse(&mark).is_some_and(|sent| sent.mark));
    }

    #[test]
    fn arp_is_in_the_name_of_its_sender() {
        let frame = crate::arp::announcement(NODE, VIP);
        assert_eq!(parse(&frame), Some(Sent { from: VIP.into(), arp: true, protocol: 0, mark: false }));
        assert_eq!(parse(&frame[..20]), None);
    }
}
