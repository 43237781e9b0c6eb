//! UDP sockets, one per interface.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, Type};

/// DSCP CS6, network control (RFC 4594): the class of routing protocols.
const TOS_NETWORK_CONTROL: u32 = 0xc0;

/// Without a kernel program the agent reads this socket; with one, nothing arrives that anybody wants.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// `MSG_DONTWAIT` of send(2): a full queue loses the frame, the next one is due soon.
const MSG_DONTWAIT: i32 = 0x40;

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
        Ok(Self { socket: socket.into(), port })
    }

    /// Sends a frame to `address`, without waiting.
    ///
    /// # Errors
    /// When the kernel cannot send it.
    pub fn send(&self, frame: &[u8], address: Ipv4Addr) -> io::Result<()> {
        let to = SockAddr::from(SocketAddrV4::new(address, self.port));
        SockRef::from(&self.socket).send_to_with_flags(frame, &to, MSG_DONTWAIT).map(drop)
    }

    /// Answers to where a frame came from.
    ///
    /// # Errors
    /// When the kernel cannot send it.
    pub fn answer(&self, frame: &[u8], to: SocketAddr) -> io::Result<()> {
        SockRef::from(&self.socket).send_to_with_flags(frame, &SockAddr::from(to), MSG_DONTWAIT).map(drop)
    }

    /// Lets [`Self::receive`] wait for this long.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(Some(patience))
    }

    /// Waits for a datagram; `None` when none came in time.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        match self.socket.recv_from(buffer) {
            Ok(received) => Ok(Some(received)),
            Err(error) if is_patience_over(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_patience_over(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
