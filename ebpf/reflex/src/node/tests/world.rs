//! The simulated nodes.

use std::vec::Vec;

use crate::frame::{Frame, Kind, Status};
use crate::layout::{Key, NodeFacts};
use crate::letter::{Letter, Piece, make_letter};
use crate::mac;
use crate::node::{Desk, Probe, make_probe, on_frame, was_sent};
use crate::testing::{MS, Tables};
use crate::verdict::{Event, Sink, Verdict};

pub(crate) const SECRET: &[u8] = b"what everybody here knows";

pub(crate) fn key() -> Key {
    Key::new(mac::SHA1, SECRET).unwrap()
}

/// One life of a node.
pub(crate) struct Node {
    pub(crate) tables: Tables,
    /// Letters that were handed over.
    pub(crate) letters: Vec<Frame>,
    /// How many more there is room for.
    pub(crate) room: usize,
}

/// What the reflex tells a node.
struct Told<'a> {
    events: &'a mut Vec<Event>,
    letters: &'a mut Vec<Frame>,
    room: &'a mut usize,
}

impl Sink for Told<'_> {
    fn emit(&mut self, event: Event) {
        self.events.push(event);
    }

    fn letter(&mut self, letter: &Frame) -> bool {
        let Some(left) = self.room.checked_sub(1) else { return false };
        *self.room = left;
        self.letters.push(*letter);
        true
    }
}

impl Node {
    pub(crate) fn new(own: u64, session: u64) -> Self {
        let tables = Tables::new(own);
        tables.orders.session.set(session);
        tables.orders.config.set(0xc0ff_ee00);
        tables.orders.status.set(Status::ACTIVE.into());
        tables.orders.key_current.set(1);
        tables.orders.lease_until.set(u64::MAX);
        let node = Self { tables, letters: Vec::new(), room: usize::MAX };
        node.tables.orders.set_key(1, &key());
        node
    }

    fn own(&self) -> u8 {
        self.tables.orders.own.get() as u8
    }

    pub(crate) fn facts_of(&self, other: u8) -> &NodeFacts {
        &self.tables.facts.nodes[usize::from(other)]
    }

    /// Sends the next probe, of page 0.
    pub(crate) fn probe(&mut self, to: u8, link: u8, now: u64) -> Frame {
        self.probe_page(to, link, 0, now)
    }

    pub(crate) fn probe_page(&mut self, to: u8, link: u8, page: u8, now: u64) -> Frame {
        let frame = self.make_page(to, link, page, now);
        self.was_sent(to, link, now, true);
        frame
    }

    /// Makes the next probe, of page 0, and sends it into the void.
    pub(crate) fn send(&mut self, to: u8, link: u8, now: u64, went: bool) {
        self.make(to, link, now);
        self.was_sent(to, link, now, went);
    }

    /// Makes the next probe, of page 0; what came of it is not known yet.
    pub(crate) fn make(&mut self, to: u8, link: u8, now: u64) -> Frame {
        self.make_page(to, link, 0, now)
    }

    fn was_sent(&self, to: u8, link: u8, now: u64, went: bool) {
        was_sent(&self.tables.orders, &self.tables.facts, &Probe { to, link, seq: 0, page: 0, now }, went);
    }

    fn make_page(&mut self, to: u8, link: u8, page: u8, now: u64) -> Frame {
        let sent = &self.tables.orders.nodes[usize::from(to)].links[usize::from(link)];
        let seq = sent.sent.get() + 1;
        sent.sent.set(seq);
        sent.sent_at.set(now);
        let mut desk = Desk::default();
        let events = &mut self.tables.events;
        let probe = Probe { to, link, seq, page, now };
        make_probe(&self.tables.orders, &self.tables.facts, &mut desk, &probe, &mut |e| events.push(e));
        desk.frame
    }

    /// Sends letter `number` with a piece.
    pub(crate) fn letter(&mut self, to: u8, link: u8, number: u64, piece: Piece<'_>, now: u64) -> Frame {
        let Tables { orders, facts, .. } = &self.tables;
        orders.letters.set(orders.letters.get().max(number));
        let mut desk = Desk::default();
        make_letter(orders, facts, &mut desk, &Letter { to, link, number, piece, now });
        desk.frame
    }

    /// Receives a frame by the link that it names; the answer, if there is one.
    pub(crate) fn receive(&mut self, frame: &Frame, now: u64) -> (Verdict, Option<Frame>) {
        self.receive_by(None, frame, now)
    }

    /// The same by that link of this node, whatever its sender calls it.
    pub(crate) fn receive_by(
        &mut self,
        link: Option<u8>,
        frame: &Frame,
        now: u64,
    ) -> (Verdict, Option<Frame>) {
        let link = link.map_or(0, |link| u64::from(link) + 1);
        let mut desk = Desk { frame: *frame, now, ifindex: 3, link, ..Desk::default() };
        let Self { tables: Tables { orders, facts, events }, letters, room } = self;
        let verdict = on_frame(orders, facts, &mut desk, &mut Told { events, letters, room });
        (verdict, verdict.answers().then_some(desk.frame))
    }

    /// Receives a frame that must be refused: nothing but counters may change.
    #[track_caller]
    pub(crate) fn refuses(&mut self, frame: &Frame, now: u64, verdict: Verdict) {
        let (facts, events) = (self.tables.facts_but_counters(), self.tables.events.len());
        assert_eq!(self.receive(frame, now), (verdict, None));
        assert!(self.tables.facts_but_counters() == facts, "{verdict:?} changed the facts");
        assert_eq!(self.tables.events.len(), events, "{verdict:?} told of something");
    }
}

/// One probe from `a` to `b` and its pong back, all at `now`; the verdicts of both and both frames.
pub(crate) fn ask(a: &mut Node, b: &mut Node, link: u8, now: u64) -> (Verdict, Verdict, [Frame; 2]) {
    let probe = a.probe(b.own(), link, now);
    assert_eq!(probe.kind(), Some(Kind::Probe));
    let (at_b, pong) = b.receive(&probe, now);
    let pong = pong.expect("a fresh probe is answered");
    let (at_a, nothing) = a.receive(&pong, now);
    assert_eq!(nothing, None, "a pong is never answered");
    (at_b, at_a, [probe, pong])
}

/// Nodes 0 and 1, admitted both ways on link 0 at 1 ms, and the four frames that this took.
pub(crate) fn pair() -> (Node, Node, Vec<Frame>) {
    let (mut a, mut b) = (Node::new(0, 0xa1), Node::new(1, 0xb1));
    let mut frames = Vec::new();
    frames.extend(ask(&mut a, &mut b, 0, MS).2);
    frames.extend(ask(&mut b, &mut a, 0, MS + 1).2);
    assert_eq!((a.facts_of(1).session.get(), b.facts_of(0).session.get()), (0xb1, 0xa1));
    (a, b, frames)
}
