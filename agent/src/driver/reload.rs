//! New files for the running agent: read beside the loop, judged as a whole, taken over as a difference.
//!
//! ```text
//!   SIGHUP, `xbeat reload` --> reading (another thread) --> judged --> applied --> settled --> answered
//!                                                             |
//!                                                             +-> refused: nothing has changed
//! ```
//!
//! A wish that comes meanwhile begins anew when this one is answered: files may have changed after they were read.

use std::mem;
use std::rc::Rc;

use cluster::Input;
use reflex::KEYS_MAX;
use reflex::layout::Key;
use sd_notify::NotifyState;
use tokio::sync::{mpsc, oneshot};

use super::links;
use super::setup::{self, Times};
use super::turn::Driver;
use super::{RunOptions, refusal};
use crate::config::{self, Change, Config, Diagnostic, How};
use crate::control::Reply;
use crate::logging::LogOptions;
use crate::status::Reloads;
use crate::sys::clock;
use crate::voices;

/// What was found on disk.
pub(super) type Files = Box<Result<Config, Vec<Diagnostic>>>;

/// Probes at a shorter keepalive before a shorter deadtime counts: until one of them is surely answered, the last thing
/// heard may be older than the new deadtime.
const SETTLING_PROBES: u64 = 3;

/// The reload that is under way, and what came of those before.
pub(super) struct Reload {
    options: RunOptions,
    found: mpsc::UnboundedSender<Files>,
    stage: Stage,
    waiting: Vec<oneshot::Sender<Reply>>,
    /// Whom the next one is for, if there is to be one.
    next: Option<Vec<oneshot::Sender<Reply>>>,
    history: Reloads,
    refused: bool,
}

enum Stage {
    Idle,
    /// Another thread reads.
    Reading,
    /// In force but for times that wait for a first probe at the new keepalive; then this is done.
    Settling {
        until: u64,
        told: Vec<String>,
    },
}

/// What takes effect, all worked out before the first of it does.
struct Plan {
    config: Config,
    changes: Vec<Change>,
    keys: [Key; KEYS_MAX],
}

impl Reload {
    pub(super) fn new(options: RunOptions, found: mpsc::UnboundedSender<Files>) -> Self {
        let history = Reloads::default();
        Self { options, found, stage: Stage::Idle, waiting: Vec::new(), next: None, history, refused: false }
    }

    /// When the times that wait are due.
    pub(super) fn settled_at(&self) -> Option<u64> {
        match &self.stage {
            Stage::Settling { until, .. } => Some(*until),
            Stage::Idle | Stage::Reading => None,
        }
    }

    pub(super) fn report(&self) -> Reloads {
        self.history.clone()
    }

    /// Why the newest files are not in force, if they are not.
    pub(super) fn refusal(&self) -> Option<String> {
        self.refused.then(|| self.history.last.join("; "))
    }

    /// Reads the files where a slow disk or a resolver that does not answer holds nobody up.
    fn read(&mut self) {
        self.stage = Stage::Reading;
        let (options, found) = (self.options.clone(), self.found.clone());
        tokio::task::spawn_blocking(move || {
            tell_systemd_of_reload();
            let files = config::load(&options.config_dir, options.node.as_deref());
            // The loop may have ended.
            let _ = found.send(Box::new(files));
        });
    }

    /// Answers everybody who waits for this one.
    fn answer(&mut self, reply: &Reply) {
        self.stage = Stage::Idle;
        for waiting in self.waiting.drain(..) {
            // The client may have gone away.
            let _ = waiting.send(reply.clone());
        }
        match self.next.take() {
            Some(next) => {
                self.waiting = next;
                self.read();
            }
            // Not from the loop: the socket may be full.
            None => drop(tokio::task::spawn_blocking(|| sd_notify::notify(&[NotifyState::Ready]))),
        }
    }
}

/// systemd goes by the time of it, so that an answer to an earlier reload is not taken for one to this.
fn tell_systemd_of_reload() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        let _ = sd_notify::notify(&[NotifyState::Reloading, now]);
    }
}

