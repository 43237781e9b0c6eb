//! Heartbeat's own log lines, word by word, where xbeat's election knows no such moment: operators and their tools search for
//! them. Everything of that kind is here; lines that are Heartbeat's and ours alike stand where the thing happens
//! (`notes.rs`, the resource runner). [`LINES`] lists both.
//!
//! Decides nothing: listens to what the election is told and what it answers.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use cluster::{Action, Command, GroupId, Input, NodeView, Note, Set, Why};
use reflex::{Claim, ClaimState, Reason};

use super::notes::Names;

/// Every line that operators search for; `…` stands for names and numbers.
pub const LINES: &[&str] = &[
    "Configuration validated. Starting heartbeat …",
    "Local status now set to: 'up'",
    "Comm_now_up(): updating status to active",
    "Local status now set to: 'active'",
    "Link …:… up.",
    "Link …:… dead.",
    "Status update for node …: status up",
    "Status update for node …: status active",
    "node …: is dead",
    "Late heartbeat: Node …: interval … ms",
    "Heartbeat restart on node …",
    "Cluster node … returning after partition.",
    "Initial resource acquisition complete",
    "Resources being acquired from ….",
    "Taking over resource group …",
    "Acquiring resource group: …",
    "Running …/resource.d/… start",
    "mach_down takeover complete for node ….",
    "Releasing resource group: …",
    "Running …/resource.d/… stop",
    "Going standby […].",
    "… wants to go standby […]",
    "standby: … can take our … resources",
    "give up … HA resources (standby).",
    "Standby resource acquisition done […].",
    "Other node completed standby takeover of … resources.",
    "remote resource transition completed.",
    "No reply to standby request.  Standby request cancelled.",
    "Both machines own … resources!",
    "No one owns … resources!",
    "Received shutdown notice from '…'.",
    "Heartbeat shutdown in progress.",
    "Giving up all HA resources.",
    "All HA resources relinquished.",
    "… Heartbeat shutdown complete.",
];

/// What was heard of another node.
#[derive(Clone, Debug, Default)]
struct Seen {
    view: NodeView,
    /// Its last life that was heard of.
    session: u64,
    /// Groups that are being taken from it because it went away.
    taken: BTreeSet<GroupId>,
}

/// A group of ours that goes to another node.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    to: u8,
    /// The old lines of a hand-over were told: the other one is ready.
    told: bool,
}

/// Listens, and speaks Heartbeat's words.
#[derive(Debug)]
pub(super) struct OldLines {
    own: u8,
    /// Whether groups are at home here.
    at_home: Vec<bool>,
    nodes: Vec<Seen>,
    claims: Vec<BTreeMap<GroupId, Claim>>,
    open: BTreeSet<GroupId>,
    /// Links by which nodes are heard, and their names.
    links: BTreeMap<(u8, u8), String>,
    leaving: BTreeMap<GroupId, Leaving>,
    /// Groups that were given away, and whose new owner has not shown himself yet.
    given: BTreeMap<GroupId, u8>,
    /// Groups that another node hands to this one.
    coming: BTreeMap<GroupId, u8>,
    is_settled: bool,
    /// This node goes down: that nobody has its groups then is meant.
    goes_down: bool,
}

impl OldLines {
    pub(super) fn new(own: u8, nodes: usize, at_home: Vec<bool>) -> Self {
        tracing::info!("Local status now set to: 'up'");
        Self {
            own,
            at_home,
            nodes: vec![Seen::default(); nodes],
            claims: vec![BTreeMap::new(); nodes],
            open: BTreeSet::new(),
            links: BTreeMap::new(),
            leaving: BTreeMap::new(),
            given: BTreeMap::new(),
            coming: BTreeMap::new(),
            is_settled: false,
            goes_down: false,
        }
    }

