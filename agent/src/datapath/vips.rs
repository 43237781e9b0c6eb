//! The virtual addresses of this node: on the interface, in the kernel's table, and announced.

mod hurry;
mod six;

use hurry::{Hurry, Place, Spot};

pub use six::Entry6;

use std::cell::RefCell;
use std::collections::btree_map::Entry::Vacant;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reflex::layout::Vip;
use reflex::{Facts, Orders, gate};

use super::announce::{Announcer, BACK_OFF, Schedule};
use super::beside::Beside;
use super::netlink::{Change, Netlink, NetlinkError, Placed};
use super::xdp::{Kernel, Opened};
use crate::resources::Addresses;
use crate::sys::{Table, clock};

/// How long packets are passed on to who has an address now. Who does not take the announcement asks again by itself, as a
/// rule (RFC 4861 7.3: within some ten seconds); but who did not hear it within this time has other troubles.
const PASSED_ON: Duration = Duration::from_secs(1);

/// No hardware address.
const NOBODY: [u8; 6] = [0; 6];

/// A virtual address in its place.
#[derive(Debug)]
pub struct Entry {
    /// Where it goes.
    pub placed: Placed,
    /// Group that it belongs to.
    pub group: u32,
    /// Only addresses stand before it in its group: the kernel may serve it as soon as its gate opens.
    pub leading: bool,
    /// It is on the interface.
    pub held: bool,
    /// `XDP_TX` works on its interface.
    pub bounce: bool,
    /// Who has it now, if it was handed over just now; else zeros.
    pass_to: [u8; 6],
    announcements: Option<Schedule>,
}

impl Entry {
    /// An address that is not held.
    #[must_use]
    pub fn new(placed: Placed, group: u32, leading: bool) -> Self {
        Self { placed, group, leading, held: false, bounce: false, pass_to: NOBODY, announcements: None }
    }
}

/// What was done to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// The thread that puts it there has heard that the gate is open.
    Woken,
    /// It is on its interface.
    Added,
    /// It is announced.
    Announced,
    /// It is off its interface.
    Removed,
}

/// When (monotonic clock, ns), to an address of which group, what.
pub type Done = (u64, u32, Deed);

/// Deeds that wait to be taken: more than two takeovers of a full table, each with its announcements.
const DEEDS_MAX: usize = 8192;

/// The gates, to ask before anything is said in a VIP's name.
#[derive(Clone)]
pub struct Gates {
    /// What the agent ordered.
    pub orders: Arc<Table<Orders>>,
    /// What the reflex found.
    pub facts: Arc<Table<Facts>>,
}

impl Gates {
    fn is_open(&self, group: u32) -> bool {
        gate::is_open(&self.orders, &self.facts, group, clock::now())
    }
}

/// All virtual addresses. A cheap handle: every group's runner has one.
#[derive(Clone)]
pub struct Vips {
    inner: Rc<Inner>,
}

struct Inner {
    netlink: Rc<Netlink>,
    kernel: Rc<RefCell<Option<Kernel>>>,
    hands: Arc<Hands>,
    /// None where there is no thread to be had.
    hurry: Option<Hurry>,
    /// Addresses that are being taken off because nobody has fetched them.
    settling: RefCell<BTreeSet<usize>>,
    entries: RefCell<Vec<Entry>>,
    six: RefCell<Vec<Entry6>>,
    /// Addresses that are announced for a `SendArp`.
    announced: RefCell<BTreeMap<Ipv4Addr, tokio::task::JoinHandle<()>>>,
    /// By group: what ends the passing on of its packets.
    passing: RefCell<BTreeMap<u32, tokio::task::JoinHandle<()>>>,
}

/// What puts an IPv4 address on its interface and announces it, from whichever thread.
struct Hands {
    gates: Gates,
    /// By interface.
    announcers: BTreeMap<u32, Announcer>,
    /// What was done, while somebody wants to know.
    deeds: Mutex<Option<Vec<Done>>>,
}

