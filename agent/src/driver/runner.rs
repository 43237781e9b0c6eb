//! One task per group that starts and stops its resources and looks after them: groups never wait for one another, and a stop
//! ends a start that is under way.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use cluster::{GroupId, Operation};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::hooks::Moment;
use super::left::Noted;
use super::stonith::Stonith;
use crate::datapath::vips::Vips;
use crate::resources::{
    Fencing, Group, Left, Limits, Scripts, StartFailure, start_group_after, start_leading, still_left,
    stop_behind, stop_group, stop_leading, watch_group,
};

/// How long a start waits with what can do harm for the note that it may be up. It is served without one rather than not at all: that is for an
/// agent that crashes, and the disk hangs now.
const NOTED: Duration = Duration::from_secs(1);

/// What is asked of a group's task.
pub(super) enum Order {
    /// Start it, when that is noted down.
    Start(Option<Noted>),
    /// Leave its leading addresses up, or bring them up, and nothing else.
    Ready,
    /// Stop it.
    Stop,
}

/// What became of a group.
pub(super) enum Done {
    /// A finished operation.
    Operation { group: GroupId, operation: Operation, outcome: Result<(), String> },
    /// How a group that is up gets on: a resource died and does not come back, or all run again.
    Monitored { group: GroupId, outcome: Result<(), String> },
}

/// What operations go by. Whoever begins one takes what counts at that moment.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) limits: Limits,
    pub(super) scripts: Scripts,
    /// What is done about resources that do not stop.
    pub(super) fencing: Fencing,
    /// This node's name.
    pub(super) node: String,
}

/// The rules in force, shared by all groups.
pub(super) type RulesInForce = Rc<RefCell<Rc<Rules>>>;

/// Hands operations to a group's task.
pub(super) struct Runner {
    orders: mpsc::UnboundedSender<Order>,
}

/// All that a group's task works with.
pub(super) struct Work {
    pub(super) id: GroupId,
    /// The group's name among people.
    pub(super) key: String,
    pub(super) group: Group,
    /// How many addresses it begins with that may be up while its gate is shut.
    pub(super) leading: usize,
    pub(super) rules: RulesInForce,
    /// Sees to it that no other node runs the group.
    pub(super) stonith: Stonith,
    /// What scripts see beside that.
    pub(super) moment: Moment,
    pub(super) vips: Vips,
    pub(super) done: mpsc::UnboundedSender<Done>,
}

/// How much of a group is up, as far as this agent brought it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Up {
    /// Nothing, or what an earlier agent has left.
    Unknown,
    /// The leading addresses and nothing else.
    Addresses,
    /// All of it, or part of it.
    Whole,
}

impl Runner {
    /// Starts the task of a group; it ends when the runner is dropped. `is_up`: an earlier agent has started the group.
    pub(super) fn new(work: Work, is_up: bool) -> Self {
        // The election asks for one operation at a time, and for a stop over a start: the queue stays short.
        let (orders, queue) = mpsc::unbounded_channel();
        tokio::task::spawn_local(work.serve(queue, is_up));
        Self { orders }
    }

    pub(super) fn ask(&self, order: Order) {
        // The task lives as long as this handle.
        let _ = self.orders.send(order);
    }
}

impl Work {
    async fn serve(mut self, mut queue: mpsc::UnboundedReceiver<Order>, is_up: bool) {
        let mut up = if is_up { Up::Whole } else { Up::Unknown };
        let mut next = if is_up { self.look_after(&mut queue).await } else { queue.recv().await };
        while let Some(order) = next.take() {
            let (operation, outcome) = match order {
                Order::Start(noted) => {
                    let before = std::mem::replace(&mut up, Up::Whole);
                    tokio::select! {
                        biased;
                        outcome = self.start(before, noted) => (Operation::Start, outcome),
                        // Dropping the start kills its script; what it left is for the stop that comes now.
                        order = queue.recv() => {
                            next = order;
                            continue;
                        }
                    }
                }
                Order::Ready => (Operation::Ready, self.ready(up).await),
                Order::Stop => (Operation::Stop, self.stop(up).await),
            };
            up = match operation {
                Operation::Start if outcome.is_ok() => Up::Whole,
                Operation::Ready if outcome.is_ok() => Up::Addresses,
                Operation::Start | Operation::Stop | Operation::Ready => Up::Unknown,
            };
            let is_up = up == Up::Whole;
            let _ = self.done.send(Done::Operation { group: self.id, operation, outcome });
            next = if is_up { self.look_after(&mut queue).await } else { queue.recv().await };
        }
    }

