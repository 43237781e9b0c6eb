//! One node: the kernel programs with orders of our choice, and a way to run a packet through them.

use std::net::IpAddr;
use std::sync::Arc;

use aya::maps::{MapData, RingBuf};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use reflex::gate::Armed;
use reflex::layout::{Held, Key, LAYOUT_VERSION, Vip};
use reflex::path;
use reflex::verdict::VERDICTS;
use reflex::word::Word;
use reflex::{Event, EventKind, Facts, Frame, Orders, Verdict, mac};
use xbeat::datapath::xdp::Kernel;
use xbeat::sys::{Table, clock};

use crate::packets::{GROUP, GROUP_PORT, GROUP6, OWN, OWN_MAC, OWN6, PORT};
use crate::peer::Peer;

pub(crate) const PASS: u32 = 2;
pub(crate) const DROP: u32 = 1;
pub(crate) const TX: u32 = 3;

/// Nanoseconds in a millisecond.
pub(crate) const MS: u64 = 1_000_000;
/// Long enough for anything here to be over, ns.
pub(crate) const HOUR: u64 = 3_600_000 * MS;

/// This life of the node under test.
pub(crate) const SESSION: u64 = 0x5e55_1011;
/// Key number of the HMAC-SHA1 key, the one that the node signs with.
pub(crate) const KEY_SHA1: u8 = 1;
/// Key number of the HMAC-SHA256 key.
pub(crate) const KEY_SHA256: u8 = 2;
/// Key number of the HMAC-MD5 key.
pub(crate) const KEY_MD5: u8 = 3;
/// Groups of the node under test: two full pages of claims and a half.
pub(crate) const GROUPS: u64 = 20;
/// The links of the node under test, by what they send to: an address, a group, a group over IPv6.
pub(crate) const UCAST: u8 = 0;
pub(crate) const MCAST: u8 = 1;
pub(crate) const MCAST6: u8 = 2;
/// `BPF_PROG_TEST_RUN` says that packets come from the loopback interface of the network namespace.
pub(crate) const INTERFACE: u32 = 1;

/// The two keys of the cluster, by number.
pub(crate) fn key(number: u8) -> Key {
    match number {
        KEY_SHA1 => Key::new(mac::SHA1, b"a secret").unwrap(),
        KEY_SHA256 => Key::new(mac::SHA256, b"another secret").unwrap(),
        KEY_MD5 => Key::new(mac::MD5, b"somethingrandom").unwrap(),
        _ => Key::default(),
    }
}

/// The node under test.
pub(crate) struct Node {
    pub(crate) kernel: Kernel,
    pub(crate) orders: Arc<Table<Orders>>,
    pub(crate) facts: Arc<Table<Facts>>,
    events: RingBuf<MapData>,
    opened: RingBuf<MapData>,
    letters: RingBuf<MapData>,
    held: RingBuf<MapData>,
}

/// What became of a packet.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) action: u32,
    pub(crate) bytes: Vec<u8>,
    /// By the counter that rose; [`Verdict::Unrelated`] if none did.
    pub(crate) verdict: Verdict,
}

fn drain(ring: &mut RingBuf<MapData>) -> Vec<Event> {
    let mut all = Vec::new();
    while let Some(item) = ring.next() {
        all.push(Event::from_bytes(&item).expect("a record is an event"));
    }
    all
}

impl Node {
    /// Node 0 of three, lease valid for long, nothing granted, nobody dies.
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    /// The same with other orders.
    pub(crate) fn with(change: impl FnOnce(&mut Orders)) -> Self {
        let mut kernel = Kernel::load(|orders| {
            defaults(orders);
            change(orders);
        })
        .expect("the kernel takes the programs");
        let events = kernel.ebpf_mut().take_map("EVENTS").unwrap().try_into().unwrap();
        let opened = kernel.ebpf_mut().take_map("OPENED").unwrap().try_into().unwrap();
        let letters = kernel.ebpf_mut().take_map("LETTERS").unwrap().try_into().unwrap();
        let held = kernel.ebpf_mut().take_map("HELD").unwrap().try_into().unwrap();
        let (orders, facts) = (kernel.orders.clone(), kernel.facts.clone());
        Self { kernel, orders, facts, events, opened, letters, held }
    }

    /// The program, for whoever runs it from several threads.
    pub(crate) fn program(&mut self) -> &Xdp {
        self.kernel.ebpf_mut().program("xbeat").unwrap().try_into().unwrap()
    }