impl Vips {
    /// Opens an announcer for every interface and tells the kernel of every address. IPv6 addresses are counted behind the
    /// IPv4 ones, as resources count them. `opened`: what the kernel tells of gates that open.
    #[must_use]
    pub fn new(
        netlink: Rc<Netlink>,
        kernel: Rc<RefCell<Option<Kernel>>>,
        gates: Gates,
        (entries, six): (Vec<Entry>, Vec<Entry6>),
        opened: Option<Opened>,
    ) -> Self {
        let mut announcers = BTreeMap::new();
        for placed in entries.iter().map(|entry| &entry.placed) {
            if let Vacant(place) = announcers.entry(placed.index) {
                match Announcer::open(&placed.interface) {
                    Ok(announcer) => drop(place.insert(announcer)),
                    Err(error) => tracing::warn!("{}: no gratuitous ARP: {error}", placed.address),
                }
            }
        }
        let hands = Arc::new(Hands { gates, announcers, deeds: Mutex::default() });
        let len = entries.len() + six.len();
        let hurry = Hurry::start(Arc::clone(&hands), spots(&entries, &six), len, opened)
            .inspect_err(|error| tracing::warn!("addresses wait for the election after a takeover: {error}"));
        let vips = Self {
            inner: Rc::new(Inner {
                netlink,
                kernel,
                hands,
                hurry: hurry.ok(),
                settling: RefCell::default(),
                entries: RefCell::new(entries),
                six: RefCell::new(six),
                announced: RefCell::default(),
                passing: RefCell::default(),
            }),
        };
        for vip in 0..vips.inner.entries.borrow().len() {
            vips.tell_kernel(vip);
        }
        vips.tell_kernel_of_all6();
        vips
    }

    fn len(&self) -> usize {
        self.inner.entries.borrow().len() + self.inner.six.borrow().len()
    }

    /// The group of an address, and whether it is held.
    fn group_of(&self, vip: usize) -> (u32, bool) {
        match self.six(vip) {
            Some(six) => {
                let entry = &self.inner.six.borrow()[six];
                (entry.group, entry.held)
            }
            None => {
                let entry = &self.inner.entries.borrow()[vip];
                (entry.group, entry.held)
            }
        }
    }

    /// Takes an address off its interface.
    async fn take_off(&self, vip: usize) -> Result<(), NetlinkError> {
        match self.six(vip) {
            Some(six) => {
                let placed = self.inner.six.borrow()[six].placed.clone();
                self.inner.netlink.delete_address6(&placed).await?;
            }
            None => drop(self.inner.netlink.delete_address(&self.placed(vip)).await?),
        }
        self.inner.hands.note(self.group_of(vip).0, Deed::Removed);
        Ok(())
    }

    /// Whether only addresses stand before this one in its group, and the kernel's table has it.
    #[must_use]
    pub fn is_leading(&self, vip: usize) -> bool {
        match self.six(vip) {
            Some(six) => self.is_leading6(six),
            None => self.inner.entries.borrow()[vip].leading,
        }
    }

    /// From now on notes when addresses are added, announced and removed, for [`Vips::take_deeds`].
    pub fn note_deeds(&self) {
        self.inner.hands.deeds().get_or_insert_default();
    }

