//! What `xbeat status --json` says, as far as tests look at it. Fields that are not known here are ignored.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The state of one agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The node that was asked.
    pub node: String,
    /// `starting`, `active` or `stopping`.
    pub state: String,
    /// All nodes as this one sees them.
    pub nodes: Vec<Node>,
    /// Its links.
    pub links: Vec<Link>,
    /// All resource groups.
    pub groups: Vec<Group>,
    /// All ping nodes.
    pub pings: Vec<Ping>,
    /// The networks of virtual addresses.
    pub networks: Vec<Network>,
    /// Counts by name.
    pub counters: BTreeMap<String, u64>,
    /// What the machine refused, and what that costs.
    pub lost: Vec<String>,
}

/// A ping node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Ping {
    /// As in `ha.cf`.
    pub name: String,
    /// `init`, `ping` or `dead`.
    pub status: String,
}

/// A network of virtual addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Network {
    /// The interface.
    pub interface: String,
    /// `off`, `peace` or `doubt`.
    pub state: String,
    /// How many would be asked.
    pub neighbours: u64,
    /// `unknown`, `deaf`, `hears` or `answered`, in doubt.
    pub reach: Option<String>,
}

/// A node as seen by another (or itself).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Its name in `ha.cf`.
    pub name: String,
    /// `init`, `up`, `active`, `dead` or `refused`.
    pub status: String,
    /// What an administrator should know about it.
    pub note: Option<String>,
}

/// A link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Link {
    /// The interface or serial device.
    pub name: String,
    /// The directive that made it.
    pub kind: String,
    /// The group that its frames go to.
    pub group: Option<String>,
    /// What the network said about frames that did not arrive.
    pub trouble: Option<String>,
    /// `native`, `generic`, `tc` or `none`.
    pub datapath: String,
    /// Why not a better one.
    pub why: Option<String>,
    /// The interface can carry frames.
    pub up: bool,
    /// The kernel was seen to send a frame back by itself.
    pub tx_tested: bool,
    /// Whom it reaches.
    pub peers: Vec<Peer>,
    /// Silence after which it says no more that a node lives, in microseconds.
    pub deadtime_us: u64,
    /// What is particular to a serial line.
    pub line: Option<Line>,
}

/// A serial line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Line {
    /// Bits per second.
    pub baud: u32,
    /// Time between two probes, in microseconds.
    pub keepalive_us: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Frames written.
    pub frames_out: u64,
    /// Frames read.
    pub frames_in: u64,
    /// Pieces read that were no frame.
    pub garbage: u64,
    /// Frames that were ready and never left.
    pub dropped: u64,
    /// How often the device was opened.
    pub opened: u64,
}

/// A node at the other end of a link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Peer {
    /// The node.
    pub node: String,
    /// When it was last heard over this link, in microseconds ago.
    pub last_heard_us: Option<u64>,
    /// It is heard over this link.
    pub up: bool,
    /// Its address on the link.
    pub address: Option<String>,
    /// The latest time from probe to pong, in microseconds.
    pub rtt_us: Option<u64>,
    /// Probes that stayed unanswered lately, in millionths.
    pub loss_ppm: u64,
}

/// A resource group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Group {
    /// The first resource of the group, which names it.
    pub key: String,
    /// The node that has it.
    pub owner: Option<String>,
    /// Whether this node's gate is open.
    pub open: bool,
    /// The epoch of its ownership.
    pub epoch: u64,
    /// Its resources here: `stopped`, `starting`, `started`, `stopping` or `failed`.
    pub state: String,
    /// The node that takes it if the owner dies.
    pub heir: Option<String>,
    /// This node's kernel is armed to take it.
    pub armed: bool,
}

impl Status {
    /// The status of node `name`, or "" if it is unknown.
    pub fn node_status(&self, name: &str) -> &str {
        self.nodes.iter().find(|node| node.name == name).map_or("", |node| &node.status)
    }

    /// How frames on interface `name` are handled, or "" if it is no link.
    pub fn datapath(&self, name: &str) -> &str {
        self.link(name).map_or("", |link| &link.datapath)
    }

    /// Who has the group called `key`.
    pub fn owner(&self, key: &str) -> Option<&str> {
        self.group(key)?.owner.as_deref()
    }

    /// The group called `key`.
    pub fn group(&self, key: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.key == key)
    }

    /// The link on interface `name`.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_fields_are_read_and_others_ignored() {
        let json = r#"{"node":"server1","uptime":3,
            "nodes":[{"name":"server1","status":"active"},{"name":"server2","status":"dead","last":1}],
            "links":[{"name":"eth0","datapath":"native","why":""}],
            "groups":[{"key":"192.0.2.100","owner":"server1","open":true,"epoch":4},{"key":"b","owner":null}]}"#;
        let status: Status = serde_json::from_str(json).unwrap();
        assert_eq!((status.node_status("server2"), status.node_status("other")), ("dead", ""));
        assert_eq!((status.datapath("eth0"), status.datapath("eth1")), ("native", ""));
        assert_eq!((status.owner("192.0.2.100"), status.owner("b")), (Some("server1"), None));
        assert_eq!(status.groups[0].epoch, 4);
    }
}