    /// Runs a packet through the program.
    pub(crate) fn run(&mut self, packet: &[u8]) -> Ran {
        let before = self.kernel.counters().unwrap();
        let (action, bytes) = run(self.program(), packet);
        let after = self.kernel.counters().unwrap();
        let risen: Vec<usize> = (0..VERDICTS).filter(|&i| after[i] != before[i]).collect();
        let verdict = match risen[..] {
            [] => Verdict::Unrelated,
            [one] if after[one] == before[one] + 1 => Verdict::ALL[one],
            _ => panic!("one packet moved several counters: {before:?} to {after:?}"),
        };
        Ran { action, bytes, verdict }
    }

    /// Runs a packet that must be dropped with `verdict`, and believed in nothing.
    #[track_caller]
    pub(crate) fn refuses(&mut self, packet: &[u8], verdict: Verdict, what: &str) {
        let before = self.believed();
        let ran = self.run(packet);
        assert_eq!((ran.action, ran.verdict), (DROP, verdict), "{what}");
        assert_eq!(ran.bytes, packet, "{what}: not even the bytes change");
        assert_eq!(self.believed(), before, "{what}: nothing is believed");
    }

    /// Runs a packet that ends with `action` and `verdict`; what is not sent on stays as it came.
    #[track_caller]
    pub(crate) fn acts(&mut self, packet: &[u8], action: u32, verdict: Verdict, what: &str) {
        let ran = self.run(packet);
        assert_eq!((ran.action, ran.verdict), (action, verdict), "{what}");
        if action != TX {
            assert_eq!(ran.bytes, packet, "{what}: the bytes stay as they came");
        }
    }

    /// Runs a packet that is none of ours: it goes to the stack as it came, and leaves no trace.
    #[track_caller]
    pub(crate) fn passes(&mut self, packet: &[u8], what: &str) {
        let before = self.believed();
        let ran = self.run(packet);
        assert_eq!((ran.action, ran.verdict), (PASS, Verdict::Unrelated), "{what}");
        assert_eq!(ran.bytes, packet, "{what}: not even the bytes change");
        assert_eq!(self.believed(), before, "{what}: nothing is believed");
    }

    /// The agent sends a probe to `node` on `link`; its number.
    pub(crate) fn ask(&self, node: u8, link: u8) -> u64 {
        let link = &self.orders.nodes[usize::from(node)].links[usize::from(link)];
        // As `reflex::node::make_probe` and the prober do it.
        let now = clock::now();
        link.asked.add(1);
        link.asked_at.set(now);
        link.sent_at.set(now);
        link.sent.add(1);
        link.sent.get()
    }

    /// Lets `peer` answer a challenge: from then on its probes are believed.
    pub(crate) fn admit(&mut self, peer: &mut Peer) {
        let seq = self.ask(peer.index, peer.link);
        let ran = self.run(&peer.pong(seq));
        assert_eq!((ran.action, ran.verdict), (DROP, Verdict::PongTaken));
    }

    /// The election grants `epoch` of group `group`.
    pub(crate) fn grant(&self, group: usize, epoch: u64) {
        self.orders.gates[group].granted.set(epoch);
    }

    /// The election arms group `group`: take `epoch` when `holder`, who has the one before, is gone.
    pub(crate) fn arm(&self, group: usize, holder: u8, epoch: u32) {
        self.orders.gates[group].armed.set(Armed { epoch, holder, behind: 1 }.pack());
    }

    /// Enters `address` as a VIP of `group`, ready, at home on the interface of the tests.
    pub(crate) fn vip(&mut self, address: impl Into<IpAddr>, group: u32) -> Vip {
        let vip = Vip { group, ifindex: INTERFACE, mac: OWN_MAC, ready: 1, bounce: 1, ..Vip::default() };
        self.kernel.set_vip(address, vip).unwrap();
        vip
    }

