//! What hooks and scripts of old are told, and what they tell: statuses of nodes go to `rc.d`, messages come by the FIFO.

use std::cell::RefCell;
use std::rc::Rc;

use cluster::{Command, Input, NodeView, Set};

use super::turn::Driver;
use crate::control::Message;
use crate::resources::{Event, Hooks};

/// Variables that scripts see beside those of the configuration: the last thing that happened to a node. By name without `HA_`.
pub(super) type Moment = Rc<RefCell<Vec<(String, String)>>>;

/// The field that names the node that a message is of.
const SOURCE: &str = "src";

/// Messages by which Heartbeat's daemons and helpers talked to one another about resources.
const OWN_MESSAGES: [&str; 8] =
    ["resource", "ip-request", "ip-request-resp", "status", "starting", "shutdone", "reqnodes", "repnodes"];

/// Whether a message of that kind is Heartbeat's own. What it does, it does for who may write to this node's FIFO: it never goes
/// to other nodes, and does nothing when it comes from one.
pub(super) fn is_own(kind: &str) -> bool {
    matches!(kind, "ask_resources" | "hb_takeover") || OWN_MESSAGES.contains(&kind)
}

/// Statuses, as hooks know them.
pub(super) struct Told {
    pub(super) hooks: Hooks,
    pub(super) moment: Moment,
    /// By node.
    statuses: Vec<&'static str>,
}

impl Told {
    pub(super) fn new(nodes: usize, moment: Moment) -> Self {
        Self { hooks: Hooks::start(), moment, statuses: vec![INIT; nodes] }
    }
}

const INIT: &str = "init";
const DEAD: &str = "dead";

fn status(view: NodeView) -> &'static str {
    match (view.alive, view.active, view.session) {
        (true, true, _) => "active",
        (true, false, _) => "up",
        (false, _, 0) => INIT,
        (false, ..) => DEAD,
    }
}

impl Driver<'_> {
    /// Tells hooks of nodes that another status was heard of.
    pub(super) fn tell_hooks(&mut self, input: &Input) {
        if let Input::Node { node, view, .. } = input {
            let status = status(*view);
            // Who was declared dead without having been heard stays dead.
            if status != INIT {
                self.tell_status(usize::from(*node), status);
            }
        }
    }

    /// Nodes that were not heard by the end of initdead are dead to hooks, as they are to Heartbeat.
    pub(super) fn tell_of_the_unheard(&mut self) {
        let own = self.config.own;
        for node in (0..self.config.nodes.len()).filter(|&node| node != own) {
            if self.told.statuses[node] == INIT {
                tracing::warn!("node {}: is dead: not heard within initdead", self.config.nodes[node]);
                self.tell_status(node, DEAD);
            }
        }
    }

    fn tell_status(&mut self, node: usize, status: &'static str) {
        let Some(known) = self.told.statuses.get_mut(node) else { return };
        let before = std::mem::replace(known, status);
        if before == status {
            return;
        }
        let name = self.config.nodes.get(node).cloned().unwrap_or_default();
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut fields =
            vec![field("t", "status"), field("src", &name), field("st", status), field("OSTATUS", before)];
        let others = self.told.statuses.iter().enumerate().filter(|(node, _)| *node != self.config.own);
        // Heartbeat's word for: there is nobody to be asked.
        if others.into_iter().all(|(_, status)| *status == DEAD) {
            fields.push(field("DONTASK", "yes"));
        }
        *self.told.moment.borrow_mut() = fields.clone();
        let event = Event { kind: "status".to_owned(), fields };
        self.told.hooks.tell(&self.rules.borrow().scripts, event);
    }

    /// A program has written a message to the FIFO.
    pub(super) fn on_message(&mut self, message: &Message) {
        let kind = message.kind();
        let set = match message.field("rsc_hold") {
            Some("all") => Some(Set::All),
            Some("local") => Some(Set::Local),
            Some("foreign") => Some(Set::Foreign),
            Some(_) | None => None,
        };
        match (kind, message.field("info"), set) {
            ("ask_resources", Some("me"), Some(set)) => self.order(Command::Standby(set)),
            ("hb_takeover", _, Some(set)) => self.order(Command::Takeover(set)),
            ("ask_resources" | "hb_takeover", ..) => tracing::warn!(
                "the FIFO: {kind} without a meaning: expected rsc_hold=all, local or foreign, and info=me"
            ),
            _ if is_own(kind) => {
                tracing::info!("the FIFO: {kind} is ignored: xbeat moves resources by itself");
            }
            _ => {
                tracing::info!("the FIFO: {kind} is for rc.d/{kind} on every node");
                let own = self.config.nodes[self.config.own].clone();
                self.run_hook(message, &own);
                self.post(message);
            }
        }
    }

    /// Runs the hook that a message of that node is for. Heartbeat named its sender in every message.
    pub(super) fn run_hook(&self, message: &Message, source: &str) {
        let mut fields = message.fields().to_vec();
        fields.retain(|(name, _)| name != SOURCE);
        fields.push((SOURCE.to_owned(), source.to_owned()));
        let event = Event { kind: message.kind().to_owned(), fields };
        self.told.hooks.tell(&self.rules.borrow().scripts, event);
    }

    /// A command that nobody waits for.
    fn order(&mut self, command: Command) {
        let id = self.new_command();
        self.tell(Input::Command { id, command });
    }
}
