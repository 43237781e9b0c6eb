//! Everything that stands before the first turn: what is loaded, attached, adopted, started, in this order.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use cluster::{Cluster, Config as ClusterConfig, GroupConfig, GroupId, Held, Phase};
use reflex::{Orders, gate};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::alive::Signs;
use super::base::Base;
use super::directions::Directions;
use super::guard::Guard;
use super::hooks::{Moment, Told};
use super::kept::{self, Kept};
use super::left::Left;
use super::listing::Listing;
use super::observe::{self, Observer};
use super::old_lines::OldLines;
use super::pace::Pace;
use super::post::Post;
use super::reload::Reload;
use super::runner::{Runner, Work};
use super::sources::Sources;
use super::stonith::Stonith;
use super::turn::Driver;
use super::window::Window;
use super::{RunOptions, enter_realtime, setup, tick};
use crate::config::Config;
use crate::control::{Fifo, Server};
use crate::datapath::Mode;
use crate::datapath::netlink::{self, Netlink};
use crate::links::Findings;
use crate::links::prober::{Prober, Sender};
use crate::logging::Logging;
use crate::record::{self, Line, Recorder};
use crate::sys::clock;
use crate::voices::Voices;
use crate::voices::pings::Times;

/// Events from the agent's own threads that may wait; the tables hold the truth, so more are dropped.
const EVENTS_MAX: usize = 1024;

/// The lease at least from the end of an agent in a planned restart to the start of the next, ns.
pub(super) const RESTART_LEASE: u64 = 2_000_000_000;

impl<'a> Driver<'a> {
    pub(super) async fn new(
        config: Config,
        options: &RunOptions,
        server: Server,
        recorder: Option<Recorder>,
        logging: &'a Logging,
    ) -> Result<(Self, Sources)> {
        // First: until somebody listens, each would end the agent.
        let hangup = signal(SignalKind::hangup())?;
        let restart = signal(SignalKind::quit())?;
        let netlink = Rc::new(Netlink::new()?);
        let changes = netlink::watch()?;
        let known = netlink.interfaces().await?;
        let entries = setup::place_vips(&config, &netlink).await?;
        let six = setup::place_vips6(&config, &netlink).await?;
        let links = super::links::open(&config, &known)?;
        let keys = setup::keys(&config)?;
        let session = getrandom::u64().context("no randomness for a session")?.max(1);
        let addresses = setup::virtual_addresses(&entries, &six);
        let fill = |orders: &mut Orders, life| {
            setup::fill_orders(orders, &config, &keys, session, life);
            // Last: with these the programs begin to look.
            super::paths::tell(&config, orders, &links, &known, &addresses);
        };
        let mut base = Base::load(&config, options, fill)?;
        let (events, own_events) = mpsc::channel(EVENTS_MAX);
        let (grounds, own) = (setup::grounds(&links, &entries), setup::own_addresses(&known, &entries));
        let places = (entries, six);
        let (findings, own_letters) = Findings::new(events.clone());
        let guard = Guard::attach(&config, &mut base, &netlink, &links, places, &findings).await?;
        let Guard { vips, interfaces, egress, plain, hands_over, mut open } = guard;
        let Base {
            orders,
            facts,
            kernel,
            without_kernel,
            mut lost,
            events: kernel_events,
            letters,
            held_back,
            ..
        } = base;

        let mut sender = Sender::new(Arc::clone(&orders), Arc::clone(&facts), links.clone(), events);
        let link_up: BTreeMap<u32, bool> =
            known.iter().map(|known| (known.index, known.up && known.carrier)).collect();
        link_up.iter().for_each(|(&index, &up)| sender.set_carrier(index, up));
        let realtime = enter_realtime(&config);
        let (signs, silent) = Signs::start(&config, realtime.fifo);
        lost.extend(silent);
        let now = clock::now();
        // If the last step took longer than the lease that covered it, what was open is fenced (R2), and its leftovers are
        // stopped as those of any earlier life.
        gate::renew_lease(&orders, &facts, now, now + setup::nanos(config.lease), &mut |_| {});
        open.retain(|&group| gate::is_open(&orders, &facts, group, now));
        let prober = Prober::start(sender, config.keepalive, realtime.fifo)?;
        let lines = super::links::start_lines(&links, &orders, &facts, &findings, realtime.fifo)?;

        let (mut voices, voices_queue) = Voices::start(&config, &orders, &facts, grounds, own).await?;
        for interface in &interfaces {
            voices.free.set_in_kernel(interface.index, interface.mode != Mode::None);
        }

        let (done, done_queue) = mpsc::unbounded_channel();
        let (asked, asked_queue) = mpsc::unbounded_channel();
        let rules = setup::rules(&config, options);
        setup::tell_of_built_in(&config, &rules.scripts);
        let rules = Rc::new(RefCell::new(Rc::new(rules)));
        let kept = if open.is_empty() {
            Kept::default()
        } else {
            kept::read(&options.state_dir, orders.session.get())
        };
        let started = |group: GroupId| kept.started.contains(config.groups[group as usize].key());
        let moment = Moment::default();
        let keys = config.groups.iter().map(|group| group.key().to_owned()).collect();
        let tables = (Arc::clone(&orders), Arc::clone(&facts));
        let stonith = Stonith::new(config.own, config.nodes.clone(), keys, tables, Rc::clone(&rules));
        let (files, files_queue) = mpsc::unbounded_channel();
        let (list, lists) = Listing::start(netlink);
        let runners = (0..)
            .zip(setup::groups(&config))
            .map(|(id, group): (GroupId, _)| {
                let (rules, vips, done) = (Rc::clone(&rules), vips.clone(), done.clone());
                let (moment, stonith) = (Rc::clone(&moment), stonith.clone());
                let key = config.groups[id as usize].key().to_owned();
                let leading = if hands_over[id as usize] { setup::leading(&group, &vips) } else { 0 };
                let work = Work { id, key, group, leading, rules, stonith, moment, vips, done };
                Runner::new(work, open.contains(&id) && started(id))
            })
            .collect();
        let held = |&group: &GroupId| {
            let stays = kept.stays.get(config.groups[group as usize].key()).copied();
            let phase = if started(group) { Phase::Started } else { Phase::Stopped };
            Held { group, gate: observe::gate_view(&orders, &facts, group, now), phase, stays }
        };
        let held: Vec<Held> = open.iter().map(held).collect();
        let left = Left::read(&options.run_dir).context("starting the thread that notes what is up")?;
        if recorder.is_some() {
            vips.note_deeds();
        }
        let cluster =
            begin(&config, cluster_config(&config, &hands_over), held, &left, now, recorder.as_ref());
        let window = Window::new(config.keepalive);
        let pace = Pace::new(setup::nanos(tick(&config)));
        let told = Told::new(config.nodes.len(), moment);
        let post = Post::new(config.nodes.len(), config.keepalive, &orders);
        let driver = Self {
            recorder,
            cluster,
            state_dir: options.state_dir.clone(),
            left,
            observer: Observer::new(config.nodes.len(), config.groups.len(), setup::nanos(config.deadtime)),
            directions: Directions::default(),
            signs,
            old_lines: OldLines::new(
                config.own as u8,
                config.nodes.len(),
                config.groups.iter().map(|group| group.home == config.own).collect(),
            ),
            respawned: None,
            told,
            post,
            stonith,
            config,
            logging,
            realtime,
            started: now,
            orders,
            facts,
            kernel,
            held_back,
            without_kernel,
            lost,
            egress,
            plain,
            interfaces,
            links,
            lines,
            link_up,
            prober,
            vips,
            voices,
            runners,
            asked,
            replies: BTreeMap::new(),
            next_command: 0,
            dirty: BTreeSet::new(),
            renewed_at: now,
            pace,
            list,
            window,
            exit: false,
            keep: false,
            rules,
            reload: Reload::new(options.clone(), files),
        };
        let sources = Sources {
            kernel: kernel_events,
            own: own_events,
            letters,
            own_letters,
            done: done_queue,
            asked: asked_queue,
            files: files_queue,
            lists,
            voices: voices_queue,
            server,
            fifo: open_fifo(&options.state_dir),
            netlink: changes,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup,
            restart,
            more: signal(SignalKind::user_defined1())?,
            less: signal(SignalKind::user_defined2())?,
        };
        Ok((driver, sources))
    }
}

