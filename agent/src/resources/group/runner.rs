//! One resource of a group at a time: which way it is operated, how often it is tried, what it says.

use std::ops::Range;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{Addresses, Group, Left, Limits, Reason, Resource};
use crate::resources::builtin::{self, ALWAYS, BuiltIn};
use crate::resources::lookup::is_executable;
use crate::resources::script::{Ending, Operation, Scripts};
use crate::resources::{Spec, Status};
use crate::sys::wall_clock;

pub(super) struct Runner<'a, A> {
    scripts: &'a Scripts,
    addresses: &'a mut A,
    group: &'a Group,
    /// The group as written: its name among all groups.
    pub(super) name: String,
    limits: &'a Limits,
}

impl<'a, A: Addresses> Runner<'a, A> {
    pub(super) fn new(
        scripts: &'a Scripts,
        addresses: &'a mut A,
        group: &'a Group,
        limits: &'a Limits,
    ) -> Self {
        Self { scripts, addresses, group, name: group.to_string(), limits }
    }

    /// How many resources stand before the first that is more than an address or another built-in one.
    pub(super) fn harmless(&self) -> usize {
        let is_other = |index: &usize| {
            matches!(self.group.resources[*index], Resource::Script(_)) && self.built_in(*index).is_none()
        };
        let all = self.group.resources.len();
        (0..all).find(is_other).unwrap_or(all)
    }

    /// Starts what of these does not run, from left to right; the first that fails, and why.
    pub(super) async fn start_range(&mut self, places: Range<usize>) -> Result<(), (usize, Reason)> {
        for index in places {
            if self.status(index).await == Status::Stopped {
                self.operate(index, Operation::Start).await.map_err(|reason| (index, reason))?;
            }
        }
        Ok(())
    }

    /// Stops these from right to left; what could not be stopped.
    pub(super) async fn stop_range(&mut self, places: Range<usize>) -> Vec<Left> {
        let mut left = Vec::new();
        for index in places.rev() {
            if let Err(reason) = self.stop(index).await {
                left.push(Left { index, resource: self.spec(index).to_string(), reason });
            }
        }
        left
    }