    /// What was noted since the last time, in order.
    #[must_use]
    pub fn take_deeds(&self) -> Vec<Done> {
        self.inner.hands.deeds().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Looks at all entries.
    pub fn each(&self, mut look: impl FnMut(&Entry)) {
        self.inner.entries.borrow().iter().for_each(&mut look);
    }

    /// Goes on with the addresses of the groups that are open already, and removes what else an earlier life left on
    /// the interfaces: what is not open is not held (R7).
    pub async fn adopt(&self, open: &[u32]) {
        let len = self.inner.entries.borrow().len();
        for vip in 0..len {
            let (placed, group) = {
                let entries = self.inner.entries.borrow();
                (entries[vip].placed.clone(), entries[vip].group)
            };
            if open.contains(&group) {
                self.inner.entries.borrow_mut()[vip].held = true;
                self.schedule(vip);
                self.tell_kernel(vip);
                continue;
            }
            // A default route that prefers it would be deleted with it.
            if self.inner.netlink.is_source(placed.address).await.unwrap_or(false)
                && let Err(error) = self.inner.netlink.set_source(placed.address, false).await
            {
                tracing::error!("{error}");
            }
            match self.inner.netlink.delete_address(&placed).await {
                Ok(Change::Made) => tracing::warn!("removed {placed}, left over from an earlier life"),
                Ok(Change::NotNeeded) => {}
                Err(error) => tracing::error!("{error}"),
            }
        }
        self.adopt6(open).await;
    }

    /// Announces the address again and again, from now on.
    fn schedule(&self, vip: usize) {
        // The first of the schedule is sent by who asks for it.
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        schedule.due(now);
        self.inner.entries.borrow_mut()[vip].announcements = Some(schedule);
    }

    /// Says whether `XDP_TX` works on an interface.
    pub fn set_bounce(&self, ifindex: u32, bounce: bool) {
        let mut changed = Vec::new();
        for (vip, entry) in self.inner.entries.borrow_mut().iter_mut().enumerate() {
            if entry.placed.index == ifindex && entry.bounce != bounce {
                entry.bounce = bounce;
                changed.push(vip);
            }
        }
        changed.into_iter().for_each(|vip| self.tell_kernel(vip));
        self.set_bounce6(ifindex, bounce);
    }

    /// Sends the announcements that are due.
    pub fn announce_due(&self, now: Instant) {
        self.announce_due6(now);
        for entry in self.inner.entries.borrow_mut().iter_mut() {
            if let Some(schedule) = &mut entry.announcements
                && schedule.due(now)
            {
                self.inner.hands.announce(entry.group, &entry.placed);
            }
        }
    }

    /// When the next announcement is due.
    #[must_use]
    pub fn next_announcement(&self) -> Option<Instant> {
        let entries = self.inner.entries.borrow();
        let next = entries.iter().filter_map(|entry| Some(entry.announcements?.next()));
        next.chain(self.next_announcement6()).min()
    }

    /// Announces the addresses of an interface anew, from `first` on: its carrier is back.
    pub fn announce_again(&self, ifindex: u32, first: Instant) {
        for entry in self.inner.entries.borrow_mut().iter_mut() {
            if entry.held && entry.placed.index == ifindex {
                entry.announcements = Some(Schedule::new(first));
            }
        }
        self.announce_again6(ifindex, first);
    }

    /// Announces the addresses of a group anew, unless that was begun just now: somebody else has claimed them.
    pub fn announce_group(&self, group: u32, now: Instant) {
        for entry in self.inner.entries.borrow_mut().iter_mut().filter(|entry| entry.group == group) {
            let recent = entry.announcements.is_some_and(|schedule| schedule.is_recent(now));
            if entry.held && !recent {
                entry.announcements = Some(Schedule::new(now));
            }
        }
        self.announce_group6(group, now);
    }

    /// The group is about to be handed over: packets for its addresses that come here from now on although its gate is shut
    /// go on to the heir, whose hardware address `heir` knows by interface. For a while: until everybody has heard who has
    /// them. False where nothing of it can be passed on.
    pub fn pass_on(&self, group: u32, heir: impl Fn(u32) -> Option<[u8; 6]>) -> bool {
        let passes = self.set_pass_to(group, |ifindex| heir(ifindex).unwrap_or(NOBODY));
        let vips = self.clone();
        let task = tokio::task::spawn_local(async move {
            tokio::time::sleep(PASSED_ON).await;
            vips.set_pass_to(group, |_| NOBODY);
        });
        if let Some(before) = self.inner.passing.borrow_mut().insert(group, task) {
            before.abort();
        }
        passes
    }

    /// The group may come back: what comes for it is not for others any more.
    pub fn keep(&self, group: u32) {
        if let Some(task) = self.inner.passing.borrow_mut().remove(&group) {
            task.abort();
            self.set_pass_to(group, |_| NOBODY);
        }
    }

    /// Says where packets for the group's addresses go on to; whether to anybody.
    fn set_pass_to(&self, group: u32, to: impl Fn(u32) -> [u8; 6]) -> bool {
        let (mut changed, mut passes) = (Vec::new(), false);
        for (vip, entry) in self.inner.entries.borrow_mut().iter_mut().enumerate() {
            if entry.group == group && entry.bounce {
                entry.pass_to = to(entry.placed.index);
                passes |= entry.pass_to != NOBODY;
                changed.push(vip);
            }
        }
        changed.into_iter().for_each(|vip| self.tell_kernel(vip));
        self.set_pass_to6(group, to) || passes
    }

    /// Announces the addresses of a group that are up, now and again later: its gate has opened on them.
    pub fn announce_group_at_once(&self, group: u32) {
        let len = self.inner.entries.borrow().len();
        for vip in 0..len {
            let (is_ours, placed) = {
                let entry = &self.inner.entries.borrow()[vip];
                (entry.group == group && entry.held, entry.placed.clone())
            };
            if is_ours {
                self.inner.hands.announce(group, &placed);
                self.schedule(vip);
            }
        }
        self.announce_group_at_once6(group);
    }

    /// Puts an address back that somebody else has removed, if it is ours to hold.
    pub fn repair(&self, ifindex: u32, address: Ipv4Addr) {
        let found =
            self.inner.entries.borrow().iter().position(|entry| {
                entry.held && entry.placed.index == ifindex && entry.placed.address == address
            });
        let Some(vip) = found else { return };
        tracing::warn!("{address} was removed by somebody else; putting it back");
        let vips = self.clone();
        tokio::task::spawn_local(async move { vips.put_back(vip).await });
    }

    async fn put_back(&self, vip: usize) {
        let (placed, group) = (self.placed(vip), self.inner.entries.borrow()[vip].group);
        if let Err(error) = self.inner.netlink.add_address(&placed).await {
            tracing::error!("{error}");
            return;
        }
        if self.inner.entries.borrow()[vip].held {
            self.inner.hands.announce(group, &placed);
        } else if let Err(error) = self.inner.netlink.delete_address(&placed).await {
            // Its group was stopped meanwhile.
            tracing::error!("{error}");
        }
    }

    /// Groups that have an address on an interface.
    #[must_use]
    pub fn groups_on(&self, ifindex: u32) -> BTreeSet<u32> {
        let (entries, six) = (self.inner.entries.borrow(), self.inner.six.borrow());
        let four = entries.iter().filter(|entry| entry.placed.index == ifindex).map(|entry| entry.group);
        let six = six.iter().filter(|entry| entry.placed.index == ifindex).map(|entry| entry.group);
        four.chain(six).collect()
    }

    fn tell_kernel(&self, vip: usize) {
        let entries = self.inner.entries.borrow();
        let entry = &entries[vip];
        let Some(mac) = self.inner.hands.announcers.get(&entry.placed.index).map(Announcer::mac) else {
            return;
        };
        let value = Vip {
            group: entry.group,
            ifindex: entry.placed.index,
            mac,
            ready: u8::from(entry.leading || entry.held),
            bounce: u8::from(entry.bounce),
            pass_to: entry.pass_to,
            ..Vip::default()
        };
        self.enter(entry.placed.address.into(), value);
    }

    fn enter(&self, address: IpAddr, value: Vip) {
        if let Some(kernel) = self.inner.kernel.borrow_mut().as_mut()
            && let Err(error) = kernel.set_vip(address, value)
        {
            tracing::error!("{address}: cannot enter it into the kernel's table: {error}");
        }
    }

    fn placed(&self, vip: usize) -> Placed {
        self.inner.entries.borrow()[vip].placed.clone()
    }
}

impl Hands {
    /// Puts an address on its interface and announces it.
    async fn add(&self, netlink: &Netlink, group: u32, placed: &Placed) -> Result<(), NetlinkError> {
        if netlink.add_address(placed).await? == Change::Made {
            self.note(group, Deed::Added);
        }
        self.announce(group, placed);
        Ok(())
    }