    /// The events since the last call.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        drain(&mut self.events)
    }

    /// What the thread that waits for opened gates was told since the last call.
    pub(crate) fn opened(&mut self) -> Vec<Event> {
        drain(&mut self.opened)
    }

    /// The packets that were held back since the last call, with the interfaces that they came by.
    pub(crate) fn held(&mut self) -> Vec<(u32, Vec<u8>)> {
        let mut all = Vec::new();
        while let Some(item) = self.held.next() {
            let (ifindex, packet) = Held::parse(&item).expect("a record is a packet");
            all.push((ifindex, packet.to_vec()));
        }
        all
    }

    /// The letters that were taken since the last call.
    pub(crate) fn letters(&mut self) -> Vec<Frame> {
        let mut all = Vec::new();
        while let Some(item) = self.letters.next() {
            all.push(Frame { bytes: (*item).try_into().expect("a record is a frame") });
        }
        all
    }

    /// The kinds of the events since the last call.
    pub(crate) fn event_kinds(&mut self) -> Vec<EventKind> {
        self.events().iter().map(|event| EventKind::from_number(event.kind).unwrap()).collect()
    }

    /// Every word of the facts but those that count what was not believed.
    pub(crate) fn believed(&self) -> Vec<u64> {
        let facts = &self.facts;
        let mut words = vec![facts.version.get(), facts.exited.get()];
        for n in &facts.nodes {
            push(&mut words, &[&n.session, &n.since, &n.heard_at, &n.dead_at, &n.said_at, &n.said]);
            push(&mut words, &[&n.letter_seen, &n.letter_taken]);
            words.extend(n.pages.iter().map(Word::get));
            for l in &n.links {
                push(&mut words, &[&l.seen, &l.answered, &l.answered_count, &l.heard_at, &l.pong_at]);
                push(&mut words, &[&l.asked_when_heard, &l.ifindex, &l.rtt, &l.jitter, &l.received]);
                words.extend(l.address.get());
                words.extend(l.gaps.iter().map(Word::get));
            }
        }
        for g in &facts.gates {
            push(&mut words, &[&g.taken, &g.fenced, &g.rival, &g.reason, &g.taken_at, &g.first_arp_at]);
        }
        words.extend(facts.claims.iter().flatten().map(Word::get));
        words
    }
}

fn push(words: &mut Vec<u64>, more: &[&Word]) {
    words.extend(more.iter().map(|word| word.get()));
}

fn defaults(orders: &mut Orders) {
    orders.layout.set(LAYOUT_VERSION);
    orders.session.set(SESSION);
    orders.own.set(0);
    orders.addresses[0].set(path::ipv4(OWN.octets()));
    orders.addresses[15].set(path::ipv6(OWN6.octets()));
    for (link, port, group) in [
        (UCAST, PORT, path::NO_IP),
        (MCAST, GROUP_PORT, path::ipv4(GROUP.octets())),
        (MCAST6, PORT, path::ipv6(GROUP6.octets())),
    ] {
        let path = &orders.paths[usize::from(link)];
        path.ifindex.set(u64::from(INTERFACE));
        path.group.set(group);
        path.own.set(if link == MCAST6 { path::ipv6(OWN6.octets()) } else { path::ipv4(OWN.octets()) });
        path.mac.set(path::mac(OWN_MAC));
        path.port.set(u64::from(port));
    }
    orders.groups_len.set(GROUPS);
    orders.config.set(0xc0ff_ee00);
    orders.keepalive.set(MS);
    orders.deadtime.set(HOUR);
    orders.warntime.set(HOUR);
    orders.unanswered_min.set(3);
    orders.grace.set(MS / 4);
    orders.lease_until.set(clock::now() + HOUR);
    orders.key_current.set(u64::from(KEY_SHA1));
    for number in [KEY_SHA1, KEY_SHA256, KEY_MD5] {
        orders.set_key(number, &key(number));
    }
    orders.ports4.set(path::port_bit(PORT) | path::port_bit(GROUP_PORT));
    orders.ports6.set(path::port_bit(PORT));
    orders.nodes_len.set(3);
}

/// Runs a packet through `program`: the action, and the packet afterwards.
pub(crate) fn run(program: &Xdp, packet: &[u8]) -> (u32, Vec<u8>) {
    let mut bytes = vec![0u8; packet.len() + 64];
    let options =
        TestRunOptions { data_in: Some(packet), data_out: Some(&mut bytes), ..TestRunOptions::default() };
    let result = program.test_run(options).expect("the kernel runs the program");
    bytes.truncate(result.data_size_out as usize);
    (result.return_value, bytes)
}

/// Skips the test `$name` without root.
macro_rules! need_root {
    ($name:literal) => {
        if !tests::require::root_or_skip($name) {
            return;
        }
    };
}
pub(crate) use need_root;
