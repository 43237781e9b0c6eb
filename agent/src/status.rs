//! What `xbeat status` says: the contract with users, tests and the demo.
//!
//! The driver fills these structures, the control socket carries them as JSON, `xbeat status --json` prints that
//! JSON as it is, and [`render()`] makes the page for a terminal. Times carry their unit in the name; "ago" is
//! counted from the moment the status was taken. Nothing here does IO.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod health;
mod render;
#[cfg(test)]
pub(crate) mod tests;

pub use render::{Style, render};

/// All that an agent knows about its cluster at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// This node's name.
    pub node: String,
    /// The agent's version.
    pub version: String,
    /// What the agent is doing.
    pub state: State,
    /// How long it has been in that state, in milliseconds.
    pub since_ms: u64,
    /// Every other configured node is held dead: this node has nobody to hand over to.
    pub alone: bool,
    /// Nodes that are not heard while this one serves, and never said that they go: they may serve, too.
    #[serde(default)]
    pub unheard: Vec<String>,
    /// Short hash of the configuration, in hex; nodes compare it.
    pub config_digest: String,
    /// Time between two keepalives, in microseconds.
    pub keepalive_us: u64,
    /// Silence after which a node is dead, in microseconds.
    pub deadtime_us: u64,
    /// How long the kernel goes on without hearing from this agent.
    pub lease: Lease,
    /// How the decision loop gets on.
    #[serde(default)]
    pub turns: Turns,
    /// The scheduling the agent obtained.
    pub realtime: Realtime,
    /// Every configured node, this one included, in the order of their indices.
    pub nodes: Vec<Node>,
    /// Every configured link.
    pub links: Vec<Link>,
    /// Every resource group, in the order of haresources.
    pub groups: Vec<Group>,
    /// Every ping node, in the order of their lines.
    #[serde(default)]
    pub pings: Vec<Ping>,
    /// The node that sees more ping nodes serves (`respawn ... ipfail`); else they are only shown.
    #[serde(default)]
    pub ipfail: bool,
    /// Every network of virtual addresses, and what the nodes can see of it.
    #[serde(default)]
    pub networks: Vec<Network>,
    /// Packets by the verdict they met, and other counts, by name.
    pub counters: BTreeMap<String, u64>,
    /// The egress gates, one per interface with addresses; none without eBPF.
    #[serde(default)]
    pub egress: Vec<EgressGate>,
    /// What this machine refused, each with what that costs ("no eBPF: ...").
    pub lost: Vec<String>,
    /// Nodes that should be reset before their groups are safe here, and cannot be.
    #[serde(default)]
    pub unfenced: Vec<String>,
    /// Doubts about the configuration or the machine that stop nothing.
    pub warnings: Vec<String>,
    /// How often the files were read anew.
    #[serde(default)]
    pub reloads: Reloads,
}

/// How often the files were read anew while the agent ran.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloads {
    /// So often they were taken over, those included that had not changed.
    pub done: u64,
    /// So often they were refused, as a whole.
    pub refused: u64,
    /// What the last one changed, or why it was refused.
    pub last: Vec<String>,
}

/// What the agent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It waits for the other nodes, at most for `initdead`, and serves nothing yet (design R6).
    Starting,
    /// It takes part.
    Active,
    /// It hands over what it holds and ends.
    Stopping,
}

/// The lease the kernel holds for this agent (design 2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its full length, in microseconds.
    pub length_us: u64,
    /// How long ago it was renewed, in microseconds.
    pub age_us: u64,
    /// It has not run out.
    pub valid: bool,
}

/// How the decision loop gets on since it started: it should never wait for anything, and a lease is the most that it may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turns {
    /// How long its longest turn took, in microseconds.
    pub longest_us: u64,
    /// What that turn was about.
    pub longest_of: String,
    /// How late it came at most to a turn that was due, in microseconds.
    pub latest_us: u64,
}

/// The scheduling the agent obtained from the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Realtime {
    /// Of the thread that sends probes.
    pub probe: Scheduling,
    /// Of the decision loop.
    #[serde(rename = "loop")]
    pub decision_loop: Scheduling,
    /// No page of the agent can be swapped out.
    pub memory_locked: bool,
}

