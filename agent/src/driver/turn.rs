//! One turn of the loop.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use cluster::{Cluster, GroupId, GroupReport, Input, Operation, Phase};
use reflex::{Event, EventKind, Facts, Orders, gate};
use tokio::sync::{mpsc, oneshot};

use super::alive::Signs;
use super::assembly::RESTART_LEASE;
use super::directions::{self, Directions, Way};
use super::hooks::Told;
use super::kept::{self, Kept};
use super::left::Left;
use super::listing::Listing;
use super::notes::{self, Names};
use super::observe::{Observer, is_heard};
use super::old_lines::OldLines;
use super::pace::Pace;
use super::paths;
use super::post::Post;
use super::reload::Reload;
use super::runner::{Done, RulesInForce, Runner};
use super::sources::Happening;
use super::stonith::Stonith;
use super::window::Window;
use super::{Realtime, RunOptions, alive, setup, tick};
use crate::config::Config;
use crate::control::{Reply, Server};
use crate::datapath::Mode;
use crate::datapath::interfaces::{self, EgressGate, Interface};
use crate::datapath::netlink;
use crate::datapath::plain::Plain;
use crate::datapath::vips::Vips;
use crate::datapath::xdp::{Held, Kernel};
use crate::links::prober::Prober;
use crate::links::udp::Socket;
use crate::links::{Link, serial};
use crate::logging::Logging;
use crate::record::Recorder;
use crate::resources::{Patience, Respawned};
use crate::sys::{Table, clock};
use crate::voices::Voices;

/// How long an agent that ends waits for its last mails. Others serve by then.
const LAST_MAILS: Duration = Duration::from_secs(5);

