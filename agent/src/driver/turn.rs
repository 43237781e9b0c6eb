//! One turn of the loop.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cluster::{Cluster, Command, Config as ClusterConfig, GroupConfig, GroupId, Input, Set};
use reflex::{Event, Facts, Orders, gate};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::observe::Observer;
use super::runner::{Done, Runner};
use super::{Realtime, RunOptions, enter_realtime, setup, tick};
use crate::config::{Config, XdpMode};
use crate::control::{self, Reply, Request, ResourceSet, Server};
use crate::datapath::Mode;
use crate::datapath::interfaces::{self, Interface};
use crate::datapath::netlink::{self, Netlink};
use crate::datapath::plain::{Plain, Watch};
use crate::datapath::vips::{Gates, Vips};
use crate::datapath::xdp::{Events, Kernel};
use crate::links::Link;
use crate::links::prober::{Prober, Sender};
use crate::logging::Logging;
use crate::sys::{Table, clock};

/// Events from the agent's own threads that may wait; the tables hold the truth, so more are dropped.
const EVENTS_MAX: usize = 1024;

/// Everything that the loop owns.
pub(super) struct Driver<'a> {
    pub(super) config: Config,
    pub(super) logging: &'a Logging,
    pub(super) realtime: Realtime,
    pub(super) cluster: Cluster,
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
    observer: Observer,
}

/// What the loop waits for.
struct Sources {
    kernel: Option<Events>,
    own: mpsc::Receiver<Event>,
    done: mpsc::UnboundedReceiver<Done>,
    asked: mpsc::UnboundedReceiver<(GroupId, bool)>,
    server: Server,
    netlink: mpsc::Receiver<netlink::Event>,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    more: Signal,
    less: Signal,
}

/// One thing that happened.
enum Happening {
    Events(Vec<Event>),
    Done(Done),
    Asked(GroupId, bool),
    Request(Request),
    Netlink(netlink::Event),
    Terminate,
    Hangup,
    Debug(i8),
    Time,
}