    /// Announces an address, unless its gate was shut meanwhile: the resources follow a fence, the address must not
    /// be claimed for a moment longer.
    fn announce(&self, group: u32, placed: &Placed) {
        let announcer = self.announcers.get(&placed.index).filter(|_| self.gates.is_open(group));
        match announcer.map(|announcer| announcer.announce(placed.address)) {
            Some(Ok(())) => self.note(group, Deed::Announced),
            Some(Err(error)) => tracing::warn!("{error}"),
            None => {}
        }
    }

    fn note(&self, group: u32, deed: Deed) {
        if let Some(deeds) = self.deeds().as_mut().filter(|deeds| deeds.len() < DEEDS_MAX) {
            deeds.push((clock::now(), group, deed));
        }
    }

    fn deeds(&self) -> std::sync::MutexGuard<'_, Option<Vec<Done>>> {
        self.deeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The addresses that the kernel may serve before the election has heard of it.
fn spots(entries: &[Entry], six: &[Entry6]) -> Vec<Spot> {
    let four = entries.iter().enumerate().filter(|(_, entry)| entry.leading);
    let four =
        four.map(|(vip, entry)| Spot { vip, group: entry.group, place: Place::Four(entry.placed.clone()) });
    let six = (entries.len()..).zip(six).filter(|(_, entry)| entry.leading);
    let six = six.map(|(vip, entry)| Spot {
        vip,
        group: entry.group,
        // It has said what is wrong, if something is, when the entry was made.
        place: Place::Six(entry.placed.clone(), Announcer::open(&entry.placed.interface).ok()),
    });
    four.chain(six).collect()
}

impl Addresses for Vips {
    type Error = NetlinkError;

