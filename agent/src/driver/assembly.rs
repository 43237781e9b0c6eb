//! Everything that stands before the first turn: what is loaded, attached, adopted, started, in this order.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use cluster::{Cluster, Config as ClusterConfig, GroupConfig, GroupId, Phase};
use reflex::{Facts, Orders, gate};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::left::Left;
use super::observe::{self, Observer};
use super::runner::Runner;
use super::sources::Sources;
use super::turn::Driver;
use super::{RunOptions, enter_realtime, kept, setup};
use crate::config::{Config, XdpMode};
use crate::control::Server;
use crate::datapath::Mode;
use crate::datapath::interfaces::{self, Interface};
use crate::datapath::netlink::{self, Netlink};
use crate::datapath::pins::Pins;
use crate::datapath::plain::{Plain, Watch};
use crate::datapath::vips::{Gates, Vips};
use crate::datapath::xdp::{Kernel, Life};
use crate::links::Link;
use crate::links::prober::{Prober, Sender};
use crate::logging::Logging;
use crate::record::{self, Line, Recorder};
use crate::sys::{Table, clock};

/// Events from the agent's own threads that may wait; the tables hold the truth, so more are dropped.
const EVENTS_MAX: usize = 1024;

/// The lease at least from the end of an agent in a planned restart to the start of the next, ns.
pub(super) const RESTART_LEASE: u64 = 2_000_000_000;

/// The lease that covers the start of an agent that goes on with an earlier one's gates, ns: on a busy machine the kernel
/// takes seconds to verify the programs. The kernel serves meanwhile, so a long one costs nothing.
const START_LEASE: u64 = 15_000_000_000;

/// The kernel programs, or why there are none.
fn load_kernel(
    config: &Config,
    options: &RunOptions,
    prepare: impl FnOnce(&mut Orders, Life),
) -> Result<Kernel, String> {
    if config.xdp == XdpMode::Off {
        return Err("ha.cf says `xdp off`".to_owned());
    }
    let pins = Pins::of(&options.run_dir);
    if let Err(error) = &pins {
        tracing::warn!(
            "cannot pin the kernel programs ({error}): they end with the agent, also when it is killed"
        );
    }
    let adopt = |orders: &Orders, facts: &Facts| {
        let adopt = setup::is_worth_adopting(config, orders, facts);
        if adopt {
            tracing::info!("going on with the gates that are open");
            // A lease that lasts longer is not cut: the start may take that long.
            orders.lease_until.set(orders.lease_until.get().max(clock::now() + START_LEASE));
        }
        adopt
    };
    let mut kernel = Kernel::load_pinned(pins.ok(), adopt, prepare).map_err(|error| error.to_string())?;
    kernel.start_watch().map_err(|error| error.to_string())?;
    if let Err(error) = kernel.gasp() {
        tracing::warn!("no gasp at exit ({error}): only the end of the lease fences a killed agent");
    }
    Ok(kernel)
}