    /// The class of a group for the node that has it.
    fn class(&self, group: GroupId) -> &'static str {
        if self.is_at_home(group) { "local" } else { "foreign" }
    }

    /// The class of a group that comes from another node, for that node: with two nodes what is not at home here is at
    /// home there.
    fn class_there(&self, group: GroupId) -> &'static str {
        if self.is_at_home(group) { "foreign" } else { "local" }
    }

    fn is_at_home(&self, group: GroupId) -> bool {
        self.at_home.get(group as usize).copied().unwrap_or(false)
    }

    /// The election is about to be told this.
    pub(super) fn on_input(&mut self, names: &Names<'_>, input: &Input) {
        match input {
            Input::Node { node, view, claims } => {
                let lives_on = self.on_view(names, *node, *view);
                self.on_claims(names, *node, claims, lives_on);
            }
            Input::Gate { group, gate } => {
                if gate.open {
                    self.open.insert(*group);
                } else {
                    self.open.remove(group);
                }
            }
            Input::Command { command, .. } => self.on_command(names, command),
            Input::Done { .. }
            | Input::Monitored { .. }
            | Input::Reach { .. }
            | Input::Sight { .. }
            | Input::Asked { .. }
            | Input::Rules { .. }
            | Input::Timeout => {}
        }
    }

    /// Whether the node is in the life that was known.
    fn on_view(&mut self, names: &Names<'_>, node: u8, view: NodeView) -> bool {
        let Some(seen) = self.nodes.get_mut(usize::from(node)) else { return false };
        let before = std::mem::replace(&mut seen.view, view);
        let known = seen.session;
        let lives_on = known == view.session;
        if view.session != 0 {
            seen.session = view.session;
        }
        let name = names.node(node);
        if known != 0 && !lives_on && view.session != 0 {
            tracing::info!("Heartbeat restart on node {name}");
        }
        if view.alive && !before.alive {
            seen.taken.clear();
            if known != 0 && lives_on {
                tracing::error!("Cluster node {name} returning after partition.");
            }
        }
        if view.alive && view.active && !(before.active && lives_on) {
            tracing::info!("Status update for node {name}: status active");
        }
        lives_on
    }

    fn on_claims(&mut self, names: &Names<'_>, node: u8, claims: &[(GroupId, Claim)], lives_on: bool) {
        let name = names.node(node);
        let mut offered = BTreeSet::new();
        for &(group, claim) in claims {
            let Some(known) = self.claims.get_mut(usize::from(node)) else { return };
            let before = known.insert(group, claim).unwrap_or_default();
            let is_open = claim.state() == ClaimState::Open;
            if lives_on
                && before.state() == ClaimState::Open
                && claim.state() == ClaimState::Fenced
                && self.open.contains(&group)
            {
                self.both_own(group);
            }
            if is_open && claim.heir == self.own + 1 {
                if self.coming.insert(group, node).is_none() {
                    offered.insert(self.class_there(group));
                }
            } else if is_open && self.coming.get(&group) == Some(&node) {
                self.coming.remove(&group);
            }
            if is_open && self.given.get(&group) == Some(&node) {
                self.given.remove(&group);
                let class = self.class(group);
                tracing::info!("Other node completed standby takeover of {class} resources.");
                tracing::info!("remote resource transition completed.");
            }
        }
        let is_leaving = self.nodes.get(usize::from(node)).is_some_and(|seen| seen.view.leaving);
        match offered.iter().copied().collect::<Vec<_>>().as_slice() {
            [] => {}
            _ if is_leaving => tracing::info!("Resources being acquired from {name}."),
            [class] => tracing::info!("{name} wants to go standby [{class}]"),
            _ => tracing::info!("{name} wants to go standby [all]"),
        }
    }

    fn on_command(&mut self, names: &Names<'_>, command: &Command) {
        match command {
            Command::Standby(set) => {
                let set = match set {
                    Set::All => "all",
                    Set::Local => "local",
                    Set::Foreign => "foreign",
                    Set::Group(group) => names.group(*group),
                };
                tracing::info!("Going standby [{set}].");
            }
            Command::Takeover(_) => {}
            Command::Stop => {
                self.goes_down = true;
                tracing::info!("Heartbeat shutdown in progress.");
                tracing::info!("Giving up all HA resources.");
            }
        }
    }

    /// The election has answered this.
    pub(super) fn on_action(&mut self, names: &Names<'_>, action: &Action) {
        match action {
            Action::Note(note) => self.on_note(names, note),
            // The other one is ready, and our resources go down.
            Action::Stop(group) | Action::Ready(group) => self.hand_over(names, *group),
            Action::Resign { group, .. } => {
                self.open.remove(group);
            }
            Action::Exit => tracing::info!("All HA resources relinquished."),
            Action::Grant { .. }
            | Action::Arm { .. }
            | Action::Plan { .. }
            | Action::Status(_)
            | Action::Say
            | Action::Start(_)
            | Action::Announce(_)
            | Action::Ask(_)
            | Action::Reply { .. } => {}
        }
    }

    fn on_note(&mut self, names: &Names<'_>, note: &Note) {
        match note {
            Note::Active { .. } => tracing::info!("Comm_now_up(): updating status to active"),
            Note::NodeDead(node) => {
                let gone: Vec<(u8, u8)> =
                    self.links.keys().filter(|(known, _)| known == node).copied().collect();
                for link in gone.iter().filter_map(|link| self.links.remove(link)) {
                    tracing::info!("Link {}:{link} dead.", names.node(*node));
                }
            }
            Note::Granted { group, .. } | Note::TookOver { group, .. } => self.taking(names, *group),
            Note::Started(group) => self.started(names, *group),
            Note::Fenced { group, reason } => {
                self.leaving.remove(group);
                if *reason == Reason::HigherEpoch {
                    self.both_own(*group);
                }
            }
            Note::Moving { group, to, why } => {
                let class = self.class(*group);
                let is_told = self.leaving.keys().any(|&other| self.class(other) == class);
                self.leaving.insert(*group, Leaving { to: *to, told: false });
                if !is_told && *why != Why::Leaving {
                    tracing::info!("{} wants to go standby [{class}]", names.node(self.own));
                }
            }
            Note::MoveAborted { group, .. } => {
                self.leaving.remove(group);
                tracing::warn!("No reply to standby request.  Standby request cancelled.");
            }
            Note::Resigned { group, to: Some(to) } => {
                self.hand_over(names, *group);
                self.leaving.remove(group);
                self.given.insert(*group, *to);
            }
            Note::Resigned { group, to: None } => {
                self.leaving.remove(group);
                if !self.goes_down {
                    let class = if self.is_at_home(*group) { "our local" } else { "foreign" };
                    tracing::error!("No one owns {class} resources!");
                }
            }
            Note::MayNotBeAlone { .. }
            | Note::NotAlone { .. }
            | Note::Held { .. }
            | Note::NodeUp(_)
            | Note::NodeLeaving(_)
            | Note::ConfigDiffers(_)
            | Note::Occupied(_)
            | Note::Stopped(_)
            | Note::Ailing { .. }
            | Note::Failed { .. } => {}
        }
    }

    fn both_own(&self, group: GroupId) {
        let class = if self.is_at_home(group) { "our" } else { "foreign" };
        tracing::error!("Both machines own {class} resources!");
    }

    /// The heir of a group is ready: once for each hand-over.
    fn hand_over(&mut self, names: &Names<'_>, group: GroupId) {
        let class = self.class(group);
        let Some(leaving) = self.leaving.get_mut(&group).filter(|leaving| !leaving.told) else { return };
        leaving.told = true;
        tracing::info!("standby: {} can take our {class} resources", names.node(leaving.to));
        tracing::info!("give up {class} HA resources (standby).");
    }

    /// This node takes a group; unless it was handed over, the one who had it went away.
    fn taking(&mut self, names: &Names<'_>, group: GroupId) {
        self.given.remove(&group);
        if self.coming.contains_key(&group) {
            return;
        }
        let had = |node: &usize| {
            let claim = self.claims[*node].get(&group).copied().unwrap_or_default();
            let held = matches!(claim.state(), ClaimState::Open | ClaimState::Fenced);
            held.then_some(claim.epoch)
        };
        let last = (0..self.claims.len()).filter_map(|node| Some((had(&node)?, node))).max();
        let Some(seen) = last.and_then(|(_, node)| self.nodes.get_mut(node).map(|seen| (node, seen))) else {
            return;
        };
        let (node, seen) = seen;
        if seen.taken.is_empty() {
            tracing::info!("Resources being acquired from {}.", names.node(node as u64));
        }
        seen.taken.insert(group);
    }

    fn started(&mut self, names: &Names<'_>, group: GroupId) {
        let handed_over = self.coming.remove(&group);
        let is_leaving = |node: u8| self.nodes.get(usize::from(node)).is_some_and(|seen| seen.view.leaving);
        if handed_over.is_some_and(|node| !is_leaving(node)) {
            let class = self.class_there(group);
            tracing::info!("Standby resource acquisition done [{class}].");
        }
        for (node, seen) in self.nodes.iter_mut().enumerate() {
            if seen.taken.remove(&group) && seen.taken.is_empty() {
                tracing::info!("mach_down takeover complete for node {}.", names.node(node as u64));
            }
        }
    }

    /// A link carries frames of a node; it was told otherwise before, or not at all.
    pub(super) fn on_link_up(&mut self, names: &Names<'_>, (node, link): (u8, u8), name: &str) {
        if let Entry::Vacant(place) = self.links.entry((node, link)) {
            place.insert(name.to_owned());
            tracing::info!("Link {}:{name} up.", names.node(node));
        }
    }

    /// That one link is dead, or up again, was told already.
    pub(super) fn link_is_told(&mut self, link: (u8, u8), name: &str, is_up: bool) {
        if is_up {
            self.links.insert(link, name.to_owned());
        } else {
            self.links.remove(&link);
        }
    }

    /// Whether the first distribution of the groups was not told of yet.
    pub(super) fn is_settling(&self) -> bool {
        !self.is_settled
    }

    /// Every group is where it belongs for the first time.
    pub(super) fn settled(&mut self) {
        self.is_settled = true;
        tracing::info!("Initial resource acquisition complete");
    }
}

#[cfg(test)]
mod tests;
