//! One node's kernel, and after everything that happens to it the question whether the rules of the gate hold
//! (docs/ownership.md). The only place that knows how the reflex is called.

mod snapshot;

use reflex::arp::{on_foreign_claim, on_request};
use reflex::frame::{Claim, ClaimState, Frame, Kind, Status};
use reflex::gate::{self, Armed};
use reflex::layout::{Facts, Key, Orders, Vip};
use reflex::letter::number_of;
use reflex::mac::{self, Scratch};
use reflex::node::{Desk, Probe, make_probe, on_frame, was_sent};
use reflex::{
    CLAIMS_PER_FRAME, Event, EventKind, GROUPS_MAX, LINKS_MAX, NODES_MAX, Reason, Sight, Sink, Verdict, watch,
};

use crate::acts::{self, Act, Epoch, Words};
use snapshot::Snapshot;

/// Nodes of the cluster.
pub const NODES: u8 = 4;
/// Groups: two pages, the second one not full.
pub const GROUPS: u32 = 10;
/// This life of the node.
pub const SESSION: u64 = 0x5e55_1011;

/// Letters that it has sent.
const LETTERS: u64 = 100;

const MS: u64 = 1_000_000;
const KEYS: [(u8, u32, &[u8]); 2] = [(1, mac::SHA1, b"ultramonkey"), (2, mac::SHA256, b"the next one")];
const INTERFACE: u32 = 3;

/// One node.
pub struct Stage {
    orders: Box<Orders>,
    facts: Box<Facts>,
    /// What frames are signed and judged with here, whatever the orders hold.
    keys: [Key; KEYS.len()],
    desk: Desk,
    now: u64,
    /// By group: the highest epoch of which anybody could see that it is over.
    over: [u64; GROUPS as usize],
    events: Vec<Event>,
    /// Letters that were handed over.
    letters: Vec<Frame>,
    /// Frames that came in.
    heard: Vec<Frame>,
}

/// What the reflex tells.
struct Told<'a> {
    events: &'a mut Vec<Event>,
    letters: &'a mut Vec<Frame>,
}

impl Sink for Told<'_> {
    fn emit(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Every fourth finds no room.
    fn letter(&mut self, letter: &Frame) -> bool {
        self.letters.push(*letter);
        !self.letters.len().is_multiple_of(4)
    }
}

impl Stage {
    /// A node with a lease, keys and no acquaintances.
    #[must_use]
    pub fn new(own: u8) -> Self {
        let orders = Box::new(Orders::new());
        orders.session.set(SESSION);
        orders.own.set(u64::from(own % NODES));
        orders.nodes_len.set(NODES.into());
        orders.groups_len.set(GROUPS.into());
        orders.config.set(0xc0ff_ee00);
        orders.status.set(Status::ACTIVE.into());
        orders.keepalive.set(MS);
        orders.deadtime.set(3 * MS);
        orders.warntime.set(2 * MS);
        orders.unanswered_min.set(watch::unanswered_min(MS, 3 * MS));
        orders.grace.set(MS / 4);
        orders.lease_until.set(20 * MS);
        orders.key_current.set(KEYS[0].0.into());
        orders.letters.set(LETTERS);
        let key = |(_, method, secret)| Key::new(method, secret).expect("shorter than a block");
        for entry in KEYS {
            orders.set_key(entry.0, &key(entry));
        }
        let facts = Box::new(Facts::new());
        let (desk, over) = (Desk::default(), [0; GROUPS as usize]);
        let (keys, now) = (KEYS.map(key), 10 * MS);
        let (events, letters, heard) = (Vec::new(), Vec::new(), Vec::new());
        Self { orders, facts, keys, desk, now, over, events, letters, heard }
    }

    /// Who this is.
    #[must_use]
    pub fn own(&self) -> u8 {
        self.orders.own.get() as u8
    }

