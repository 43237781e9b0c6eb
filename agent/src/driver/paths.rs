//! What is on the interfaces now: whom the links ask, from where they are answered, and what the reflex must know of that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, PoisonError};

use reflex::Orders;
use reflex::path::{self, Ip, NO_IP, Path};

use crate::config::Config;
use crate::datapath::netlink::Interface;
use crate::links::udp::Socket;
use crate::links::{Kind, Link, Target, packed};

/// Decides whom the link asks: the addresses that its lines name, without our own (identical files on all nodes name those
/// too), or every other node.
pub(super) fn aim(config: &Config, link: &Link, interfaces: &[Interface]) {
    let others = (0u8..).take(config.nodes.len()).filter(|&node| usize::from(node) != config.own);
    let mut targets = link.targets.lock().unwrap_or_else(PoisonError::into_inner);
    if link.peers.is_empty() && !matches!(link.kind, Kind::Ucast | Kind::Ucast6) {
        *targets = others.map(|node| Target { address: None, node: Some(node) }).collect();
        return;
    }
    let only = if config.nodes.len() == 2 { others.last() } else { None };
    let peers = link.peers.iter().filter(|peer| !is_own(interfaces, **peer));
    let aimed = peers.map(|&peer| {
        let known = targets.iter().find(|target| target.address == Some(peer));
        Target { address: Some(peer), node: known.map_or(only, |known| known.node) }
    });
    *targets = aimed.collect();
}

fn is_own(interfaces: &[Interface], address: IpAddr) -> bool {
    interfaces.iter().any(|known| match address {
        IpAddr::V4(address) => known.addresses.iter().any(|known| known.address == address),
        IpAddr::V6(address) => known.addresses6.contains(&address),
    })
}

/// The broadcast address of the first network on the interface; virtual addresses make none.
pub(super) fn broadcast(interface: &Interface, vips: &[IpAddr]) -> Option<Ipv4Addr> {
    let mut own = interface.addresses.iter().filter(|known| !vips.contains(&known.address.into()));
    own.find_map(|known| known.broadcast)
}

/// Brings targets, sockets and the reflex's table of paths up to what is on the interfaces now. Virtual addresses do not
/// count: nobody is answered from one.
pub(super) fn tell(
    config: &Config,
    orders: &Orders,
    links: &[Arc<Link>],
    interfaces: &[Interface],
    vips: &[IpAddr],
) {
    let of = |link: &Link| interfaces.iter().find(|known| Some(known.index) == link.ifindex);
    for link in links {
        aim(config, link, interfaces);
        if let (Some(socket), Some(interface)) = (link.udp(), of(link)) {
            let address = broadcast(interface, vips);
            if socket.is_broadcast() && socket.everybody() != address.map(IpAddr::V4) {
                let shown = address.map_or_else(|| "none".to_owned(), |address| address.to_string());
                tracing::info!("Link {}: the broadcast address is now {shown}", link.name);
                socket.set_broadcast(address);
            }
        }
    }
    let mut addresses: Vec<Ip> = Vec::new();
    for (link, interface) in links.iter().filter_map(|link| Some((link, of(link)?))) {
        let is_ipv6 = link.udp().is_some_and(Socket::is_ipv6);
        addresses.extend(own_addresses(interface, is_ipv6, vips).map(packed));
    }
    addresses.sort_unstable();
    addresses.dedup();
    tell_addresses(orders, &addresses);
    let (mut ports4, mut ports6) = (0, 0);
    for (path, id) in orders.paths.iter().zip(0u8..) {
        let link = links.iter().find(|link| link.id == id);
        let wanted = link.and_then(|link| wanted(link.udp()?, of(link)?, vips));
        tell_path(path, wanted.as_ref());
        match wanted {
            Some(Wanted { port, is_ipv6: false, .. }) => ports4 |= path::port_bit(port),
            Some(Wanted { port, is_ipv6: true, .. }) => ports6 |= path::port_bit(port),
            None => {}
        }
    }
    // Last: with these the programs begin to look.
    orders.ports4.set(ports4);
    orders.ports6.set(ports6);
}

/// What a path should hold.
struct Wanted {
    port: u16,
    is_ipv6: bool,
    ifindex: u32,
    group: Ip,
    own: Ip,
    mac: u64,
}

/// None where there is nobody to answer from.
fn wanted(socket: &Socket, interface: &Interface, vips: &[IpAddr]) -> Option<Wanted> {
    let group = socket.everybody();
    let is_ipv6 = socket.is_ipv6();
    let mut own = own_addresses(interface, is_ipv6, vips);
    let own = match group {
        // Who is in reach of the group must be in reach of the answer.
        Some(IpAddr::V6(group)) => {
            let own: Vec<IpAddr> = own.collect();
            let fits = |ip: &&IpAddr| is_of_link_alone(**ip) == is_of_link_alone(IpAddr::V6(group));
            own.iter().find(fits).or_else(|| own.first()).copied()
        }
        _ => own.next(),
    }?;
    Some(Wanted {
        port: socket.port(),
        is_ipv6,
        ifindex: interface.index,
        group: group.map_or(NO_IP, packed),
        own: packed(own),
        mac: interface.mac.map_or(0, path::mac),
    })
}

