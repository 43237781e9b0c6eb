//! The voice that is free: who else is on the network of a VIP? No clock, no socket.
//!
//! ```text
//!   peace --- a node is silent here and lives elsewhere, or says that it misses one ---> doubt
//!     ^                                                                                    |
//!     +---------------------- nobody misses anybody for a while <--------------------------+
//!
//!   doubt:  0 ms     10 ms    20 ms    30 ms                       then every 100 ms, after 2 s every second
//!           ask      ask      ask      nobody answered? say so     ask
//!           an answer is said at once, but after a silence that was said only when it lasted
//! ```

use reflex::{Facts, NODES_MAX, Orders, Reach, watch};

const MS: u64 = 1_000_000;
/// Time between the first rounds of questions, ns.
const ROUND_FIRST: u64 = 10 * MS;
/// Rounds that must have stayed unanswered before silence means something.
const ROUNDS_MIN: u64 = 3;
/// Time between two rounds after that, ns.
const ROUND: u64 = 100 * MS;
/// And after so long a doubt, ns: it will not be over soon.
const LONG: u64 = 2_000 * MS;
/// Time between two rounds then, ns.
const ROUND_SLOW: u64 = 1_000 * MS;
/// How long nobody must miss anybody before a doubt is over, ns.
const CALM: u64 = 100 * MS;

/// An interface that VIPs and links share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    /// The kernel's number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The links on it, by their numbers.
    pub links: Vec<u8>,
    /// The groups that have an address on it.
    pub groups: Vec<u32>,
}

impl Ground {
    /// The nodes that are not heard here, or do not hear us here, although they live: they are heard by another path.
    pub fn missed(&self, orders: &Orders, facts: &Facts, now: u64) -> u16 {
        let others = (0..orders.nodes_len.get().min(NODES_MAX as u64) as usize)
            .filter(|&node| node as u64 != orders.own.get());
        let missed = others.filter(|&node| self.misses(orders, facts, node, now));
        missed.fold(0, |missed, node| missed | 1 << node)
    }

    fn misses(&self, orders: &Orders, facts: &Facts, node: usize, now: u64) -> bool {
        let (asked, found) = (&orders.nodes[node], &facts.nodes[node]);
        if found.session.get() == 0 || found.dead_at.get() != 0 {
            return false;
        }
        let (mut here, mut silent, mut elsewhere) = (false, true, false);
        for (id, (sent, heard)) in (0u8..).zip(asked.links.iter().zip(&found.links)) {
            if sent.asked.get() == 0 {
                continue;
            }
            if self.links.contains(&id) {
                here = true;
                let unanswered = sent.sent.get().saturating_sub(heard.answered.get());
                let one_way = now.saturating_sub(heard.pong_at.get()) >= orders.deadtime_of(id)
                    && now.saturating_sub(orders.grace_of(id)) > heard.pong_at.get()
                    && unanswered > orders.unanswered_min_of(id);
                silent &= one_way || watch::is_link_silent(orders, id, sent, heard, now);
            } else {
                elsewhere |= now.saturating_sub(heard.heard_at.get()) < orders.deadtime_of(id);
            }
        }
        here && silent && elsewhere
    }

    /// When another node last answered us here, ns: as good as any neighbour.
    pub fn answered_by_node(&self, facts: &Facts) -> u64 {
        let alive = facts.nodes.iter().filter(|node| node.dead_at.get() == 0);
        let links =
            alive.flat_map(|node| self.links.iter().filter_map(|&link| node.links.get(usize::from(link))));
        links.map(|link| link.pong_at.get()).max().unwrap_or(0)
    }

    /// Whether another node says that it misses somebody on the network of one of our groups.
    pub fn is_doubted_by_node(&self, facts: &Facts) -> bool {
        facts.nodes.iter().zip(&facts.claims).any(|(node, claims)| {
            node.session.get() != 0
                && node.dead_at.get() == 0
                && self
                    .groups
                    .iter()
                    .filter_map(|&group| claims.get(group as usize))
                    .any(|word| reflex::Claim::unpack(word.get()).sight.doubt())
        })
    }
}