/// The election at its beginning, which a recording begins with.
fn begin(
    config: &Config,
    elects: ClusterConfig,
    held: Vec<Held>,
    left: &Left,
    now: u64,
    recorder: Option<&Recorder>,
) -> Cluster {
    // With nothing left to go on with, this is a start as any other (R6).
    let resumed = Some(held).filter(|held| !held.is_empty());
    let groups = 0..config.groups.len() as GroupId;
    let left: Vec<GroupId> = groups.filter(|&group| left.has(config.groups[group as usize].key())).collect();
    let mut cluster = Cluster::new(elects.clone(), now);
    if let Some(held) = &resumed {
        cluster.resume(now, held.clone());
    }
    if let Some(recorder) = recorder {
        let (config, left) = (elects, left.clone());
        recorder.add(Line::Begin { version: record::VERSION, at: now, config, resumed, left });
    }
    cluster.clean_up(now, left);
    cluster
}

fn cluster_config(config: &Config, hands_over: &[bool]) -> ClusterConfig {
    ClusterConfig {
        own: config.own as u8,
        nodes: config.nodes.len(),
        groups: config
            .groups
            .iter()
            .zip(hands_over)
            .map(|(group, &hands_over)| GroupConfig { home: group.home as u8, hands_over })
            .collect(),
        auto_failback: config.auto_failback,
        initdead: setup::nanos(config.initdead),
        deadtime: setup::nanos(config.deadtime),
        damping: setup::nanos(Times::of(config).damping()),
    }
}

/// Heartbeat's FIFO. What cannot be had is said and done without.
fn open_fifo(state_dir: &Path) -> Option<Fifo> {
    let opened = Fifo::open(state_dir);
    let warn = |error: &std::io::Error| {
        tracing::warn!("no FIFO in {}: {error}; scripts that write to it are not heard", state_dir.display());
    };
    opened.inspect_err(warn).ok()
}