    /// A frame with all that has to be right, unsigned.
    #[must_use]
    pub fn frame(&self, kind: Kind, source: u8) -> Frame {
        let mut frame = Frame::default();
        frame.set_kind(kind);
        frame.set_key(KEYS[0].0);
        frame.set_source(source);
        frame.set_destination(self.own());
        frame.set_session(session(source, 1));
        frame.set_peer_session(SESSION);
        frame.set_at(self.now);
        frame.set_config(self.orders.config.get() as u32);
        frame.set_status(Status::ACTIVE | Status::LEASE);
        frame
    }

    /// Signs it.
    pub fn sign(&self, frame: &mut Frame, key: u8) {
        let key = self.key(key).expect("one of two keys");
        mac::sign(key, frame, &mut Scratch::default());
    }

    fn key(&self, number: u8) -> Option<&Key> {
        KEYS.iter().zip(&self.keys).find(|((of, ..), _)| *of == number).map(|(_, key)| key)
    }

    fn is_authentic(&self, frame: &Frame) -> bool {
        self.key(frame.key()).is_some_and(|key| mac::verify(key, frame, &mut Scratch::default()))
    }

    /// Admits a node: it answers a probe of ours.
    pub fn admit(&mut self, node: u8) {
        if node >= NODES || node == self.own() {
            return;
        }
        let probe = self.probe(node, 0, 0, true);
        let mut pong = self.frame(Kind::Pong, node);
        pong.set_seq(probe.seq());
        self.sign(&mut pong, KEYS[0].0);
        assert_eq!(self.take(pong), Verdict::PongTaken);
    }

    /// Time passes, ns.
    pub fn pass(&mut self, time: u64) {
        self.now += time;
    }

    /// Something happens.
    pub fn act(&mut self, act: &Act) {
        match act {
            Act::Frame(words) => {
                let frame = self.compose(words);
                self.hear(frame, words.group.into());
            }
            Act::Again(which) => {
                if let Some(frame) = self.heard.get(usize::from(*which) % self.heard.len().max(1)).copied() {
                    self.take(frame);
                }
            }
            Act::Pass(time) => self.pass(u64::from(*time) * 16_000),
            Act::Probe { to, link, page, goes } => {
                let to = to % NODES;
                if to != self.own() {
                    self.probe(to, link % LINKS_MAX as u8, page % 2, *goes);
                }
            }
            Act::Look(node) => self.look(node % NODES),
            Act::Packet(group) => {
                self.packet(group_of(*group));
            }
            Act::Arp { group, bits } => self.arp(group_of(*group), *bits),
            Act::Claim(group) => self.foreign_claim(group_of(*group)),
            Act::Exit => self.exit(),
            order => self.order(order),
        }
        self.holds();
    }

    /// Nothing beyond the nodes and groups that there are was touched.
    pub fn end(&self) {
        for (index, node) in self.facts.nodes.iter().enumerate() {
            let is_other = index < usize::from(NODES) && index != usize::from(self.own());
            assert!(
                is_other || node.session.get() == 0 && node.heard_at.get() == 0,
                "node {index} is written"
            );
        }
        let first = GROUPS as usize;
        for gate in &self.facts.gates[first..] {
            assert!(gate.taken.get() == 0 && gate.fenced.get() == 0 && gate.rival.get() == 0);
        }
        assert_eq!((self.facts.gates.len(), self.facts.claims.len()), (GROUPS_MAX, NODES_MAX));
        assert!(self.facts.claims.iter().all(|claims| claims[first..].iter().all(|word| word.get() == 0)));
    }

    // ---- the agent ----

