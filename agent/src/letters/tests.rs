//! Outboxes and inboxes with the reflex between them, in virtual time.

use std::collections::VecDeque;

use proptest::prelude::*;
use reflex::layout::{Facts, Key, Orders};
use reflex::letter::{Letter, NUMBER_MAX, PIECE_MAX, Piece, make_letter, number_of};
use reflex::node::{Desk, on_frame};
use reflex::{Event, Frame, Sink, mac};

use super::*;

const MS: u64 = 1_000_000;
const NODES: usize = 3;

/// A node: its kernel, and what its agent sends and has received.
struct Node {
    orders: Box<Orders>,
    facts: Box<Facts>,
    outbox: Outbox,
    inbox: Inbox,
    ring: VecDeque<Frame>,
    room: usize,
    got: Vec<String>,
}

struct Ring<'a>(&'a mut VecDeque<Frame>, usize);

impl Sink for Ring<'_> {
    fn emit(&mut self, _event: Event) {}

    fn letter(&mut self, letter: &Frame) -> bool {
        let fits = self.0.len() < self.1;
        if fits {
            self.0.push_back(*letter);
        }
        fits
    }
}

fn life(node: u8) -> u64 {
    0xa000 + u64::from(node)
}

impl Node {
    fn new(own: u8) -> Self {
        let (orders, facts) = (Box::new(Orders::new()), Box::new(Facts::new()));
        orders.own.set(own.into());
        orders.nodes_len.set(NODES as u64);
        orders.session.set(life(own));
        orders.lease_until.set(u64::MAX);
        orders.key_current.set(1);
        orders.set_key(1, &Key::new(mac::SHA1, b"ultramonkey").unwrap());
        for other in (0..NODES as u8).filter(|&other| other != own) {
            facts.nodes[usize::from(other)].session.set(life(other));
        }
        let (outbox, inbox) = (Outbox::new(NODES, 0, MS), Inbox::new(NODES));
        Self { orders, facts, outbox, inbox, ring: VecDeque::new(), room: 4, got: Vec::new() }
    }

    fn post(&mut self, text: &str, to: &[u8]) -> Vec<u8> {
        let full = self.outbox.post("test", text.to_owned(), to).unwrap();
        self.orders.letters.set(self.outbox.last());
        full
    }

    /// The letters that are due.
    fn send(&mut self, now: u64) -> Vec<Frame> {
        let Self { orders, facts, outbox, .. } = self;
        let view = |node: u8| {
            let found = &facts.nodes[usize::from(node)];
            let life = found.session.get();
            let taken = number_of(found.letter_taken.get(), life);
            NodeView { life, alive: true, active: true, taken }
        };
        let (mut frames, mut desk) = (Vec::new(), Desk::default());
        while let Some(act) = outbox.next(now, view) {
            let Act::Send { to, number, piece } = act else { panic!("{act:?}") };
            make_letter(orders, facts, &mut desk, &Letter { to, link: 0, number, piece, now });
            frames.push(desk.frame);
        }
        frames
    }

    /// A frame comes in; its answer.
    fn receive(&mut self, frame: &Frame, now: u64) -> Option<Frame> {
        let mut desk = Desk { frame: *frame, now, ..Desk::default() };
        let verdict = on_frame(&self.orders, &self.facts, &mut desk, &mut Ring(&mut self.ring, self.room));
        verdict.answers().then_some(desk.frame)
    }

    /// The agent reads what its kernel took.
    fn read(&mut self) {
        while let Some(frame) = self.ring.pop_front() {
            let numbered = (frame.seq(), frame.piece().unwrap());
            if let Some(text) = self.inbox.take(frame.source(), frame.session(), numbered).unwrap() {
                self.got.push(String::from_utf8(text).unwrap());
            }
        }
    }
}

/// What the network does to a frame.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    Lost,
    Twice,
    /// It is overtaken by so many others.
    Late(usize),
}

fn any_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Arrives),
        3 => Just(Fate::Lost),
        1 => Just(Fate::Twice),
        2 => (1..6usize).prop_map(Fate::Late),
    ]
}

fn any_texts() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-z]{1,200}", 0..6)
}

