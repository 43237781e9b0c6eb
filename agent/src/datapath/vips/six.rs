//! The IPv6 addresses among them (`IPv6addr`).

use std::io;
use std::net::Ipv6Addr;
use std::time::Instant;

use reflex::layout::Vip;
use reflex::nd;
use socket2::{Domain, Socket, Type};

use super::super::announce::{Announcer, Schedule};
use super::super::netlink::{Change, NetlinkError, Placed6};
use super::{NOBODY, Vips};

/// An IPv6 virtual address in its place.
#[derive(Debug)]
pub struct Entry6 {
    /// Where it goes.
    pub placed: Placed6,
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
    /// This node forwards: it says so when it is asked, and when it announces.
    is_router: bool,
    announcements: Option<Schedule>,
    announcer: Option<Announcer>,
    _membership: Option<Socket>,
}

impl Entry6 {
    /// An address that is not held.
    #[must_use]
    pub fn new(placed: Placed6, group: u32, leading: bool) -> Self {
        let announcer = Announcer::open(&placed.interface);
        let announcer = announcer
            .inspect_err(|error| tracing::warn!("{}: no neighbour advertisements: {error}", placed.address));
        let membership = join(&placed).inspect_err(|error| {
            let address = placed.address;
            tracing::warn!("{address}: neighbours may not reach us at once after a takeover: cannot join the group that they \
                            ask: {error}");
        });
        Self {
            is_router: is_router(&placed.interface),
            placed,
            group,
            leading,
            held: false,
            bounce: false,
            pass_to: NOBODY,
            announcements: None,
            announcer: announcer.ok(),
            _membership: membership.ok(),
        }
    }

    fn announce(&self) {
        if let Some(announcer) = &self.announcer
            && let Err(error) = announcer.advertise(self.placed.address, self.is_router)
        {
            tracing::warn!("{error}");
        }
    }

    fn hold(&mut self) {
        (self.held, self.announcements) = (true, Some(Schedule::new(Instant::now())));
    }

    fn is_on(&self, ifindex: u32) -> bool {
        self.placed.index == ifindex
    }
}

/// Joins the multicast group that neighbours ask for the address. The stack joins it when the address is added, which is after
/// the kernel has taken over: until then card and switch would keep the questions away.
fn join(placed: &Placed6) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
    let group = Ipv6Addr::from(nd::solicited_node(placed.address.octets()));
    socket.join_multicast_v6(&group, placed.index)?;
    Ok(socket)
}

/// Whether this node forwards what comes in by that interface.
pub(super) fn is_router(interface: &str) -> bool {
    let forwards = format!("/proc/sys/net/ipv6/conf/{interface}/forwarding");
    std::fs::read(forwards).is_ok_and(|text| !text.starts_with(b"0"))
}

impl Vips {
    /// Tells the kernel of every IPv6 address.
    pub(super) fn tell_kernel_of_all6(&self) {
        let len = self.inner.six.borrow().len();
        (0..len).for_each(|six| self.tell_kernel6(six));
    }

    /// Looks at all IPv6 entries.
    pub fn each6(&self, mut look: impl FnMut(&Entry6)) {
        self.inner.six.borrow().iter().for_each(&mut look);
    }

    /// The place among the IPv6 addresses of an address as resources count them, if it is one.
    pub(super) fn six(&self, vip: usize) -> Option<usize> {
        vip.checked_sub(self.inner.entries.borrow().len())
    }

    /// The other way round.
    fn vip_of(&self, six: usize) -> usize {
        self.inner.entries.borrow().len() + six
    }

    fn tell_kernel6(&self, six: usize) {
        let entries = self.inner.six.borrow();
        let entry = &entries[six];
        let Some(announcer) = &entry.announcer else { return };
        let value = Vip {
            group: entry.group,
            ifindex: entry.placed.index,
            mac: announcer.mac(),
            ready: u8::from(entry.leading || entry.held),
            bounce: u8::from(entry.bounce),
            pass_to: entry.pass_to,
            router: u8::from(entry.is_router),
            ..Vip::default()
        };
        self.enter(entry.placed.address.into(), value);
    }

    pub(super) fn is_leading6(&self, six: usize) -> bool {
        self.inner.six.borrow().get(six).is_some_and(|entry| entry.leading)
    }

    pub(super) fn set_pass_to6(&self, group: u32, to: impl Fn(u32) -> [u8; 6]) -> bool {
        let (mut changed, mut passes) = (Vec::new(), false);
        for (six, entry) in self.inner.six.borrow_mut().iter_mut().enumerate() {
            if entry.group == group && entry.bounce {
                entry.pass_to = to(entry.placed.index);
                passes |= entry.pass_to != NOBODY;
                changed.push(six);
            }
        }
        changed.into_iter().for_each(|six| self.tell_kernel6(six));
        passes
    }

    /// Also what has been announced already, to no effect: its gate was shut.
    pub(super) fn announce_group_at_once6(&self, group: u32) {
        let now = Instant::now();
        for entry in self.inner.six.borrow_mut().iter_mut().filter(|entry| entry.held && entry.group == group)
        {
            entry.announcements = Some(Schedule::new(now));
        }
        self.announce_due6(now);
    }