/// What was found out since an interface is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Since when, ns.
    pub since: u64,
    /// Nodes that are missed by this one, bit by index; none if it looks because another one is in doubt.
    pub missed: u16,
    /// When somebody last missed somebody, ns.
    needed_at: u64,
    /// Rounds asked so far, and when each of the last ones was.
    rounds: u64,
    rounds_at: [u64; ROUNDS_MIN as usize],
    /// Somebody was known who could be asked.
    asked: bool,
    heard_at: u64,
    answered_at: u64,
    /// What this node says of the network.
    said: Reach,
    /// More than that is found since then, ns.
    rising_since: Option<u64>,
}

impl Doubt {
    /// A doubt begins.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self {
            since: now,
            missed: 0,
            needed_at: now,
            rounds: 0,
            rounds_at: [0; ROUNDS_MIN as usize],
            asked: false,
            heard_at: 0,
            answered_at: 0,
            said: Reach::Unknown,
            rising_since: None,
        }
    }

    /// Somebody is missed, by this node or by another one.
    pub fn need(&mut self, missed: u16, now: u64) {
        (self.missed, self.needed_at) = (missed, now);
    }

    /// Nobody has missed anybody for a while.
    #[must_use]
    pub fn is_over(&self, now: u64) -> bool {
        now.saturating_sub(self.needed_at) >= CALM
    }

    /// When the next round of questions is due.
    #[must_use]
    pub fn next_round(&self) -> u64 {
        let Some(last) = self.rounds.checked_sub(1) else { return self.since };
        let last_at = self.rounds_at[(last % ROUNDS_MIN) as usize];
        let pause = match (self.rounds, last_at.saturating_sub(self.since)) {
            (..ROUNDS_MIN, _) => ROUND_FIRST,
            (_, LONG..) => ROUND_SLOW,
            _ => ROUND,
        };
        last_at.saturating_add(pause)
    }

    /// A round of questions went out; to anybody at all?
    pub fn ask(&mut self, anybody: bool, now: u64) {
        self.rounds_at[(self.rounds % ROUNDS_MIN) as usize] = now;
        self.rounds += 1;
        self.asked |= anybody;
    }

    /// Somebody who is no cluster node was heard then.
    pub fn hear(&mut self, at: u64) {
        if at >= self.since {
            self.heard_at = self.heard_at.max(at);
        }
    }

    /// Somebody answered then.
    pub fn answer(&mut self, at: u64) {
        if at >= self.since {
            self.answered_at = self.answered_at.max(at);
        }
    }

    /// Draws the conclusion; returns it if it is news. A node that found silence and then finds more was cut off itself
    /// a moment ago. It does not say so before it went on for `settle` ns, a deadtime: by then it hears every node again
    /// that it can hear, and misses none of them. Else a switch that comes back would move groups, because one node
    /// noticed first.
    pub fn conclude(&mut self, settle: u64, now: u64) -> Option<Reach> {
        let found = self.found(now);
        let rises = found > self.said && self.said != Reach::Unknown;
        self.rising_since = rises.then(|| self.rising_since.unwrap_or(now));
        let said = match self.rising_since {
            Some(since) if now.saturating_sub(since) < settle => self.said,
            _ => found,
        };
        (std::mem::replace(&mut self.said, said) != said).then_some(said)
    }

    /// How far the network reaches, as it was last concluded; whether anybody was asked.
    #[must_use]
    pub const fn reach(&self) -> (Reach, bool) {
        (self.said, self.asked)
    }

    /// How far the network reaches, by the last three rounds.
    fn found(&self, now: u64) -> Reach {
        // In the place of the next round stands the third last.
        let oldest = self.rounds_at[(self.rounds % ROUNDS_MIN) as usize];
        let fresh = |at: u64| at != 0 && at >= oldest;
        if fresh(self.answered_at) {
            Reach::Answered
        } else if now < self.said_from() {
            Reach::Unknown
        } else if fresh(self.heard_at) {
            Reach::Hears
        } else {
            Reach::Deaf
        }
    }

    /// From when on silence means something.
    #[must_use]
    pub fn said_from(&self) -> u64 {
        if self.rounds < ROUNDS_MIN {
            return u64::MAX;
        }
        // The first three are asked close together; after that the last one had its time too.
        self.since
            .max(self.rounds_at[((self.rounds - 1) % ROUNDS_MIN) as usize])
            .saturating_add(if self.rounds == ROUNDS_MIN { ROUND_FIRST } else { 0 })
    }
}

#[cfg(test)]
mod tests;