    fn spec(&self, index: usize) -> &'a Spec {
        self.group.resources[index].spec()
    }

    /// The built-in resource of that place, if it is one and no script takes its place.
    fn built_in(&self, index: usize) -> Option<Result<BuiltIn, String>> {
        let Resource::Script(spec) = &self.group.resources[index] else { return None };
        let built_in = builtin::parse(spec)?;
        let replaced =
            !ALWAYS.contains(&spec.name.as_str()) && is_executable(&self.scripts.resource_d.join(&spec.name));
        (!replaced).then_some(built_in)
    }

    async fn stop(&mut self, index: usize) -> Result<(), Reason> {
        let Err(reason) = self.try_to_stop(index).await else { return Ok(()) };
        let name = self.spec(index);
        if self.surely_stopped(index).await {
            tracing::warn!("{name} does not stop properly ({reason}), but it does not run either");
            return Ok(());
        }
        tracing::error!("Resource STOP failure: {name} still runs: {reason}");
        Err(reason)
    }

    /// Like [`Self::status`], but what could not finish saying it counts as running.
    pub(super) async fn surely_stopped(&mut self, index: usize) -> bool {
        match &self.group.resources[index] {
            Resource::Script(spec) if self.built_in(index).is_none() => {
                let report = self.scripts.run(spec, Operation::Status, self.limits.status).await;
                report.is_surely_stopped()
            }
            Resource::Script(_) | Resource::Address { .. } => self.status(index).await == Status::Stopped,
        }
    }

    async fn try_to_stop(&mut self, index: usize) -> Result<(), Reason> {
        let began = Instant::now();
        let mut tries = 1;
        loop {
            let Err(reason) = self.operate(index, Operation::Stop).await else { return Ok(()) };
            // A script that is not there will not be there in a second either.
            let hopeless = matches!(reason, Reason::Script(Ending::NotRun(_)) | Reason::Word(_));
            if hopeless || tries >= self.limits.stop_tries || began.elapsed() >= self.limits.stop {
                return Err(reason);
            }
            tries += 1;
            sleep(self.limits.stop_pause).await;
            tracing::info!("Retrying failed stop operation [{}]", self.spec(index));
        }
    }

    pub(super) async fn status(&mut self, index: usize) -> Status {
        let running = match (&self.group.resources[index], self.built_in(index)) {
            (Resource::Address { vip, .. }, _) => self.addresses.held(*vip).await,
            (Resource::Script(_), Some(Ok(BuiltIn::Source(address)))) => {
                self.addresses.is_source(address).await
            }
            (Resource::Script(_), Some(_)) => return self.scripts.pseudo.status(&self.name, index),
            (Resource::Script(spec), None) => {
                return self.scripts.run(spec, Operation::Status, self.limits.status).await.status();
            }
        };
        if running { Status::Running } else { Status::Stopped }
    }

    /// Starts or stops.
    async fn operate(&mut self, index: usize, operation: Operation) -> Result<(), Reason> {
        let done = match (&self.group.resources[index], self.built_in(index)) {
            (Resource::Address { vip, spec }, _) => self.address(*vip, spec, operation).await,
            (Resource::Script(_), Some(built_in)) => self.act(index, built_in, operation).await,
            (Resource::Script(spec), None) => self.run(spec, operation).await,
        };
        if let Err(reason) = &done {
            tracing::error!(%operation, "{} failed: {reason}", self.spec(index));
        }
        done
    }

    fn limit(&self, operation: Operation) -> Duration {
        match operation {
            Operation::Start => self.limits.start,
            Operation::Stop => self.limits.stop,
            Operation::Status => self.limits.status,
        }
    }

    async fn run(&mut self, spec: &Spec, operation: Operation) -> Result<(), Reason> {
        let report = self.scripts.run(spec, operation, self.limit(operation)).await;
        if report.succeeded() { Ok(()) } else { Err(report.into_reason()) }
    }

    async fn address(&mut self, vip: usize, spec: &Spec, operation: Operation) -> Result<(), Reason> {
        self.log_running(spec, operation);
        let done = match operation {
            Operation::Start => self.addresses.acquire(vip).await,
            Operation::Stop => self.addresses.release(vip).await,
            Operation::Status => Ok(()),
        };
        done.map_err(|error| Reason::Address(error.to_string()))
    }

    /// Acts for a built-in resource.
    async fn act(
        &mut self,
        index: usize,
        built_in: Result<BuiltIn, String>,
        operation: Operation,
    ) -> Result<(), Reason> {
        let (spec, starts) = (self.spec(index), operation == Operation::Start);
        self.log_running(spec, operation);
        let refused = |error: A::Error| Reason::Address(error.to_string());
        match built_in {
            // What was never understood was never started.
            Err(expected) if starts => return Err(Reason::Word(expected)),
            Err(_) => {}
            Ok(BuiltIn::Delay { start, stop }) => {
                let limit = self.limit(operation);
                let wait = sleep(if starts { start } else { stop });
                if starts || self.was_up(index) {
                    timeout(limit, wait).await.map_err(|_| Reason::TooLong(limit))?;
                }
            }
            Ok(BuiltIn::MailTo { to, subject }) => {
                if starts || self.was_up(index) {
                    self.mail(&to, &subject, operation);
                }
            }
            Ok(BuiltIn::SendArp { address, interface }) => {
                self.addresses.announce(address, &interface, starts).await.map_err(refused)?;
            }
            Ok(BuiltIn::Source(address)) => {
                self.addresses.set_source(address, starts).await.map_err(refused)?;
            }
        }
        self.scripts.pseudo.set(&self.name, index, starts);
        Ok(())
    }

    /// Whether it was started, as far as this agent knows: an earlier one may have.
    fn was_up(&self, index: usize) -> bool {
        self.scripts.pseudo.get(&self.name, index) != Some(false)
    }

    fn mail(&self, to: &[String], subject: &str, operation: Operation) {
        let Some(mailer) = &self.scripts.mailer else {
            return tracing::error!("no mail to {}: there is no thread for it", to.join(", "));
        };
        let node = self.scripts.variable("HA_CURHOST").unwrap_or("this node");
        mailer.send(builtin::mail(to, subject, operation, &wall_clock::shown(), node, &self.name));
    }

    /// The path under which an operator looks for it in the log, although no script is run.
    fn log_running(&self, spec: &Spec, operation: Operation) {
        let path = self.scripts.resource_d.join(&spec.name);
        tracing::info!("Running {} {} {operation} (built in)", path.display(), spec.args.join(" "));
    }
}
