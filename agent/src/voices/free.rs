//! Carries the free voice out: looks who is missed, asks, listens, and says what came of it. Called by the decision loop;
//! nothing here waits.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;

use reflex::{DOUBTS_MAX, Facts, Orders, Reach, Sight};

use super::asker::Asker;
use super::doubt::{Doubt, Ground};
use super::neighbours::{Known, Own};
use crate::sys::Table;

const MS: u64 = 1_000_000;
/// Between two looks in peace, at the shortest, ns: also with a deadtime of 3 ms the loop shall not turn for this alone.
const LOOK_MIN: u64 = 10 * MS;
/// And at the longest, ns.
const LOOK_MAX: u64 = 1_000 * MS;
/// Between two looks at the beginning of a doubt, ns: answers come within a millisecond.
const LOOK_FAST: u64 = 2 * MS;
/// How long that beginning is, ns.
const BEGINNING: u64 = 100 * MS;
/// Between two looks in a doubt that lasts, ns.
const LOOK_SLOW: u64 = 20 * MS;

/// One watched network.
pub struct Watched {
    /// Where it is.
    pub ground: Ground,
    /// What was found out since it is in doubt, if it is.
    pub doubt: Option<Doubt>,
    asker: Option<Asker>,
    slot: usize,
    /// Kernel programs look at its frames.
    in_kernel: bool,
}

/// The networks of the VIPs.
pub struct Free {
    orders: Arc<Table<Orders>>,
    facts: Arc<Table<Facts>>,
    known: Rc<RefCell<Known>>,
    own: Own,
    /// Each with its place in [`Orders::doubts`].
    pub watched: Vec<Watched>,
}

impl Free {
    pub(super) async fn new(
        orders: Arc<Table<Orders>>,
        facts: Arc<Table<Facts>>,
        grounds: Vec<Ground>,
        own: &Own,
        known: Rc<RefCell<Known>>,
    ) -> Self {
        // An earlier agent may have ended in the middle of a doubt.
        orders.doubt.set(0);
        orders.doubts.iter().for_each(|word| word.set(0));
        let mut watched = Vec::new();
        for (slot, ground) in grounds.into_iter().enumerate() {
            if slot >= DOUBTS_MAX {
                tracing::warn!("{}: no free voice: at most {DOUBTS_MAX} interfaces have one", ground.name);
                continue;
            }
            let from = own.addresses.get(&ground.index).and_then(|all| all.first()).copied();
            // Without an own address: a probe as in RFC 5227, which is answered too.
            let from = from.unwrap_or(Ipv4Addr::UNSPECIFIED);
            let name = ground.name.clone();
            let opened = tokio::task::spawn_blocking(move || Asker::open(&name, from)).await;
            let asker = match opened {
                Ok(Ok(asker)) => Some(asker),
                Ok(Err(error)) => {
                    tracing::warn!("{}: nobody can be asked in doubt: {error}", ground.name);
                    None
                }
                Err(_) => None,
            };
            watched.push(Watched { ground, doubt: None, asker, slot, in_kernel: false });
        }
        Self { orders, facts, known, own: own.clone(), watched }
    }

    pub(super) fn has_ground(&self) -> bool {
        !self.watched.is_empty()
    }

    /// Says whether kernel programs look at the frames of an interface.
    pub fn set_in_kernel(&mut self, index: u32, in_kernel: bool) {
        for watched in self.watched.iter_mut().filter(|watched| watched.ground.index == index) {
            watched.in_kernel = in_kernel;
        }
    }

    /// How many hosts would be asked on an interface.
    #[must_use]
    pub fn neighbours(&self, index: u32) -> usize {
        self.known.borrow().to_ask(index).len()
    }

    /// Whether another path exists beside the links on that network, so that a node may be silent here and alive.
    #[must_use]
    pub fn has_other_path(&self, ground: &Ground) -> bool {
        self.orders.nodes.iter().any(|node| {
            (0u8..).zip(&node.links).any(|(id, link)| link.asked.get() != 0 && !ground.links.contains(&id))
        })
    }

    pub(super) fn look(&mut self, now: u64) {
        for place in 0..self.watched.len() {
            let ground = &self.watched[place].ground;
            // In this order: an answer that comes between the two ends the missing first, and counts in the next look.
            let answered = ground.answered_by_node(&self.facts);
            let missed = ground.missed(&self.orders, &self.facts, now);
            let needed = missed != 0 || ground.is_doubted_by_node(&self.facts);
            if needed && self.watched[place].doubt.is_none() {
                self.begin(place, now);
            }
            let Some(doubt) = &mut self.watched[place].doubt else { continue };
            if needed {
                doubt.need(missed, now);
            } else {
                doubt.missed = 0;
            }
            if doubt.is_over(now) {
                self.end(place);
            } else {
                doubt.answer(answered);
                self.find_out(place, now);
            }
        }
    }

