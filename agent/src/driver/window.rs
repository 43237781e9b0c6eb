//! How many probes of the last seconds were answered, by node and link.

use std::collections::VecDeque;
use std::time::Duration;

use reflex::{Facts, Orders};

/// Looks that are kept.
const LOOKS: usize = 10;
/// Time between two looks, at least.
const EVERY_MIN: Duration = Duration::from_secs(1);
/// Keepalives between two looks, at least.
const KEEPALIVES: u32 = 10;

/// The counts of the last ten seconds, or of the last hundred keepalives if that is longer.
pub(super) struct Window {
    every: u64,
    looks: VecDeque<(u64, Vec<Count>)>,
}

/// What was asked and answered up to some moment, in one life of the other node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    session: u64,
    asked: u64,
    answered: u64,
}

/// What was asked and answered lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Recent {
    pub(super) asked: u64,
    pub(super) answered: u64,
    /// Over this time, ns.
    pub(super) over: u64,
}

impl Window {
    pub(super) fn new(keepalive: Duration) -> Self {
        let every = super::setup::nanos(EVERY_MIN.max(keepalive * KEEPALIVES));
        Self { every, looks: VecDeque::with_capacity(LOOKS + 1) }
    }

    /// Looks at the counts, if that is due.
    pub(super) fn look(&mut self, orders: &Orders, facts: &Facts, now: u64) {
        if self.looks.back().is_some_and(|(at, _)| now.saturating_sub(*at) < self.every) {
            return;
        }
        let nodes = 0..orders.nodes_len.get() as usize;
        let places = nodes.flat_map(|node| (0..reflex::LINKS_MAX).map(move |link| (node, link)));
        let counts = places.map(|(node, link)| count(orders, facts, node, link, now)).collect();
        self.looks.push_back((now, counts));
        if self.looks.len() > LOOKS {
            self.looks.pop_front();
        }
    }

    /// What was asked and answered lately, in the present life of the node.
    pub(super) fn recent(
        &self,
        orders: &Orders,
        facts: &Facts,
        (node, link): (usize, usize),
        now: u64,
    ) -> Recent {
        let current = count(orders, facts, node, link, now);
        let first = self.looks.iter().find_map(|(at, counts)| {
            let count = counts.get(node * reflex::LINKS_MAX + link)?;
            (count.session == current.session).then_some((*at, *count))
        });
        let Some((at, first)) = first else { return Recent::default() };
        let asked = current.asked.saturating_sub(first.asked);
        // What was out at the first look may have been answered since.
        let answered = current.answered.saturating_sub(first.answered).min(asked);
        Recent { asked, answered, over: now.saturating_sub(at) }
    }
}

/// The counts now; a probe that is on its way is not asked yet.
fn count(orders: &Orders, facts: &Facts, node: usize, link: usize, now: u64) -> Count {
    let (asked, told) = (&orders.nodes[node].links[link], &facts.nodes[node]);
    let is_out = told.links[link].answered.get() < asked.sent.get()
        && now.saturating_sub(asked.sent_at.get()) < orders.grace.get();
    Count {
        session: told.session.get(),
        asked: asked.sent.get() - u64::from(is_out),
        answered: told.links[link].answered_count.get(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn what_was_asked_long_ago_or_of_another_life_does_not_count() {
        let (orders, facts) = (Box::new(Orders::new()), Box::new(Facts::new()));
        orders.nodes_len.set(2);
        orders.grace.set(1000);
        let mut window = Window::new(Duration::from_millis(1));
        let (asked, told) = (&orders.nodes[1].links[0], &facts.nodes[1].links[0]);
        facts.nodes[1].session.set(7);
        let mut now = SECOND;
        for second in 0..30u64 {
            window.look(&orders, &facts, now);
            asked.sent.add(100);
            asked.sent_at.set(now);
            // For ten seconds nothing is answered, then everything.
            told.answered_count.add(if second < 10 { 0 } else { 100 });
            told.answered.set(asked.sent.get());
            now += SECOND;
        }
        let recent = window.recent(&orders, &facts, (1, 0), now);
        assert_eq!(recent, Recent { asked: 1000, answered: 1000, over: 10 * SECOND });
        asked.sent.add(1);
        asked.sent_at.set(now - 999);
        assert_eq!(window.recent(&orders, &facts, (1, 0), now).asked, 1000, "it is on its way");
        assert_eq!(window.recent(&orders, &facts, (1, 0), now + 1).asked, 1001, "it is lost");
        facts.nodes[1].session.set(8);
        assert_eq!(window.recent(&orders, &facts, (1, 0), now), Recent::default());
    }
}