proptest! {
    /// Whatever is lost, doubled and overtaken: each message comes once, and those of one sender in their order.
    #[test]
    fn every_message_comes_once_and_in_order(
        from_0 in any_texts(),
        from_1 in any_texts(),
        fates in prop::collection::vec(any_fate(), 1..300),
    ) {
        let mut nodes: Vec<Node> = (0..NODES as u8).map(Node::new).collect();
        from_0.iter().for_each(|text| drop(nodes[0].post(text, &[1, 2])));
        from_1.iter().for_each(|text| drop(nodes[1].post(text, &[0, 2])));
        let mut fates = fates.into_iter();
        let mut under_way: Vec<(usize, Frame)> = Vec::new();
        let mut now = MS;
        while under_way.len() + nodes.iter().filter(|node| node.outbox.due().is_some()).count() != 0 {
            now += MS;
            prop_assert!(now < 100_000 * MS, "it never ends");
            let mut sent: Vec<Frame> = nodes.iter_mut().flat_map(|node| node.send(now)).collect();
            // In the order of their arrival, answers to answers included.
            while !sent.is_empty() || !under_way.is_empty() {
                for frame in sent.drain(..) {
                    match fates.next().unwrap_or(Fate::Arrives) {
                        Fate::Arrives => under_way.push((0, frame)),
                        Fate::Lost => {}
                        Fate::Twice => under_way.extend([(0, frame), (0, frame)]),
                        Fate::Late(by) => under_way.push((by, frame)),
                    }
                }
                let Some(at) = under_way.iter().position(|(late, _)| *late == 0) else { break };
                let (_, frame) = under_way.remove(at);
                under_way.iter_mut().for_each(|(late, _)| *late = late.saturating_sub(1));
                let answer = nodes[usize::from(frame.destination())].receive(&frame, now);
                sent.extend(answer);
            }
            under_way.iter_mut().for_each(|(late, _)| *late = late.saturating_sub(1));
            nodes.iter_mut().for_each(Node::read);
        }
        prop_assert_eq!(&nodes[0].got, &from_1);
        prop_assert_eq!(&nodes[1].got, &from_0);
        let of = |from: &[String]| nodes[2].got.iter().filter(|text| from.contains(text)).count();
        prop_assert!(of(&from_0) >= from_0.len() && of(&from_1) >= from_1.len());
        prop_assert_eq!(nodes[2].got.len(), from_0.len() + from_1.len());
    }

    /// Whoever has the key may send any pieces: memory stays bounded, and nothing comes out that did not go in.
    #[test]
    fn any_pieces_are_taken_without_harm(
        pieces in prop::collection::vec(
            (0..4u8, 0..3u64, 0..300u64, 0..=PIECE_MAX, any::<(bool, bool)>()), 0..400,
        ),
    ) {
        let mut inbox = Inbox::new(NODES);
        for (source, life, number, len, (first, last)) in pieces {
            let piece = Piece { text: &[b'x'; PIECE_MAX][..len], first, last };
            if let Ok(Some(text)) = inbox.take(source, life, (number, piece)) {
                prop_assert!(text.len() <= MESSAGE_MAX && usize::from(source) < NODES && last);
            }
        }
    }
}

fn one() -> Piece<'static> {
    Piece { text: b"t=x\n", first: true, last: true }
}

fn there(life: u64, taken: u64) -> impl Fn(u8) -> NodeView {
    move |_| NodeView { life, alive: true, active: true, taken }
}

/// When that outbox, asked every millisecond, sends; until it gives up, and why.
fn tries(outbox: &mut Outbox, view: impl Fn(u8) -> NodeView) -> (Vec<u64>, Why) {
    let mut sent = Vec::new();
    for now in 0.. {
        match outbox.next(now * MS, &view) {
            Some(Act::Send { .. }) => sent.push(now),
            Some(Act::GiveUp { to: 1, why, .. }) => return (sent, why),
            Some(act) => panic!("{act:?}"),
            None => {}
        }
    }
    unreachable!()
}

#[test]
fn what_is_not_taken_is_repeated_ever_more_rarely_and_given_up() {
    let mut outbox = Outbox::new(2, 0, MS);
    for _ in 0..3 {
        outbox.post("test", "t=test\n".into(), &[1]).unwrap();
    }
    let (sent, why) = tries(&mut outbox, there(7, 0));
    assert_eq!(sent[..6], [0, 1, 3, 7, 15, 31]);
    assert!(sent.windows(2).all(|pair| pair[1] - pair[0] <= 1_000) && sent.len() < 25, "{sent:?}");
    assert_eq!((why, outbox.due(), outbox.waiting(1)), (Why::Silent, None, 0), "and what waits behind it");
    // With a slow keepalive it is not given up sooner.
    let mut outbox = Outbox::new(2, 0, 60_000 * MS);
    outbox.post("test", "t=test\n".into(), &[1]).unwrap();
    let (sent, _) = tries(&mut outbox, there(7, 0));
    assert!(sent[1] == 1_000 && sent.len() >= 5, "{sent:?}");
}

