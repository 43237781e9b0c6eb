//! The virtual addresses of this node: on the interface, in the kernel's table, and announced.

use std::cell::RefCell;
use std::collections::btree_map::Entry::Vacant;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use reflex::layout::Vip;
use reflex::{Facts, Orders, gate};

use super::announce::{Announcer, Schedule};
use super::netlink::{Netlink, NetlinkError, Placed};
use super::xdp::Kernel;
use crate::resources::Addresses;
use crate::sys::{Table, clock};

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
    announcements: Option<Schedule>,
}

impl Entry {
    /// An address that is not held.
    #[must_use]
    pub fn new(placed: Placed, group: u32, leading: bool) -> Self {
        Self { placed, group, leading, held: false, bounce: false, announcements: None }
    }
}

/// The gates, to ask before anything is said in a VIP's name.
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
    netlink: Netlink,
    kernel: Rc<RefCell<Option<Kernel>>>,
    gates: Gates,
    announcers: BTreeMap<u32, Announcer>,
    entries: RefCell<Vec<Entry>>,
}

impl Vips {
    /// Opens an announcer for every interface and tells the kernel of every address.
    #[must_use]
    pub fn new(
        netlink: Netlink,
        kernel: Rc<RefCell<Option<Kernel>>>,
        gates: Gates,
        entries: Vec<Entry>,
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
        let vips = Self {
            inner: Rc::new(Inner { netlink, kernel, gates, announcers, entries: RefCell::new(entries) }),
        };
        for vip in 0..vips.inner.entries.borrow().len() {
            vips.tell_kernel(vip);
        }
        vips
    }

    /// Looks at all entries.
    pub fn each(&self, mut look: impl FnMut(&Entry)) {
        self.inner.entries.borrow().iter().for_each(&mut look);
    }

    /// Goes on with the addresses of the groups that are open already, and removes what else an earlier life left on
    /// the interfaces: what is not open is not held (R7).
    pub async fn adopt(&self, open: &[u32]) {
        use super::netlink::Change;
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
            match self.inner.netlink.delete_address(&placed).await {
                Ok(Change::Made) => tracing::warn!("removed {placed}, left over from an earlier life"),
                Ok(Change::NotNeeded) => {}
                Err(error) => tracing::error!("{error}"),
            }
        }
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
    }

    /// Sends the announcements that are due.
    pub fn announce_due(&self, now: Instant) {
        for entry in self.inner.entries.borrow_mut().iter_mut() {
            if let Some(schedule) = &mut entry.announcements
                && schedule.due(now)
            {
                self.inner.announce(entry.group, &entry.placed);
            }
        }
    }

    /// When the next announcement is due.
    #[must_use]
    pub fn next_announcement(&self) -> Option<Instant> {
        self.inner.entries.borrow().iter().filter_map(|entry| Some(entry.announcements?.next())).min()
    }

    /// Announces the addresses of an interface anew, from `first` on: its carrier is back.
    pub fn announce_again(&self, ifindex: u32, first: Instant) {
        for entry in self.inner.entries.borrow_mut().iter_mut() {
            if entry.held && entry.placed.index == ifindex {
                entry.announcements = Some(Schedule::new(first));
            }
        }
    }

    /// Announces the addresses of a group anew, unless that was begun just now: somebody else has claimed them.
    pub fn announce_group(&self, group: u32, now: Instant) {
        for entry in self.inner.entries.borrow_mut().iter_mut().filter(|entry| entry.group == group) {
            let recent = entry.announcements.is_some_and(|schedule| schedule.is_recent(now));
            if entry.held && !recent {
                entry.announcements = Some(Schedule::new(now));
            }
        }
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
            self.inner.announce(group, &placed);
        } else if let Err(error) = self.inner.netlink.delete_address(&placed).await {
            // Its group was stopped meanwhile.
            tracing::error!("{error}");
        }
    }

    /// Groups that have an address on an interface.
    #[must_use]
    pub fn groups_on(&self, ifindex: u32) -> BTreeSet<u32> {
        let entries = self.inner.entries.borrow();
        entries.iter().filter(|entry| entry.placed.index == ifindex).map(|entry| entry.group).collect()
    }

    fn tell_kernel(&self, vip: usize) {
        let entries = self.inner.entries.borrow();
        let entry = &entries[vip];
        let Some(mac) = self.inner.announcers.get(&entry.placed.index).map(Announcer::mac) else { return };
        let value = Vip {
            group: entry.group,
            ifindex: entry.placed.index,
            mac,
            ready: u8::from(entry.leading || entry.held),
            bounce: u8::from(entry.bounce),
        };
        if let Some(kernel) = self.inner.kernel.borrow_mut().as_mut()
            && let Err(error) = kernel.set_vip(entry.placed.address, value)
        {
            tracing::error!("{}: cannot enter it into the kernel's table: {error}", entry.placed.address);
        }
    }

    fn placed(&self, vip: usize) -> Placed {
        self.inner.entries.borrow()[vip].placed.clone()
    }
}

impl Inner {
    /// Announces an address, unless its gate was shut meanwhile: the resources follow a fence, the address must not
    /// be claimed for a moment longer.
    fn announce(&self, group: u32, placed: &Placed) {
        if self.gates.is_open(group)
            && let Some(announcer) = self.announcers.get(&placed.index)
            && let Err(error) = announcer.announce(placed.address)
        {
            tracing::warn!("{error}");
        }
    }
}

impl Addresses for Vips {
    type Error = NetlinkError;

    async fn acquire(&mut self, vip: usize) -> Result<(), NetlinkError> {
        let placed = self.placed(vip);
        self.inner.netlink.add_address(&placed).await?;
        let group = self.inner.entries.borrow()[vip].group;
        self.inner.announce(group, &placed);
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
        let placed = self.placed(vip);
        {
            let mut entries = self.inner.entries.borrow_mut();
            entries[vip].held = false;
            entries[vip].announcements = None;
        }
        if !self.inner.entries.borrow()[vip].leading {
            self.tell_kernel(vip);
        }
        self.inner.netlink.delete_address(&placed).await.map(drop)
    }

    async fn held(&mut self, vip: usize) -> bool {
        self.inner.entries.borrow()[vip].held
    }
}