    /// What the agent writes. It keeps its side of the contract: what must only grow does.
    fn order(&mut self, act: &Act) {
        let gate = |group: &u8| &self.orders.gates[group_of(*group) as usize];
        match act {
            Act::Grant(group, epoch) => {
                let epoch = u64::from(self.epoch(group_of(*group), *epoch));
                if epoch > gate(group).granted.get() {
                    gate(group).granted.set(epoch);
                }
            }
            Act::Resign(group) => {
                let held = gate::held(gate(group), &self.facts.gates[group_of(*group) as usize]);
                gate(group).resigned.raise(held);
            }
            Act::Arm { group, holder, epoch, behind } => {
                let (epoch, holder) = (self.epoch(group_of(*group), *epoch), holder % NODES);
                gate(group).armed.set(Armed { epoch, holder, behind: (behind % 4).max(1) }.pack());
            }
            Act::Disarm(group) => gate(group).armed.set(0),
            Act::Plan(group, plan) => gate(group).plan.set(u64::from(*plan) << 8),
            Act::Status(bits) => self.orders.status.set(u64::from(*bits)),
            Act::Keep => self.orders.keep.set(self.orders.lease_until.get()),
            Act::Renew(ms) => {
                let until = self.now + u64::from(*ms) * MS;
                let events = &mut self.events;
                gate::renew_lease(&self.orders, &self.facts, self.now, until, &mut |event| {
                    events.push(event)
                });
            }
            Act::Fence(group) => {
                let (group, events) = (group_of(*group), &mut self.events);
                let upto = gate::held(&self.orders.gates[group as usize], &self.facts.gates[group as usize]);
                let (orders, facts, now) = (&self.orders, &self.facts, self.now);
                gate::fence(orders, facts, group, upto, Reason::Operator, now, &mut |event| {
                    events.push(event)
                });
                self.saw_over(group, upto);
            }
            Act::Frame(_)
            | Act::Again(_)
            | Act::Pass(_)
            | Act::Probe { .. }
            | Act::Look(_)
            | Act::Packet(_)
            | Act::Arp { .. }
            | Act::Claim(_)
            | Act::Exit => unreachable!("not the agent's: {act:?}"),
        }
    }

    /// Sends the next probe, or tries.
    fn probe(&mut self, to: u8, link: u8, page: u8, goes: bool) -> Frame {
        let sent = &self.orders.nodes[usize::from(to)].links[usize::from(link)];
        let probe = Probe { to, link, seq: sent.sent.get() + 1, page, now: self.now };
        let events = &mut self.events;
        make_probe(&self.orders, &self.facts, &mut self.desk, &probe, &mut |event| events.push(event));
        sent.sent_at.set(self.now);
        sent.sent.set(probe.seq);
        was_sent(&self.orders, &self.facts, &probe, goes);
        let frame = self.desk.frame;
        assert_eq!((frame.kind(), frame.destination(), frame.seq()), (Some(Kind::Probe), to, probe.seq));
        self.said(&frame);
        frame
    }

    // ---- the kernel ----

    /// A frame comes in that was sent to us.
    pub fn take(&mut self, frame: Frame) -> Verdict {
        self.hear(frame, 0)
    }

