//! The eye on the gates: what must hold after every step.

use cluster::{GroupId, NodeId};
use reflex::{CLAIMS_PER_FRAME, NODES_MAX};

use super::node::{Node, Power};
use super::times::{DEATH_IS_FALSE, MS, UNSENT_MAX, settling, settling_with_one};
use super::trace::{Detail, Trace};

/// A link that works both ways between two nodes, and since when.
#[derive(Clone, Copy, Debug, Default)]
struct Company {
    /// Both kernels run.
    kernels: Option<u64>,
    /// One of the agents asks.
    one_asks: Option<u64>,
    /// Both do.
    both_ask: Option<u64>,
    asking: (bool, bool),
}

pub(super) struct Eye {
    pages: u64,
    company: Vec<Vec<Company>>,
    /// By node and group: since when it answers in the group's name.
    answers: Vec<Vec<Option<u64>>>,
    /// How often a gate opened or closed.
    pub(super) changes: u64,
    /// How often a second one opened beside a first.
    pub(super) shared: u64,
}

impl Eye {
    pub(super) fn new(nodes: usize, groups: usize) -> Self {
        Self {
            pages: groups.div_ceil(CLAIMS_PER_FRAME) as u64,
            company: vec![vec![Company::default(); nodes]; nodes],
            answers: vec![vec![None; groups]; nodes],
            changes: 0,
            shared: 0,
        }
    }

    /// Looks who is in company of whom; to be called when links, machines or agents changed.
    pub(super) fn look_at_links(&mut self, now: u64, nodes: &[Node], works: impl Fn(usize, usize) -> bool) {
        let runs = |node: &Node| node.power == Power::On && node.kernel.is_some();
        for a in 0..nodes.len() {
            for b in 0..a {
                let linked = runs(&nodes[a]) && runs(&nodes[b]) && works(a, b);
                let company = &mut self.company[a][b];
                let (before, asking) = (company.asking, (nodes[a].asks(), nodes[b].asks()));
                company.asking = asking;
                let stopped = before.0 && !asking.0 || before.1 && !asking.1;
                let since = |was: Option<u64>, is: bool| is.then(|| was.unwrap_or(now));
                company.kernels = since(company.kernels, linked);
                company.both_ask = since(company.both_ask, linked && asking.0 && asking.1);
                // Whoever goes on asking begins anew.
                let one = company.one_asks.filter(|_| !stopped);
                company.one_asks = since(one, linked && (asking.0 || asking.1));
            }
        }
    }

    /// Looks at every gate.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn look(&mut self, now: u64, nodes: &mut [Node], trace: &Trace) -> Result<(), String> {
        for node in nodes.iter_mut() {
            if let Some(what) = node.broken.take() {
                return Err(what);
            }
            self.look_at_deaths(now, node)?;
        }
        let mut clocks = [0; NODES_MAX];
        for (clock, node) in clocks.iter_mut().zip(nodes.iter()) {
            *clock = node.clock.read(now);
        }
        for group in 0..self.answers[0].len() {
            let mut opened = false;
            for ((node, answers), clock) in nodes.iter().zip(&mut self.answers).zip(clocks) {
                let since = &mut answers[group];
                let is = node.answers(clock, group as GroupId);
                if since.is_some() != is {
                    *since = is.then_some(now);
                    opened |= is;
                    self.changes += 1;
                    let what = if is { "SERVED" } else { "closed" };
                    trace.line(Detail::Decisions, format_args!("node {}", node.id), || {
                        format!("group {group} {what}")
                    });
                }
            }
            self.look_at_owners(now, group, opened)?;
        }
        Ok(())
    }

    /// A verdict of death is false while a link works to a kernel that answers.
    fn look_at_deaths(&self, now: u64, node: &mut Node) -> Result<(), String> {
        for dead in node.deaths.drain(..) {
            if node.unsent > UNSENT_MAX {
                return Err(format!("node {} holds node {dead} dead, which it could not ask", node.id));
            }
            let (a, b) = (node.id.max(dead), node.id.min(dead));
            let since = self.company[usize::from(a)][usize::from(b)].kernels;
            if since.is_some_and(|since| now - since > DEATH_IS_FALSE) {
                return Err(format!("node {} holds node {dead} dead, which answers it", node.id));
            }
        }
        Ok(())
    }

    /// Promise 1: two nodes that hear each other do not both serve a group for longer than it takes to say so.
    fn look_at_owners(&mut self, now: u64, group: usize, opened: bool) -> Result<(), String> {
        let serves = |n: &usize| self.answers[*n][group].is_some();
        // Nearly always: nothing to write down.
        if (0..self.answers.len()).filter(serves).nth(1).is_none() {
            return Ok(());
        }
        let owners: Vec<usize> = (0..self.answers.len()).filter(serves).collect();
        self.shared += u64::from(opened);
        for &a in &owners {
            for &b in owners.iter().filter(|&&b| b < a) {
                let company = self.company[a][b];
                let both = self.answers[a][group].max(self.answers[b][group]).unwrap_or(now);
                let longer =
                    |since: Option<u64>, bound: u64| since.is_some_and(|since| now - since.max(both) > bound);
                if longer(company.both_ask, settling(self.pages))
                    || longer(company.one_asks, settling_with_one(self.pages))
                {
                    let ms = (now - both) / MS;
                    return Err(format!(
                        "nodes {b} and {a} both serve group {group} for {ms} ms although they hear each other"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The same, each with the time since when.
    pub(super) fn served_since(&self, group: GroupId) -> Vec<(GroupId, NodeId, u64)> {
        let since =
            |(node, groups): (NodeId, &Vec<Option<u64>>)| Some((group, node, groups[group as usize]?));
        (0..).zip(&self.answers).filter_map(since).collect()
    }

    /// The nodes that answer in the group's name.
    pub(super) fn owners(&self, group: GroupId) -> Vec<NodeId> {
        (0..)
            .zip(&self.answers)
            .filter(|(_, groups)| groups[group as usize].is_some())
            .map(|(n, _)| n)
            .collect()
    }
}
