//! Addresses ahead of the election.
//!
//! When the kernel opens a gate, the group's leading addresses are certain to be wanted: the election can only agree. So a
//! thread that waits for nothing else, woken by the kernel itself, puts them on their interfaces and announces them, while the
//! loop is still waking up. The group's task finds it done. What nobody fetches, because the gate was shut again at once, is
//! taken off.
//!
//! The thread may wait for the kernel's network lock as long as it must: no lease hangs on it, and nobody waits for it
//! but the tasks of groups that start or stop.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reflex::gate::Armed;
use reflex::{Event, EventKind};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use super::six::is_router;
use super::{Deed, Hands, Vips};
use crate::datapath::announce::Announcer;
use crate::datapath::netlink::{Change, Netlink, Placed, Placed6};
use crate::datapath::xdp::{Events, Opened};
use crate::sys::schedule;

/// The thread, from outside. It ends when this is dropped.
pub(super) struct Hurry {
    orders: mpsc::UnboundedSender<Order>,
    /// By address, IPv4 first: it was put up, and nobody has fetched it yet.
    ahead: Arc<[AtomicBool]>,
}

/// What the thread is asked for, beside what the kernel tells.
enum Order {
    /// The kernel has opened the gate of that group for that epoch.
    Opened { group: u32, epoch: u64 },
    /// Somebody takes that address over. The answer is whether it was put up and announced; it comes when nothing that was
    /// begun before is on its way.
    Fetch { vip: usize, answer: oneshot::Sender<bool> },
}

/// An address that leads its group.
pub(super) struct Spot {
    pub(super) vip: usize,
    pub(super) group: u32,
    pub(super) place: Place,
}

/// Where it goes.
pub(super) enum Place {
    Four(Placed),
    Six(Placed6, Option<Announcer>),
}

impl Hurry {
    /// Starts the thread, for the leading ones among `len` addresses, in the network namespace of the calling thread.
    pub(super) fn start(
        hands: Arc<Hands>,
        spots: Vec<Spot>,
        len: usize,
        opened: Option<Opened>,
    ) -> io::Result<Self> {
        let ahead: Arc<[AtomicBool]> = (0..len).map(|_| AtomicBool::new(false)).collect();
        let (orders, queue) = mpsc::unbounded_channel();
        let flags = Arc::clone(&ahead);
        std::thread::Builder::new().name("xbeat-hurry".into()).spawn(move || {
            if let Err(error) = serve(hands, spots, flags, opened, queue) {
                tracing::error!("addresses wait for the election after a takeover: {error}");
            }
        })?;
        Ok(Self { orders, ahead })
    }

    /// The same news, from who heard it by another way: where the kernel could not tell.
    fn opened(&self, group: u32, epoch: u64) {
        // Without the thread nothing is ahead.
        let _ = self.orders.send(Order::Opened { group, epoch });
    }

    /// Waits for what was begun for an address; whether it was put up and announced since it was fetched last.
    pub(super) async fn fetch(&self, vip: usize) -> bool {
        let (answer, answered) = oneshot::channel();
        self.orders.send(Order::Fetch { vip, answer }).is_ok() && answered.await.unwrap_or(false)
    }

    fn is_ahead(&self, vip: usize) -> bool {
        self.ahead.get(vip).is_some_and(|ahead| ahead.load(Ordering::Acquire))
    }
}

/// The thread.
fn serve(
    hands: Arc<Hands>,
    spots: Vec<Spot>,
    ahead: Arc<[AtomicBool]>,
    opened: Option<Opened>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) -> io::Result<()> {
    // A takeover waits for it; where that is refused it is as fast as everything else.
    let _ = schedule::fifo();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async {
        let netlink = Netlink::here().map_err(io::Error::other)?;
        let mut worker = Worker { hands, netlink, spots, ahead, done: BTreeMap::new() };
        let mut events = opened.map(Opened::listen).transpose()?;
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                told = next(&mut events, &mut batch) => told?,
                order = orders.recv() => match order {
                    Some(Order::Opened { group, epoch }) => worker.on_opened(group, epoch).await,
                    Some(Order::Fetch { vip, answer }) => {
                        let was = worker.ahead.get(vip).is_some_and(|ahead| ahead.swap(false, Ordering::AcqRel));
                        // Who asked may be gone.
                        let _ = answer.send(was);
                    }
                    None => return Ok(()),
                },
            }
            for event in batch {
                match EventKind::from_number(event.kind) {
                    Some(EventKind::GateOpened) => worker.on_opened(event.group, event.epoch).await,
                    Some(EventKind::NodeDoubted) => worker.rehearse(event.node).await,
                    // The kernel tells of nothing else here.
                    Some(_) | None => {}
                }
            }
        }
    })
}