/// Whether an address, or a group, means something on one link alone (RFC 4291 2.5.6, 2.7).
fn is_of_link_alone(ip: IpAddr) -> bool {
    let IpAddr::V6(ip) = ip else { return false };
    const LINK_LOCAL_SCOPE: u8 = 2;
    if ip.is_multicast() { ip.octets()[1] & 0xf <= LINK_LOCAL_SCOPE } else { ip.is_unicast_link_local() }
}

fn own_addresses<'a>(
    interface: &'a Interface,
    is_ipv6: bool,
    vips: &'a [IpAddr],
) -> impl Iterator<Item = IpAddr> + 'a {
    let v4 = interface.addresses.iter().map(|known| IpAddr::V4(known.address));
    let v6 = interface.addresses6.iter().copied().map(IpAddr::V6);
    v4.chain(v6).filter(move |address| address.is_ipv6() == is_ipv6 && !vips.contains(address))
}

fn tell_addresses(orders: &Orders, wanted: &[Ip]) {
    let places = &orders.addresses;
    places.iter().filter(|place| !wanted.contains(&place.get())).for_each(|place| place.set(NO_IP));
    for &ip in wanted.iter().filter(|ip| places.iter().all(|place| place.get() != **ip)) {
        match places.iter().find(|place| place.get() == NO_IP) {
            Some(place) => place.set(ip),
            None => tracing::warn!(
                "more than {} addresses on the links' interfaces: frames to {} are not answered in the kernel",
                places.len(),
                Ipv6Addr::from(path::bytes(ip)).to_canonical()
            ),
        }
    }
}

fn tell_path(path: &Path, wanted: Option<&Wanted>) {
    let Some(wanted) = wanted else { return path.port.set(0) };
    let (port, ifindex) = (u64::from(wanted.port), u64::from(wanted.ifindex));
    let is_told = (path.port.get(), path.ifindex.get(), path.mac.get()) == (port, ifindex, wanted.mac)
        && (path.group.get(), path.own.get()) == (wanted.group, wanted.own);
    if !is_told {
        path.port.set(0);
        path.ifindex.set(ifindex);
        path.group.set(wanted.group);
        path.own.set(wanted.own);
        path.mac.set(wanted.mac);
        path.port.set(port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datapath::netlink::InterfaceAddress;

    #[test]
    fn scopes_of_addresses_and_groups() {
        for (ip, alone) in [
            ("fe80::1", true),
            ("2001:db8::1", false),
            ("ff02::694", true),
            ("ff01::1", true),
            ("ff12::694", true),
            ("ff05::694", false),
            ("ff0e::694", false),
            ("192.0.2.1", false),
        ] {
            assert_eq!(is_of_link_alone(ip.parse().unwrap()), alone, "{ip}");
        }
    }

    fn interface(v4: &[(&str, Option<&str>)], v6: &[&str]) -> Interface {
        let address = |&(address, broadcast): &(&str, Option<&str>)| InterfaceAddress {
            address: address.parse().unwrap(),
            prefix: 24,
            broadcast: broadcast.map(|broadcast| broadcast.parse().unwrap()),
            label: "eth0".to_owned(),
            secondary: false,
        };
        Interface {
            index: 2,
            name: "eth0".to_owned(),
            mac: None,
            flags: 0,
            up: true,
            carrier: true,
            kind: None,
            controller: None,
            addresses: v4.iter().map(address).collect(),
            addresses6: v6.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn virtual_addresses_of_either_family_are_not_our_own() {
        let interface = interface(
            &[("192.0.2.100", Some("192.0.2.127")), ("192.0.2.11", Some("192.0.2.255"))],
            &["2001:db8::100", "2001:db8::11", "fe80::1"],
        );
        let vips: Vec<IpAddr> = ["192.0.2.100", "2001:db8::100"].map(|vip| vip.parse().unwrap()).into();
        let own = |is_ipv6| own_addresses(&interface, is_ipv6, &vips).map(|own| own.to_string());
        assert_eq!(own(false).collect::<Vec<_>>(), ["192.0.2.11"]);
        assert_eq!(own(true).collect::<Vec<_>>(), ["2001:db8::11", "fe80::1"]);
        assert_eq!(broadcast(&interface, &vips), Some("192.0.2.255".parse().unwrap()));
    }

    #[test]
    fn addresses_that_stay_keep_their_places() {
        let orders = Box::new(Orders::new());
        let ips: Vec<Ip> = (1..=20).map(|last| path::ipv4([192, 0, 2, last])).collect();
        tell_addresses(&orders, &ips[..3]);
        let places = |n: usize| orders.addresses.iter().take(n).map(|place| place.get()).collect::<Vec<_>>();
        assert_eq!(places(4), [ips[0], ips[1], ips[2], NO_IP]);
        tell_addresses(&orders, &[ips[0], ips[2], ips[7]]);
        assert_eq!(places(4), [ips[0], ips[7], ips[2], NO_IP]);
        tell_addresses(&orders, &ips);
        assert!(
            orders.addresses.iter().all(|place| ips.contains(&place.get())),
            "as many as there is room for"
        );
    }
}
