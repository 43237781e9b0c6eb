//! Starts and stops whole groups, one resource at a time, in order.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::script::{Ending, Operation, ScriptError, Scripts};
use super::{Spec, Status};

/// One line of `haresources`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The line's first word: the node the group belongs to.
    pub home: String,
    /// Its members, from left to right.
    pub resources: Vec<Resource>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// Run by its script.
    Script(Spec),
    /// A virtual address (`IPaddr`, `IPaddr2` or a bare address), built in.
    Address {
        /// Which one, as the caller counts its addresses.
        vip: usize,
        /// As written, for the log.
        spec: Spec,
    },
}

impl Resource {
    /// As written in `haresources`.
    pub fn spec(&self) -> &Spec {
        match self {
            Self::Script(spec) | Self::Address { spec, .. } => spec,
        }
    }
}

/// As it is written in `haresources`.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.home)?;
        self.resources.iter().try_for_each(|resource| write!(f, " {}", resource.spec()))
    }
}

/// The virtual addresses of this node, acted on in the order of the group. All three must be idempotent.
pub trait Addresses {
    /// What can go wrong.
    type Error: fmt::Display;

    /// Makes the address served here.
    fn acquire(&mut self, vip: usize) -> impl Future<Output = Result<(), Self::Error>>;

    /// Makes it not served here.
    fn release(&mut self, vip: usize) -> impl Future<Output = Result<(), Self::Error>>;

    /// Is it served here?
    fn held(&mut self, vip: usize) -> impl Future<Output = bool>;
}

/// How long, and how often.
///
/// Heartbeat sets no time limit: one hanging script blocks all later transitions. The defaults for `start` and
/// `stop` are what systemd gives a service that says nothing (`DefaultTimeoutStartSec`, 90 s); `status` only
/// looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For each `start`.
    pub start: Duration,
    /// For each `stop`; a stop is also not retried when this much time has gone since its first try.
    pub stop: Duration,
    /// For each `status`.
    pub status: Duration,
    /// How often `stop` is tried (Heartbeat: `HA_STOPRETRYMAX` 10 retries make 11 tries).
    pub stop_tries: u32,
    /// Between two tries.
    pub stop_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(90),
            stop: Duration::from_secs(90),
            status: Duration::from_secs(15),
            stop_tries: 11,
            stop_pause: Duration::from_secs(1),
        }
    }
}

/// Why an operation on a resource did not do what it should.
#[derive(Debug)]
pub enum Reason {
    /// A script's.
    Script(Ending),
    /// An address's, told by [`Addresses`].
    Address(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Script(ending) => ending.fmt(f),
            Self::Address(error) => f.write_str(error),
        }
    }
}

/// A resource that runs although it was told to stop.
#[derive(Debug)]
pub struct Left {
    /// Its place in the group.
    pub index: usize,
    /// As written in `haresources`.
    pub resource: String,
    /// Why the last try failed.
    pub reason: Reason,
}

/// A group that did not start. It was stopped again.
#[derive(Debug, thiserror::Error)]
#[error("{resource} did not start: {reason}")]
pub struct StartFailure {
    /// The place in the group of the resource that did not start.
    pub index: usize,
    /// As written in `haresources`.
    pub resource: String,
    /// Why not.
    pub reason: Reason,
    /// What could not be stopped.
    pub left: Vec<Left>,
}

/// Starts a group from left to right. A resource that runs already is left alone. When one fails the whole group is
/// stopped, also what stands to the right of it.
///
/// May be cancelled: a running script is killed, and the group is then neither up nor down, so stop it.
///
/// # Errors
///
/// Which resource failed and why, and what could not be stopped.
pub async fn start_group<A: Addresses>(
    scripts: &Scripts,
    addresses: &mut A,
    group: &Group,
    limits: &Limits,
) -> Result<(), StartFailure> {
    tracing::info!("Acquiring resource group: {group}");
    let mut runner = Runner { scripts, addresses, limits };
    for (index, resource) in group.resources.iter().enumerate() {
        let Err(reason) = runner.start(resource).await else { continue };
        let name = resource.spec().to_string();
        tracing::error!("Giving up resources due to failure of {name}: {reason}");
        let left = stop_group(scripts, addresses, group, limits).await;
        return Err(StartFailure { index, resource: name, reason, left });
    }
    Ok(())
}

