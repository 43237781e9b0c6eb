//! Which links the lines of ha.cf make: one per kind, interface, group and port, numbered in the order of their first lines.

use std::net::IpAddr;

use super::Kind;
use crate::config::LinkSpec;

/// A link that is to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan<'a> {
    /// What its first line says.
    pub spec: &'a LinkSpec,
    /// The addresses that its lines name: `ucast` lines of one interface are one link.
    pub peers: Vec<IpAddr>,
}

/// The links that `specs` make; a line that says again what an earlier one said makes none.
#[must_use]
pub fn plan<'a>(specs: impl IntoIterator<Item = &'a LinkSpec>) -> Vec<Plan<'a>> {
    let mut plans: Vec<Plan<'a>> = Vec::new();
    for spec in specs {
        let index = plans.iter().position(|plan| is_same(plan.spec, spec)).unwrap_or_else(|| {
            plans.push(Plan { spec, peers: Vec::new() });
            plans.len() - 1
        });
        let peers = &mut plans[index].peers;
        peers.extend(peer(spec).filter(|peer| !peers.contains(peer)));
    }
    plans
}

/// The address that a line names, where it names one node's.
const fn peer(spec: &LinkSpec) -> Option<IpAddr> {
    match spec {
        LinkSpec::Ucast { peer, .. } => Some(IpAddr::V4(*peer)),
        LinkSpec::Ucast6 { peer, .. } => Some(IpAddr::V6(*peer)),
        _ => None,
    }
}

/// Whether two lines speak of one link.
fn is_same(a: &LinkSpec, b: &LinkSpec) -> bool {
    (Kind::of(a), a.name(), group(a)) == (Kind::of(b), b.name(), group(b))
}

/// The multicast group and its port.
const fn group(spec: &LinkSpec) -> Option<(IpAddr, u16)> {
    match spec {
        LinkSpec::Mcast { group, port, .. } => Some((IpAddr::V4(*group), *port)),
        LinkSpec::Mcast6 { group, port, .. } => Some((IpAddr::V6(*group), *port)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn ucast(interface: &str, last: u8) -> LinkSpec {
        LinkSpec::Ucast { interface: interface.into(), peer: Ipv4Addr::new(192, 0, 2, last) }
    }

    fn mcast(interface: &str, port: u16) -> LinkSpec {
        let group = Ipv4Addr::new(239, 0, 0, 1);
        LinkSpec::Mcast { interface: interface.into(), group, port, ttl: 1, loopback: false }
    }

    #[test]
    fn lines_of_one_link_share_it_and_the_first_line_gives_the_number() {
        let peer = Ipv6Addr::LOCALHOST;
        let ucast6 = LinkSpec::Ucast6 { interface: "eth0".into(), peer, scope: None };
        let bcast = LinkSpec::Bcast { interface: "eth0".into() };
        let serial = LinkSpec::Serial { device: "/dev/ttyS0".into(), baud: 19_200 };
        let specs = [
            ucast("eth1", 1),
            mcast("eth0", 694),
            ucast("eth0", 1),
            ucast("eth1", 2),
            ucast("eth1", 1),
            mcast("eth0", 695),
            mcast("eth0", 694),
            ucast6,
            bcast.clone(),
            bcast,
            serial,
        ];
        let plans = plan(&specs);
        let told: Vec<_> = plans
            .iter()
            .map(|plan| (Kind::of(plan.spec).name(), plan.spec.name(), plan.peers.len()))
            .collect();
        let expected = [
            ("ucast", "eth1", 2),
            ("mcast", "eth0", 0),
            ("ucast", "eth0", 1),
            ("mcast", "eth0", 0),
            ("ucast6", "eth0", 1),
            ("bcast", "eth0", 0),
            ("serial", "/dev/ttyS0", 0),
        ];
        assert_eq!(told, expected);
    }
}
