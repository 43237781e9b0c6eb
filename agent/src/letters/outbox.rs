//! What is sent: to each node its messages one after the other, piece by piece, each until that node's kernel has taken it.

use std::collections::VecDeque;
use std::rc::Rc;

use reflex::letter::{NUMBER_MAX, PIECE_MAX, Piece};

use super::{MESSAGE_MAX, Numbered, WAITING_MAX};

const MS: u64 = 1_000_000;

/// The shortest and the longest time between two tries, ns.
const AGAIN_MIN: u64 = MS;
const AGAIN_MAX: u64 = 1_000 * MS;

/// How long a piece is tried, ns. A node that lives takes it at the first or second try; one of an older version never does.
pub const PATIENCE: u64 = 10_000 * MS;
/// And so often at least.
const TRIES_MIN: u32 = 5;

/// Messages that wait to be taken.
#[derive(Debug)]
pub struct Outbox {
    /// Number of the last piece of all.
    last: u64,
    /// Time between the first and the second try, ns. After that each is twice as long: a cable may be much slower than the
    /// keepalive says.
    again: u64,
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    waiting: VecDeque<Rc<Parcel>>,
    /// Of the first of them.
    under_way: Option<UnderWay>,
}

/// A message, the same for every node that it goes to.
#[derive(Debug)]
struct Parcel {
    kind: String,
    text: String,
    /// Number of its first piece.
    first: u64,
}

impl Parcel {
    /// Its piece in that place; none behind the last one.
    fn piece(&self, place: usize) -> Option<Numbered<'_>> {
        let text = self.text.as_bytes().chunks(PIECE_MAX).nth(place)?;
        let last = (place + 1) * PIECE_MAX >= self.text.len();
        Some((self.first + place as u64, Piece { text, first: place == 0, last }))
    }
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    /// The life that it goes to.
    life: u64,
    /// The piece that is tried now.
    place: usize,
    /// Since when, and how often.
    since: u64,
    tries: u32,
    /// When it is sent next, and how long after that.
    at: u64,
    again: u64,
}

/// A node, as far as letters go by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeView {
    /// Its present life.
    pub life: u64,
    /// It is there.
    pub alive: bool,
    /// Its agent takes part.
    pub active: bool,
    /// The last of our pieces that this life's kernel took.
    pub taken: u64,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Act<'a> {
    /// Send this piece to that node.
    Send {
        /// The node.
        to: u8,
        /// Its number.
        number: u64,
        /// The piece.
        piece: Piece<'a>,
    },
    /// Say that a node does not get what waited for it.
    GiveUp {
        /// The node.
        to: u8,
        /// What kind of message was under way.
        kind: String,
        /// How many there were, with those behind it.
        messages: usize,
        /// Why.
        why: Why,
    },
}

/// Why a node does not get a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is dead.
    Dead,
    /// It lives and takes nothing: of an older version, or its agent reads nothing.
    Silent,
}

/// Why a message is not sent at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It has so many bytes.
    TooLong(usize),
    /// The numbers of this life are used up.
    NoNumbers,
}

impl Outbox {
    /// For a cluster of so many nodes. `last` is the last number that this life has used; `keepalive` the time between two
    /// keepalives, ns.
    #[must_use]
    pub fn new(nodes: usize, last: u64, keepalive: u64) -> Self {
        let mut outbox =
            Self { last, again: 0, nodes: std::iter::repeat_with(Node::default).take(nodes).collect() };
        outbox.set_keepalive(keepalive);
        outbox
    }

    /// The keepalive is another one now, ns.
    pub fn set_keepalive(&mut self, keepalive: u64) {
        self.again = keepalive.clamp(AGAIN_MIN, AGAIN_MAX);
    }

    /// Number of the last piece of all, sent or not.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Takes a message for these nodes. Returns those that too much waits for already: they do not get it.
    ///
    /// # Errors
    /// When nobody gets it.
    pub fn post(&mut self, kind: &str, text: String, to: &[u8]) -> Result<Vec<u8>, Refused> {
        if text.is_empty() || text.len() > MESSAGE_MAX {
            return Err(Refused::TooLong(text.len()));
        }
        let pieces = text.len().div_ceil(PIECE_MAX) as u64;
        if self.last + pieces > NUMBER_MAX {
            return Err(Refused::NoNumbers);
        }
        let parcel = Rc::new(Parcel { kind: kind.to_owned(), text, first: self.last + 1 });
        self.last += pieces;
        let mut full = Vec::new();
        for &index in to {
            match self.nodes.get_mut(usize::from(index)) {
                Some(node) if node.waiting.len() < WAITING_MAX => node.waiting.push_back(Rc::clone(&parcel)),
                Some(_) => full.push(index),
                None => {}
            }
        }
        Ok(full)
    }

    /// What is to be done next, until there is nothing.
    pub fn next(&mut self, now: u64, view: impl Fn(u8) -> NodeView) -> Option<Act<'_>> {
        let again = self.again;
        let mut due = None;
        for (index, node) in (0u8..).zip(&mut self.nodes) {
            if node.waiting.is_empty() {
                continue;
            }
            if let Some(why) = node.look(now, again, view(index)) {
                let kind = node.waiting.front().map(|parcel| parcel.kind.clone()).unwrap_or_default();
                let messages = node.waiting.len();
                node.clear();
                return Some(Act::GiveUp { to: index, kind, messages, why });
            }
            if node.under_way.is_some_and(|way| now >= way.at) {
                due = Some(index);
                break;
            }
        }
        let to = due?;
        let node = self.nodes.get_mut(usize::from(to))?;
        let way = node.under_way.as_mut()?;
        way.tries += 1;
        way.at = now + way.again;
        way.again = (way.again * 2).min(AGAIN_MAX);
        let (number, piece) = node.waiting.front()?.piece(way.place)?;
        Some(Act::Send { to, number, piece })
    }

    /// When something is to be done if nothing is taken meanwhile.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        let waiting = self.nodes.iter().filter(|node| !node.waiting.is_empty());
        waiting.map(|node| node.under_way.map_or(0, |way| way.at)).min()
    }

    /// How many messages wait for that node.
    #[must_use]
    pub fn waiting(&self, node: u8) -> usize {
        self.nodes.get(usize::from(node)).map_or(0, |node| node.waiting.len())
    }
}

impl Node {
    fn clear(&mut self) {
        self.waiting.clear();
        self.under_way = None;
    }

    /// Brings what is under way up to what the node has taken; why it is to be given up, if it is.
    fn look(&mut self, now: u64, again: u64, view: NodeView) -> Option<Why> {
        if !view.alive || view.life == 0 {
            return Some(Why::Dead);
        }
        let begin = |place| UnderWay { life: view.life, place, since: now, tries: 0, at: now, again };
        while let Some(parcel) = self.waiting.front() {
            let way = self.under_way.get_or_insert_with(|| begin(0));
            // What another life has taken of it is lost with that one.
            if way.life != view.life {
                *way = begin(0);
            }
            match parcel.piece(way.place) {
                Some((number, _)) if view.taken >= number => *way = begin(way.place + 1),
                Some(_) => {
                    let is_over = now.saturating_sub(way.since) >= PATIENCE && way.tries >= TRIES_MIN;
                    return is_over.then_some(Why::Silent);
                }
                None => {
                    self.waiting.pop_front();
                    self.under_way = None;
                }
            }
        }
        None
    }
}
