//! One turn of the loop.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use cluster::{Cluster, GroupId, Input, Operation, Phase};
use reflex::{Event, EventKind, Facts, Orders, gate};
use tokio::sync::{mpsc, oneshot};

use super::assembly::RESTART_LEASE;
use super::left::Left;
use super::observe::Observer;
use super::runner::Runner;
use super::sources::Happening;
use super::{Realtime, RunOptions, kept, setup, tick};
use crate::config::Config;
use crate::control::{Reply, Server};
use crate::datapath::Mode;
use crate::datapath::interfaces::{self, Interface};
use crate::datapath::netlink;
use crate::datapath::plain::Plain;
use crate::datapath::vips::Vips;
use crate::datapath::xdp::Kernel;
use crate::links::Link;
use crate::links::prober::Prober;
use crate::logging::Logging;
use crate::record::Recorder;
use crate::sys::{Table, clock};

/// Everything that the loop owns.
pub(super) struct Driver<'a> {
    pub(super) config: Config,
    pub(super) logging: &'a Logging,
    pub(super) realtime: Realtime,
    pub(super) cluster: Cluster,
    pub(super) recorder: Option<Recorder>,
    pub(super) started: u64,
    pub(super) orders: Arc<Table<Orders>>,
    pub(super) facts: Arc<Table<Facts>>,
    pub(super) kernel: Rc<RefCell<Option<Kernel>>>,
    /// Why there are no kernel programs.
    pub(super) without_kernel: Option<String>,
    pub(super) plain: Plain,
    pub(super) interfaces: Vec<Interface>,
    pub(super) links: Vec<Arc<Link>>,
    pub(super) link_up: BTreeMap<u32, bool>,
    pub(super) prober: Prober,
    pub(super) vips: Vips,
    pub(super) runners: Vec<Runner>,
    pub(super) asked: mpsc::UnboundedSender<(GroupId, bool)>,
    pub(super) replies: BTreeMap<u64, oneshot::Sender<Reply>>,
    pub(super) next_command: u64,
    /// Pages that changed since they were last told.
    pub(super) dirty: BTreeSet<u8>,
    pub(super) renewed_at: u64,
    pub(super) exit: bool,
    /// The exit is a planned restart: what is open stays open for the next agent.
    pub(super) keep: bool,
    pub(super) state_dir: PathBuf,
    pub(super) left: Left,
    pub(super) observer: Observer,
}

