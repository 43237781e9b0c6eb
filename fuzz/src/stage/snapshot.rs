//! What the reflex wrote into its tables, at one moment.

use reflex::layout::{Facts, GateFacts, LinkFacts, NodeFacts};
use reflex::word::Word;

/// The facts of the nodes and groups that there are.
#[derive(PartialEq, Eq)]
pub(super) struct Snapshot {
    version: u64,
    exited: u64,
    nodes: Vec<Node>,
    gates: Vec<Gate>,
}

#[derive(PartialEq, Eq)]
struct Node {
    session: u64,
    dead_at: u64,
    /// All other words but the next three, and its claims.
    words: Vec<u64>,
    /// Counts and time of what was refused in its name.
    refused: [u64; 2],
    /// By link.
    unconfirmed: Vec<u64>,
    /// The last ones taken.
    letters: [u64; 2],
}

/// One gate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Gate {
    pub(super) taken: u64,
    pub(super) open: bool,
    fenced: u64,
    rival: u64,
    /// Reason and times.
    rest: [u64; 3],
}

impl Snapshot {
    pub(super) fn of(facts: &Facts, nodes: usize, groups: u32, is_open: impl Fn(u32) -> bool) -> Self {
        let claims = facts.claims.iter().map(|claims| &claims[..groups as usize]);
        Self {
            version: facts.version.get(),
            exited: facts.exited.get(),
            nodes: facts.nodes[..nodes]
                .iter()
                .zip(claims)
                .map(|(node, claims)| Node::of(node, claims))
                .collect(),
            gates: (0..groups).map(|group| Gate::of(&facts.gates[group as usize], is_open(group))).collect(),
        }
    }

    pub(super) fn gate(&self, group: u32) -> Gate {
        self.gates[group as usize]
    }

    pub(super) fn session(&self, node: u8) -> u64 {
        self.nodes.get(usize::from(node)).map_or(0, |node| node.session)
    }

    pub(super) fn is_dead(&self, node: u8) -> bool {
        self.nodes[usize::from(node)].dead_at != 0
    }

    /// Nothing but that a frame in the name of `node` was refused.
    pub(super) fn is_same_but_refusals(&self, after: &Self, node: usize) -> bool {
        let is_counted = after.nodes[node].refused[0] == self.nodes[node].refused[0] + 1;
        is_counted
            && self.head() == after.head()
            && self.gates == after.gates
            && self.others(after, node)
            && self.nodes[node].is_same_but_refusals(&after.nodes[node])
    }

    /// Nothing but that a letter of or to `node` was taken.
    pub(super) fn is_same_but_letters(&self, after: &Self, node: usize) -> bool {
        let (was, is) = (&self.nodes[node], &after.nodes[node]);
        self.head() == after.head()
            && self.gates == after.gates
            && self.others(after, node)
            && (was.session, was.dead_at, &was.words, was.refused, &was.unconfirmed)
                == (is.session, is.dead_at, &is.words, is.refused, &is.unconfirmed)
    }

    /// Nothing but that gates were fenced, and a probe of `node` was counted.
    pub(super) fn is_same_but_fences(&self, after: &Self, node: usize) -> bool {
        let (was, is) = (&self.nodes[node], &after.nodes[node]);
        self.others(after, node)
            && (was.session, was.dead_at, &was.words, was.refused, was.letters)
                == (is.session, is.dead_at, &is.words, is.refused, is.letters)
            && self.gates.iter().zip(&after.gates).all(|(was, is)| {
                (was.taken, was.rival, was.rest[1], was.rest[2])
                    == (is.taken, is.rival, is.rest[1], is.rest[2])
            })
    }

    /// Nothing but what a frame of `node` may change: what is known of it, and gates.
    pub(super) fn is_same_but_node(&self, after: &Self, node: usize) -> bool {
        self.exited == after.exited && self.others(after, node)
    }

    fn head(&self) -> (u64, u64) {
        (self.version, self.exited)
    }

    fn others(&self, after: &Self, node: usize) -> bool {
        (0..).zip(self.nodes.iter().zip(&after.nodes)).all(|(index, (was, is))| index == node || was == is)
    }
}

impl Node {
    fn of(node: &NodeFacts, claims: &[Word]) -> Self {
        let all = [&node.since, &node.heard_at, &node.heard_until, &node.said_at, &node.said];
        let mut words: Vec<u64> = all.into_iter().map(Word::get).collect();
        words.extend(node.pages.iter().chain(&node.page_at).chain(claims).map(Word::get));
        node.links.iter().for_each(|link| push_link(&mut words, link));
        Self {
            session: node.session.get(),
            dead_at: node.dead_at.get(),
            words,
            refused: [node.refused.get(), node.refused_at.get()],
            unconfirmed: node.links.iter().map(|link| link.unconfirmed.get()).collect(),
            letters: [node.letter_seen.get(), node.letter_taken.get()],
        }
    }

    fn is_same_but_refusals(&self, after: &Self) -> bool {
        (self.session, self.dead_at, &self.words, &self.unconfirmed, self.letters)
            == (after.session, after.dead_at, &after.words, &after.unconfirmed, after.letters)
    }
}

fn push_link(words: &mut Vec<u64>, link: &LinkFacts) {
    let all = [
        &link.seen,
        &link.answered,
        &link.answered_count,
        &link.sent_when_admitted,
        &link.heard_at,
        &link.pong_at,
        &link.asked_when_heard,
        &link.ifindex,
        &link.rtt,
        &link.jitter,
        &link.received,
    ];
    words.extend(all.into_iter().chain(&link.gaps).map(Word::get).chain(link.address.get()));
}

impl Gate {
    fn of(gate: &GateFacts, open: bool) -> Self {
        Self {
            taken: gate.taken.get(),
            open,
            fenced: gate.fenced.get(),
            rival: gate.rival.get(),
            rest: [gate.reason.get(), gate.taken_at.get(), gate.first_arp_at.get()],
        }
    }

    /// What must only grow did.
    pub(super) fn follows(&self, before: Self) {
        assert!(self.taken >= before.taken, "taken falls");
        assert!(self.fenced >= before.fenced, "a fence is lost");
        assert!(self.rival >= before.rival, "a rival is forgotten");
    }
}