impl<'a> Driver<'a> {
    pub(super) async fn new(
        config: Config,
        options: &RunOptions,
        server: Server,
        recorder: Option<Recorder>,
        logging: &'a Logging,
    ) -> Result<(Self, Sources)> {
        let netlink = Netlink::new()?;
        let changes = netlink::watch()?;
        let known = netlink.interfaces().await?;
        let entries = setup::place_vips(&config, &netlink).await?;
        let links = setup::links(&config, &known)?;
        let keys = setup::keys(&config)?;
        let session = getrandom::u64().context("no randomness for a session")?.max(1);
        let addresses: Vec<_> = links
            .iter()
            .filter_map(|link| known.iter().find(|known| known.index == link.ifindex))
            .flat_map(|known| known.addresses.iter().map(|known| known.address))
            .filter(|address| entries.iter().all(|entry| entry.placed.address != *address))
            .collect();

        let mut life = Life::New;
        let prepare = |orders: &mut Orders, found: Life| {
            life = found;
            setup::fill_orders(orders, &config, &keys, &addresses, session, found);
        };
        let (mut kernel, without_kernel) = match load_kernel(&config, options, prepare) {
            Ok(kernel) => (Some(kernel), None),
            Err(why) => {
                tracing::warn!("no eBPF: {why}; {}", super::report::LOST);
                (None, Some(why))
            }
        };
        let (orders, facts) = match &kernel {
            Some(kernel) => (Arc::clone(&kernel.orders), Arc::clone(&kernel.facts)),
            None => {
                let mut orders = Table::<Orders>::private()?;
                setup::fill_orders(orders.edit(), &config, &keys, &addresses, session, life);
                (Arc::new(orders), Arc::new(Table::<Facts>::private()?))
            }
        };
        let kernel_events = kernel.as_mut().map(Kernel::take_events).transpose()?;
        if let Some(kernel) = kernel.as_mut() {
            forward_kernel_log(kernel);
        }
        let kernel = Rc::new(RefCell::new(kernel));

        let (events, own_events) = mpsc::channel(EVENTS_MAX);
        let interfaces = setup::interfaces(&links, &entries);
        let gates = Gates { orders: Arc::clone(&orders), facts: Arc::clone(&facts) };
        // Before any program of ours is attached: one that does not know an address leaves it to the stack, and an earlier
        // life may have left it on the interface (R7).
        let vips = Vips::new(netlink, Rc::clone(&kernel), gates, entries);
        let attached: Vec<Interface> = interfaces
            .into_iter()
            .map(|(index, (name, has_link))| {
                interfaces::attach(&kernel, config.xdp, (index, &name), has_link)
            })
            .collect();
        interfaces::attach_egress(&kernel, &vips);
        if let Some(kernel) = kernel.borrow().as_ref() {
            kernel.drop_unused_links();
        }
        let in_agent = |link: &&Arc<Link>| {
            attached.iter().any(|interface| interface.index == link.ifindex && interface.mode == Mode::None)
        };
        let plain = Plain::start(
            Arc::clone(&orders),
            Arc::clone(&facts),
            links.iter().filter(in_agent).cloned().collect(),
            if without_kernel.is_some() { Watch::Here } else { Watch::Kernel },
            events.clone(),
        )?;

        let open = match life {
            Life::New => Vec::new(),
            Life::Adopted => setup::open_groups(&config, &orders, &facts),
        };
        vips.adopt(&open).await;
        for interface in attached.iter().filter(|interface| interface.tested) {
            vips.set_bounce(interface.index, true);
        }
        let sender = Sender::new(Arc::clone(&orders), Arc::clone(&facts), links.clone(), events);
        let realtime = enter_realtime(&config);
        let now = clock::now();
        // If the start took longer than the lease that covered it, what was open is fenced (R2).
        gate::renew_lease(&orders, &facts, now, now + setup::nanos(config.lease), &mut |_| {});
        let prober = Prober::start(sender, config.keepalive, realtime.fifo)?;

        let (done, done_queue) = mpsc::unbounded_channel();
        let (asked, asked_queue) = mpsc::unbounded_channel();
        let scripts = setup::scripts(&config, &options.config_dir, &options.state_dir);
        let limits = setup::limits(&config);
        let runners = (0..)
            .zip(setup::groups(&config))
            .map(|(id, group)| Runner::new(id, group, limits, scripts.clone(), vips.clone(), done.clone()))
            .collect();
        let link_up = known.iter().map(|known| (known.index, known.up && known.carrier)).collect();
        let mut cluster = Cluster::new(cluster_config(&config), now);
        let mut resumed = None;
        // With nothing left to go on with, this is a start as any other (R6).
        if !open.is_empty() {
            let started = kept::read(&options.state_dir, orders.session.get());
            let started = |group: GroupId| started.contains(config.groups[group as usize].key());
            let held = open.iter().map(|&group| {
                let phase = if started(group) { Phase::Started } else { Phase::Stopped };
                (group, observe::gate_view(&orders, &facts, group, now), phase)
            });
            let held: Vec<_> = held.collect();
            resumed = Some(held.clone());
            cluster.resume(now, held);
        }
        let left = Left::read(&options.run_dir);
        let groups = 0..config.groups.len() as GroupId;
        let running: Vec<GroupId> =
            groups.filter(|&group| left.has(config.groups[group as usize].key())).collect();
        if let Some(recorder) = &recorder {
            let (config, left) = (cluster_config(&config), running.clone());
            recorder.add(Line::Begin { version: record::VERSION, at: now, config, resumed, left });
        }
        cluster.clean_up(now, running);
        let driver = Self {
            recorder,
            cluster,
            state_dir: options.state_dir.clone(),
            left,
            observer: Observer::new(config.nodes.len(), config.groups.len(), setup::nanos(config.deadtime)),
            config,
            logging,
            realtime,
            started: now,
            orders,
            facts,
            kernel,
            without_kernel,
            plain,
            interfaces: attached,
            links,
            link_up,
            prober,
            vips,
            runners,
            asked,
            replies: BTreeMap::new(),
            next_command: 0,
            dirty: BTreeSet::new(),
            renewed_at: now,
            exit: false,
            keep: false,
        };
        let sources = Sources {
            kernel: kernel_events,
            own: own_events,
            done: done_queue,
            asked: asked_queue,
            server,
            netlink: changes,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            more: signal(SignalKind::user_defined1())?,
            less: signal(SignalKind::user_defined2())?,
        };
        Ok((driver, sources))
    }
}

fn cluster_config(config: &Config) -> ClusterConfig {
    ClusterConfig {
        own: config.own as u8,
        nodes: config.nodes.len(),
        groups: config.groups.iter().map(|group| GroupConfig { home: group.home as u8 }).collect(),
        auto_failback: config.auto_failback,
        initdead: setup::nanos(config.initdead),
        deadtime: setup::nanos(config.deadtime),
    }
}

/// The kernel's own log lines go where ours go.
fn forward_kernel_log(kernel: &mut Kernel) {
    match kernel.take_log() {
        Ok(mut log) => {
            tokio::task::spawn_local(async move {
                while let Ok(mut guard) = log.readable_mut().await {
                    guard.get_inner_mut().flush();
                    guard.clear_ready();
                }
            });
        }
        Err(error) => tracing::debug!("no log from the kernel programs: {error}"),
    }
}
