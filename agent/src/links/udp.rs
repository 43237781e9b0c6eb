//! UDP sockets: one per link, bound to its interface.
//!
//! Each takes what the kernel gives to it, and that is more than its link's own: of several sockets on one port and interface
//! one gets a datagram to an address of ours, and all get a copy of a broadcast. So a socket hands on what came to this
//! node, whichever link of the interface it belongs to, and of what came to a group only its own.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use reflex::NODES_MAX;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, Type};

/// DSCP CS6, network control (RFC 4594): the class of routing protocols.
const NETWORK_CONTROL: u32 = 0xc0;

/// Without a kernel program the agent reads this socket; with one, nothing arrives that anybody wants.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// While the kernel asks for a neighbour's hardware address, so many bytes wait for it, by default
/// (`net.ipv4.neigh.default.unres_qlen_bytes`), charged to the socket that sent them.
const UNRESOLVED: usize = 212_992;

/// So much room that all nodes there can be may be gone, and nothing stands in the way of what is for one that lives. The
/// kernel doubles it.
const SEND_BUFFER: usize = NODES_MAX * UNRESOLVED;

/// Errors of earlier datagrams that are read at once, at most.
const ERRORS_MAX: usize = 16;

/// Where a socket sends and listens.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// Name of the interface.
    pub interface: &'a str,
    /// Its number.
    pub ifindex: u32,
    /// Port to listen on and to send from and to.
    pub port: u16,
    /// Whom it sends to.
    pub reach: Reach,
}

/// Whom a socket sends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// One IPv4 address at a time.
    Ipv4,
    /// One IPv6 address at a time.
    Ipv6,
    /// Everybody on the network with this broadcast address; none while the interface has none.
    Broadcast(Option<Ipv4Addr>),
    /// The members of a group.
    Group(Group),
}

/// A multicast group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its address, of either family.
    pub address: IpAddr,
    /// Routers that a datagram may pass, plus one; 0: it stays on this machine.
    pub hops: u8,
    /// Whether the sender hears itself.
    pub loopback: bool,
}

impl Reach {
    const fn is_ipv6(self) -> bool {
        matches!(self, Self::Ipv6 | Self::Group(Group { address: IpAddr::V6(_), .. }))
    }

    const fn everybody(self) -> Option<IpAddr> {
        match self {
            Self::Broadcast(Some(address)) => Some(IpAddr::V4(address)),
            Self::Group(group) => Some(group.address),
            Self::Ipv4 | Self::Ipv6 | Self::Broadcast(None) => None,
        }
    }
}

/// A UDP socket on one interface.
#[derive(Debug)]
pub struct Socket {
    socket: socket2::Socket,
    ifindex: u32,
    port: u16,
    reach: Reach,
    /// The address of everybody; a broadcast address may change.
    everybody: Mutex<Option<IpAddr>>,
    has_report: AtomicBool,
}

/// A datagram that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its length, at most that of the buffer.
    pub len: usize,
    /// Where it came from.
    pub from: SocketAddr,
    /// Where it went to.
    pub to: Destination,
}

/// Where a datagram went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// An address of this node.
    Own,
    /// The link's group.
    Group,
    /// A group that this link does not use; who does gets a copy of its own.
    Other,
}

/// What the network said about datagrams that were sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where the datagram was to go.
    pub to: Option<IpAddr>,
    /// What became of it, as in `errno(3)`.
    pub errno: i32,
}