async fn next(events: &mut Option<Events>, batch: &mut Vec<Event>) -> io::Result<()> {
    match events {
        Some(events) => events.next(|event| batch.push(event)).await,
        None => std::future::pending().await,
    }
}

struct Worker {
    hands: Arc<Hands>,
    netlink: Netlink,
    spots: Vec<Spot>,
    ahead: Arc<[AtomicBool]>,
    /// By group, the epoch that was seen to last: the news comes by two ways.
    done: BTreeMap<u32, u64>,
}

impl Worker {
    async fn on_opened(&mut self, group: u32, epoch: u64) {
        if self.done.insert(group, epoch) == Some(epoch) {
            return;
        }
        self.hands.note(group, Deed::Woken);
        for spot in self.spots.iter().filter(|spot| spot.group == group) {
            // An old word: it is not ours any more.
            if !self.hands.gates.is_open(group) {
                return;
            }
            // What fails is tried again by the group's task, which says so.
            if self.put_up(spot).await
                && let Some(ahead) = self.ahead.get(spot.vip)
            {
                ahead.store(true, Ordering::Release);
            }
        }
    }

    /// A node may be dead in a moment. If that would be a takeover: a request that changes nothing, by the way that the one after
    /// it will take. So processor, caches and this thread are awake when it counts.
    async fn rehearse(&self, node: u32) {
        let orders = &self.hands.gates.orders;
        let is_armed = |spot: &&Spot| {
            let armed =
                orders.gates.get(spot.group as usize).and_then(|gate| Armed::unpack(gate.armed.get()));
            armed.is_some_and(|armed| u32::from(armed.holder) == node)
        };
        if let Some(Spot { place: Place::Four(placed), .. }) = self.spots.iter().find(is_armed) {
            // There is no interface 0: refused, which is what is wanted.
            let _ = self.netlink.add_address(&Placed { index: 0, ..placed.clone() }).await;
        }
    }

    /// Whether the address is on its interface now.
    async fn put_up(&self, spot: &Spot) -> bool {
        match &spot.place {
            Place::Four(placed) => self.hands.add(&self.netlink, spot.group, placed).await.is_ok(),
            Place::Six(placed, announcer) => {
                let added = self.netlink.add_address6(placed).await;
                if matches!(added, Ok(Change::Made)) {
                    self.hands.note(spot.group, Deed::Added);
                }
                if added.is_ok() && self.hands.gates.is_open(spot.group) {
                    let announced = announcer
                        .as_ref()
                        .map(|announcer| announcer.advertise(placed.address, is_router(&placed.interface)));
                    if let Some(Ok(())) = announced {
                        self.hands.note(spot.group, Deed::Announced);
                    }
                }
                added.is_ok()
            }
        }
    }
}

impl Vips {
    /// The gate of that group has opened for that epoch: if the kernel could not tell the thread itself, this does.
    pub fn hurry(&self, group: u32, epoch: u64) {
        if let Some(hurry) = &self.inner.hurry {
            hurry.opened(group, epoch);
        }
    }

    /// Waits for what was begun for an address; whether it is there and announced.
    pub(super) async fn fetch(&self, vip: usize) -> bool {
        match &self.inner.hurry {
            Some(hurry) => hurry.fetch(vip).await,
            None => false,
        }
    }

    /// Takes off what was put up and is not wanted any more: the gate was shut before anybody fetched it.
    pub fn settle(&self) {
        let Some(hurry) = &self.inner.hurry else { return };
        for vip in (0..self.len()).filter(|&vip| hurry.is_ahead(vip)) {
            let (group, held) = self.group_of(vip);
            if held || self.inner.hands.gates.is_open(group) || !self.inner.settling.borrow_mut().insert(vip)
            {
                continue;
            }
            let vips = self.clone();
            tokio::task::spawn_local(async move {
                if vips.fetch(vip).await && !vips.inner.hands.gates.is_open(group) && !vips.group_of(vip).1 {
                    vips.take_off(vip).await.unwrap_or_else(|error| tracing::error!("{error}"));
                }
                vips.inner.settling.borrow_mut().remove(&vip);
            });
        }
    }
}

#[cfg(test)]
mod tests;
