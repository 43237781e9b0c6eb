//! The two tables, as they lie in memory: a BPF map's value here, a heap allocation there.
//!
//! All words are in host order; nothing here leaves the machine.

use crate::keys::KEY_PLACES;
use crate::path::{Address, Path};
use crate::word::Word;
use crate::{
    ADDRESSES_MAX, BUCKETS_MAX, CALLERS_MAX, DOUBTS_MAX, GROUPS_MAX, KEYS_MAX, LINKS_MAX, MACS_MAX,
    NODES_MAX, PAGES_MAX,
};

/// Reads a table by an index that may be anything: out of range reads the masked one. The lengths are
/// powers of two, so that a verifier sees the bound.
macro_rules! at {
    ($table:expr, $index:expr) => {{
        let table = &$table;
        let mask = table.len() - 1;
        &table[($index as usize) & mask]
    }};
}
pub(crate) use at;

/// Changes whenever [`Orders`], [`Facts`] or another table that outlives an agent (the [`crate::node::Desk`]) change their
/// layout, or what may stand in them: an agent adopts no tables but its own.
pub const LAYOUT_VERSION: u64 = 10;

/// What the agent tells the reflex. Only the agent writes it.
#[repr(C)]
pub struct Orders {
    /// [`LAYOUT_VERSION`].
    pub layout: Word,
    /// This life of the agent: random, never 0. Frames that answer another life are stale.
    pub session: Word,
    /// Index of this node.
    pub own: Word,
    /// Number of nodes, at most [`NODES_MAX`].
    pub nodes_len: Word,
    /// Number of groups, at most [`GROUPS_MAX`].
    pub groups_len: Word,
    /// UDP ports that frames come in by over IPv4, bit by port modulo 64: what has no bit here is none of ours, and
    /// that is all that other traffic is asked.
    pub ports4: Word,
    /// The same over IPv6.
    pub ports6: Word,
    /// 1: there are IPv6 VIPs. 0: IPv6 traffic is asked nothing more.
    pub vips6: Word,
    /// Number of the last letter of this life, see [`crate::letter`]. Stored before it is sent.
    pub letters: Word,
    /// By link.
    pub paths: [Path; LINKS_MAX],
    /// Own addresses that frames come to. What goes to any other address is somebody else's traffic passing through.
    pub addresses: [Address; ADDRESSES_MAX],
    /// Digest of what must be equal in all nodes' files.
    pub config: Word,
    /// [`crate::Status`] bits that the agent sets: active, leaving.
    pub status: Word,
    /// Time between two probes, ns.
    pub keepalive: Word,
    /// Silence after which a node may be declared dead, ns, on a link that has no time of its own.
    pub deadtime: Word,
    /// Gap between two frames above which the later one is late, ns.
    pub warntime: Word,
    /// Probes that must have stayed unanswered, see [`crate::watch`].
    pub unanswered_min: Word,
    /// Age at which an unanswered probe counts, ns. Shorter than the time between two probes on one link.
    pub grace: Word,
    /// Times of links that have their own, by link.
    pub links: [LinkTimes; LINKS_MAX],
    /// Gates may be open before this moment (monotonic clock, ns). Renewed by the decision loop alone.
    pub lease_until: Word,
    /// The lease that stays valid although the agent exits: a planned restart. 0: none.
    pub keep: Word,
    /// Number of the key that outgoing frames are signed with.
    pub key_current: Word,
    /// Where each key lies, by number. To be read and changed by [`crate::keys`] only, as the next two.
    pub key_places: [Word; KEYS_MAX],
    /// The place that was written last.
    pub key_placed: Word,
    /// Keys by place.
    pub keys: [Key; KEY_PLACES],
    /// By node index.
    pub nodes: [NodeOrders; NODES_MAX],
    /// By group index.
    pub gates: [GateOrders; GROUPS_MAX],
    /// How many interfaces are in doubt: 0 in peace, and then nothing below is looked at.
    pub doubt: Word,
    /// The interfaces that are in doubt; 0: unused.
    pub doubts: [Word; DOUBTS_MAX],
    /// Hardware addresses of the cluster's nodes ([`crate::strangers::mac_word`]): who has one of these is no stranger. 0: unused.
    pub macs: [Word; MACS_MAX],
}