impl Socket {
    /// Opens a socket that sends from and listens on a port of an interface.
    ///
    /// # Errors
    /// When the port is taken, the interface is unknown, the group cannot be joined, or there is no privilege.
    pub fn open(settings: &Settings<'_>) -> io::Result<Self> {
        let Settings { interface, ifindex, port, reach } = *settings;
        let domain = if reach.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
        let socket = socket2::Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind_device(Some(interface.as_bytes()))?;
        socket.set_reuse_address(true)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        if setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
            // Without the privilege, as much as everybody may have.
            socket.set_send_buffer_size(SEND_BUFFER)?;
        }
        socket.set_nonblocking(true)?;
        let any: IpAddr = if reach.is_ipv6() {
            socket.set_only_v6(true)?;
            socket.set_tclass_v6(NETWORK_CONTROL)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            socket.set_tos_v4(NETWORK_CONTROL)?;
            socket.set_broadcast(matches!(reach, Reach::Broadcast(_)))?;
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
            Ipv4Addr::UNSPECIFIED.into()
        };
        let everybody = Mutex::new(reach.everybody());
        let opened = Self { socket, ifindex, port, reach, everybody, has_report: AtomicBool::new(false) };
        opened.prepare_group()?;
        opened.socket.bind(&SockAddr::from(SocketAddr::new(any, port)))?;
        Ok(opened)
    }

    fn prepare_group(&self) -> io::Result<()> {
        let Reach::Group(Group { address, hops, loopback }) = self.reach else { return Ok(()) };
        match address {
            IpAddr::V4(_) => {
                self.socket.set_multicast_ttl_v4(u32::from(hops))?;
                self.socket.set_multicast_loop_v4(loopback)?;
            }
            IpAddr::V6(_) => {
                self.socket.set_multicast_if_v6(self.ifindex)?;
                self.socket.set_multicast_hops_v6(u32::from(hops))?;
                self.socket.set_multicast_loop_v6(loopback)?;
            }
        }
        self.join(address)
    }

    fn join(&self, group: IpAddr) -> io::Result<()> {
        match group {
            IpAddr::V4(group) => {
                self.socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(self.ifindex))
            }
            IpAddr::V6(group) => self.socket.join_multicast_v6(&group, self.ifindex),
        }
    }

    /// Joins the multicast group anew: the network may have forgotten the member while its interface was down.
    ///
    /// # Errors
    /// When the group cannot be joined.
    pub fn rejoin(&self) -> io::Result<()> {
        let Reach::Group(Group { address, .. }) = self.reach else { return Ok(()) };
        // Not being a member any more is what this is for.
        let _ = match address {
            IpAddr::V4(group) => {
                self.socket.leave_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(self.ifindex))
            }
            IpAddr::V6(group) => self.socket.leave_multicast_v6(&group, self.ifindex),
        };
        self.join(address)
    }

    /// Port that it sends from and listens on.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it speaks IPv6.
    #[must_use]
    pub const fn is_ipv6(&self) -> bool {
        self.reach.is_ipv6()
    }

    /// Whether it sends to the broadcast address of its interface.
    #[must_use]
    pub const fn is_broadcast(&self) -> bool {
        matches!(self.reach, Reach::Broadcast(_))
    }

    /// The address that reaches everybody: of the group, or of the broadcast. None for single addresses, and while the
    /// interface has no broadcast address.
    #[must_use]
    pub fn everybody(&self) -> Option<IpAddr> {
        *self.everybody.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The broadcast address of the interface is another now.
    pub fn set_broadcast(&self, address: Option<Ipv4Addr>) {
        if self.is_broadcast() {
            *self.everybody.lock().unwrap_or_else(PoisonError::into_inner) = address.map(IpAddr::V4);
        }
    }

    /// Sends a frame to `address`, or to everybody, without waiting: a full queue loses it, the next one is due soon.
    /// `answers`: what was sent there before is answered, so the hardware address that the kernel knows is right. Else the
    /// kernel asks for it now and then, and when nobody answers, what is sent waits or is lost.
    ///
    /// # Errors
    /// When the kernel cannot send it; when there is no address for everybody.
    pub fn send(&self, frame: &[u8], address: Option<IpAddr>, answers: bool) -> io::Result<()> {
        let address = address.or_else(|| self.everybody()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let to = match address {
            IpAddr::V4(_) => SocketAddr::new(address, self.port),
            // Addresses of the link alone are the interface's.
            IpAddr::V6(ip) => SocketAddrV6::new(ip, self.port, 0, self.ifindex).into(),
        };
        self.send_to(frame, to, if answers { libc::MSG_CONFIRM } else { 0 })
    }

    /// Answers to where a frame came from.
    ///
    /// # Errors
    /// When the kernel cannot send it.
    pub fn answer(&self, frame: &[u8], to: SocketAddr) -> io::Result<()> {
        self.send_to(frame, to, 0)
    }

    fn send_to(&self, frame: &[u8], to: SocketAddr, flags: i32) -> io::Result<()> {
        let to = SockAddr::from(to);
        match self.socket.send_to_with_flags(frame, &to, flags) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                // It may be about an earlier datagram, and this one was not even tried.
                self.has_report.store(true, Ordering::Relaxed);
                self.socket.send_to_with_flags(frame, &to, flags).map(drop)
            }
            sent => sent.map(drop),
        }
    }

    /// Whether the network said something about datagrams sent before ([`Socket::refusals`]), since the last call.
    #[must_use]
    pub fn take_report(&self) -> bool {
        self.has_report.load(Ordering::Relaxed) && self.has_report.swap(false, Ordering::Relaxed)
    }

    /// Takes a datagram, if one is there.
    ///
    /// # Errors
    /// When the socket is broken, and with what became of datagrams sent before ([`Socket::refusals`] tells more).
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        let mut space = nix::cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo);
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let message =
            match recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), flags) {
                Ok(message) => message,
                Err(error) if is_nothing_there(error) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
        let from = message.address.as_ref().and_then(socket_address);
        let from = from.ok_or_else(|| io::Error::other("a datagram without a sender"))?;
        let to = message.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                let to = Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes());
                // The local address is another where the packet went to many (`ip(7)`); a broadcast address alone looks
                // like any other.
                Some(self.destination(to.into(), info.ipi_spec_dst.s_addr != info.ipi_addr.s_addr))
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                let to = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                Some(self.destination(to.into(), to.is_multicast()))
            }
            _ => None,
        });
        Ok(Some(Received { len: message.bytes, from, to: to.unwrap_or(Destination::Other) }))
    }

    fn destination(&self, to: IpAddr, went_to_many: bool) -> Destination {
        match went_to_many {
            false => Destination::Own,
            true if self.everybody() == Some(to) => Destination::Group,
            true => Destination::Other,
        }
    }

    /// What the network said since the last call about datagrams sent before: nobody listens there, no way leads there. Hints,
    /// never proof: anybody may have sent them.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        for _ in 0..ERRORS_MAX {
            match self.refusal() {
                Some(refusal) => refusals.push(refusal),
                None => break,
            }
        }
        refusals
    }

    fn refusal(&self) -> Option<Refusal> {
        let mut space = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
        let mut nothing = [0u8; 1];
        let mut parts = [IoSliceMut::new(&mut nothing)];
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let message =
            recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), flags).ok()?;
        let to = message.address.as_ref().and_then(socket_address).map(|address| address.ip());
        let errno = message.cmsgs().ok()?.find_map(|message| match message {
            ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => {
                i32::try_from(error.ee_errno).ok()
            }
            _ => None,
        })?;
        Some(Refusal { to, errno })
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::V4((*v4).into()));
    }
    address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into()))
}

fn is_nothing_there(error: nix::Error) -> bool {
    matches!(error, nix::Error::EAGAIN | nix::Error::EINTR)
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests;
