//! Log lines: Heartbeat's own where operators search for them, one per transition, with who, what and because of what.

use cluster::{GroupId, Note, Why};
use reflex::{Event, EventKind, Reason};

use crate::config::Config;

/// Puts names to numbers.
pub(super) struct Names<'a>(pub(super) &'a Config);

impl Names<'_> {
    pub(super) fn node(&self, node: impl Into<u64>) -> &str {
        usize::try_from(node.into()).ok().and_then(|node| self.0.nodes.get(node)).map_or("?", String::as_str)
    }

    pub(super) fn group(&self, group: GroupId) -> &str {
        self.0.groups.get(group as usize).map_or("?", |group| group.key())
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
        Note::Held { node, key } => {
            let (name, what) = (names.node(*node), if *key { "key" } else { "configuration" });
            tracing::error!("{own} stays back: {name} is there with another {what}; make them the same");
        }
        Note::NodeUp(node) => tracing::info!("Status update for node {}: status up", names.node(*node)),
        Note::NodeDead(node) => tracing::warn!("node {}: is dead", names.node(*node)),
        Note::NodeLeaving(node) => tracing::info!("Received shutdown notice from '{}'.", names.node(*node)),
        Note::ConfigDiffers(node) => tracing::error!(
            "{} has another configuration: nodes, groups and times must be equal; it gets no group from here",
            names.node(*node)
        ),
        Note::Granted { group, epoch } => {
            tracing::info!(epoch, "nobody holds {}: taking it", names.group(*group));
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
        Note::Failed { group, what } => tracing::error!("{}: {what}", names.group(*group)),
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
        Some(EventKind::NodeAlive | EventKind::NodeSaid) | None => {}
    }
}
