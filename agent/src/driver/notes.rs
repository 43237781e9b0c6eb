//! Log lines: Heartbeat's own where operators search for them, one per transition, with who, what and because of what.

use cluster::{Done, GroupId, NodeId, Note, Refusal, Why};
use reflex::{Event, EventKind, Reason};

use super::directions::{Change, Way};
use crate::config::Config;

/// Puts names to numbers.
pub(super) struct Names<'a>(pub(super) &'a Config);

impl Names<'_> {
    pub(super) fn node(&self, node: impl Into<u64>) -> &str {
        usize::try_from(node.into()).ok().and_then(|node| self.0.nodes.get(node)).map_or("?", String::as_str)
    }

    /// Several: `beta`, `beta and gamma`, `beta, gamma and delta`.
    pub(super) fn nodes(&self, nodes: &[NodeId]) -> String {
        let names: Vec<&str> = nodes.iter().map(|&node| self.node(node)).collect();
        match names.as_slice() {
            [] => "nobody".to_owned(),
            [one] => (*one).to_owned(),
            [all @ .., last] => format!("{} and {last}", all.join(", ")),
        }
    }

    pub(super) fn group(&self, group: GroupId) -> &str {
        self.0.groups.get(group as usize).map_or("?", |group| group.key())
    }
}

/// Tells an operator what was done.
pub(super) const fn done(done: Done) -> &'static str {
    match done {
        Done::Done => "done",
        Done::NothingToGive => "nothing to give: this node serves none of these groups",
        Done::NothingToTake => "nothing to take: this node serves these groups already",
        Done::Stopped => "stopped",
    }
}

/// Tells an operator why nothing was done.
pub(super) fn refusal(names: &Names<'_>, refusal: &Refusal) -> String {
    let name = |group: &GroupId, node: &NodeId| (names.group(*group), names.node(*node));
    match refusal {
        Refusal::Nobody { group } => format!("no other node is up that could take {}", names.group(*group)),
        Refusal::Unwilling { group, node } => {
            let (group, node) = name(group, node);
            format!("{node} is up, but cannot take {group} now: `xbeat status` there says why")
        }
        Refusal::NotReady { group, node } => {
            let (group, node) = name(group, node);
            format!("{node} did not get ready in time; {group} stays")
        }
        Refusal::NotTaken { group, node } => {
            let (group, node) = name(group, node);
            format!("{node} was given {group} and did not take it")
        }
        Refusal::NotGiven { group } => {
            format!("{} was not given to {} in time", names.group(*group), names.node(names.0.own as u64))
        }
        Refusal::Failed { group, what } => format!("{}: {what}", names.group(*group)),
        Refusal::Stopped => format!("{} was stopped meanwhile", names.node(names.0.own as u64)),
    }
}

/// In words for a person.
pub(super) const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Lease => "the agent did not renew its lease in time",
        Reason::Exit => "the agent exited",
        Reason::HigherEpoch => "another node holds it with a higher epoch",
        Reason::Operator => "operator",
    }
}

const fn why(why: Why) -> &'static str {
    match why {
        Why::Standby => "standby",
        Why::Takeover => "the other node's operator wants it",
        Why::Failback => "its home node is back",
        Why::Leaving => "this node is going down",
        Why::Failure => "it does not start here",
        Why::Unreachable => "its interface is down here",
        Why::Deaf => "others reach the other node on its network, and not this one",
        Why::Blind => "the other node sees more ping nodes",
    }
}