    /// A frame comes in that was sent to us, or (plus one) to the group of a path.
    fn hear(&mut self, frame: Frame, group: u64) -> Verdict {
        let is_authentic = self.is_authentic(&frame);
        let before = self.snapshot();
        let (events_before, letters_before) = (self.events.len(), self.letters.len());
        (self.desk.frame, self.desk.now, self.desk.group) = (frame, self.now, group);
        (self.desk.ifindex, self.desk.address) = (INTERFACE.into(), [0, 0x0b02_00c0]);
        // The group of a path is that of a link; what came to us alone came by whatever link the frame says.
        self.desk.link = group;
        let Self { orders, facts, desk, events, letters, .. } = self;
        let verdict = on_frame(orders, facts, desk, &mut Told { events, letters });
        let after = self.snapshot();

        let source = usize::from(frame.source());
        let told = self.events.len() - events_before;
        match verdict {
            Verdict::BadFormat
            | Verdict::BadNode
            | Verdict::Stale
            | Verdict::Replayed
            | Verdict::ForOther
            | Verdict::Echo => {
                assert!(before == after && told == 0, "{verdict:?} changed something");
            }
            Verdict::UnknownKey | Verdict::BadMac => {
                assert!(!is_authentic, "{verdict:?} of an authentic frame");
                assert!(before.is_same_but_refusals(&after, source), "{verdict:?} changed something");
                assert!(self.events[events_before..].iter().all(|e| e.kind == EventKind::NodeRefused as u32));
            }
            Verdict::ProbeUnproven => {
                assert!(before.is_same_but_fences(&after, source), "an unproven probe changed something");
                assert!(gate::lease_valid(&self.orders, &self.facts, self.now) || self.is_all_closed());
            }
            Verdict::ProbeAnswered | Verdict::PongTaken => {
                assert!(
                    before.is_same_but_node(&after, source),
                    "{verdict:?} of node {source} touched others"
                );
                self.believed(&frame);
            }
            Verdict::LetterRefused => assert!(before == after && told == 0, "{verdict:?} changed something"),
            Verdict::LetterTaken | Verdict::LetterAgain | Verdict::LetterAnswered => {
                assert!(before.is_same_but_letters(&after, source), "{verdict:?} changed something else");
                assert!(
                    self.events[events_before..].iter().all(|e| e.kind == EventKind::LetterAnswered as u32)
                );
                let node = &self.facts.nodes[source];
                assert_eq!((node.session.get(), frame.peer_session()), (frame.session(), SESSION));
            }
            other => panic!("{other:?} is no verdict on a frame"),
        }
        let is_believed = matches!(
            verdict,
            Verdict::Stale
                | Verdict::Replayed
                | Verdict::ProbeUnproven
                | Verdict::ProbeAnswered
                | Verdict::PongTaken
                | Verdict::LetterTaken
                | Verdict::LetterAgain
                | Verdict::LetterRefused
                | Verdict::LetterAnswered
        );
        let is_handed_over = self.letters.len() > letters_before;
        match verdict {
            Verdict::LetterTaken => assert!(is_handed_over && self.letters.last() == Some(&frame)),
            Verdict::LetterRefused => {
                let agent = gate::lease_valid(&self.orders, &self.facts, self.now);
                assert_eq!(is_handed_over, agent, "refused without a reason");
            }
            _ => assert!(!is_handed_over, "{verdict:?} handed something over"),
        }
        assert!(is_authentic || !is_believed, "{verdict:?} of a frame without a MAC");
        self.takeovers_have_a_reason(&before, &after, &frame, verdict);
        match verdict {
            Verdict::ProbeAnswered | Verdict::ProbeUnproven => self.answered(&frame),
            Verdict::LetterTaken | Verdict::LetterAgain => self.took(&frame),
            _ => assert!(!verdict.answers()),
        }
        self.heard.push(frame);
        self.holds();
        verdict
    }

    /// The pong on the desk answers that probe and no other.
    fn answered(&mut self, probe: &Frame) {
        let pong = self.desk.frame;
        assert_eq!((probe.kind(), pong.kind()), (Some(Kind::Probe), Some(Kind::Pong)));
        assert_eq!((pong.source(), pong.destination()), (self.own(), probe.source()));
        assert_eq!((pong.session(), pong.peer_session()), (SESSION, probe.session()));
        assert_eq!((pong.seq(), pong.link(), pong.page()), (probe.seq(), probe.link(), probe.page()));
        self.said(&pong);
    }

    /// The answer on the desk is to that letter, and says nothing else.
    fn took(&self, letter: &Frame) {
        let taken = self.desk.frame;
        assert_eq!((letter.kind(), taken.kind()), (Some(Kind::Letter), Some(Kind::Taken)));
        assert_eq!((taken.source(), taken.destination()), (self.own(), letter.source()));
        assert_eq!((taken.session(), taken.peer_session()), (SESSION, letter.session()));
        assert_eq!((taken.seq(), taken.link()), (letter.seq(), letter.link()));
        assert!(taken.bytes[40..112].iter().all(|&byte| byte == 0));
        assert!(self.is_authentic(&taken), "we sign with a key that nobody has");
        assert!(gate::lease_valid(&self.orders, &self.facts, self.now), "nobody reads it");
    }