/// Sets everything up and turns until told to stop.
pub(super) async fn serve(
    config: Config,
    options: RunOptions,
    server: Server,
    logging: &Logging,
) -> Result<()> {
    let (mut driver, mut sources) = Driver::new(config, &options, server, logging).await?;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    driver.carry_out();
    while !driver.exit {
        let wait = driver.until_due();
        let happening = sources.next(wait).await?;
        driver.turn(happening);
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    // The last word, for those who missed the one before.
    driver.say();
    let own = driver.config.own;
    tracing::info!("{} Heartbeat shutdown complete.", driver.config.nodes[own]);
    // Before the server: `xbeat stop` returns when that is gone.
    drop(driver);
    drop(sources);
    Ok(())
}

/// The kernel programs, or why there are none.
fn load_kernel(config: &Config, prepare: impl FnOnce(&mut Orders)) -> Result<Kernel, String> {
    if config.xdp == XdpMode::Off {
        return Err("ha.cf says `xdp off`".to_owned());
    }
    let mut kernel = Kernel::load(prepare).map_err(|error| error.to_string())?;
    kernel.start_watch().map_err(|error| error.to_string())?;
    Ok(kernel)
}

impl<'a> Driver<'a> {
    async fn new(
        config: Config,
        options: &RunOptions,
        server: Server,
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

        let prepare = |orders: &mut Orders| setup::fill_orders(orders, &config, &keys, &addresses, session);
        let (mut kernel, without_kernel) = match load_kernel(&config, prepare) {
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
                setup::fill_orders(orders.edit(), &config, &keys, &addresses, session);
                (Arc::new(orders), Arc::new(Table::<Facts>::private()?))
            }
        };
        let kernel_events = kernel.as_mut().map(Kernel::take_events).transpose()?;
        if let Some(kernel) = kernel.as_mut() {
            forward_kernel_log(kernel);
        }
        let kernel = Rc::new(RefCell::new(kernel));

        let (events, own_events) = mpsc::channel(EVENTS_MAX);
        let attached: Vec<Interface> = setup::interfaces(&links, &entries)
            .into_iter()
            .map(|(index, (name, has_link))| {
                interfaces::attach(&kernel, config.xdp, (index, &name), has_link)
            })
            .collect();
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

        let gates = Gates { orders: Arc::clone(&orders), facts: Arc::clone(&facts) };
        let vips = Vips::new(netlink, Rc::clone(&kernel), gates, entries);
        vips.remove_leftovers().await;
        for interface in attached.iter().filter(|interface| interface.tested) {
            vips.set_bounce(interface.index, true);
        }
        let sender = Sender::new(Arc::clone(&orders), Arc::clone(&facts), links.clone(), events);
        let realtime = enter_realtime(&config);
        let now = clock::now();
        orders.lease_until.set(now + setup::nanos(config.lease));
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
        let driver = Self {
            cluster: Cluster::new(cluster_config(&config), now),
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

    fn turn(&mut self, happening: Happening) {
        self.renew_lease();
        match happening {
            Happening::Events(events) => events.iter().for_each(|event| self.log_event(event)),
            Happening::Done(done) => {
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
        let netlink::Event::Link { index, name, up, carrier, .. } = event else { return };
        let used = self.interfaces.iter().any(|interface| interface.index == *index);
        let is_up = *up && *carrier;
        let Some(was_up) = self.link_up.insert(*index, is_up).filter(|was| used && *was != is_up) else {
            return;
        };
        if was_up {
            tracing::warn!("Link {name} dead.");
        } else {
            tracing::info!("Link {name} up.");
            // Who was cut off may have been replaced meanwhile: first hear it, then announce.
            self.say();
            self.vips.announce_again(*index, Instant::now() + hearing(self.config.keepalive));
        }
    }

    fn on_terminate(&mut self) {
        if self.cluster.is_leaving() {
            tracing::warn!("told to stop twice: not waiting for the hand-over");
            self.exit = true;
            return;
        }
        tracing::info!("told to stop: handing over");
        let id = self.new_command();
        self.tell(Input::Command { id, command: Command::Stop });
    }

    fn new_command(&mut self) -> u64 {
        self.next_command += 1;
        self.next_command
    }

    fn on_request(&mut self, request: Request) {
        use control::Command as Asked;
        let command = match request.command {
            Asked::Status => {
                let _ = request.reply.send(Reply::with_status(self.report()));
                return;
            }
            Asked::Standby { set } => self.set(&set, Set::Foreign).map(Command::Standby),
            Asked::Takeover { set } => self.set(&set, Set::Local).map(Command::Takeover),
            Asked::Stop => Ok(Command::Stop),
        };
        match command {
            Ok(command) => {
                let id = self.new_command();
                self.replies.insert(id, request.reply);
                self.tell(Input::Command { id, command });
            }
            Err(reason) => drop(request.reply.send(Reply::refused(reason))),
        }
    }

    /// The groups that were named; `failback` means those that are not where they belong.
    fn set(&self, set: &ResourceSet, failback: Set) -> Result<Set, String> {
        Ok(match set {
            ResourceSet::All => Set::All,
            ResourceSet::Local => Set::Local,
            ResourceSet::Foreign => Set::Foreign,
            ResourceSet::Failback => failback,
            ResourceSet::Group(key) => {
                let index = self.config.groups.iter().position(|group| group.key() == key);
                let index = index.ok_or_else(|| {
                    let keys: Vec<&str> = self.config.groups.iter().map(|group| group.key()).collect();
                    format!("there is no group {key}; there are: {}", keys.join(", "))
                })?;
                Set::Group(index as GroupId)
            }
        })
    }
}

/// How long after a carrier came back every node that is there was surely heard, or will not be for a while.
fn hearing(keepalive: Duration) -> Duration {
    (keepalive * 2).min(Duration::from_secs(1))
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

impl Sources {
    /// Waits for the next thing, at most this long. Kernel events first: they are what the loop is fast for.
    async fn next(&mut self, wait: Duration) -> Result<Happening> {
        let mut batch = Vec::new();
        let kernel = async {
            match &mut self.kernel {
                Some(events) => events.next(|event| batch.push(event)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            result = kernel => {
                result.context("waiting for the kernel's events")?;
            }
            Some(event) = self.own.recv() => return Ok(Happening::Events(vec![event])),
            Some(done) = self.done.recv() => return Ok(Happening::Done(done)),
            Some((group, answered)) = self.asked.recv() => return Ok(Happening::Asked(group, answered)),
            Some(event) = self.netlink.recv() => return Ok(Happening::Netlink(event)),
            Some(request) = self.server.requests.recv() => return Ok(Happening::Request(request)),
            _ = self.terminate.recv() => return Ok(Happening::Terminate),
            _ = self.interrupt.recv() => return Ok(Happening::Terminate),
            _ = self.hangup.recv() => return Ok(Happening::Hangup),
            _ = self.more.recv() => return Ok(Happening::Debug(1)),
            _ = self.less.recv() => return Ok(Happening::Debug(-1)),
            () = tokio::time::sleep(wait) => return Ok(Happening::Time),
        }
        Ok(Happening::Events(batch))
    }
}