/// One key as HMAC uses it: the hash states after the inner and the outer padded key (RFC 2104).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Key {
    /// [`crate::mac::SHA1`], [`crate::mac::SHA256`], [`crate::mac::MD5`], or 0: no such key.
    pub method: Word,
    /// State after the inner block, two of its words in each.
    pub inner: [Word; 4],
    /// State after the outer block.
    pub outer: [Word; 4],
}

/// The clock of one link: a slow line, or a link with a `linkdead` of its own. 0: as [`Orders`] says for all.
#[repr(C)]
pub struct LinkTimes {
    /// Silence after which the link says no more that a node lives, ns.
    pub deadtime: Word,
    /// As [`Orders::warntime`], for frames that come by this link.
    pub warntime: Word,
    /// As [`Orders::unanswered_min`].
    pub unanswered_min: Word,
    /// As [`Orders::grace`].
    pub grace: Word,
}

/// What the agent tells about one other node.
#[repr(C)]
pub struct NodeOrders {
    /// By link.
    pub links: [LinkOrders; LINKS_MAX],
}

/// What the agent tells about one link to one node.
#[repr(C)]
pub struct LinkOrders {
    /// Probes sent so far on this link to this node; also the sequence number of the last one. 0: not in use
    /// or nothing sent yet.
    pub sent: Word,
    /// When the last one was sent (monotonic clock, ns).
    pub sent_at: Word,
    /// How many of them count against a silent node: those sent at least [`Orders::grace`] after the one before that
    /// counts, and that left this machine as far as it can tell. Five in a burst ask once; what could not be sent asks
    /// nobody.
    pub asked: Word,
    /// When the last one that counts, or would have, was sent; [`crate::node::BEING_SENT`] until that is known.
    pub asked_at: Word,
    /// How many in a row would have counted and could not be sent. 0: the last one went.
    pub failed: Word,
}

/// What the agent tells about one gate.
#[repr(C)]
pub struct GateOrders {
    /// Highest epoch that the election granted to this node. Only grows.
    pub granted: Word,
    /// Highest epoch that this node gave up in a planned move. Only grows.
    pub resigned: Word,
    /// [`crate::gate::Armed`], packed: take over from whom, with which epoch.
    pub armed: Word,
    /// What frames say about this node's plans for the group: [`crate::frame::Claim`] flags and heir.
    pub plan: Word,
    /// Until then (monotonic clock, ns) packets for its addresses are held back for the heir: they are changing hands.
    pub held_until: Word,
}

/// What the reflex found. Only the reflex writes it.
#[repr(C)]
pub struct Facts {
    /// Grows with every change that the agent may want to know of.
    pub version: Word,
    /// The lease that ended with the agent's thread, whatever its time says.
    pub exited: Word,
    /// The thread whose exit ends the lease, as the kernel numbers it. Written by the program that runs in it.
    pub thread: Word,
    /// By node index.
    pub nodes: [NodeFacts; NODES_MAX],
    /// By group index.
    pub gates: [GateFacts; GROUPS_MAX],
    /// What node `n` last claimed of group `g`: [`crate::frame::Claim`], packed.
    pub claims: [[Word; GROUPS_MAX]; NODES_MAX],
    /// When a frame of no cluster node last came in by the interface in that place of [`Orders::doubts`]
    /// (monotonic clock, ns).
    pub strangers: [Word; DOUBTS_MAX],
    /// Hosts that lately asked or answered by ARP: [`crate::strangers::caller_word`]. Whom to ask when in doubt.
    pub callers: [Word; CALLERS_MAX],
}

