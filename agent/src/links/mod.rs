//! Heartbeat paths. A link is an interface (Heartbeat names links so), with the peers that are reached by it.

pub mod prober;
pub mod ucast;

use std::net::Ipv4Addr;
use std::sync::Mutex;

/// One heartbeat path.
#[derive(Debug)]
pub struct Link {
    /// Its number: its place among the links of the configuration, sent in every frame.
    pub id: u8,
    /// Its name: that of the interface.
    pub name: String,
    /// The kernel's number of the interface.
    pub ifindex: u32,
    /// The socket that frames are sent by, and received by where no kernel program takes them.
    pub socket: ucast::Socket,
    /// Whom it reaches.
    pub targets: Mutex<Vec<Target>>,
}

/// An address that probes are sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The address.
    pub address: Ipv4Addr,
    /// The node that answers there. `ucast` lines do not say; with two nodes there is only one choice, with
    /// more the first pong tells.
    pub node: Option<u8>,
}