    fn rules(&self) -> Rc<Rules> {
        Rc::clone(&self.rules.borrow())
    }

    /// Looks after the group until something else is wanted of it.
    async fn look_after(&mut self, queue: &mut mpsc::UnboundedReceiver<Order>) -> Option<Order> {
        let Rules { limits, scripts, .. } = &*self.rules();
        let (id, done) = (self.id, self.done.clone());
        let report = move |outcome| {
            let _ = done.send(Done::Monitored { group: id, outcome });
        };
        tokio::select! {
            biased;
            order = queue.recv() => order,
            () = watch_group(scripts, &mut self.vips, &self.group, limits, report) => None,
        }
    }

    async fn start(&mut self, before: Up, noted: Option<Noted>) -> Result<(), String> {
        let Rules { limits, scripts, .. } = &*self.rules();
        let scripts = &scripts.with(&self.moment.borrow());
        if before == Up::Addresses {
            // They are up; nobody was told while the gate was shut.
            self.vips.announce_group_at_once(self.id);
        }
        // Clients wait for the addresses, so these wait for nothing: the next agent removes them anyway.
        let clear = async {
            if let Some(noted) = noted
                && timeout(NOTED, noted).await.is_err()
            {
                tracing::warn!("{}: starting without a note of it: the run directory's disk hangs", self.key);
            }
            if !self.stonith.clear(self.id).await {
                // A stop is on its way, and ends this start.
                std::future::pending::<()>().await;
            }
        };
        let started = start_group_after(scripts, &mut self.vips, &self.group, limits, clear).await;
        if started.is_ok() {
            // Addresses alone wait for nobody; but who held them and is silent may serve on, if it is the network that is dead.
            let (stonith, id) = (self.stonith.clone(), self.id);
            tokio::task::spawn_local(async move { stonith.clear(id).await });
        }
        self.conclude(started).await
    }

    /// Leaves the leading addresses up and nothing else, or brings them up.
    async fn ready(&mut self, before: Up) -> Result<(), String> {
        let Rules { limits, scripts, .. } = &*self.rules();
        let scripts = &scripts.with(&self.moment.borrow());
        if before == Up::Whole {
            let left = stop_behind(scripts, &mut self.vips, &self.group, limits, self.leading).await;
            if let Err(what) = self.end(left).await {
                // As after a stop that failed: nothing of it stays that can go.
                let left = stop_leading(scripts, &mut self.vips, &self.group, limits, self.leading).await;
                return Err(match self.end(left).await {
                    Ok(()) => what,
                    Err(more) => format!("{what}; {more}"),
                });
            }
        }
        let started = start_leading(scripts, &mut self.vips, &self.group, limits, self.leading).await;
        self.conclude(started).await
    }

    async fn stop(&mut self, before: Up) -> Result<(), String> {
        let Rules { limits, scripts, .. } = &*self.rules();
        let scripts = &scripts.with(&self.moment.borrow());
        let left = if before == Up::Addresses {
            stop_leading(scripts, &mut self.vips, &self.group, limits, self.leading).await
        } else {
            stop_group(scripts, &mut self.vips, &self.group, limits).await
        };
        self.end(left).await
    }

    /// What a failed start means, and what it has left.
    async fn conclude(&mut self, done: Result<(), StartFailure>) -> Result<(), String> {
        let Err(failure) = done else { return Ok(()) };
        let what = failure.to_string();
        match self.end(failure.left).await {
            Ok(()) => Err(what),
            Err(left) => Err(format!("{what}; {left}")),
        }
    }

    /// Sees to it that what did not stop does no harm, as far as there are means; says what still runs.
    async fn end(&mut self, left: Vec<Left>) -> Result<(), String> {
        if left.is_empty() {
            return Ok(());
        }
        let Rules { limits, scripts, fencing, node } = &*self.rules();
        let names = left.iter().map(|left| format!("{} ({})", left.resource, left.reason));
        let names = names.collect::<Vec<_>>().join(", ");
        if fencing.is_empty() {
            return Err(format!("still running: {names}"));
        }
        match scripts.fence(fencing, node, &self.key, &left).await {
            Ok(by) => {
                if still_left(scripts, &mut self.vips, &self.group, limits, left).await.is_empty() {
                    tracing::warn!("{by} has ended what did not stop: {names}");
                    return Ok(());
                }
                Err(format!("still running: {names}; {by} says that it does no harm"))
            }
            Err(why) => Err(format!("still running: {names}; fencing failed: {why}")),
        }
    }
}