    async fn acquire(&mut self, vip: usize) -> Result<(), NetlinkError> {
        if let Some(six) = self.six(vip) {
            return self.acquire6(six).await;
        }
        let (placed, group) = (self.placed(vip), self.group_of(vip).0);
        if self.fetch(vip).await {
            // It is there, unless what was begun for the end of an earlier life came after it.
            if self.inner.netlink.add_address(&placed).await? == Change::Made {
                self.inner.hands.announce(group, &placed);
            }
        } else {
            self.inner.hands.add(&self.inner.netlink, group, &placed).await?;
        }
        let leading = {
            let mut entries = self.inner.entries.borrow_mut();
            entries[vip].held = true;
            entries[vip].leading
        };
        self.schedule(vip);
        if !leading {
            self.tell_kernel(vip);
        }
        Ok(())
    }

    async fn release(&mut self, vip: usize) -> Result<(), NetlinkError> {
        if let Some(six) = self.six(vip) {
            return self.release6(six).await;
        }
        {
            let mut entries = self.inner.entries.borrow_mut();
            entries[vip].held = false;
            entries[vip].announcements = None;
        }
        if !self.inner.entries.borrow()[vip].leading {
            self.tell_kernel(vip);
        }
        // What was begun for a takeover that is over must not come after this.
        self.fetch(vip).await;
        self.take_off(vip).await
    }

    async fn held(&mut self, vip: usize) -> bool {
        if let Some(six) = self.six(vip) {
            return self.inner.six.borrow()[six].held;
        }
        self.inner.entries.borrow()[vip].held
    }

    async fn set_source(&mut self, address: Ipv4Addr, on: bool) -> Result<(), NetlinkError> {
        self.inner.netlink.set_source(address, on).await
    }

    async fn is_source(&mut self, address: Ipv4Addr) -> bool {
        self.inner.netlink.is_source(address).await.unwrap_or(false)
    }

    async fn announce(&mut self, address: Ipv4Addr, interface: &str, on: bool) -> Result<(), NetlinkError> {
        if let Some(task) = self.inner.announced.borrow_mut().remove(&address) {
            task.abort();
        }
        if on {
            // Listing interfaces waits for the kernel's network lock: not in the decision loop.
            let name = interface.to_owned();
            let opened = tokio::task::spawn_blocking(move || Announcer::open(&name)).await;
            let opened = opened.map_err(|error| NetlinkError::Open(std::io::Error::other(error)))?;
            let announcer = Beside::new(opened.map_err(NetlinkError::Announce)?);
            let task = tokio::task::spawn_local(announce_for_a_while(announcer, address));
            self.inner.announced.borrow_mut().insert(address, task);
        }
        Ok(())
    }
}

/// Announces an address that is not one of ours, as often as one of ours at first. Whoever starts this ends it.
async fn announce_for_a_while(announcer: Beside<Announcer>, address: Ipv4Addr) {
    let began = tokio::time::Instant::now();
    for after in BACK_OFF {
        tokio::time::sleep_until(began + after).await;
        if let Err(error) = announcer.announce(address) {
            tracing::warn!("{error}");
        }
    }
}