    fn begin(&mut self, place: usize, now: u64) {
        let watched = &mut self.watched[place];
        tracing::warn!(
            "{}: a node is silent here that is heard elsewhere: asking who else is here",
            watched.ground.name
        );
        watched.doubt = Some(Doubt::new(now));
        self.orders.doubts[watched.slot].set(u64::from(watched.ground.index));
        self.orders.doubt.add(1);
        if let Some(asker) = &mut watched.asker {
            asker.drain();
            if !watched.in_kernel {
                asker.listen();
            }
        }
    }

    fn end(&mut self, place: usize) {
        let watched = &mut self.watched[place];
        tracing::info!("{}: every node that lives is heard here again", watched.ground.name);
        watched.doubt = None;
        self.orders.doubts[watched.slot].set(0);
        self.orders.doubt.set(self.orders.doubt.get().saturating_sub(1));
        if let Some(asker) = &mut watched.asker {
            asker.ignore();
        }
    }

    /// Takes what came in, and asks when it is time to.
    fn find_out(&mut self, place: usize, now: u64) {
        let Watched { ground, doubt, asker, slot, .. } = &mut self.watched[place];
        let Some(doubt) = doubt else { return };
        let mut known = self.known.borrow_mut();
        doubt.hear(self.facts.strangers[*slot].get());
        if let Some(asker) = asker {
            for caller in asker.callers() {
                if !known.is_stranger(caller.mac) {
                    continue;
                }
                doubt.hear(now);
                if caller.is_answer {
                    doubt.answer(now);
                }
                if !caller.address.is_unspecified() {
                    known.see(ground.index, caller.address, now);
                }
            }
            if asker.hears(|mac| known.is_stranger(mac)) {
                doubt.hear(now);
            }
            if now >= doubt.next_round() {
                // Who was not there yet when the tables were last looked at.
                known.meet(&self.facts, &self.own, now);
                let hosts = known.to_ask(ground.index);
                for host in &hosts {
                    if let Err(error) = asker.ask(*host) {
                        tracing::debug!("{}: cannot ask {host}: {error}", ground.name);
                    }
                }
                doubt.ask(!hosts.is_empty(), now);
            }
        }
        if let Some(news) = doubt.conclude(self.orders.deadtime.get(), now) {
            tracing::info!("{}: {}", ground.name, in_words(news));
        }
    }

    /// What is seen of a group's networks: of several the worst that is known.
    pub(super) fn sight(&self, group: u32) -> Sight {
        let mut sight = Sight::default();
        let mut worst: Option<(Reach, bool)> = None;
        for watched in self.watched.iter().filter(|watched| watched.ground.groups.contains(&group)) {
            let Some(doubt) = &watched.doubt else { continue };
            sight = sight.doubting(sight.doubt() || doubt.missed != 0);
            let (reach, asked) = doubt.reach();
            if reach != Reach::Unknown && worst.is_none_or(|(worst, _)| reach < worst) {
                worst = Some((reach, asked));
            }
        }
        let (reach, asked) = worst.unwrap_or_default();
        sight.reaches(reach, asked)
    }

    pub(super) fn due(&self, now: u64) -> Option<u64> {
        self.watched.iter().filter_map(|watched| self.due_on(watched, now)).min()
    }

    fn due_on(&self, watched: &Watched, now: u64) -> Option<u64> {
        if let Some(doubt) = &watched.doubt {
            let young = now.saturating_sub(doubt.since) < BEGINNING;
            let look = now + if young { LOOK_FAST } else { LOOK_SLOW };
            return Some(look.min(doubt.next_round().max(now + MS)));
        }
        if !self.has_other_path(&watched.ground) {
            return None;
        }
        let deadtime = self.orders.deadtime.get();
        let nodes = self.facts.nodes.iter().filter(|node| node.session.get() != 0 && node.dead_at.get() == 0);
        let links = nodes.flat_map(|node| {
            watched.ground.links.iter().filter_map(|&link| node.links.get(usize::from(link)))
        });
        // Both ways: when each would be silent for long enough.
        let heard = links.flat_map(|link| [link.heard_at.get(), link.pong_at.get()]);
        let due = heard.min().map_or(LOOK_MAX, |at| at.saturating_add(deadtime).saturating_sub(now));
        Some(now + due.clamp(LOOK_MIN, LOOK_MAX))
    }
}

/// In words for a person.
#[must_use]
pub const fn in_words(reach: Reach) -> &'static str {
    match reach {
        Reach::Unknown => "not found out yet who else is here",
        Reach::Deaf => "nobody else is heard here, and nobody answers",
        Reach::Hears => "others are heard here, but nobody answers",
        Reach::Answered => "others answer here",
    }
}