    /// R3: what a frame of ours says is over is, for good.
    fn said(&mut self, frame: &Frame) {
        assert!(self.is_authentic(frame), "we sign with a key that nobody has");
        if frame.status() & Status::LEASE == 0 {
            assert!(self.is_all_closed(), "it says that all is fenced");
            (0..GROUPS).for_each(|group| self.saw_over(group, self.held(group)));
        }
        for (group, claim) in claims(frame) {
            match claim.state() {
                ClaimState::Fenced | ClaimState::Resigned => self.saw_over(group, claim.epoch.into()),
                ClaimState::None => assert_eq!(claim.epoch, 0),
                ClaimState::Open => assert!(self.is_open(group), "it says that group {group} is open"),
            }
        }
    }

    /// A frame was believed: its claims count, if nothing newer was heard of that page (R5).
    fn believed(&self, frame: &Frame) {
        let node = &self.facts.nodes[usize::from(frame.source())];
        assert_eq!((node.session.get(), node.heard_at.get()), (frame.session(), self.now));
        assert_eq!(node.dead_at.get(), 0);
        let page_at = node.page_at[usize::from(frame.page()) % node.page_at.len()].get();
        for (group, claim) in claims(frame).filter(|_| page_at == frame.at()) {
            let word = self.facts.claims[usize::from(frame.source())][group as usize].get();
            assert_eq!(word, claim.pack());
            assert!(self.facts.gates[group as usize].rival.get() >= claim.epoch.into());
            let (epoch, held) = (u64::from(claim.epoch), self.held(group));
            let wins = epoch > held || epoch == held && frame.source() < self.own();
            if claim.state() == ClaimState::Open && wins {
                assert!(!self.is_open(group), "group {group} stays open against epoch {epoch}");
            }
        }
    }

    /// R4: the kernel opens by itself only what is armed, with a valid lease, on the word of the holder or at its end.
    fn takeovers_have_a_reason(&self, before: &Snapshot, after: &Snapshot, frame: &Frame, verdict: Verdict) {
        for group in 0..GROUPS {
            let (was, is) = (before.gate(group), after.gate(group));
            is.follows(was);
            if is.taken == was.taken {
                assert!(is.open <= was.open, "group {group} opened without a takeover");
                continue;
            }
            let armed = self.is_rightly_taken(group, frame.source(), is.taken);
            let claim = claims(frame).find(|(of, _)| *of == group).map(|(_, claim)| claim);
            let yields = claim.is_some_and(|claim| match claim.state() {
                ClaimState::Fenced => claim.epoch >= armed.holder_epoch(),
                ClaimState::Resigned => {
                    let to_us = claim.heir == 0 || claim.heir - 1 == self.own();
                    to_us && claim.epoch >= armed.holder_epoch()
                }
                ClaimState::None | ClaimState::Open => false,
            });
            let session = before.session(frame.source());
            let new_life = verdict == Verdict::PongTaken && session != 0 && session != frame.session();
            let is_fenced = frame.status() & Status::LEASE == 0;
            assert!(yields || new_life || is_fenced, "group {group} is taken from a holder that holds it");
        }
    }

    /// What must be so at every takeover.
    fn is_rightly_taken(&self, group: u32, holder: u8, taken: u64) -> Armed {
        let armed = Armed::unpack(self.orders.gates[group as usize].armed.get()).expect("it is armed");
        assert_eq!((armed.holder, u64::from(armed.epoch)), (holder, taken), "group {group}");
        assert!(gate::lease_valid(&self.orders, &self.facts, self.now), "group {group} without a lease");
        armed
    }