    pub(super) async fn adopt6(&self, open: &[u32]) {
        let len = self.inner.six.borrow().len();
        for six in 0..len {
            let (placed, group) = {
                let entries = self.inner.six.borrow();
                (entries[six].placed.clone(), entries[six].group)
            };
            if open.contains(&group) {
                self.inner.six.borrow_mut()[six].hold();
                self.tell_kernel6(six);
                continue;
            }
            match self.inner.netlink.delete_address6(&placed).await {
                Ok(Change::Made) => tracing::warn!("removed {placed}, left over from an earlier life"),
                Ok(Change::NotNeeded) => {}
                Err(error) => tracing::error!("{error}"),
            }
        }
    }

    pub(super) async fn acquire6(&self, six: usize) -> Result<(), NetlinkError> {
        let placed = self.inner.six.borrow()[six].placed.clone();
        self.fetch(self.vip_of(six)).await;
        self.inner.netlink.add_address6(&placed).await?;
        // The first of the schedule is due at once. Also where it was put up ahead: neighbours that have asked for it may have
        // got an answer of the old owner's meanwhile.
        self.inner.six.borrow_mut()[six].hold();
        self.announce_due6(Instant::now());
        if !self.inner.six.borrow()[six].leading {
            self.tell_kernel6(six);
        }
        Ok(())
    }

    pub(super) async fn release6(&self, six: usize) -> Result<(), NetlinkError> {
        {
            let entry = &mut self.inner.six.borrow_mut()[six];
            (entry.held, entry.announcements) = (false, None);
        }
        if !self.inner.six.borrow()[six].leading {
            self.tell_kernel6(six);
        }
        // What was begun for a takeover that is over must not come after this.
        self.fetch(self.vip_of(six)).await;
        self.take_off(self.vip_of(six)).await
    }

    pub(super) fn set_bounce6(&self, ifindex: u32, bounce: bool) {
        let mut changed = Vec::new();
        for (six, entry) in self.inner.six.borrow_mut().iter_mut().enumerate() {
            if entry.is_on(ifindex) && entry.bounce != bounce {
                entry.bounce = bounce;
                changed.push(six);
            }
        }
        changed.into_iter().for_each(|six| self.tell_kernel6(six));
    }

    pub(super) fn announce_again6(&self, ifindex: u32, first: Instant) {
        for entry in self.inner.six.borrow_mut().iter_mut().filter(|entry| entry.held && entry.is_on(ifindex))
        {
            entry.announcements = Some(Schedule::new(first));
        }
    }

    pub(super) fn announce_group6(&self, group: u32, now: Instant) {
        for entry in self.inner.six.borrow_mut().iter_mut().filter(|entry| entry.held && entry.group == group)
        {
            if !entry.announcements.is_some_and(|schedule| schedule.is_recent(now)) {
                entry.announcements = Some(Schedule::new(now));
            }
        }
    }

    /// Unless its gate was shut meanwhile, as for IPv4.
    pub(super) fn announce_due6(&self, now: Instant) {
        let mut changed = Vec::new();
        for (six, entry) in self.inner.six.borrow_mut().iter_mut().enumerate() {
            if entry.announcements.as_mut().is_some_and(|schedule| schedule.due(now))
                && self.inner.hands.gates.is_open(entry.group)
            {
                // An administrator may have made a router of it.
                let is_router = is_router(&entry.placed.interface);
                if std::mem::replace(&mut entry.is_router, is_router) != is_router {
                    changed.push(six);
                }
                entry.announce();
            }
        }
        changed.into_iter().for_each(|six| self.tell_kernel6(six));
    }

    pub(super) fn next_announcement6(&self) -> Option<Instant> {
        self.inner.six.borrow().iter().filter_map(|entry| Some(entry.announcements?.next())).min()
    }

    /// Puts an address back that somebody else has removed, if it is ours to hold: as for IPv4.
    pub fn repair6(&self, ifindex: u32, address: Ipv6Addr) {
        let is_it = |entry: &Entry6| entry.held && entry.is_on(ifindex) && entry.placed.address == address;
        let Some(six) = self.inner.six.borrow().iter().position(is_it) else { return };
        tracing::warn!("{address} was removed by somebody else; putting it back");
        let vips = self.clone();
        tokio::task::spawn_local(async move { vips.put_back6(six).await });
    }

    async fn put_back6(&self, six: usize) {
        let (placed, group) = {
            let entries = self.inner.six.borrow();
            (entries[six].placed.clone(), entries[six].group)
        };
        if let Err(error) = self.inner.netlink.add_address6(&placed).await {
            tracing::error!("{error}");
            return;
        }
        if self.inner.six.borrow()[six].held {
            self.announce_group6(group, Instant::now());
            self.announce_due6(Instant::now());
        } else if let Err(error) = self.inner.netlink.delete_address6(&placed).await {
            // Its group was stopped meanwhile.
            tracing::error!("{error}");
        }
    }
}