/// What was found out about one node.
#[repr(C)]
pub struct NodeFacts {
    /// The life that answered our challenge; 0: none yet.
    pub session: Word,
    /// The sender's own clock in the frame that admitted it. Its probes from before that are not believed.
    pub since: Word,
    /// When it was last heard on any link (monotonic clock, ns).
    pub heard_at: Word,
    /// The end of the last deadtime that began when it was heard, each link by its own clock: before this moment it counts as
    /// heard, and is not dead.
    pub heard_until: Word,
    /// When it was declared dead; 0: it was not.
    pub dead_at: Word,
    /// The sender's own clock in the newest frame believed: orders what it says of itself over all links.
    pub said_at: Word,
    /// Its newest status, whom it hears, its configuration: [`crate::node::Said`], packed.
    pub said: Word,
    /// When a frame in its name was last refused for its key or MAC.
    pub refused_at: Word,
    /// How many were refused so far.
    pub refused: Word,
    /// Last letter of it that was taken, with its life: [`crate::letter`].
    pub letter_seen: Word,
    /// Last letter of ours that it took, with its life: [`crate::letter`].
    pub letter_taken: Word,
    /// Pages of its claims heard in this life, bit by page.
    pub pages: [Word; 2],
    /// The same clock in the newest frame believed of each page: orders its claims. Of their own, because a frame that
    /// is overtaken by one of another page is the newest word about its groups nevertheless.
    pub page_at: [Word; PAGES_MAX],
    /// By link.
    pub links: [LinkFacts; LINKS_MAX],
}

/// What was found out about one link to one node.
#[repr(C)]
pub struct LinkFacts {
    /// Highest sequence number of its probes.
    pub seen: Word,
    /// Highest sequence number of ours that it answered, or that is void since it was admitted.
    pub answered: Word,
    /// How many of our probes it answered in its present life.
    pub answered_count: Word,
    /// Our probes sent when its present life began.
    pub sent_when_admitted: Word,
    /// When it was last heard on this link.
    pub heard_at: Word,
    /// When its kernel last answered a probe of ours on this link.
    pub pong_at: Word,
    /// [`LinkOrders::asked`] when it was last heard: what is asked after that and unanswered counts against it.
    pub asked_when_heard: Word,
    /// Interface that it was last heard on.
    pub ifindex: Word,
    /// Hardware address that it was last heard from, as [`crate::strangers::mac_word`] has it; 0 where there is none.
    pub mac: Word,
    /// Address that it was last heard from.
    pub address: Address,
    /// Round trip of the last answered probe, ns.
    pub rtt: Word,
    /// How much the round trip varies, ns: smoothed as RFC 3550 6.4.1 does it.
    pub jitter: Word,
    /// Probes received since it last confirmed one of our pongs: does `XDP_TX` really send?
    pub unconfirmed: Word,
    /// Frames received.
    pub received: Word,
    /// Times between two frames; see [`BUCKETS_MAX`].
    pub gaps: [Word; BUCKETS_MAX],
}

/// What the reflex did to one gate.
#[repr(C)]
pub struct GateFacts {
    /// Highest epoch that the reflex took over with. Only grows.
    pub taken: Word,
    /// Highest epoch that is fenced. Only grows.
    pub fenced: Word,
    /// Highest epoch that another node says it holds or held. Only grows.
    pub rival: Word,
    /// Why it was last fenced: [`crate::Reason`].
    pub reason: Word,
    /// When it last opened by a takeover (monotonic clock, ns).
    pub taken_at: Word,
    /// When the first question for one of its VIPs was answered after that, by ARP or neighbour discovery.
    pub first_arp_at: Word,
}