impl Driver<'_> {
    /// Somebody wants the files to be read anew.
    pub(super) fn reload(&mut self, reply: Option<oneshot::Sender<Reply>>) {
        let reload = &mut self.reload;
        if matches!(reload.stage, Stage::Idle) {
            tracing::info!("Heartbeat reloading configuration: reading the files anew");
            reload.waiting.extend(reply);
            reload.read();
        } else {
            reload.next.get_or_insert_default().extend(reply);
        }
    }

    /// The files were read.
    pub(super) fn on_files(&mut self, files: Files) {
        match self.judge(*files) {
            Ok(plan) => self.apply(plan),
            Err(reasons) => {
                for reason in &reasons {
                    tracing::error!("reload refused: {reason}");
                }
                let text = format!("the files are refused, nothing has changed:\n{}", reasons.join("\n"));
                let history = &mut self.reload.history;
                history.refused += 1;
                history.last = reasons;
                self.reload.refused = true;
                self.reload.answer(&Reply::refused(text));
            }
        }
    }

    /// All that would change, or every reason why nothing may.
    fn judge(&self, files: Result<Config, Vec<Diagnostic>>) -> Result<Plan, Vec<String>> {
        let config = files.map_err(|diagnostics| {
            let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
            errors.map(ToString::to_string).collect::<Vec<_>>()
        })?;
        if let Some(reason) = refusal(&config) {
            return Err(vec![reason]);
        }
        let changes = config::difference(&self.config, &config);
        let reasons: Vec<String> = changes.iter().filter_map(hindrance).collect();
        if !reasons.is_empty() {
            return Err(reasons);
        }
        let keys = setup::keys(&config).map_err(|error| vec![format!("authkeys: {error:#}")])?;
        Ok(Plan { config, changes, keys })
    }

    /// Cannot fail: whatever could was looked at before.
    fn apply(&mut self, plan: Plan) {
        let Plan { config, changes, keys } = plan;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        self.orders.set_keys(&keys, config.keys.current);
        let (old, new) = (Times::of(&self.config), Times::of(&config));
        // Nobody is found dead for times that change one after the other: first the patient ones of both.
        new.patient(old).order(&self.orders);
        links::fill_times(&self.orders, &config, links::Change::IfPatient);
        if config.keepalive != self.config.keepalive {
            self.prober.set_keepalive(config.keepalive);
            self.set_post_keepalive(config.keepalive);
        }
        let shorter = config.keepalive < self.config.keepalive && config.deadtime < self.config.deadtime;
        self.observer.set_deadtime(setup::nanos(config.deadtime));
        let mut rules = setup::rules(&config, &self.reload.options);
        rules.scripts.pseudo = self.rules.borrow().scripts.pseudo.clone();
        *self.rules.borrow_mut() = Rc::new(rules);
        let (log, targets) = (LogOptions::from(&config), LogOptions::from(&self.config));
        if log.debug != targets.debug {
            self.logging.set_debug(log.debug);
        }
        if (LogOptions { debug: 0, ..log.clone() }) != (LogOptions { debug: 0, ..targets }) {
            self.logging.set_targets(log);
        }
        let rules = Input::Rules {
            auto_failback: config.auto_failback,
            initdead: setup::nanos(config.initdead),
            deadtime: setup::nanos(config.deadtime),
            damping: setup::nanos(voices::pings::Times::of(&config).damping()),
        };
        self.voices.set_times(&config);
        self.orders.config.set(u64::from(config.digest));
        self.config = config;
        self.renew_lease();
        if changes.iter().any(is_of_the_election) {
            self.tell(rules);
        }
        let told: Vec<String> = changes.iter().map(ToString::to_string).collect();
        let wait = if shorter { SETTLING_PROBES * setup::nanos(self.config.keepalive) } else { 0 };
        self.reload.stage = Stage::Settling { until: clock::now() + wait, told };
        self.end_settling();
    }

    /// The reload is done when the new times alone count.
    pub(super) fn end_settling(&mut self) {
        let now = clock::now();
        let told = match &mut self.reload.stage {
            Stage::Settling { until, told } if *until <= now => mem::take(told),
            _ => return,
        };
        Times::of(&self.config).order(&self.orders);
        links::fill_times(&self.orders, &self.config, links::Change::Now);
        for change in &told {
            tracing::info!("reload: {change}");
        }
        let text = if told.is_empty() { "nothing has changed".to_owned() } else { told.join("\n") };
        let history = &mut self.reload.history;
        history.done += 1;
        history.last = told;
        tracing::info!("reload {} is done", history.done);
        self.reload.refused = false;
        self.reload.answer(&Reply::done(text));
    }
}

/// Why a change cannot be taken over, if it cannot.
fn hindrance(change: &Change) -> Option<String> {
    match change.how() {
        How::InService => None,
        How::Restart => Some(format!(
            "{change}: takes a restart, which costs nothing: `xbeat stop --keep`, and start the agent"
        )),
        How::AllNodes => Some(format!(
            "{change}: must change on all nodes: give all of them the new files and restart them, those that serve \
             nothing first (docs/operations.md)"
        )),
    }
}

fn is_of_the_election(change: &Change) -> bool {
    matches!(change, Change::Value { name: "auto_failback" | "initdead" | "deadtime" | "keepalive", .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(how: How) -> Change {
        Change::Value { name: "udpport", old: "694".into(), new: "700".into(), how }
    }

    #[test]
    fn what_cannot_be_taken_over_says_what_to_do_instead() {
        assert_eq!(hindrance(&value(How::InService)), None);
        assert!(hindrance(&value(How::Restart)).unwrap().contains("udpport: 694 -> 700: takes a restart"));
        assert!(hindrance(&value(How::AllNodes)).unwrap().contains("on all nodes"));
    }
}