/// The lease that covers the switch of an interface to another mode, ns.
const SWITCH_LEASE: u64 = 5_000_000_000;
/// How long an agent that makes room for the next one waits for the programs of `respawn` lines.
const LAST_PROGRAMS_OF_RESTART: Duration = Duration::from_millis(100);

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
    /// The packets that the kernel holds back.
    pub(super) held_back: Option<Held>,
    /// Why there are no kernel programs.
    pub(super) without_kernel: Option<String>,
    /// What the kernel refused beside that, each with what it costs.
    pub(super) lost: Vec<String>,
    pub(super) egress: Vec<EgressGate>,
    pub(super) plain: Plain,
    pub(super) interfaces: Vec<Interface>,
    pub(super) links: Vec<Arc<Link>>,
    /// The threads of the serial lines.
    pub(super) lines: Vec<serial::Running>,
    pub(super) link_up: BTreeMap<u32, bool>,
    pub(super) prober: Prober,
    pub(super) vips: Vips,
    pub(super) voices: Voices,
    pub(super) runners: Vec<Runner>,
    pub(super) asked: mpsc::UnboundedSender<(GroupId, bool)>,
    pub(super) replies: BTreeMap<u64, oneshot::Sender<Reply>>,
    pub(super) next_command: u64,
    /// Pages that changed since they were last told.
    pub(super) dirty: BTreeSet<u8>,
    pub(super) renewed_at: u64,
    pub(super) pace: Pace,
    pub(super) list: Listing,
    pub(super) window: Window,
    pub(super) exit: bool,
    /// The exit is a planned restart: what is open stays open for the next agent.
    pub(super) keep: bool,
    pub(super) state_dir: PathBuf,
    pub(super) left: Left,
    pub(super) observer: Observer,
    pub(super) rules: RulesInForce,
    pub(super) reload: Reload,
    pub(super) directions: Directions,
    pub(super) signs: Signs,
    pub(super) old_lines: OldLines,
    pub(super) told: Told,
    pub(super) post: Post,
    pub(super) stonith: Stonith,
    /// Programs that live as long as the agent, once this node takes part.
    pub(super) respawned: Option<Respawned>,
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
    alive::tell_of_start();
    driver.carry_out();
    driver.tell_of_dead_interfaces();
    while !driver.exit {
        let wait = driver.until_due();
        driver.pace.waits(clock::now().saturating_add(setup::nanos(wait)));
        let happening = sources.next(wait).await?;
        let of = happening.name();
        driver.pace.begins(clock::now());
        driver.turn(happening);
        driver.pace.ends(clock::now(), of);
    }
    driver.finish();
    if let Some(respawned) = driver.respawned.take() {
        // In a planned restart the next agent is waited for. What has not ended by then is killed.
        let limit = if driver.keep { LAST_PROGRAMS_OF_RESTART } else { Duration::MAX };
        let _ = tokio::time::timeout(limit, respawned.stop()).await;
    }
    alive::tell_of_end();
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
        if let Some(settled) = self.reload.settled_at() {
            due = due.min(settled);
        }
        if let Some(look) = self.voices.due(now) {
            due = due.min(look);
        }
        if let Some(sign) = self.signs.due() {
            due = due.min(sign);
        }
        if let Some(letter) = self.post.due() {
            due = due.min(letter);
        }
        let wait = Duration::from_nanos(due.saturating_sub(now));
        let announcement = self.vips.next_announcement();
        announcement.map_or(wait, |at| wait.min(at.saturating_duration_since(Instant::now())))
    }

    /// The end: in order, or as a planned restart.
    fn finish(&mut self) {
        self.tell_of_unsent();
        let own = &self.config.nodes[self.config.own];
        if self.keep {
            tracing::info!("{own} restarts: its gates stay open for the next agent");
            self.keep_open();
            self.signs.end();
            return;
        }
        // What follows may take as long as a loop that is stuck.
        self.signs.end();
        tracing::info!("{own} Heartbeat shutdown complete.");
        // The last word, for those who missed the one before.
        self.say();
        if let Some(mailer) = &self.rules.borrow().scripts.mailer
            && !mailer.drain(LAST_MAILS)
        {
            tracing::error!("the mail server takes too long: the last mails are lost");
        }
        // Each lets it leave before it ends.
        self.lines.clear();
        if let Some(kernel) = self.kernel.borrow_mut().as_mut() {
            kernel.remove_pins();
        }
    }

    /// Leaves a note of what is up and what stays, and a last lease that the exit does not end.
    fn keep_open(&mut self) {
        let mut kept = Kept::default();
        for group in self.cluster.report() {
            let key = self.config.groups[group.group as usize].key();
            if group.phase == Phase::Started {
                kept.started.insert(key.to_owned());
            }
            kept.stays.extend(group.stays.map(|life| (key.to_owned(), life)));
        }
        // Before the note, which a disk may hold up for longer than a lease, and after it, for the next agent to have it all.
        self.keep_lease();
        if let Err(error) = kept::write(&self.state_dir, self.orders.session.get(), kept) {
            tracing::warn!("{error:#}: the next agent asks every resource for its status");
        }
        self.keep_lease();
    }

    fn keep_lease(&mut self) {
        // If it was over before, that stays so (R2).
        self.renew_lease();
        let lease = clock::now() + setup::nanos(self.config.lease).max(RESTART_LEASE);
        self.orders.keep.set(lease);
        self.orders.lease_until.set(lease);
    }

    fn turn(&mut self, happening: Happening) {
        self.renew_lease();
        match happening {
            Happening::Events(events) => events.iter().for_each(|event| self.on_event(event)),
            Happening::Done(Done::Operation { group, operation, outcome }) => {
                if (operation, outcome.is_ok()) == (Operation::Stop, true) {
                    self.left.stopped(self.config.groups[group as usize].key());
                }
                self.tell(Input::Done { group, operation, outcome });
            }
            Happening::Done(Done::Monitored { group, outcome }) => {
                self.tell(Input::Monitored { group, outcome });
            }
            Happening::Asked(group, answered) => self.tell(Input::Asked { group, answered }),
            Happening::Request(request) => self.on_request(request),
            Happening::Message(message) => self.on_message(&message),
            Happening::Letters(letters) => self.on_letters(&letters),
            Happening::Netlink(event) => self.on_netlink(&event),
            Happening::Interfaces(interfaces) => self.on_interfaces(&interfaces),
            Happening::Terminate => self.on_terminate(),
            Happening::Restart => self.on_restart(),
            Happening::Hangup => self.reload(None),
            Happening::Files(files) => self.on_files(files),
            Happening::Debug(step) => {
                self.logging.set_debug(self.logging.debug().saturating_add_signed(step));
            }
            Happening::Time => {}
        }
        self.look();
        let now = clock::now();
        for (group, sight) in self.voices.look(now) {
            self.tell(Input::Sight { group, sight });
        }
        if self.cluster.poll_timeout().is_some_and(|timeout| now >= timeout) {
            self.tell(Input::Timeout);
        }
        self.send_letters();
        self.tell_of_links(now);
        self.tell_of_first_distribution();
        self.run_programs();
        self.end_probations();
        self.end_settling();
        self.window.look(&self.orders, &self.facts, now);
        self.vips.announce_due(Instant::now());
        self.vips.settle();
        self.stamp_deeds();
    }

    /// Looks at the tables and tells the election what changed. What it then orders may change them again.
    fn look(&mut self) {
        while let Some(input) = self.observer.next(&self.orders, &self.facts, clock::now()) {
            self.tell(input);
        }
    }

    /// Says when all groups have an owner for the first time.
    fn tell_of_first_distribution(&mut self) {
        if !self.old_lines.is_settling() || !self.cluster.is_active() {
            return;
        }
        let own = self.config.own as u8;
        let is_there = |group: &GroupReport| match group.owner {
            Some(owner) => owner != own || group.phase == Phase::Started,
            None => group.failure.is_some(),
        };
        if self.cluster.report().iter().all(is_there) {
            self.old_lines.settled();
        }
    }

    /// Starts the programs of `respawn` lines when this node takes part.
    fn run_programs(&mut self) {
        if self.respawned.is_none() && self.cluster.is_active() {
            let scripts = &self.rules.borrow().scripts;
            self.respawned = Some(Respawned::start(&self.config.respawn, scripts, Patience::default()));
        }
    }

    /// Says which links carry nothing, or one way only, when that changes.
    fn tell_of_links(&mut self, now: u64) {
        let others = (0..self.config.nodes.len()).filter(|&node| node != self.config.own);
        for node in others.map(|node| node as u8) {
            let is_heard = is_heard(&self.orders, &self.facts, usize::from(node), now);
            for link in &self.links {
                let (names, place) = (Names(&self.config), (node, link.id));
                if let Some(change) = self.directions.look(&self.orders, &self.facts, place, now) {
                    notes::log_link(&names, &link.name, &change);
                    self.old_lines.link_is_told(place, &link.name, change.way != Way::Silent);
                } else if is_heard && directions::carries(&self.orders, &self.facts, place, now) {
                    self.old_lines.on_link_up(&names, place, &link.name);
                }
            }
        }
    }

    /// Renews the lease; if it has run out meanwhile, everything is fenced first: late is late (R2).
    pub(super) fn renew_lease(&mut self) {
        let now = clock::now();
        let mut events = Vec::new();
        let mut sink = |event: Event| events.push(event);
        let until = now + setup::nanos(self.config.lease);
        gate::renew_lease(&self.orders, &self.facts, now, until, &mut sink);
        self.renewed_at = now;
        self.signs.give(now, self.config.deadtime);
        events.iter().for_each(|event| self.log_event(event));
    }

    fn on_event(&mut self, event: &Event) {
        let kind = EventKind::from_number(event.kind);
        if kind == Some(EventKind::GateOpened) {
            // Before anything else, where the kernel has not told the thread that does it: clients wait for it, and the election
            // will only agree.
            self.vips.hurry(event.group, event.epoch);
        }
        self.stamp_event(event);
        self.log_event(event);
        if kind == Some(EventKind::Conflict) {
            // The kernel tells of it only while our gate is open: we are the rightful owner, and say so.
            self.vips.announce_group(event.group, Instant::now());
        }
    }

    fn end_probations(&mut self) {
        let (now, mut switched) = (clock::now(), false);
        for interface in &mut self.interfaces {
            // The one thing that this loop waits for: the kernel's network lock, once, soon after the start.
            let cover = || {
                let now = clock::now();
                gate::renew_lease(&self.orders, &self.facts, now, now + SWITCH_LEASE, &mut |_| {});
            };
            let changed =
                interfaces::end_probation(&self.kernel, &self.facts, self.config.xdp, interface, now, cover);
            if changed && interface.tested {
                self.vips.set_bounce(interface.index, true);
            }
            if changed && interface.mode == Mode::None {
                let orphans = self.links.iter().filter(|link| link.ifindex == Some(interface.index));
                orphans.for_each(|link| self.plain.add(Arc::clone(link)));
                self.voices.free.set_in_kernel(interface.index, false);
            }
            switched |= changed;
        }
        if switched {
            self.renew_lease();
        }
    }

    /// What is on the interfaces of the links changed: own addresses, a broadcast address, a hardware address.
    fn on_interfaces(&mut self, interfaces: &[netlink::Interface]) {
        let mut vips: Vec<IpAddr> = Vec::new();
        self.vips.each(|entry| vips.push(entry.placed.address.into()));
        self.vips.each6(|entry| vips.push(entry.placed.address.into()));
        paths::tell(&self.config, &self.orders, &self.links, interfaces, &vips);
    }

    fn on_netlink(&mut self, event: &netlink::Event) {
        match event {
            netlink::Event::Lost => self.list.again(),
            netlink::Event::Link { index, .. }
            | netlink::Event::AddressAdded { index, .. }
            | netlink::Event::AddressRemoved { index, .. }
            | netlink::Event::Address6 { index, .. }
                if self.links.iter().any(|link| link.ifindex == Some(*index)) =>
            {
                self.list.again();
            }
            _ => {}
        }
        match event {
            netlink::Event::Link { index, name, up, carrier, .. } => {
                self.on_link(*index, name, *up && *carrier)
            }
            netlink::Event::AddressRemoved { index, address } => self.vips.repair(*index, address.address),
            netlink::Event::LinkGone { index, name } => self.on_link(*index, name, false),
            netlink::Event::Address6 { index, removed: Some(address) } => self.vips.repair6(*index, *address),
            netlink::Event::AddressAdded { .. }
            | netlink::Event::Address6 { removed: None, .. }
            | netlink::Event::Lost => {}
        }
    }

    /// What the election takes for granted is that every interface is up.
    fn tell_of_dead_interfaces(&mut self) {
        let down: Vec<u32> = self.link_up.iter().filter(|(_, up)| !**up).map(|(&index, _)| index).collect();
        for group in down.into_iter().flat_map(|index| self.vips.groups_on(index)).collect::<BTreeSet<_>>() {
            self.tell(Input::Reach { group, up: false });
        }
    }

    /// An interface went up or down. Where it carries VIPs, nobody can be served by it meanwhile.
    fn on_link(&mut self, index: u32, name: &str, up: bool) {
        let used = self.interfaces.iter().any(|interface| interface.index == index);
        let Some(was_up) = self.link_up.insert(index, up).filter(|was| used && *was != up) else { return };
        self.prober.sender().set_carrier(index, up);
        if was_up {
            tracing::warn!("Link {name} dead.");
            // Nobody is dead for that. But on a direct cable it is the other node's end as well.
            if self.links.iter().any(|link| link.ifindex == Some(index)) {
                self.say();
                self.prober.hurry();
            }
        } else {
            tracing::info!("Link {name} up.");
            self.rejoin(index);
            // Who was cut off may have been replaced meanwhile: first hear it, then announce.
            self.say();
            self.vips.announce_again(index, Instant::now() + hearing(self.config.keepalive));
        }
        for group in self.vips.groups_on(index) {
            self.tell(Input::Reach { group, up });
        }
    }

    /// Beside the loop.
    fn rejoin(&self, index: u32) {
        for link in self.links.iter().filter(|link| link.ifindex == Some(index)) {
            let link = Arc::clone(link);
            tokio::task::spawn_blocking(move || rejoin(&link));
        }
    }
}

/// Joins the multicast group of a link again. That waits for the kernel's network lock.
fn rejoin(link: &Link) {
    if let Some(Err(error)) = link.udp().map(Socket::rejoin) {
        tracing::warn!("Link {}: cannot join its multicast group again: {error}", link.name);
    }
}

/// How long after a carrier came back every node that is there was surely heard, or will not be for a while.
fn hearing(keepalive: Duration) -> Duration {
    (keepalive * 2).min(Duration::from_secs(1))
}