/// A VIP, as the kernel looks it up by address when a neighbour asks for it. The agent writes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vip {
    /// Group that serves it.
    pub group: u32,
    /// Interface that it lives on.
    pub ifindex: u32,
    /// That interface's MAC address.
    pub mac: [u8; 6],
    /// 1: answered as soon as the gate is open. 0: behind another resource, closed until the agent says so.
    pub ready: u8,
    /// 1: `XDP_TX` is known to work on the interface. 0: the stack answers.
    pub bounce: u8,
    /// Where packets go on to that are for the VIP and come here while its gate is shut: the MAC address of the node that it
    /// was handed to just now, for those who have not heard of that. Zeros: nowhere.
    pub pass_to: [u8; 6],
    /// 1: this node forwards what is not for it, which an answer over IPv6 says (RFC 4861 4.4).
    pub router: u8,
    /// Zero.
    pub padding: u8,
}

/// Longest packet that is held back: a power of two.
pub const HELD_MAX: usize = 2048;

/// A packet that was held back while its address changed hands, ready to be sent on to the heir.
#[repr(C)]
pub struct Held {
    /// Interface that it came by.
    pub ifindex: u32,
    /// Its length.
    pub len: u32,
    /// From the Ethernet header on; zeros or leftovers behind its length.
    pub bytes: [u8; HELD_MAX],
}

impl Held {
    /// Interface and packet of an entry of the ring buffer; nothing, if it is none.
    #[must_use]
    pub fn parse(entry: &[u8]) -> Option<(u32, &[u8])> {
        let (ifindex, rest) = entry.split_first_chunk()?;
        let (len, bytes) = rest.split_first_chunk()?;
        let packet = bytes.get(..u32::from_ne_bytes(*len) as usize)?;
        Some((u32::from_ne_bytes(*ifindex), packet))
    }
}

/// Bytes of a [`Vip`].
pub const VIP_LEN: usize = size_of::<Vip>();

impl Vip {
    /// As the value of a BPF map.
    #[must_use]
    pub fn to_bytes(self) -> [u8; VIP_LEN] {
        let mut bytes = [0; VIP_LEN];
        bytes[0..4].copy_from_slice(&self.group.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.ifindex.to_ne_bytes());
        bytes[8..14].copy_from_slice(&self.mac);
        bytes[14] = self.ready;
        bytes[15] = self.bounce;
        bytes[16..22].copy_from_slice(&self.pass_to);
        bytes[22] = self.router;
        bytes
    }
}

/// A row of words that hold 0.
const fn zeros<const N: usize>() -> [Word; N] {
    [const { Word::new(0) }; N]
}

impl Orders {
    /// Orders to do nothing: every word 0, so every gate is closed (R7). 41 KiB: `Box::new(Orders::new())`.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            layout: Word::new(0),
            session: Word::new(0),
            own: Word::new(0),
            nodes_len: Word::new(0),
            groups_len: Word::new(0),
            ports4: Word::new(0),
            ports6: Word::new(0),
            vips6: Word::new(0),
            letters: Word::new(0),
            paths: [const { Path::new() }; LINKS_MAX],
            addresses: [const { Address::new() }; ADDRESSES_MAX],
            config: Word::new(0),
            status: Word::new(0),
            keepalive: Word::new(0),
            deadtime: Word::new(0),
            warntime: Word::new(0),
            unanswered_min: Word::new(0),
            grace: Word::new(0),
            links: [const { LinkTimes::new() }; LINKS_MAX],
            lease_until: Word::new(0),
            keep: Word::new(0),
            key_current: Word::new(0),
            key_places: zeros(),
            key_placed: Word::new(0),
            keys: [const { Key { method: Word::new(0), inner: zeros(), outer: zeros() } }; KEY_PLACES],
            nodes: [const { NodeOrders::new() }; NODES_MAX],
            gates: [const { GateOrders::new() }; GROUPS_MAX],
            doubt: Word::new(0),
            doubts: zeros(),
            macs: zeros(),
        }
    }

    /// Silence after which `link` says no more that a node lives, ns.
    #[inline(always)]
    #[must_use]
    pub fn deadtime_of(&self, link: u8) -> u64 {
        own_or(&at!(self.links, link).deadtime, &self.deadtime)
    }

    /// Gap before a frame by `link` above which it is late, ns.
    #[inline(always)]
    #[must_use]
    pub fn warntime_of(&self, link: u8) -> u64 {
        own_or(&at!(self.links, link).warntime, &self.warntime)
    }

    /// Probes on `link` that must have stayed unanswered.
    #[inline(always)]
    #[must_use]
    pub fn unanswered_min_of(&self, link: u8) -> u64 {
        own_or(&at!(self.links, link).unanswered_min, &self.unanswered_min)
    }

    /// Age at which an unanswered probe on `link` counts, ns.
    #[inline(always)]
    #[must_use]
    pub fn grace_of(&self, link: u8) -> u64 {
        own_or(&at!(self.links, link).grace, &self.grace)
    }
}