/// A scheduling class, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheduling {
    /// `SCHED_DEADLINE`.
    Deadline,
    /// `SCHED_FIFO`.
    Fifo,
    /// `SCHED_OTHER`: any busy process can delay it.
    Normal,
}

/// A configured node, as this one sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its place in the order of the `node` lines, from 0.
    pub index: u32,
    /// It is this node.
    pub own: bool,
    /// Its status.
    pub status: NodeStatus,
    /// The session it joined with, in hex; none before it joined.
    pub session: Option<String>,
    /// False when it announced another configuration than ours.
    pub config_matches: bool,
    /// It says that it hears this node. True for this node itself.
    pub hears_us: bool,
    /// When something authentic last came from it, in microseconds ago; none if never (and for this node).
    pub last_heard_us: Option<u64>,
    /// What an administrator should know about it ("its key is not ours").
    pub note: Option<String>,
}

/// The status of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeStatus {
    /// Not heard yet since this agent started.
    Init,
    /// Heard; it has not joined yet.
    Up,
    /// It takes part.
    Active,
    /// Silent for `deadtime` with probes unanswered, or it said that it goes.
    Dead,
    /// Heard, but not believed; the note says why.
    Refused,
}

/// A heartbeat link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name in logs: the interface, or the serial device.
    pub name: String,
    /// How it carries frames.
    pub kind: LinkKind,
    /// The network interface; none for a serial line.
    pub interface: Option<String>,
    /// It can carry frames (interface up, socket or device open).
    pub up: bool,
    /// Where its frames are read.
    pub datapath: Datapath,
    /// Why the datapath is not a better one.
    pub why: Option<String>,
    /// The start-up test saw the kernel send a frame back by itself.
    pub tx_tested: bool,
    /// Silence after which the link says no more that a node lives, in microseconds.
    pub deadtime_us: u64,
    /// What is particular to a serial line.
    pub line: Option<Line>,
    /// The broadcast or multicast address and port that its frames go to; none where each node has its own.
    #[serde(default)]
    pub group: Option<String>,
    /// What the kernel or the network said lately about frames that did not arrive. A hint, not a verdict.
    #[serde(default)]
    pub trouble: Option<String>,
    /// The nodes reached over it.
    pub peers: Vec<LinkPeer>,
}

/// A serial line. Counts are since the agent's start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Bits per second.
    pub baud: u32,
    /// Time between two probes, in microseconds: what is configured, or as fast as the line can carry.
    pub keepalive_us: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Frames written.
    pub frames_out: u64,
    /// Frames read that were whole.
    pub frames_in: u64,
    /// Pieces read that were no frame.
    pub garbage: u64,
    /// Frames that were ready and never left.
    pub dropped: u64,
    /// How often the device was opened.
    pub opened: u64,
    /// What the device refused of its settings.
    pub refused: Vec<String>,
}

/// The kind of a link, by the directive that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// UDP to one address.
    Ucast,
    /// UDP broadcast.
    Bcast,
    /// UDP multicast.
    Mcast,
    /// UDP over IPv6 to one address.
    Ucast6,
    /// UDP multicast over IPv6.
    Mcast6,
    /// A serial line.
    Serial,
}

/// Where frames are read, best first (design 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Datapath {
    /// XDP in the driver.
    Native,
    /// XDP in the network stack.
    Generic,
    /// A program at TC ingress.
    Tc,
    /// Ordinary sockets, in the agent.
    None,
}

/// One node over one link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkPeer {
    /// The node's name.
    pub node: String,
    /// Its address on this link; none for a serial line.
    pub address: Option<String>,
    /// It is heard over this link.
    pub up: bool,
    /// When it was last heard over this link, in microseconds ago; none if never.
    pub last_heard_us: Option<u64>,
    /// Probes sent to it.
    pub probes_sent: u64,
    /// Probes that it answered.
    pub answered: u64,
    /// The latest time from probe to pong, in microseconds.
    pub rtt_us: Option<u64>,
    /// How much that time varies, in microseconds (RFC 3550, 6.4.1).
    #[serde(default)]
    pub jitter_us: Option<u64>,
    /// Probes that stayed unanswered lately, in millionths.
    pub loss_ppm: u64,
    /// What that was counted from.
    #[serde(default)]
    pub recent: Recent,
    /// Times between two frames from it.
    pub interarrival_us: Histogram,
}

