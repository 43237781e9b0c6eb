//! The kinds of links that go over a network, as lines of `ha.cf`.

use crate::lan::{Lan, Network};

/// A kind of link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UDP to each node's address.
    Ucast,
    /// UDP broadcast.
    Bcast,
    /// UDP multicast.
    Mcast,
    /// UDP over IPv6 to each node's address: that of the link alone on eth0, a global one on eth1.
    Ucast6,
    /// UDP multicast over IPv6.
    Mcast6,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ucast, Self::Bcast, Self::Mcast, Self::Ucast6, Self::Mcast6];

    /// The directive.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ucast => "ucast",
            Self::Bcast => "bcast",
            Self::Mcast => "mcast",
            Self::Ucast6 => "ucast6",
            Self::Mcast6 => "mcast6",
        }
    }

    /// The lines that make such a link of all nodes of `lan` in `network`; the same on every node.
    pub fn lines(self, lan: &Lan, network: Network) -> String {
        let (kind, interface) = (self.name(), network.interface());
        let line = |rest: String| format!("{kind} {interface} {rest}\n");
        let nodes = 0..lan.size();
        match self {
            Self::Ucast => nodes.map(|node| line(lan.address(node, network).to_string())).collect(),
            Self::Bcast => format!("{kind} {interface}\n"),
            Self::Mcast => line("239.0.0.1 6940 1 0".to_owned()),
            Self::Ucast6 if network == Network::Eth0 => {
                nodes.map(|node| line(format!("{}%{interface}", lan.link_local(node, network)))).collect()
            }
            Self::Ucast6 => nodes.map(|node| line(lan.address6(node, network).to_string())).collect(),
            Self::Mcast6 => line("ff02::694 6940 1 0".to_owned()),
        }
    }
}