#[inline(always)]
fn own_or(own: &Word, all: &Word) -> u64 {
    match own.get() {
        0 => all.get(),
        own => own,
    }
}

impl LinkTimes {
    const fn new() -> Self {
        let [deadtime, warntime, unanswered_min, grace] = zeros();
        Self { deadtime, warntime, unanswered_min, grace }
    }
}

impl NodeOrders {
    const fn new() -> Self {
        Self { links: [const { LinkOrders::new() }; LINKS_MAX] }
    }
}

impl LinkOrders {
    const fn new() -> Self {
        let [sent, sent_at, asked, asked_at, failed] = zeros();
        Self { sent, sent_at, asked, asked_at, failed }
    }
}

impl GateOrders {
    const fn new() -> Self {
        let [granted, resigned, armed, plan, held_until] = zeros();
        Self { granted, resigned, armed, plan, held_until }
    }
}

impl Facts {
    /// Nothing is known: every word 0. 226 KiB: `Box::new(Facts::new())`.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            version: Word::new(0),
            exited: Word::new(0),
            thread: Word::new(0),
            nodes: [const { NodeFacts::new() }; NODES_MAX],
            gates: [const { GateFacts::new() }; GROUPS_MAX],
            claims: [const { zeros() }; NODES_MAX],
            strangers: zeros(),
            callers: zeros(),
        }
    }
}

impl NodeFacts {
    const fn new() -> Self {
        let [session, since, heard_at, heard_until, dead_at, said_at, said, refused_at, refused] = zeros();
        let [letter_seen, letter_taken] = zeros();
        let links = [const { LinkFacts::new() }; LINKS_MAX];
        let (pages, page_at) = (zeros(), zeros());
        Self {
            session,
            since,
            heard_at,
            heard_until,
            dead_at,
            said_at,
            said,
            refused_at,
            refused,
            letter_seen,
            letter_taken,
            pages,
            page_at,
            links,
        }
    }
}

impl LinkFacts {
    const fn new() -> Self {
        Self {
            seen: Word::new(0),
            answered: Word::new(0),
            answered_count: Word::new(0),
            sent_when_admitted: Word::new(0),
            heard_at: Word::new(0),
            pong_at: Word::new(0),
            asked_when_heard: Word::new(0),
            ifindex: Word::new(0),
            mac: Word::new(0),
            address: Address::new(),
            rtt: Word::new(0),
            jitter: Word::new(0),
            unconfirmed: Word::new(0),
            received: Word::new(0),
            gaps: zeros(),
        }
    }
}

impl GateFacts {
    const fn new() -> Self {
        let [taken, fenced, rival, reason, taken_at, first_arp_at] = zeros();
        Self { taken, fenced, rival, reason, taken_at, first_arp_at }
    }
}

impl Default for Orders {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Facts {
    fn default() -> Self {
        Self::new()
    }
}

const _: () = assert!(NODES_MAX.is_power_of_two() && LINKS_MAX.is_power_of_two());
const _: () = assert!(GROUPS_MAX.is_power_of_two() && KEYS_MAX.is_power_of_two() && PAGES_MAX == 128);
const _: () = assert!(KEY_PLACES.is_power_of_two());
const _: () = assert!(size_of::<Key>() == 72 && VIP_LEN == 24);