/// Probes of the last ten seconds, or of the last hundred keepalives if that is longer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    /// Sent, and old enough to be answered.
    pub asked: u64,
    /// Answered.
    pub answered: u64,
    /// Over this time, in milliseconds.
    pub over_ms: u64,
}

/// Counts by size.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// `[upper bound in microseconds, count]`, by rising bound; each bound belongs to its own bucket.
    pub buckets: Vec<(u64, u64)>,
}

/// What keeps a fenced node from sending in the name of its addresses by one interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressGate {
    /// The interface.
    pub interface: String,
    /// How it is attached: `tcx` or `clsact`; none if the kernel refuses both.
    pub how: Option<String>,
    /// Why it is not there, or not in the better way.
    pub why: Option<String>,
}

/// A resource group and its gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name: the first resource of its haresources line.
    pub key: String,
    /// The node it prefers.
    pub home: String,
    /// The node that holds it, as far as this node knows.
    pub owner: Option<String>,
    /// This node's gate for it is open: this kernel serves its VIPs now.
    pub open: bool,
    /// The highest epoch known here.
    pub epoch: u64,
    /// The group's resources on this node.
    pub state: GroupState,
    /// Why this node's kernel closed the gate last, while that still stands.
    pub fenced: Option<Fence>,
    /// The node that sees more of its network than the owner, and that it therefore moves to.
    #[serde(default)]
    pub better: Option<String>,
    /// The node that takes it if the owner dies.
    pub heir: Option<String>,
    /// This node's kernel is armed to take it by itself.
    pub armed: bool,
    /// Its virtual addresses.
    pub vips: Vec<Vip>,
}

/// A ping node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// As it stands in `ha.cf`.
    pub name: String,
    /// It is a `ping_group`: one of its hosts must answer.
    pub group: bool,
    /// Its status.
    pub status: PingStatus,
    /// Its hosts.
    pub hosts: Vec<PingHost>,
}

/// The status of a ping node, in Heartbeat's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PingStatus {
    /// Not answered yet, and not long enough for a verdict.
    Init,
    /// It answers.
    Ping,
    /// It has not answered for `deadping`.
    Dead,
}

/// A host that is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingHost {
    /// Its address.
    pub address: String,
    /// Requests sent.
    pub sent: u64,
    /// Requests answered.
    pub answered: u64,
    /// When it last answered, in microseconds ago; none if never.
    pub last_heard_us: Option<u64>,
    /// The latest time from request to answer, in microseconds.
    pub rtt_us: Option<u64>,
}

/// A network that virtual addresses are on: what is known of who reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The interface.
    pub interface: String,
    /// Whether a silent node tells anything here.
    pub state: NetworkState,
    /// Hosts that would be asked in doubt, or are.
    pub neighbours: u64,
    /// Nodes that are silent here and live.
    pub missed: Vec<String>,
    /// What was found out here, while it is in doubt.
    pub reach: Option<Reach>,
    /// In words for a person.
    pub text: String,
}

/// Whether the free voice can be heard on a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkState {
    /// No link is on it, or there is no other path by which a node that is silent here could be heard.
    Off,
    /// Every node that lives is heard here.
    Peace,
    /// One is missed: those who are here are asked.
    Doubt,
}

/// How far a node reaches on a network in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// Not found out yet.
    Unknown,
    /// Nobody else is heard.
    Deaf,
    /// Others are heard, and do not answer.
    Hears,
    /// Others answer.
    Answered,
}

/// The resources of a group, on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupState {
    /// Not running here.
    Stopped,
    /// Being started.
    Starting,
    /// All running here.
    Started,
    /// Being stopped.
    Stopping,
    /// A resource failed to start or to stop.
    Failed,
}

/// Why a gate was fenced (design 2.5, 2.6, R5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fence {
    /// The agent did not renew its lease in time.
    Lease,
    /// The agent ended.
    Exit,
    /// Another node holds the group under a higher epoch.
    HigherEpoch,
    /// A planned move.
    Operator,
}

/// A virtual address of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vip {
    /// Address and prefix length: `192.0.2.100/24`.
    pub address: String,
    /// The interface that carries it; none while it is not known.
    pub interface: Option<String>,
    /// The address label: `eth0:0`.
    pub label: Option<String>,
    /// The address is on the interface now.
    pub up: bool,
}