/// Logs what the election did.
pub(super) fn log(names: &Names<'_>, note: &Note) {
    let own = names.node(names.0.own as u64);
    match note {
        Note::Active { alone } => {
            tracing::info!("Local status now set to: 'active'");
            if *alone {
                tracing::warn!("initdead has passed and not every node was heard: {own} may not be alone");
            }
        }
        Note::MayNotBeAlone { nodes } => tracing::warn!(
            "{own} may not be alone: it serves, and does not hear {}. If that lives behind a broken network, both serve, each \
             those that it reaches. Look at its power and at the heartbeat links; the first frame that is heard settles it, and \
             the higher epoch stays",
            names.nodes(nodes)
        ),
        Note::NotAlone { nodes, serves: true } => {
            tracing::info!(
                "{own} hears {} again, or knows that it has gone: nobody serves beside it",
                names.nodes(nodes)
            );
        }
        Note::NotAlone { nodes, serves: false } => {
            tracing::info!("{own} serves nothing any more: there is no conflict with {}", names.nodes(nodes));
        }
        Note::Held { node, key } => {
            let (name, what) = (names.node(*node), if *key { "key" } else { "configuration" });
            tracing::error!("{own} stays back: {name} is there with another {what}; make them the same");
        }
        Note::NodeUp(node) => tracing::info!("Status update for node {}: status up", names.node(*node)),
        Note::NodeDead(node) => tracing::warn!("node {}: is dead", names.node(*node)),
        Note::NodeLeaving(node) => tracing::info!("Received shutdown notice from '{}'.", names.node(*node)),
        Note::ConfigDiffers(node) => tracing::error!(
            "{} has another configuration: nodes and groups must be equal; it gets no group from here",
            names.node(*node)
        ),
        Note::Granted { group, epoch } => {
            tracing::info!(epoch, "Taking over resource group {}: nobody holds it", names.group(*group));
        }
        Note::TookOver { group, epoch } => {
            tracing::warn!(epoch, "Taking over resource group {}: its gate opened", names.group(*group));
        }
        Note::Occupied(group) => tracing::error!(
            "somebody answers for {} whom {own} does not hear: staying back; look at the heartbeat links",
            names.group(*group)
        ),
        Note::Fenced { group, reason: because } => {
            tracing::error!("{} is fenced here: {}; stopping it", names.group(*group), reason(*because));
        }
        Note::Moving { group, to, why: because } => {
            if *because == Why::Blind {
                // As Heartbeat's ipfail says it.
                tracing::info!("Giving up because we were told that we have less ping nodes.");
            }
            tracing::info!("handing {} to {}: {}", names.group(*group), names.node(*to), why(*because));
        }
        Note::MoveAborted { group, to } => {
            tracing::error!("{} did not get ready for {}: it stays", names.node(*to), names.group(*group));
        }
        Note::Resigned { group, to: Some(to) } => {
            tracing::info!("gave {} to {}", names.group(*group), names.node(*to));
        }
        Note::Resigned { group, to: None } => {
            tracing::error!("gave {} up: nobody can take it, it is down", names.group(*group));
        }
        Note::Started(group) => tracing::info!("{} is up on {own}", names.group(*group)),
        Note::Stopped(group) => tracing::info!("{} is down on {own}", names.group(*group)),
        Note::Ailing { group, what: Some(what) } => {
            tracing::error!("{}: {what}; no other node can take it, so it stays", names.group(*group));
        }
        Note::Ailing { group, what: None } => tracing::info!("{} is whole again", names.group(*group)),
        Note::Failed { group, what } => tracing::error!("{}: {what}", names.group(*group)),
    }
}

/// Logs that a link to another node carries otherwise than it did.
pub(super) fn log_link(names: &Names<'_>, link: &str, change: &Change) {
    let (own, node, ms) =
        (names.node(names.0.own as u64), names.node(change.node), change.lasted / 1_000_000);
    match change.way {
        Way::Both => tracing::info!("Link {node}:{link} up. It carries both ways again, after {ms} ms"),
        Way::Silent => {
            tracing::warn!(
                "Link {node}:{link} dead. Nothing of {node} came by it for {ms} ms; other links carry"
            );
        }
        Way::OnlyToUs => tracing::warn!(
            "Link {node}:{link} is one-way: {own} hears {node} by it, and {node} has answered nothing for {ms} ms: what {own} \
             sends, or the answers, are lost"
        ),
    }
}

/// Logs what the kernel did that the election does not speak of, with the kernel's own stamps.
pub(super) fn log_event(names: &Names<'_>, event: &Event, now: u64) {
    let ago_us = now.saturating_sub(event.at) / 1000;
    match EventKind::from_number(event.kind) {
        Some(EventKind::NodeLate) => tracing::warn!(
            "Late heartbeat: Node {}: interval {} ms",
            names.node(event.node),
            event.epoch / 1_000_000
        ),
        Some(EventKind::NodeRefused) => tracing::error!(
            "node {}: frames in its name failed authentication: another key, or somebody else",
            names.node(event.node)
        ),
        Some(EventKind::Conflict) => tracing::error!(
            "somebody with another MAC address says that an address of {} is his",
            names.group(event.group)
        ),
        Some(EventKind::NodeDead) => {
            tracing::debug!(ago_us, "verdict: {} is dead", names.node(event.node));
        }
        Some(EventKind::GateOpened) => {
            tracing::info!(ago_us, epoch = event.epoch, "gate of {} opened", names.group(event.group));
        }
        Some(EventKind::GateFenced) => {
            tracing::info!(ago_us, epoch = event.epoch, "gate of {} fenced", names.group(event.group));
        }
        Some(EventKind::NodeAdmitted) => {
            tracing::info!("node {} answered our challenge: it joins", names.node(event.node));
        }
        Some(
            EventKind::NodeAlive | EventKind::NodeSaid | EventKind::NodeDoubted | EventKind::LetterAnswered,
        )
        | None => {}
    }
}
