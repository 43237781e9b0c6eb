//! Starts and stops whole groups, one resource at a time, in order.

mod runner;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::script::{Ending, Scripts};
use super::{Spec, Status};
use runner::Runner;

/// One line of `haresources`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The line's first word: the node the group belongs to.
    pub home: String,
    /// Its members, from left to right.
    pub resources: Vec<Resource>,
    /// How often which of them is asked for its status while the group is up, by place.
    pub monitors: BTreeMap<usize, Duration>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// Run by a script, a unit, an agent, or built in as one of [`super::builtin`].
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

/// What this node does about addresses, in the order of the group. All of it must be idempotent.
pub trait Addresses {
    /// What can go wrong.
    type Error: fmt::Display;

    /// Makes the address served here.
    fn acquire(&mut self, vip: usize) -> impl Future<Output = Result<(), Self::Error>>;

    /// Makes it not served here.
    fn release(&mut self, vip: usize) -> impl Future<Output = Result<(), Self::Error>>;

    /// Is it served here?
    fn held(&mut self, vip: usize) -> impl Future<Output = bool>;

    /// Makes `address`, which is held, the source of what this node sends by the default route, or no longer.
    fn set_source(&mut self, address: Ipv4Addr, on: bool) -> impl Future<Output = Result<(), Self::Error>>;

    /// Is it that?
    fn is_source(&mut self, address: Ipv4Addr) -> impl Future<Output = bool>;

    /// Tells the neighbours on `interface` that an address which something else looks after is here; `false` ends that.
    fn announce(
        &mut self,
        address: Ipv4Addr,
        interface: &str,
        on: bool,
    ) -> impl Future<Output = Result<(), Self::Error>>;
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
    /// An OCF agent's, and what its exit code means.
    Ocf(Ending, &'static str),
    /// An address's, told by [`Addresses`].
    Address(String),
    /// The word cannot be understood: what would be right.
    Word(String),
    /// A built-in resource took longer than it may.
    TooLong(Duration),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Script(ending) => ending.fmt(f),
            Self::Ocf(ending, meaning) => write!(f, "{ending} ({meaning})"),
            Self::Address(error) => f.write_str(error),
            Self::Word(expected) => write!(f, "expected {expected}"),
            Self::TooLong(limit) => write!(f, "not finished after {limit:?}"),
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
    start_group_after(scripts, addresses, group, limits, std::future::ready(())).await
}

/// The same, but nothing that could do harm beside another node's is touched before `clear` is done: built-in resources alone
/// are started until then. Not waited for where there is nothing else.
///
/// # Errors
///
/// As [`start_group`].
pub async fn start_group_after<A: Addresses>(
    scripts: &Scripts,
    addresses: &mut A,
    group: &Group,
    limits: &Limits,
    clear: impl Future<Output = ()>,
) -> Result<(), StartFailure> {
    tracing::info!("Acquiring resource group: {group}");
    let mut runner = Runner::new(scripts, addresses, group, limits);
    scripts.pseudo.begin(&runner.name, group.resources.len());
    let (harmless, all) = (runner.harmless(), group.resources.len());
    let mut started = runner.start_range(0..harmless).await;
    if started.is_ok() && harmless < all {
        clear.await;
        started = runner.start_range(harmless..all).await;
    }
    let Err((index, reason)) = started else { return Ok(()) };
    let resource = group.resources[index].spec().to_string();
    tracing::error!("Giving up resources due to failure of {resource}: {reason}");
    let left = stop_group(scripts, addresses, group, limits).await;
    Err(StartFailure { index, resource, reason, left })
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
    Runner::new(scripts, addresses, group, limits).stop_range(0..group.resources.len()).await
}

/// Brings up the first `leading` members of a group, which are addresses.
///
/// # Errors
///
/// Which address does not come up; then none is.
pub async fn start_leading<A: Addresses>(
    scripts: &Scripts,
    addresses: &mut A,
    group: &Group,
    limits: &Limits,
    leading: usize,
) -> Result<(), StartFailure> {
    let mut runner = Runner::new(scripts, addresses, group, limits);
    let Err((index, reason)) = runner.start_range(0..leading).await else { return Ok(()) };
    let resource = group.resources[index].spec().to_string();
    let left = runner.stop_range(0..leading).await;
    Err(StartFailure { index, resource, reason, left })
}

/// Releases these again. Returns those that are still there.
#[must_use = "what is left running may damage data when the other node starts it too"]
pub async fn stop_leading<A: Addresses>(
    scripts: &Scripts,
    addresses: &mut A,
    group: &Group,
    limits: &Limits,
    leading: usize,
) -> Vec<Left> {
    Runner::new(scripts, addresses, group, limits).stop_range(0..leading).await
}

/// Stops a group as [`stop_group`] does, but for its first `leading` members.
#[must_use = "what is left running may damage data when the other node starts it too"]
pub async fn stop_behind<A: Addresses>(
    scripts: &Scripts,
    addresses: &mut A,
    group: &Group,
    limits: &Limits,
    leading: usize,
) -> Vec<Left> {
    tracing::info!("Releasing resource group: {group}");
    Runner::new(scripts, addresses, group, limits).stop_range(leading..group.resources.len()).await
}

/// Starts a resource and all to the right of it anew, because it was found dead.
pub(super) async fn restart_from<A: Addresses>(
    scripts: &Scripts,
    addresses: &mut A,
    group: &Group,
    limits: &Limits,
    index: usize,
) -> Result<(), String> {
    let mut runner = Runner::new(scripts, addresses, group, limits);
    if let Some(left) = runner.stop_range(index..group.resources.len()).await.first() {
        return Err(format!("{} does not stop: {}", left.resource, left.reason));
    }
    let failed = |(index, reason): (usize, Reason)| {
        format!("{} did not start again: {reason}", group.resources[index].spec())
    };
    runner.start_range(index..group.resources.len()).await.map_err(failed)
}

/// Whether a resource of a group that is up still runs.
pub(super) async fn is_running<A: Addresses>(
    scripts: &Scripts,
    addresses: &mut A,
    group: &Group,
    limits: &Limits,
    index: usize,
) -> bool {
    let mut runner = Runner::new(scripts, addresses, group, limits);
    runner.status(index).await == Status::Running
}

/// Those of `left` that have not surely stopped meanwhile.
pub async fn still_left<A: Addresses>(
    scripts: &Scripts,
    addresses: &mut A,
    group: &Group,
    limits: &Limits,
    left: Vec<Left>,
) -> Vec<Left> {
    let mut runner = Runner::new(scripts, addresses, group, limits);
    let mut still = Vec::new();
    for one in left {
        if !runner.surely_stopped(one.index).await {
            still.push(one);
        }
    }
    still
}
