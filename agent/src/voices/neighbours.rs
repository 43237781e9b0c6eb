//! Remembers in peace whom to ask in doubt: gateways, and who was a neighbour lately.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reflex::{Facts, Orders, strangers};

use crate::datapath::netlink::{Neighbour, Netlink, NetlinkError};
use crate::links::unpacked;
use crate::sys::{Table, clock};

/// Between two looks at the kernel's tables.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same until every other node that is heard is in them.
const LOOK_FIRST: Duration = Duration::from_millis(500);
/// How long a neighbour is remembered that is seen no more, ns.
const MEMORY: u64 = 600_000_000_000;
/// Neighbours remembered per interface.
const REMEMBERED_MAX: usize = 16;
/// Neighbours asked in one round per interface.
pub const ASKED_MAX: usize = 6;

/// What is our own and nobody else's.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// This node's addresses by interface, the one to ask from first. VIPs are not among them.
    pub addresses: BTreeMap<u32, Vec<Ipv4Addr>>,
    /// The VIPs: whoever has one of these is a cluster node.
    pub vips: Vec<Ipv4Addr>,
}

/// Who is on the networks of this node.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// By interface: gateways, in the order of asking.
    gateways: Vec<(u32, Ipv4Addr)>,
    /// By interface and address: when it was last there, ns.
    seen: BTreeMap<(u32, Ipv4Addr), u64>,
    /// Hardware addresses of the other nodes, by interface and address.
    nodes: BTreeMap<(u32, Ipv4Addr), [u8; 6]>,
}

impl Known {
    /// Whom to ask on an interface, gateways first, then who was there last.
    #[must_use]
    pub fn to_ask(&self, index: u32) -> Vec<Ipv4Addr> {
        let mut found: Vec<Ipv4Addr> = Vec::new();
        let gateways = self.gateways.iter().filter(|(of, _)| *of == index).map(|(_, address)| *address);
        let mut seen: Vec<_> = self.seen.iter().filter(|((of, _), _)| *of == index).collect();
        seen.sort_by_key(|(_, at)| std::cmp::Reverse(**at));
        for address in gateways.chain(seen.into_iter().map(|((_, address), _)| *address)) {
            if !found.contains(&address) {
                found.push(address);
            }
        }
        found.truncate(ASKED_MAX);
        found
    }

    /// Whether a hardware address is no other node's.
    #[must_use]
    pub fn is_stranger(&self, mac: [u8; 6]) -> bool {
        self.nodes.values().all(|node| *node != mac)
    }

    /// Somebody was there.
    pub fn see(&mut self, index: u32, address: Ipv4Addr, now: u64) {
        self.seen.insert((index, address), now);
        let of = |seen: &BTreeMap<(u32, Ipv4Addr), u64>| {
            let here = seen.iter().filter(|((of, _), _)| *of == index);
            (here.clone().count(), here.min_by_key(|(_, at)| **at).map(|(key, _)| *key))
        };
        if let (REMEMBERED_MAX.., Some(oldest)) = of(&self.seen)
            && of(&self.seen).0 > REMEMBERED_MAX
        {
            self.seen.remove(&oldest);
        }
    }

    /// Takes in who used ARP, and forgets who turned out to be a node.
    pub(super) fn meet(&mut self, facts: &Facts, own: &Own, now: u64) {
        let nodes = nodes(facts);
        self.seen.retain(|key, _| !nodes.contains(key));
        for (index, address) in facts.callers.iter().filter_map(|word| strangers::caller(word.get())) {
            let key = (index, Ipv4Addr::from(address));
            let is_ours = own.vips.contains(&key.1)
                || own.addresses.values().flatten().any(|ours| *ours == key.1)
                || nodes.contains(&key);
            if !is_ours && !self.seen.contains_key(&key) {
                self.see(key.0, key.1, now);
            }
        }
    }

    /// Takes a look at the kernel's tables: `nodes` are the addresses of the other nodes by interface.
    fn learn(
        &mut self,
        neighbours: &[Neighbour],
        gateways: Vec<(u32, Ipv4Addr)>,
        nodes: &[(u32, Ipv4Addr)],
        now: u64,
    ) {
        for neighbour in neighbours.iter().filter(|found| nodes.contains(&(found.index, found.address))) {
            self.nodes.insert((neighbour.index, neighbour.address), neighbour.mac);
        }
        self.nodes.retain(|key, _| nodes.contains(key));
        self.gateways = gateways;
        for neighbour in neighbours {
            if self.is_stranger(neighbour.mac) {
                self.see(neighbour.index, neighbour.address, now);
            }
        }
        self.seen.retain(|key, at| !nodes.contains(key) && now.saturating_sub(*at) < MEMORY);
    }

    /// Whether one of these nodes could still pass for a stranger.
    fn misses_one_of(&self, nodes: &[(u32, Ipv4Addr)]) -> bool {
        nodes.is_empty() || nodes.iter().any(|node| !self.nodes.contains_key(node))
    }
}