    /// The watch looks at a node.
    fn look(&mut self, node: u8) {
        if node == self.own() {
            return;
        }
        let before = self.snapshot();
        let events = &mut self.events;
        let next = watch::look(&self.orders, &self.facts, node, self.now, &mut |event| events.push(event));
        assert!(next > 0);
        let after = self.snapshot();
        let (facts, sent) = (&self.facts.nodes[usize::from(node)], &self.orders.nodes[usize::from(node)]);
        let died = !before.is_dead(node) && after.is_dead(node);
        if died {
            assert!(
                facts.session.get() != 0 && self.now - facts.heard_at.get() >= self.orders.deadtime.get()
            );
            let asked = sent.links.iter().zip(&facts.links).any(|(sent, heard)| {
                sent.asked.get().saturating_sub(heard.asked_when_heard.get())
                    >= self.orders.unanswered_min.get()
            });
            assert!(asked, "node {node} is held dead and nobody asked it");
        }
        for group in 0..GROUPS {
            let (was, is) = (before.gate(group), after.gate(group));
            is.follows(was);
            if is.taken != was.taken {
                assert!(died, "group {group} is taken from the living");
                self.is_rightly_taken(group, node, is.taken);
            }
        }
        assert!(gate::may_serve(&self.orders, &self.facts, self.now) || self.is_all_closed());
    }

    fn exit(&mut self) {
        let events = &mut self.events;
        gate::on_exit(&self.orders, &self.facts, self.now, &mut |event| events.push(event));
        let is_kept = self.orders.keep.get() == self.orders.lease_until.get();
        assert!(is_kept || gate::is_alone(&self.orders, &self.facts) || self.is_all_closed(), "no gasp");
    }

    /// A packet asks; the answer.
    fn packet(&mut self, group: u32) -> bool {
        let expected = self.is_open(group);
        let is_open = gate::is_open(&self.orders, &self.facts, group, self.now);
        assert_eq!(is_open, expected);
        if !is_open {
            self.saw_over(group, self.held(group));
        }
        is_open
    }

    fn arp(&mut self, group: u32, bits: u8) {
        let vip = Vip {
            group,
            ifindex: INTERFACE,
            mac: [2; 6],
            ready: bits & 1,
            bounce: bits >> 1 & 1,
            ..Vip::default()
        };
        let ifindex = if bits & 4 == 0 { INTERFACE } else { INTERFACE + 1 };
        let is_open = self.is_open(group);
        let verdict = on_request(&self.orders, &self.facts, &vip, ifindex, self.now);
        let expected = match (is_open && vip.ready == 1, vip.bounce == 1 && ifindex == INTERFACE) {
            (false, _) => Verdict::ArpClosed,
            (true, true) => Verdict::ArpAnswered,
            (true, false) => Verdict::ArpToStack,
        };
        assert_eq!(verdict, expected);
        if !is_open && vip.ready == 1 {
            self.saw_over(group, self.held(group));
        }
    }

    fn foreign_claim(&mut self, group: u32) {
        let vip = Vip { group, ifindex: INTERFACE, mac: [2; 6], ready: 1, bounce: 1, ..Vip::default() };
        let is_open = self.is_open(group);
        let events = &mut self.events;
        let verdict =
            on_foreign_claim(&self.orders, &self.facts, &vip, self.now, &mut |event| events.push(event));
        assert_eq!(verdict == Verdict::ArpConflict, is_open);
    }

    // ---- questions ----

    /// R2: whatever anybody could see to be over stays so.
    fn holds(&self) {
        for (group, over) in (0..).zip(self.over) {
            let (orders, facts) = (&self.orders.gates[group as usize], &self.facts.gates[group as usize]);
            assert!(gate::shut(orders, facts) >= over, "group {group}: epoch {over} opens again");
        }
    }

    /// Somebody could see that this epoch is over.
    fn saw_over(&mut self, group: u32, epoch: u64) {
        let over = &mut self.over[group as usize];
        *over = epoch.max(*over);
    }

    fn held(&self, group: u32) -> u64 {
        gate::held(&self.orders.gates[group as usize], &self.facts.gates[group as usize])
    }

    /// R1, without the fence that [`gate::is_open`] may add.
    fn is_open(&self, group: u32) -> bool {
        let (orders, facts) = (&self.orders.gates[group as usize], &self.facts.gates[group as usize]);
        self.held(group) > gate::shut(orders, facts) && gate::may_serve(&self.orders, &self.facts, self.now)
    }

