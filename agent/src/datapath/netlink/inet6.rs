//! IPv6 addresses: where they belong, and to the interface and away.

use std::fmt;
use std::net::Ipv6Addr;

use futures_util::TryStreamExt as _;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};

use super::{Change, Interface, Netlink, NetlinkError};
use crate::config::Vip6Spec;

/// An IPv6 virtual address with all that is needed to add it in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed6 {
    /// Number of the interface.
    pub index: u32,
    /// Name of the interface.
    pub interface: String,
    /// The address.
    pub address: Ipv6Addr,
    /// Length of its network's prefix, in bits.
    pub prefix: u8,
}

/// As `ip addr add` takes it.
impl fmt::Display for Placed6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} dev {}", self.address, self.prefix, self.interface)
    }
}

/// A route to an interface.
struct Route6 {
    network: Ipv6Addr,
    prefix: u8,
    index: u32,
}

impl Netlink {
    /// Decides interface and prefix of an address, from what is there now; what is wrong, where there is no place.
    ///
    /// # Errors
    ///
    /// When interfaces or routes cannot be listed.
    pub async fn place6(&self, spec: &Vip6Spec) -> Result<Result<Placed6, String>, NetlinkError> {
        let request = self.handle.route().get(RouteMessageBuilder::<Ipv6Addr>::new().build());
        let routes: Vec<RouteMessage> =
            self.answered(request.execute().try_collect().await, || "list the routes".to_owned())?;
        let routes: Vec<Route6> = routes.iter().filter_map(route).collect();
        Ok(place(spec, &self.interfaces().await?, &routes))
    }

    /// Adds an address: one request. Nobody is asked whether he has it (no duplicate address detection, which takes a
    /// second): the election knows. Having it already is fine.
    ///
    /// # Errors
    ///
    /// When the kernel refuses or the connection is closed.
    pub async fn add_address6(&self, placed: &Placed6) -> Result<Change, NetlinkError> {
        let mut request = self.handle.address().add(placed.index, placed.address.into(), placed.prefix);
        request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        self.changed(request.execute().await, placed, "add", libc::EEXIST)
    }

    /// Deletes an address: one request. Not having it is fine.
    ///
    /// # Errors
    ///
    /// When the kernel refuses or the connection is closed.
    pub async fn delete_address6(&self, placed: &Placed6) -> Result<Change, NetlinkError> {
        let mut request = self.handle.address().add(placed.index, placed.address.into(), placed.prefix);
        let message = std::mem::take(request.message_mut());
        let done = self.handle.address().del(message).execute().await;
        self.changed(done, placed, "delete", libc::EADDRNOTAVAIL)
    }
}

fn route(message: &RouteMessage) -> Option<Route6> {
    let mut route =
        Route6 { network: Ipv6Addr::UNSPECIFIED, prefix: message.header.destination_prefix_length, index: 0 };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet6(network)) => route.network = *network,
            RouteAttribute::Oif(index) => route.index = *index,
            _ => {}
        }
    }
    // A route to one address is no network, and the default route tells no prefix.
    let is_network = (1..128).contains(&route.prefix);
    (message.header.kind == RouteType::Unicast && route.index != 0 && is_network).then_some(route)
}

fn place(spec: &Vip6Spec, interfaces: &[Interface], routes: &[Route6]) -> Result<Placed6, String> {
    let address = spec.address;
    let wanted = match &spec.interface {
        Some(name) => Some(interfaces.iter().find(|known| known.name == *name).ok_or_else(|| {
            let known: Vec<&str> = interfaces.iter().map(|known| known.name.as_str()).collect();
            format!("{address}: there is no interface {name}; there are: {}", known.join(", "))
        })?),
        None => None,
    };
    let best = routes
        .iter()
        .filter(|route| wanted.is_none_or(|interface| interface.index == route.index))
        .filter(|route| {
            u128::from(address) & mask(route.prefix) == u128::from(route.network) & mask(route.prefix)
        })
        .max_by_key(|route| route.prefix);
    let routed = best.and_then(|route| interfaces.iter().find(|known| known.index == route.index));
    let interface = wanted.or(routed);
    let prefix = spec.prefix.or_else(|| best.map(|route| route.prefix));
    match (interface, prefix) {
        (Some(interface), Some(prefix)) => {
            Ok(Placed6 { index: interface.index, interface: interface.name.clone(), address, prefix })
        }
        (None, _) => Err(format!(
            "{address}: no interface has a route to its network; give prefix and interface: {address}/PREFIX/INTERFACE"
        )),
        (Some(_), None) => Err(format!("{address}: no route tells its prefix; give it: {address}/PREFIX")),
    }
}

fn mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_and_prefix_come_from_the_most_specific_route() {
        let interface = |index, name: &str| Interface {
            index,
            name: name.to_owned(),
            mac: None,
            flags: 0,
            up: true,
            carrier: true,
            kind: None,
            controller: None,
            addresses: Vec::new(),
            addresses6: Vec::new(),
        };
        let known = [interface(2, "eth0"), interface(3, "eth1")];
        let route =
            |network: &str, prefix, index| Route6 { network: network.parse().unwrap(), prefix, index };
        let routes = [route("2001:db8::", 32, 3), route("2001:db8:1::", 64, 2)];
        let spec = |prefix, interface: Option<&str>| Vip6Spec {
            address: "2001:db8:1::5".parse().unwrap(),
            prefix,
            interface: interface.map(str::to_owned),
        };
        let placed = place(&spec(None, None), &known, &routes).unwrap();
        assert_eq!(placed.to_string(), "2001:db8:1::5/64 dev eth0");
        let placed = place(&spec(Some(128), Some("eth1")), &known, &routes).unwrap();
        assert_eq!(placed.to_string(), "2001:db8:1::5/128 dev eth1");
        let placed = place(&spec(None, Some("eth1")), &known, &routes).unwrap();
        assert_eq!(placed.prefix, 32);
        assert!(place(&spec(None, Some("eth7")), &known, &routes).unwrap_err().contains("eth0, eth1"));
        assert!(place(&spec(None, None), &known, &[]).unwrap_err().contains("PREFIX/INTERFACE"));
        assert!(place(&spec(None, Some("eth0")), &known, &[]).unwrap_err().contains("/PREFIX"));
    }
}
