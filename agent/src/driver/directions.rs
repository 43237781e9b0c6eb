//! Links that carry nothing, or in one direction only: told once per change, by name.

use std::collections::BTreeMap;

use reflex::{Facts, Orders};

/// How a link carries frames between this node and another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Both ways: our probes are answered.
    Both,
    /// The other node is heard by it and answers none of our probes: what we send is lost, or its answers are.
    OnlyToUs,
    /// Nothing is heard by it from a node that is heard by another link.
    Silent,
}

/// A link to a node has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) node: u8,
    pub(super) link: u8,
    pub(super) way: Way,
    /// How long it has been like that already; for [`Way::Both`], how long it was not. ns.
    pub(super) lasted: u64,
}

/// A link carries something or does not when it has done so for this long at least, ns: single frames are lost everywhere.
const PATIENCE: u64 = 1_000_000_000;

/// Probes that stay unanswered before a link is said to carry one way: as many as a verdict needs.
const UNANSWERED: u64 = 3;

/// What was told of each link to each node.
#[derive(Debug, Default)]
pub(super) struct Directions {
    known: BTreeMap<(u8, u8), (Way, u64)>,
}

impl Directions {
    /// What has changed since the last look on the link with that number to that node.
    pub(super) fn look(
        &mut self,
        orders: &Orders,
        facts: &Facts,
        (node, link): (u8, u8),
        now: u64,
    ) -> Option<Change> {
        let (before, since) = *self.known.entry((node, link)).or_insert((Way::Both, now));
        let patience = orders.deadtime.get().max(PATIENCE);
        let (way, good_at) = judge(orders, facts, (node, link), now, patience)?;
        // Before it was first looked at nobody had time to answer.
        let lasted = now.saturating_sub(good_at.max(if before == Way::Both { since } else { 0 }));
        if way == before || (way != Way::Both && lasted < patience) {
            return None;
        }
        self.known.insert((node, link), (way, now));
        let lasted = if way == Way::Both { now.saturating_sub(since) } else { lasted };
        Some(Change { node, link, way, lasted })
    }
}

/// Whether a node was heard by a link lately.
pub(super) fn carries(orders: &Orders, facts: &Facts, (node, link): (u8, u8), now: u64) -> bool {
    let node = facts.nodes.get(usize::from(node));
    let heard_at =
        node.and_then(|node| node.links.get(usize::from(link))).map_or(0, |link| link.heard_at.get());
    heard_at != 0 && now.saturating_sub(heard_at) < orders.deadtime.get().max(PATIENCE)
}

/// How the link is now, and when it was good last; nothing while the node itself is silent or the link is not in use.
fn judge(
    orders: &Orders,
    facts: &Facts,
    (node, link): (u8, u8),
    now: u64,
    patience: u64,
) -> Option<(Way, u64)> {
    let sent = orders.nodes.get(usize::from(node))?.links.get(usize::from(link))?;
    let node_facts = facts.nodes.get(usize::from(node))?;
    let found = node_facts.links.get(usize::from(link))?;
    let is_fresh = |at: u64| at != 0 && now.saturating_sub(at) < patience;
    if sent.sent.get() == 0 || node_facts.session.get() == 0 || !is_fresh(node_facts.heard_at.get()) {
        return None;
    }
    let (heard_at, pong_at) = (found.heard_at.get(), found.pong_at.get());
    if is_fresh(pong_at) {
        return Some((Way::Both, pong_at));
    }
    if !is_fresh(heard_at) {
        return Some((Way::Silent, heard_at));
    }
    // Else we are the ones who asked nothing.
    let unanswered = sent.sent.get().saturating_sub(found.answered.get());
    (unanswered >= UNANSWERED).then_some((Way::OnlyToUs, pong_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Node 0 that sends probes to node 1 by links 0 and 1; both were answered at 10 s.
    fn tables() -> (Box<Orders>, Box<Facts>) {
        let (orders, facts) = (Box::new(Orders::new()), Box::new(Facts::new()));
        facts.nodes[1].session.set(7);
        for link in 0..2 {
            orders.nodes[1].links[link].sent.set(10);
            facts.nodes[1].links[link].answered.set(10);
            heard(&facts, link, 10 * SECOND);
            facts.nodes[1].links[link].pong_at.set(10 * SECOND);
        }
        (orders, facts)
    }

    fn heard(facts: &Facts, link: usize, at: u64) {
        facts.nodes[1].heard_at.set(at);
        facts.nodes[1].links[link].heard_at.set(at);
    }

    #[test]
    fn a_link_that_falls_silent_beside_a_good_one_is_told_once_and_its_return_too() {
        let (orders, facts) = tables();
        let mut directions = Directions::default();
        let mut look = |now: u64| directions.look(&orders, &facts, (1, 1), now);
        assert_eq!(look(10 * SECOND), None);
        heard(&facts, 0, 11 * SECOND);
        let silent = Change { node: 1, link: 1, way: Way::Silent, lasted: SECOND };
        assert_eq!(look(11 * SECOND - 1), None);
        assert_eq!(look(11 * SECOND), Some(silent));
        heard(&facts, 0, 14 * SECOND);
        assert_eq!(look(14 * SECOND), None);
        facts.nodes[1].links[1].pong_at.set(14 * SECOND);
        heard(&facts, 1, 14 * SECOND);
        let both = Change { node: 1, link: 1, way: Way::Both, lasted: 3 * SECOND };
        assert_eq!(look(14 * SECOND), Some(both));
        assert_eq!(look(14 * SECOND), None);
    }

    #[test]
    fn one_who_is_heard_and_answers_nothing_is_told_of() {
        let (orders, facts) = tables();
        let mut directions = Directions::default();
        assert_eq!(directions.look(&orders, &facts, (1, 0), 10 * SECOND), None);
        heard(&facts, 0, 12 * SECOND);
        assert_eq!(directions.look(&orders, &facts, (1, 0), 12 * SECOND), None, "we asked nothing meanwhile");
        orders.nodes[1].links[0].sent.set(13);
        let change = directions.look(&orders, &facts, (1, 0), 12 * SECOND);
        assert_eq!(change, Some(Change { node: 1, link: 0, way: Way::OnlyToUs, lasted: 2 * SECOND }));
        assert_eq!(directions.look(&orders, &facts, (1, 0), 12 * SECOND), None);
    }

    #[test]
    fn a_node_that_is_silent_everywhere_and_a_link_that_is_not_used_are_no_business_of_links() {
        let (orders, facts) = tables();
        let mut directions = Directions::default();
        assert_eq!(directions.look(&orders, &facts, (1, 2), 10 * SECOND), None);
        assert_eq!(directions.look(&orders, &facts, (1, 0), 10 * SECOND), None);
        assert_eq!(directions.look(&orders, &facts, (1, 0), 60 * SECOND), None);
    }

    #[test]
    fn a_link_gets_time_to_carry_its_first_frame() {
        let (orders, facts) = tables();
        facts.nodes[1].links[1].heard_at.set(0);
        facts.nodes[1].links[1].pong_at.set(0);
        let mut directions = Directions::default();
        assert_eq!(directions.look(&orders, &facts, (1, 1), 10 * SECOND), None);
        heard(&facts, 0, 11 * SECOND);
        let change = directions.look(&orders, &facts, (1, 1), 11 * SECOND);
        assert_eq!(change, Some(Change { node: 1, link: 1, way: Way::Silent, lasted: SECOND }));
    }
}