#[test]
fn the_dead_get_nothing_and_the_others_do() {
    let mut outbox = Outbox::new(3, 0, MS);
    outbox.post("a", "t=a\n".into(), &[1, 2]).unwrap();
    outbox.post("b", "t=b\n".into(), &[1]).unwrap();
    let view = |node| NodeView { life: 7, alive: node == 2, active: true, taken: 0 };
    let gave_up = Act::GiveUp { to: 1, kind: "a".into(), messages: 2, why: Why::Dead };
    assert_eq!(outbox.next(0, view), Some(gave_up));
    let piece = Piece { text: b"t=a\n", ..one() };
    assert_eq!(outbox.next(0, view), Some(Act::Send { to: 2, number: 1, piece }));
    assert_eq!(outbox.next(0, view), None);
}

#[test]
fn the_next_piece_goes_when_the_one_before_was_taken() {
    let mut outbox = Outbox::new(2, 40, MS);
    let text = "x".repeat(2 * PIECE_MAX);
    outbox.post("test", text.clone(), &[1]).unwrap();
    outbox.post("test", "t=x\n".into(), &[1]).unwrap();
    let piece = |first, last| Piece { text: &text.as_bytes()[..PIECE_MAX], first, last };
    let send = |number, piece| Some(Act::Send { to: 1, number, piece });
    assert_eq!(outbox.next(0, there(7, 40)), send(41, piece(true, false)));
    assert_eq!(outbox.next(0, there(7, 40)), None);
    assert_eq!(outbox.due(), Some(MS));
    assert_eq!(outbox.next(0, there(7, 41)), send(42, piece(false, true)));
    // A new life has none of it: from the beginning.
    assert_eq!(outbox.next(0, there(8, 0)), send(41, piece(true, false)));
    assert_eq!(outbox.next(0, there(8, 42)), send(43, one()));
    assert_eq!(outbox.next(0, there(8, 43)), None);
    assert_eq!(outbox.due(), None);
}

#[test]
fn what_is_too_long_or_too_many_is_refused() {
    let mut outbox = Outbox::new(3, 0, MS);
    let post = |outbox: &mut Outbox, len: usize, to: &[u8]| outbox.post("test", "x".repeat(len), to);
    assert_eq!(post(&mut outbox, MESSAGE_MAX + 1, &[1]), Err(Refused::TooLong(MESSAGE_MAX + 1)));
    assert_eq!(post(&mut outbox, MESSAGE_MAX, &[1]), Ok(vec![]));
    for _ in 1..WAITING_MAX {
        assert_eq!(post(&mut outbox, 1, &[1]), Ok(vec![]));
    }
    assert_eq!(post(&mut outbox, 1, &[1, 2]), Ok(vec![1]), "who is slow holds up nobody else");
    assert_eq!((outbox.waiting(1), outbox.waiting(2)), (WAITING_MAX, 1));
    let mut outbox = Outbox::new(2, NUMBER_MAX - 1, MS);
    assert_eq!(post(&mut outbox, PIECE_MAX + 1, &[1]), Err(Refused::NoNumbers));
    assert_eq!(post(&mut outbox, PIECE_MAX, &[1]), Ok(vec![]));
}

#[test]
fn of_a_message_that_misses_a_piece_nothing_is_left() {
    let piece = |first, last| Piece { text: b"x", first, last };
    let (begin, middle, end) = (piece(true, false), piece(false, false), piece(false, true));
    let mut inbox = Inbox::new(NODES);
    let mut take = |life, number, piece| inbox.take(1, life, (number, piece));
    assert_eq!(take(7, 1, begin), Ok(None));
    assert_eq!(take(7, 3, end), Err(Incomplete), "a gap");
    assert_eq!(take(7, 4, middle), Ok(None));
    assert_eq!(take(7, 5, end), Err(Incomplete), "no beginning");
    assert_eq!(take(7, 9, begin), Ok(None));
    assert_eq!(take(7, 9, begin), Ok(None), "twice");
    assert_eq!(take(7, 10, end), Ok(Some(b"xx".to_vec())));
    assert_eq!(take(7, 10, end), Ok(None), "twice");
    assert_eq!(take(7, 11, begin), Ok(None));
    assert_eq!(take(8, 12, end), Err(Incomplete), "another life");
    assert_eq!(take(8, 13, one()), Ok(Some(b"t=x\n".to_vec())));
    let full = Piece { text: &[b'x'; PIECE_MAX], first: false, last: false };
    assert_eq!(take(9, 1, begin), Ok(None));
    for number in 2..2 + (MESSAGE_MAX / PIECE_MAX) as u64 {
        assert_eq!(take(9, number, full), Ok(None));
    }
    assert_eq!(take(9, 66, end), Err(Incomplete), "too long");
}