    /// Not only that nothing passes now: it is stored.
    fn is_all_closed(&self) -> bool {
        (0..GROUPS as usize).all(|group| {
            let (orders, facts) = (&self.orders.gates[group], &self.facts.gates[group]);
            gate::held(orders, facts) <= gate::shut(orders, facts)
        })
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.facts, usize::from(NODES), GROUPS, |group| self.is_open(group))
    }

    // ---- what the fuzzer's numbers mean ----

    fn epoch(&self, group: u32, epoch: Epoch) -> u32 {
        match epoch {
            Epoch::Any(epoch) => epoch,
            Epoch::Near(more) => {
                let (orders, facts) = (&self.orders.gates[group as usize], &self.facts.gates[group as usize]);
                let highest = self.held(group).max(gate::shut(orders, facts)).max(facts.rival.get());
                u32::try_from(highest).unwrap_or(u32::MAX).saturating_add_signed((more % 4).into())
            }
        }
    }

    fn compose(&self, words: &Words) -> Frame {
        let source = words.source % (NODES + 1);
        let kind = words.kind();
        let mut frame = self.frame(kind, source);
        frame.set_destination(if words.destination < 240 { self.own() } else { words.destination % 8 });
        frame.set_link(words.link);
        frame.set_peer_session(if words.peer_session < 240 { SESSION } else { words.peer_session.into() });
        let node = &self.facts.nodes[usize::from(source)];
        let known = node.session.get();
        frame.set_session(if words.session < 192 && known != 0 {
            known
        } else {
            session(source, words.session)
        });
        let link = usize::from(words.link) % LINKS_MAX;
        let sent = self.orders.nodes[usize::from(source)].links[link].sent.get();
        let seen = node.links[link].seen.get();
        let base = match kind {
            Kind::Probe => seen.saturating_add(1),
            Kind::Pong => sent,
            Kind::Letter => number_of(node.letter_seen.get(), frame.session()).saturating_add(1),
            Kind::Taken => number_of(node.letter_taken.get(), frame.session()).saturating_add(1),
        };
        frame.set_seq(words.seq.to(base));
        frame.set_at(words.at.to(node.said_at.get().max(node.since.get())));
        frame.set_config(words.config);
        frame.set_hears(words.hears);
        frame.set_status(words.status);
        let page = if words.page < 240 { words.page % 2 } else { words.page };
        frame.set_page(page);
        for (slot, (epoch, [state, flags, heir, reason, sight])) in words.claims.into_iter().enumerate() {
            let group = (u32::from(page) * CLAIMS_PER_FRAME as u32 + slot as u32) % GROUPS;
            let epoch = self.epoch(group, epoch);
            frame
                .set_claim(slot, Claim { epoch, state: state % 5, flags, heir, reason, sight: Sight(sight) });
        }
        let (number, with) = match words.key() {
            acts::Key::Current | acts::Key::Forged(..) => (KEYS[0].0, KEYS[0].0),
            acts::Key::Other => (KEYS[1].0, KEYS[1].0),
            acts::Key::Number(number) => (number, KEYS[0].0),
        };
        frame.set_key(number);
        self.sign(&mut frame, with);
        if let acts::Key::Forged(at, mask) = words.key() {
            let at = usize::from(at) % frame.bytes.len();
            frame.bytes[at] ^= mask;
        }
        frame
    }
}

/// The claims of a frame about groups that there are.
fn claims(frame: &Frame) -> impl Iterator<Item = (u32, Claim)> + '_ {
    let first = u32::from(frame.page()) * CLAIMS_PER_FRAME as u32;
    (0..CLAIMS_PER_FRAME)
        .map(move |slot| (first + slot as u32, frame.claim(slot)))
        .filter(|(group, _)| *group < GROUPS)
}

fn group_of(byte: u8) -> u32 {
    u32::from(byte) % GROUPS
}

/// A life of a node; the third one is none.
fn session(node: u8, which: u8) -> u64 {
    match which % 4 {
        3 => 0,
        which => u64::from(node) << 8 | u64::from(which) | 0x10_0000,
    }
}
