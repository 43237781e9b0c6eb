//! One task per group that starts and stops its resources: groups never wait for one another, and a stop ends a start
//! that is under way.

use cluster::{GroupId, Operation};
use tokio::sync::mpsc;

use crate::datapath::vips::Vips;
use crate::resources::{Group, Limits, Scripts, start_group, stop_group};

/// A finished operation.
pub(super) struct Done {
    pub(super) group: GroupId,
    pub(super) operation: Operation,
    pub(super) outcome: Result<(), String>,
}

/// Hands operations to a group's task.
pub(super) struct Runner {
    operations: mpsc::UnboundedSender<Operation>,
}

impl Runner {
    /// Starts the task of `group`; it ends when the runner is dropped.
    pub(super) fn new(
        id: GroupId,
        group: Group,
        limits: Limits,
        scripts: Scripts,
        vips: Vips,
        done: mpsc::UnboundedSender<Done>,
    ) -> Self {
        // The election asks for one operation at a time, and for a stop over a start: the queue stays short.
        let (operations, queue) = mpsc::unbounded_channel();
        tokio::task::spawn_local(serve(id, group, limits, scripts, vips, queue, done));
        Self { operations }
    }

    pub(super) fn ask(&self, operation: Operation) {
        // The task lives as long as this handle.
        let _ = self.operations.send(operation);
    }
}

async fn serve(
    id: GroupId,
    group: Group,
    limits: Limits,
    scripts: Scripts,
    mut vips: Vips,
    mut queue: mpsc::UnboundedReceiver<Operation>,
    done: mpsc::UnboundedSender<Done>,
) {
    let mut next = queue.recv().await;
    while let Some(operation) = next.take() {
        let outcome = match operation {
            Operation::Start => {
                tokio::select! {
                    biased;
                    result = start_group(&scripts, &mut vips, &group, &limits) => {
                        result.map_err(|failure| failure.to_string())
                    }
                    // Dropping the start kills its script; what it left is for the stop that comes now.
                    operation = queue.recv() => {
                        next = operation;
                        continue;
                    }
                }
            }
            Operation::Stop => {
                let left = stop_group(&scripts, &mut vips, &group, &limits).await;
                if left.is_empty() {
                    Ok(())
                } else {
                    let left: Vec<String> =
                        left.iter().map(|left| format!("{} ({})", left.resource, left.reason)).collect();
                    Err(format!("still running: {}", left.join(", ")))
                }
            }
        };
        let _ = done.send(Done { group: id, operation, outcome });
        next = queue.recv().await;
    }
}
