//! Heartbeat paths. A link is one way to reach the other nodes: an interface with a kind of addressing, or a cable.

mod findings;
pub mod plan;
pub mod prober;
mod rhythm;
pub mod serial;
pub mod trouble;
pub mod udp;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use reflex::path::{self, Ip, NO_IP};

use crate::config::LinkSpec;
pub use findings::Findings;
use trouble::Trouble;

/// One heartbeat path.
#[derive(Debug)]
pub struct Link {
    /// Its number: its place among the links of the configuration, sent in every frame.
    pub id: u8,
    /// Which directive made it.
    pub kind: Kind,
    /// Its name: that of the interface or of the terminal (Heartbeat names links so).
    pub name: String,
    /// The kernel's number of the interface; none for a cable.
    pub ifindex: Option<u32>,
    /// What carries its frames.
    pub transport: Transport,
    /// The addresses that its lines name; none where one frame reaches every node.
    pub peers: Vec<IpAddr>,
    /// Whom it asks.
    pub targets: Mutex<Vec<Target>>,
    /// What went wrong with its frames, by node and error.
    pub troubles: Mutex<Vec<Trouble>>,
}

impl Link {
    /// Its socket, where it has one.
    #[must_use]
    pub const fn udp(&self) -> Option<&udp::Socket> {
        match &self.transport {
            Transport::Udp(socket) => Some(socket),
            Transport::Serial(_) => None,
        }
    }

    /// Its line, where it is a cable.
    #[must_use]
    pub const fn line(&self) -> Option<&Arc<serial::Line>> {
        match &self.transport {
            Transport::Serial(line) => Some(line),
            Transport::Udp(_) => None,
        }
    }
}

/// A directive that makes links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UDP to addresses of nodes.
    Ucast,
    /// UDP to the broadcast address of the interface.
    Bcast,
    /// UDP to a multicast group.
    Mcast,
    /// The same as [`Kind::Ucast`] over IPv6.
    Ucast6,
    /// The same as [`Kind::Mcast`] over IPv6.
    Mcast6,
    /// A null-modem cable.
    Serial,
}

impl Kind {
    /// The kind of link that a line of ha.cf makes.
    #[must_use]
    pub const fn of(spec: &LinkSpec) -> Self {
        match spec {
            LinkSpec::Ucast { .. } => Self::Ucast,
            LinkSpec::Bcast { .. } => Self::Bcast,
            LinkSpec::Mcast { .. } => Self::Mcast,
            LinkSpec::Ucast6 { .. } => Self::Ucast6,
            LinkSpec::Mcast6 { .. } => Self::Mcast6,
            LinkSpec::Serial { .. } => Self::Serial,
        }
    }

    /// The directive.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ucast => "ucast",
            Self::Bcast => "bcast",
            Self::Mcast => "mcast",
            Self::Ucast6 => "ucast6",
            Self::Mcast6 => "mcast6",
            Self::Serial => "serial",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What carries a link's frames.
#[derive(Debug)]
pub enum Transport {
    /// Datagrams: sent by this socket, and received by it where no kernel program takes them.
    Udp(udp::Socket),
    /// A null-modem cable, which has a thread and a pace of its own.
    Serial(Arc<serial::Line>),
}

impl Transport {
    /// Sends a frame to one address, or to everybody who is reached by the link; without waiting: what does not fit is
    /// lost, the next frame is due soon. `answers`: as for [`udp::Socket::send`].
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn send(&self, frame: &[u8], to: Option<IpAddr>, answers: bool) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(frame, to, answers),
            Self::Serial(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// An address as the tables have it.
#[must_use]
pub const fn packed(address: IpAddr) -> Ip {
    match address {
        IpAddr::V4(address) => path::ipv4(address.octets()),
        IpAddr::V6(address) => path::ipv6(address.octets()),
    }
}

/// An address of the tables; none where there is none.
#[must_use]
pub fn unpacked(ip: Ip) -> Option<IpAddr> {
    (ip != NO_IP).then(|| IpAddr::V6(path::bytes(ip).into()).to_canonical())
}

/// Somebody whom probes are sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its address. None where one frame reaches every node: broadcast, multicast, a cable.
    pub address: Option<IpAddr>,
    /// The node that answers there. `ucast` lines do not say; with two nodes there is only one choice, with
    /// more the first pong tells.
    pub node: Option<u8>,
}
