//! UDP sockets, one per interface.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, SockAddr, Type};

/// DSCP CS6, network control (RFC 4594): the class of routing protocols.
const TOS_NETWORK_CONTROL: u32 = 0xc0;

/// Without a kernel program the agent reads this socket; with one, nothing arrives that anybody wants.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// A UDP socket on one interface.
#[derive(Debug)]
pub struct Socket {
    socket: UdpSocket,
    port: u16,
}

impl Socket {
    /// Opens a socket on `interface` that sends from and listens on `port`.
    ///
    /// # Errors
    /// When the port is taken, the interface is unknown, or there is no privilege.
    pub fn open(interface: &str, port: u16) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind_device(Some(interface.as_bytes()))?;
        socket.set_reuse_address(true)?;
        socket.set_tos_v4(TOS_NETWORK_CONTROL)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.bind(&SockAddr::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)))?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: socket.into(), port })
    }

    /// Sends a frame to `address`, without waiting: a full queue loses it, the next one is due soon.
    ///
    /// # Errors
    /// When the kernel cannot send it.
    pub fn send(&self, frame: &[u8], address: Ipv4Addr) -> io::Result<()> {
        self.answer(frame, SocketAddrV4::new(address, self.port).into())
    }

    /// Answers to where a frame came from.
    ///
    /// # Errors
    /// When the kernel cannot send it.
    pub fn answer(&self, frame: &[u8], to: SocketAddr) -> io::Result<()> {
        self.socket.send_to(frame, to).map(drop)
    }

    /// Takes a datagram, if one is there.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        match self.socket.recv_from(buffer) {
            Ok(received) => Ok(Some(received)),
            Err(error) if is_nothing_there(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_nothing_there(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