/// Sets everything up and turns until told to stop.
pub(super) async fn serve(
    config: Config,
    options: RunOptions,
    server: Server,
    recorder: Option<Recorder>,
    logging: &Logging,
) -> Result<()> {
    let (mut driver, mut sources) = Driver::new(config, &options, server, recorder, logging).await?;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    driver.carry_out();
    while !driver.exit {
        let wait = driver.until_due();
        let happening = sources.next(wait).await?;
        driver.turn(happening);
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    driver.finish();
    // Before the server: `xbeat stop` returns when that is gone.
    drop(driver);
    drop(sources);
    Ok(())
}

impl<'a> Driver<'a> {
    /// Time until something is due without anything happening.
    fn until_due(&self) -> Duration {
        let now = clock::now();
        let mut due = self.renewed_at + setup::nanos(tick(&self.config));
        if let Some(timeout) = self.cluster.poll_timeout() {
            due = due.min(timeout);
        }
        let wait = Duration::from_nanos(due.saturating_sub(now));
        let announcement = self.vips.next_announcement();
        announcement.map_or(wait, |at| wait.min(at.saturating_duration_since(Instant::now())))
    }

    /// The end: in order, or as a planned restart.
    fn finish(&mut self) {
        let own = &self.config.nodes[self.config.own];
        if self.keep {
            tracing::info!("{own} restarts: its gates stay open for the next agent");
            self.keep_open();
            return;
        }
        tracing::info!("{own} Heartbeat shutdown complete.");
        // The last word, for those who missed the one before.
        self.say();
        if let Some(kernel) = self.kernel.borrow().as_ref() {
            kernel.remove_pins();
        }
    }

    /// Leaves a note of what is up, and a last lease that the exit does not end.
    fn keep_open(&mut self) {
        let groups = self.cluster.report().into_iter();
        let started = groups.filter(|group| group.phase == Phase::Started);
        let keys = started.map(|group| self.config.groups[group.group as usize].key().to_owned()).collect();
        if let Err(error) = kept::write(&self.state_dir, self.orders.session.get(), keys) {
            tracing::warn!("{error:#}: the next agent asks every resource for its status");
        }
        let lease = clock::now() + setup::nanos(self.config.lease).max(RESTART_LEASE);
        self.orders.keep.set(lease);
        self.orders.lease_until.set(lease);
    }

    fn turn(&mut self, happening: Happening) {
        self.renew_lease();
        match happening {
            Happening::Events(events) => events.iter().for_each(|event| self.on_event(event)),
            Happening::Done(done) => {
                if (done.operation, done.outcome.is_ok()) == (Operation::Stop, true) {
                    self.left.stopped(self.config.groups[done.group as usize].key());
                }
                self.tell(Input::Done { group: done.group, operation: done.operation, outcome: done.outcome })
            }
            Happening::Asked(group, answered) => self.tell(Input::Asked { group, answered }),
            Happening::Request(request) => self.on_request(request),
            Happening::Netlink(event) => self.on_netlink(&event),
            Happening::Terminate => self.on_terminate(),
            Happening::Hangup => {
                tracing::warn!("SIGHUP: this version cannot reload; restart it to use changed files");
            }
            Happening::Debug(step) => {
                self.logging.set_debug(self.logging.debug().saturating_add_signed(step));
            }
            Happening::Time => {}
        }
        self.look();
        let now = clock::now();
        if self.cluster.poll_timeout().is_some_and(|timeout| now >= timeout) {
            self.tell(Input::Timeout);
        }
        self.end_probations();
        self.vips.announce_due(Instant::now());
    }

    /// Looks at the tables and tells the election what changed. What it then orders may change them again.
    fn look(&mut self) {
        while let Some(input) = self.observer.next(&self.orders, &self.facts, clock::now()) {
            self.tell(input);
        }
    }

    /// Renews the lease; if it has run out meanwhile, everything is fenced first: late is late (R2).
    fn renew_lease(&mut self) {
        let now = clock::now();
        let mut events = Vec::new();
        let mut sink = |event: Event| events.push(event);
        let until = now + setup::nanos(self.config.lease);
        gate::renew_lease(&self.orders, &self.facts, now, until, &mut sink);
        self.renewed_at = now;
        events.iter().for_each(|event| self.log_event(event));
    }

    fn on_event(&mut self, event: &Event) {
        self.log_event(event);
        if EventKind::from_number(event.kind) == Some(EventKind::Conflict) {
            // The kernel tells of it only while our gate is open: we are the rightful owner, and say so.
            self.vips.announce_group(event.group, Instant::now());
        }
    }

    fn end_probations(&mut self) {
        let now = clock::now();
        for interface in &mut self.interfaces {
            let changed =
                interfaces::end_probation(&self.kernel, &self.facts, self.config.xdp, interface, now);
            if changed && interface.tested {
                self.vips.set_bounce(interface.index, true);
            }
            if changed && interface.mode == Mode::None {
                let orphans = self.links.iter().filter(|link| link.ifindex == interface.index);
                orphans.for_each(|link| self.plain.add(Arc::clone(link)));
            }
        }
    }

    fn on_netlink(&mut self, event: &netlink::Event) {
        match event {
            netlink::Event::Link { index, name, up, carrier, .. } => {
                self.on_link(*index, name, *up && *carrier)
            }
            netlink::Event::AddressRemoved { index, address } => self.vips.repair(*index, address.address),
            netlink::Event::LinkGone { index, name } => self.on_link(*index, name, false),
            netlink::Event::AddressAdded { .. } | netlink::Event::Lost => {}
        }
    }

    /// An interface went up or down. Where it carries VIPs, nobody can be served by it meanwhile.
    fn on_link(&mut self, index: u32, name: &str, up: bool) {
        let used = self.interfaces.iter().any(|interface| interface.index == index);
        let Some(was_up) = self.link_up.insert(index, up).filter(|was| used && *was != up) else { return };
        if was_up {
            tracing::warn!("Link {name} dead.");
        } else {
            tracing::info!("Link {name} up.");
            // Who was cut off may have been replaced meanwhile: first hear it, then announce.
            self.say();
            self.vips.announce_again(index, Instant::now() + hearing(self.config.keepalive));
        }
        for group in self.vips.groups_on(index) {
            self.tell(Input::Reach { group, up });
        }
    }
}

/// How long after a carrier came back every node that is there was surely heard, or will not be for a while.
fn hearing(keepalive: Duration) -> Duration {
    (keepalive * 2).min(Duration::from_secs(1))
}
