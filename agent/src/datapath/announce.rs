//! Tells the neighbours where an address lives now: gratuitous ARP.
//!
//! ```text
//!   ethernet   ff:ff:ff:ff:ff:ff <- our MAC, type 0x0806                            14 bytes
//!   ARP        hardware 1, protocol 0x0800, lengths 6 and 4, operation 1 or 2        8 bytes
//!              sender: our MAC, the address     target: zero or our MAC, the address 20 bytes
//! ```
//!
//! Some devices update their table only on a request, others only on a reply, so both forms are sent, at once and
//! again at growing intervals, because a frame may be lost and a switch port may still be learning; and once a
//! minute for as long as the address is held, for the neighbour that missed it all.
//!
//! The socket is opened beforehand for each interface, so that announcing is nothing but sending.

mod neighbour;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, bind, send, socket};

/// When an address that was taken over is announced, counted from the takeover. The first three are for frames lost
/// in the confusion of a failover, the next for spanning trees and bonds that need seconds to forward.
pub const BACK_OFF: [Duration; 7] = [
    Duration::ZERO,
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// Between two announcements afterwards, for as long as the address is held. Switches forget a MAC after 300 s,
/// neighbours an address after minutes to hours; two small frames a minute are less than anyone notices.
pub const REFRESH: Duration = Duration::from_secs(60);

/// A schedule younger than this is not begun anew.
const RECENT: Duration = Duration::from_millis(100);

/// Bytes of an ARP frame without padding and checksum, which the network card adds.
pub const FRAME_LENGTH: usize = 42;

/// The two kinds of gratuitous ARP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// "Who has this address?", asked by its holder (RFC 5227, ARP announcement).
    Request,
    /// "This address is here", which nobody asked (RFC 5944, 4.6).
    Reply,
}

/// The frame that announces `address` at `mac`.
pub fn gratuitous_arp(mac: [u8; 6], address: Ipv4Addr, form: Form) -> [u8; FRAME_LENGTH] {
    const FIXED: [u8; 8] = [0x08, 0x06, 0x00, 0x01, 0x08, 0x00, 6, 4];
    let (operation, target) = match form {
        Form::Request => (1, [0; 6]),
        Form::Reply => (2, mac),
    };
    let mut frame = [0; FRAME_LENGTH];
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&mac);
    frame[12..20].copy_from_slice(&FIXED);
    frame[21] = operation;
    frame[22..28].copy_from_slice(&mac);
    frame[28..32].copy_from_slice(&address.octets());
    frame[32..38].copy_from_slice(&target);
    frame[38..].copy_from_slice(&address.octets());
    frame
}

/// Why nothing can be announced.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    /// No such interface, in the network namespace of the calling thread.
    #[error("cannot announce addresses: there is no interface {0}")]
    NoInterface(String),
    /// Not an Ethernet.
    #[error("cannot announce addresses on {0}: it has no hardware address")]
    NoHardwareAddress(String),
    /// No socket to be had.
    #[error("cannot open a packet socket on {interface} (it needs CAP_NET_RAW): {source}")]
    Open {
        /// The interface.
        interface: String,
        /// Why.
        source: io::Error,
    },
    /// Not sent.
    #[error("cannot announce {address} on {interface}: {source}")]
    Send {
        /// What was to be announced.
        address: IpAddr,
        /// Where.
        interface: String,
        /// Why not. `ENXIO` or `ENODEV`: the interface was replaced, open anew.
        source: io::Error,
    },
}

/// Announces addresses on one interface.
#[derive(Debug)]
pub struct Announcer {
    interface: String,
    mac: [u8; 6],
    socket: OwnedFd,
}

impl Announcer {
    /// Prepares a socket on an interface of the calling thread's network namespace. It receives nothing. To be opened
    /// anew when the interface is replaced or its hardware address changes.
    ///
    /// # Errors
    ///
    /// When there is no such interface, it has no hardware address, or the system gives no socket.
    pub fn open(interface: &str) -> Result<Self, AnnounceError> {
        let failed =
            |error: Errno| AnnounceError::Open { interface: interface.to_owned(), source: error.into() };
        let link = link_address(interface).map_err(failed)?;
        let link = link.ok_or_else(|| AnnounceError::NoInterface(interface.to_owned()))?;
        let mac = link.addr().filter(|mac| link.halen() == 6 && *mac != [0; 6]);
        let mac = mac.ok_or_else(|| AnnounceError::NoHardwareAddress(interface.to_owned()))?;
        // Protocol 0: no frame is ever queued for this socket.
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None).map_err(failed)?;
        bind(socket.as_raw_fd(), &link).map_err(failed)?;
        Ok(Self { interface: interface.to_owned(), mac, socket })
    }

    /// Announces this hardware address instead of the interface's own.
    #[must_use]
    pub fn of(self, mac: [u8; 6]) -> Self {
        Self { mac, ..self }
    }

    /// The hardware address that is announced.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Announces an address in both forms. Never waits: where the interface's queue is full, or not active yet because
    /// the carrier has only just come back, the frame is lost without an error, and the [`Schedule`] has another.
    ///
    /// # Errors
    ///
    /// When one of the two was not sent; the other was tried too.
    pub fn announce(&self, address: Ipv4Addr) -> Result<(), AnnounceError> {
        let request = self.send(address, Form::Request);
        let reply = self.send(address, Form::Reply);
        request.and(reply).map_err(|error| AnnounceError::Send {
            address: address.into(),
            interface: self.interface.clone(),
            source: error.into(),
        })
    }

    fn send(&self, address: Ipv4Addr, form: Form) -> Result<(), Errno> {
        let frame = gratuitous_arp(self.mac, address, form);
        send(self.socket.as_raw_fd(), &frame, MsgFlags::MSG_DONTWAIT).map(drop)
    }
}

/// The interface's own entry in the system's list, which names its index and hardware address.
fn link_address(interface: &str) -> Result<Option<LinkAddr>, Errno> {
    let mut entries = getifaddrs()?.filter(|entry| entry.interface_name == interface);
    Ok(entries.find_map(|entry| entry.address?.as_link_addr().copied()))
}

/// When to announce an address that is held. To be begun anew when the carrier of its interface comes back, or when
/// another node was heard to claim the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    taken: Instant,
    /// How many of [`BACK_OFF`] are over.
    passed: usize,
    next: Instant,
}

impl Schedule {
    /// For an address taken over now (or again).
    pub fn new(now: Instant) -> Self {
        Self { taken: now, passed: 0, next: now + BACK_OFF[0] }
    }

    /// Whether it was begun so short a time ago that beginning anew would only be a flood.
    pub fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.taken) < RECENT
    }

    /// When the next announcement is due.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Is one due? If so, the next one is set to a time after `now`: those that were missed are not made up for.
    pub fn due(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        while self.passed < BACK_OFF.len() && self.taken + BACK_OFF[self.passed] <= now {
            self.passed += 1;
        }
        self.next = match BACK_OFF.get(self.passed) {
            Some(after) => self.taken + *after,
            None => now + REFRESH,
        };
        true
    }
}

#[cfg(test)]
mod tests;
