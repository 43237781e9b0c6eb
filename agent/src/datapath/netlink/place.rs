//! Where a virtual address belongs: pure decisions, from a list of interfaces and one of routes.
//!
//! As Heartbeat's `IPaddr` does it: the interface is the one with a route to the address, the netmask is that
//! route's, the label is the first free `ethX:N`. The default route names an interface only if nothing better
//! does, and never a netmask.

use std::fmt;
use std::net::Ipv4Addr;

use super::{Interface, Route};

/// Longest name of an interface or label: `IFNAMSIZ` (16) without the closing NUL.
const NAME_MAX: usize = 15;

/// A virtual address as the configuration gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VipSpec {
    /// The address.
    pub address: Ipv4Addr,
    /// Length of its network's prefix in bits; else the route's.
    pub prefix: Option<u8>,
    /// Its interface; else the route's.
    pub interface: Option<String>,
    /// Broadcast address; else the highest of the network.
    pub broadcast: Option<Ipv4Addr>,
    /// Under which name it appears.
    pub label: Label,
}

/// Under which name an address appears in `ip addr` and `ifconfig`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// `ethX:N` with the lowest `N` that nobody has: `IPaddr`.
    FirstFree,
    /// The interface's own: `IPaddr2`.
    Interface,
    /// This one: `IPaddr2::ADDRESS/PREFIX/NIC:LABEL`.
    Named(String),
}

/// A virtual address with all that is needed to add it in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Number of the interface.
    pub index: u32,
    /// Name of the interface.
    pub interface: String,
    /// The address.
    pub address: Ipv4Addr,
    /// Length of its network's prefix, in bits.
    pub prefix: u8,
    /// Broadcast address, where the network has one.
    pub broadcast: Option<Ipv4Addr>,
    /// Label, where it is not the interface's name.
    pub label: Option<String>,
}

/// As `ip addr add` takes it.
impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} dev {}", self.address, self.prefix, self.interface)?;
        self.label.iter().try_for_each(|label| write!(f, " label {label}"))
    }
}

/// Why an address has no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// The interface asked for is not there.
    #[error("{address}: there is no interface {interface}; there are: {}", known.join(", "))]
    NoSuchInterface {
        /// The address to be placed.
        address: Ipv4Addr,
        /// The name asked for.
        interface: String,
        /// Names that are there.
        known: Vec<String>,
    },
    /// No interface is near it.
    #[error(
        "{address}: no interface has a route to it; give prefix and interface: {address}/PREFIX/INTERFACE"
    )]
    NoRoute {
        /// The address to be placed.
        address: Ipv4Addr,
    },
    /// Interface known, netmask not.
    #[error(
        "{address}: interface {interface} has no route to it but perhaps the default route, which tells no netmask; \
         give the prefix: {address}/PREFIX/{interface}"
    )]
    NoNetmask {
        /// The address to be placed.
        address: Ipv4Addr,
        /// Where it would go.
        interface: String,
    },
    /// More than 32 bits.
    #[error("{address}/{prefix}: the prefix of an IPv4 network is 0 to 32 bits long")]
    BadPrefix {
        /// The address to be placed.
        address: Ipv4Addr,
        /// The prefix asked for.
        prefix: u8,
    },
}

/// Decides for each address where it goes, in order; a label given to one is not given to the next. An address that is
/// on its interface already keeps the label it has there.
pub fn place(
    specs: &[VipSpec],
    interfaces: &[Interface],
    routes: &[Route],
) -> Vec<Result<Placed, PlaceError>> {
    let mut given: Vec<String> = Vec::new();
    let place_one = |spec: &VipSpec| {
        let placed = place_unlabelled(spec, interfaces, routes)?;
        let label = label(spec, &placed, interfaces, &given);
        given.extend(label.clone());
        Ok(Placed { label, ..placed })
    };
    specs.iter().map(place_one).collect()
}

fn place_unlabelled(
    spec: &VipSpec,
    interfaces: &[Interface],
    routes: &[Route],
) -> Result<Placed, PlaceError> {
    let address = spec.address;
    if let Some(prefix) = spec.prefix.filter(|prefix| *prefix > 32) {
        return Err(PlaceError::BadPrefix { address, prefix });
    }
    let wanted = match &spec.interface {
        Some(name) => Some(by_name(address, name, interfaces)?),
        None => None,
    };
    let route = best_route(address, wanted, routes);
    let routed = route.and_then(|route| interfaces.iter().find(|interface| interface.index == route.index));
    let interface = wanted.or(routed).ok_or(PlaceError::NoRoute { address })?;
    let masked = route.map(|route| route.prefix).filter(|prefix| *prefix > 0);
    let prefix = spec
        .prefix
        .or(masked)
        .ok_or_else(|| PlaceError::NoNetmask { address, interface: interface.name.clone() })?;
    Ok(Placed {
        index: interface.index,
        interface: interface.name.clone(),
        address,
        prefix,
        broadcast: spec.broadcast.or_else(|| highest(address, prefix)),
        label: None,
    })
}

fn by_name<'a>(
    address: Ipv4Addr,
    name: &str,
    interfaces: &'a [Interface],
) -> Result<&'a Interface, PlaceError> {
    interfaces.iter().find(|interface| interface.name == name).ok_or_else(|| PlaceError::NoSuchInterface {
        address,
        interface: name.to_owned(),
        known: interfaces.iter().map(|interface| interface.name.clone()).collect(),
    })
}

/// The route with the longest prefix, of several the one with the lowest metric; only routes to `wanted`, if given.
fn best_route<'a>(address: Ipv4Addr, wanted: Option<&Interface>, routes: &'a [Route]) -> Option<&'a Route> {
    routes
        .iter()
        .filter(|route| wanted.is_none_or(|interface| interface.index == route.index))
        .filter(|route| {
            u32::from(address) & mask(route.prefix) == u32::from(route.network) & mask(route.prefix)
        })
        .min_by_key(|route| (std::cmp::Reverse(route.prefix), route.metric))
}

/// Network mask of a prefix of 0 to 32 bits.
fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)
}

/// The broadcast address by convention; networks of one or two addresses have none (RFC 3021).
fn highest(address: Ipv4Addr, prefix: u8) -> Option<Ipv4Addr> {
    (prefix < 31).then(|| Ipv4Addr::from(u32::from(address) | !mask(prefix)))
}

fn label(spec: &VipSpec, placed: &Placed, interfaces: &[Interface], given: &[String]) -> Option<String> {
    match &spec.label {
        Label::Interface => None,
        Label::Named(name) => Some(name.clone()),
        Label::FirstFree => first_free(placed, interfaces, given),
    }
}

/// The first free `ethX:N`, or none where the interface's name leaves no room for it.
fn first_free(placed: &Placed, interfaces: &[Interface], given: &[String]) -> Option<String> {
    let addresses = || interfaces.iter().flat_map(|interface| &interface.addresses);
    let own = interfaces.iter().find(|interface| interface.index == placed.index)?;
    let same = own.addresses.iter().find(|address| address.address == placed.address);
    if let Some(same) = same.filter(|same| same.label != own.name) {
        return Some(same.label.clone());
    }
    (0_u32..)
        .map(|number| format!("{}:{number}", placed.interface))
        .take_while(|label| label.len() <= NAME_MAX)
        .find(|label| !given.contains(label) && !addresses().any(|address| address.label == *label))
}
