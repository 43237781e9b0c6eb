//! What everything stands on: the tables, and the kernel programs that share them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Result;
use cluster::GroupId;
use reflex::{Facts, Orders, gate};

use super::RunOptions;
use super::adopt::Ours;
use crate::config::{Config, XdpMode};
use crate::datapath::pins::Pins;
use crate::datapath::xdp::{Events, Held, Kernel, Letters, Life, Opened};
use crate::sys::{Table, clock};

/// The lease that covers a step of the start of an agent that goes on with an earlier one's gates, ns: on a busy machine the
/// kernel takes many seconds to verify the programs. The kernel serves meanwhile, so a long one costs nothing; and an agent that
/// hangs in one step is fenced all the same.
const START_LEASE: u64 = 20_000_000_000;

/// The tables, and the kernel programs if they can be had.
pub(super) struct Base {
    pub(super) orders: Arc<Table<Orders>>,
    pub(super) facts: Arc<Table<Facts>>,
    pub(super) kernel: Rc<RefCell<Option<Kernel>>>,
    /// Why there are no kernel programs.
    pub(super) without_kernel: Option<String>,
    /// What the kernel refused beside that, each with what it costs.
    pub(super) lost: Vec<String>,
    /// What the kernel tells, until somebody takes it.
    pub(super) events: Option<Events>,
    /// What it tells of gates that open, likewise.
    pub(super) opened: Option<Opened>,
    /// The letters that it took, likewise.
    pub(super) letters: Option<Letters>,
    /// The packets that it holds back, likewise.
    pub(super) held_back: Option<Held>,
    life: Life,
}

impl Base {
    /// Loads the kernel programs, or goes on with those of an earlier agent. `fill` writes the orders, before any program
    /// looks.
    pub(super) fn load(
        config: &Config,
        options: &RunOptions,
        fill: impl Fn(&mut Orders, Life),
    ) -> Result<Self> {
        let mut life = Life::New;
        let prepare = |orders: &mut Orders, found: Life| {
            life = found;
            fill(orders, found);
        };
        let (mut kernel, lost, without_kernel) = match load_kernel(config, options, prepare) {
            Ok((kernel, lost)) => (Some(kernel), lost, None),
            Err(why) => {
                tracing::warn!("no eBPF: {why}; {}", super::report::LOST);
                (None, Vec::new(), Some(why))
            }
        };
        let (orders, facts) = match &kernel {
            Some(kernel) => (Arc::clone(&kernel.orders), Arc::clone(&kernel.facts)),
            None => {
                let mut orders = Table::<Orders>::private()?;
                fill(orders.edit(), life);
                (Arc::new(orders), Arc::new(Table::<Facts>::private()?))
            }
        };
        let events = kernel.as_mut().map(Kernel::take_events).transpose()?;
        let opened = kernel.as_mut().map(Kernel::take_opened).transpose()?;
        let letters = kernel.as_mut().map(Kernel::take_letters).transpose()?;
        let held_back = kernel.as_mut().map(Kernel::take_held).transpose()?;
        if let Some(kernel) = kernel.as_mut() {
            forward_kernel_log(kernel);
        }
        let kernel = Rc::new(RefCell::new(kernel));
        Ok(Self { orders, facts, kernel, without_kernel, lost, events, opened, letters, held_back, life })
    }

    /// A step of the start is done: the next one has the whole of [`START_LEASE`]. A step that took longer than that fences
    /// (R2).
    pub(super) fn cover(&self) {
        cover(&self.orders, &self.facts, self.life);
    }

    /// The groups whose gates an earlier agent has left open.
    pub(super) fn open(&self, config: &Config) -> Vec<GroupId> {
        match self.life {
            Life::New => Vec::new(),
            Life::Adopted => Ours::of(config).open(&self.orders, &self.facts, clock::now()),
        }
    }
}

fn cover(orders: &Orders, facts: &Facts, life: Life) {
    if life == Life::Adopted {
        let now = clock::now();
        let until = orders.lease_until.get().max(now + START_LEASE);
        gate::renew_lease(orders, facts, now, until, &mut |_| {});
    }
}

/// The kernel programs, or why there are none.
fn load_kernel(
    config: &Config,
    options: &RunOptions,
    prepare: impl FnOnce(&mut Orders, Life),
) -> Result<(Kernel, Vec<String>), String> {
    if config.xdp == XdpMode::Off {
        return Err("ha.cf says `xdp off`".to_owned());
    }
    let pins = Pins::of(&options.run_dir);
    let mut lost = Vec::new();
    if let Err(error) = &pins {
        lost.push(format!(
            "cannot pin the kernel programs ({error}): they end with the agent, also when it is killed; then its address \
             stays without a gate, and `xbeat stop --keep` is refused"
        ));
    }
    let adopt = |orders: &Orders, facts: &Facts| {
        let adopt = Ours::of(config).goes_on(orders, facts, START_LEASE, clock::now);
        if adopt {
            tracing::info!("going on with the gates that are open");
        }
        adopt
    };
    let kernel = Kernel::load_pinned(pins.ok(), adopt, prepare, cover);
    let mut kernel = kernel.map_err(|error| error.to_string())?;
    kernel.start_watch().map_err(|error| error.to_string())?;
    if let Err(error) = kernel.gasp() {
        lost.push(format!("no gasp at exit ({error}): only the end of the lease fences a killed agent"));
    }
    Ok((kernel, lost))
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