/// Looks again and again, for as long as it is not dropped. The hardware addresses of the other nodes go into the orders.
///
/// # Errors
/// When there is no netlink socket.
pub(super) fn remember(
    known: Rc<RefCell<Known>>,
    orders: Arc<Table<Orders>>,
    facts: Arc<Table<Facts>>,
    own: Own,
) -> Result<impl Future<Output = ()>, NetlinkError> {
    let netlink = Netlink::new()?;
    Ok(async move {
        let mut failed = 0u64;
        let mut looked: Option<Instant> = None;
        loop {
            let is_due = looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
            if is_due || known.borrow().misses_one_of(&nodes(&facts)) {
                looked = Some(Instant::now());
                if let Err(error) = look(&netlink, &known, &orders, &facts, &own).await {
                    failed += 1;
                    if failed.is_power_of_two() {
                        tracing::warn!(failed, "{error}: the free voice asks those it knows");
                    }
                }
            }
            tokio::time::sleep(LOOK_FIRST).await;
        }
    })
}

async fn look(
    netlink: &Netlink,
    known: &RefCell<Known>,
    orders: &Orders,
    facts: &Facts,
    own: &Own,
) -> Result<(), NetlinkError> {
    let neighbours = netlink.neighbours().await?;
    let gateways = netlink.gateways().await?;
    let now = clock::now();
    let mut known = known.borrow_mut();
    known.learn(&neighbours, gateways, &nodes(facts), now);
    known.meet(facts, own, now);
    let mut words = orders.macs.iter();
    for (word, mac) in words.by_ref().zip(known.nodes.values()) {
        word.set(strangers::mac_word(*mac));
    }
    words.for_each(|word| word.set(0));
    Ok(())
}

/// Where the other nodes were heard.
fn nodes(facts: &Facts) -> Vec<(u32, Ipv4Addr)> {
    let links = facts.nodes.iter().flat_map(|node| &node.links);
    links
        .filter_map(|link| match unpacked(link.address.get())? {
            IpAddr::V4(address) => Some((link.ifindex.get() as u32, address)),
            // Neighbours are asked by ARP.
            IpAddr::V6(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::packed;

    const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 12);

    fn host(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, last)
    }

    fn neighbour(address: Ipv4Addr) -> Neighbour {
        Neighbour { index: 2, address, mac: [2, 0, 0, 0, 0, address.octets()[3]] }
    }

    #[test]
    fn gateways_are_asked_first_and_nodes_never() {
        let mut known = Known::default();
        let nodes = [(2, PEER)];
        known.learn(&[neighbour(PEER), neighbour(host(50))], vec![(2, ROUTER), (3, host(99))], &nodes, 10);
        assert_eq!(known.to_ask(2), [ROUTER, host(50)]);
        assert_eq!(known.to_ask(3), [host(99)]);
        assert!(!known.is_stranger([2, 0, 0, 0, 0, 12]) && known.is_stranger([2, 0, 0, 0, 0, 50]));
        // Another address of the same node.
        let other = Neighbour { mac: [2, 0, 0, 0, 0, 12], ..neighbour(host(77)) };
        known.learn(&[other], vec![], &nodes, 11);
        assert_eq!(known.to_ask(2), [host(50)]);
    }

    #[test]
    fn who_was_there_last_is_asked_first_and_who_is_long_gone_is_forgotten() {
        let mut known = Known::default();
        for last in 20..60u8 {
            known.see(2, host(last), u64::from(last));
        }
        assert_eq!(known.seen.len(), REMEMBERED_MAX);
        assert_eq!(known.to_ask(2), [59, 58, 57, 56, 55, 54].map(host));
        known.learn(&[neighbour(host(9))], Vec::new(), &[], MEMORY + 58);
        assert_eq!(known.to_ask(2), [9, 59].map(host));
    }

    #[test]
    fn who_used_arp_is_known_at_once_unless_it_is_one_of_us() {
        let facts = Box::new(Facts::new());
        let own = Own { addresses: BTreeMap::from([(2, vec![host(11)])]), vips: vec![host(100)] };
        facts.nodes[1].links[0].ifindex.set(2);
        facts.nodes[1].links[0].address.set(packed(PEER.into()));
        for address in [host(11), host(100), PEER, host(50)] {
            strangers::on_caller(&facts, 2, address.octets());
        }
        let mut known = Known::default();
        known.meet(&facts, &own, 5);
        assert_eq!(known.to_ask(2), [host(50)]);
    }

    #[test]
    fn a_node_that_was_taken_for_a_stranger_is_asked_no_more_once_it_joined() {
        let facts = Box::new(Facts::new());
        let mut known = Known::default();
        known.learn(&[neighbour(PEER), neighbour(host(50))], Vec::new(), &nodes(&facts), 1);
        assert_eq!(known.to_ask(2), [host(12), host(50)]);
        facts.nodes[1].links[0].ifindex.set(2);
        facts.nodes[1].links[0].address.set(packed(PEER.into()));
        assert!(known.misses_one_of(&nodes(&facts)), "its hardware address passes for a stranger's");
        known.meet(&facts, &Own::default(), 2);
        assert_eq!(known.to_ask(2), [host(50)]);
        known.learn(&[neighbour(PEER)], Vec::new(), &nodes(&facts), 3);
        assert!(!known.misses_one_of(&nodes(&facts)) && !known.is_stranger([2, 0, 0, 0, 0, 12]));
    }

    #[test]
    fn a_node_whose_entry_vanished_is_known_by_its_hardware_address_still() {
        let mut known = Known::default();
        known.learn(&[neighbour(PEER)], Vec::new(), &[(2, PEER)], 1);
        known.learn(&[], Vec::new(), &[(2, PEER)], 2);
        assert!(!known.is_stranger([2, 0, 0, 0, 0, 12]));
    }
}