/// Stops a group from right to left, each resource up to [`Limits::stop_tries`] times, and goes on to the next one
/// also when a resource cannot be stopped: the fewer are left running, the better. Returns those that still
/// run; it is for the caller to make sure that they do no harm.
///
/// May be cancelled: a running script is killed; stopping again is always allowed.
#[must_use = "what is left running may damage data when the other node starts it too"]
pub async fn stop_group<A: Addresses>(
    scripts: &Scripts,
    addresses: &mut A,
    group: &Group,
    limits: &Limits,
) -> Vec<Left> {
    tracing::info!("Releasing resource group: {group}");
    let mut runner = Runner { scripts, addresses, limits };
    let mut left = Vec::new();
    for (index, resource) in group.resources.iter().enumerate().rev() {
        if let Err(reason) = runner.stop(resource).await {
            left.push(Left { index, resource: resource.spec().to_string(), reason });
        }
    }
    left
}

struct Runner<'a, A> {
    scripts: &'a Scripts,
    addresses: &'a mut A,
    limits: &'a Limits,
}

impl<A: Addresses> Runner<'_, A> {
    async fn start(&mut self, resource: &Resource) -> Result<(), Reason> {
        match self.status(resource).await {
            Status::Running => Ok(()),
            Status::Stopped => self.operate(resource, Operation::Start).await,
        }
    }

    async fn stop(&mut self, resource: &Resource) -> Result<(), Reason> {
        let Err(reason) = self.try_to_stop(resource).await else { return Ok(()) };
        let name = resource.spec();
        if self.surely_stopped(resource).await {
            tracing::warn!("{name} does not stop properly ({reason}), but it does not run either");
            return Ok(());
        }
        tracing::error!("Resource STOP failure: {name} still runs: {reason}");
        Err(reason)
    }

    /// Like [`Self::status`], but a script that could not finish saying it counts as running. One that does not
    /// exist cannot have started anything: a misspelt name must not look like a service out of control.
    async fn surely_stopped(&mut self, resource: &Resource) -> bool {
        let Resource::Script(spec) = resource else { return self.status(resource).await == Status::Stopped };
        let report = self.scripts.run(spec, Operation::Status, self.limits.status).await;
        match report.ending {
            Ending::Exited(_) => report.status() == Status::Stopped,
            Ending::NotRun(ScriptError::Spawn { .. }) => false,
            Ending::NotRun(_) => true,
            Ending::Signalled(_) | Ending::TimedOut(_) | Ending::Unknown(_) => false,
        }
    }

    async fn try_to_stop(&mut self, resource: &Resource) -> Result<(), Reason> {
        let began = Instant::now();
        let mut tries = 1;
        loop {
            let Err(reason) = self.operate(resource, Operation::Stop).await else { return Ok(()) };
            // A script that is not there will not be there in a second either.
            let hopeless = matches!(reason, Reason::Script(Ending::NotRun(_)));
            if hopeless || tries >= self.limits.stop_tries || began.elapsed() >= self.limits.stop {
                return Err(reason);
            }
            tries += 1;
            sleep(self.limits.stop_pause).await;
            tracing::info!("Retrying failed stop operation [{}]", resource.spec());
        }
    }

    async fn status(&mut self, resource: &Resource) -> Status {
        match resource {
            Resource::Script(spec) => {
                self.scripts.run(spec, Operation::Status, self.limits.status).await.status()
            }
            Resource::Address { vip, .. } if self.addresses.held(*vip).await => Status::Running,
            Resource::Address { .. } => Status::Stopped,
        }
    }

    /// Starts or stops.
    async fn operate(&mut self, resource: &Resource, operation: Operation) -> Result<(), Reason> {
        let done = match resource {
            Resource::Script(spec) => self.run(spec, operation).await,
            Resource::Address { vip, spec } => self.address(*vip, spec, operation).await,
        };
        if let Err(reason) = &done {
            tracing::error!(%operation, "{} failed: {reason}", resource.spec());
        }
        done
    }

    async fn run(&mut self, spec: &Spec, operation: Operation) -> Result<(), Reason> {
        let limit = match operation {
            Operation::Start => self.limits.start,
            Operation::Stop => self.limits.stop,
            Operation::Status => self.limits.status,
        };
        let report = self.scripts.run(spec, operation, limit).await;
        if report.succeeded() { Ok(()) } else { Err(Reason::Script(report.ending)) }
    }

    async fn address(&mut self, vip: usize, spec: &Spec, operation: Operation) -> Result<(), Reason> {
        // The path under which an operator looks for it in the log, although no script is run.
        let path = self.scripts.resource_d.join(&spec.name);
        tracing::info!("Running {} {} {operation} (built in)", path.display(), spec.args.join(" "));
        let done = match operation {
            Operation::Start => self.addresses.acquire(vip).await,
            Operation::Stop => self.addresses.release(vip).await,
            Operation::Status => Ok(()),
        };
        done.map_err(|error| Reason::Address(error.to_string()))
    }
}
