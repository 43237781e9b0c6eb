//! Interfaces, addresses and routes of this network namespace, by rtnetlink.
//!
//! Adding an address is part of a failover. So everything that has to be looked up is looked up in peace time
//! ([`Netlink::place`] gives a [`Placed`] address: interface index, prefix, label), and the takeover itself is
//! one request and its acknowledgement ([`Netlink::add_address`]). What happens on the node's links meanwhile is
//! told by [`watch`].
//!
//! A netlink socket belongs to the network namespace of the thread that opened it, for good.

mod connection;
mod inet6;
mod neighbours;
mod place;
mod source;
mod watch;

#[cfg(test)]
mod tests;

pub use inet6::Placed6;
pub use neighbours::Neighbour;
pub use place::{Label, PlaceError, Placed, VipSpec, place};
pub use watch::{EVENTS_MAX, Event, watch};

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::announce::AnnounceError;
use connection::Connection;

/// A connection to the kernel's network configuration.
#[derive(Debug)]
pub struct Netlink {
    handle: Handle,
    connection: Connection,
}

/// What can go wrong with a request.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No socket to be had.
    #[error("cannot open a netlink socket: {0}")]
    Open(#[source] io::Error),
    /// The kernel said no.
    #[error("cannot {doing}: {explanation}")]
    Refused {
        /// What was tried.
        doing: String,
        /// What the kernel said, or what that means here.
        explanation: String,
        /// The error number, as in `errno(3)`.
        errno: i32,
    },
    /// The kernel's answer was none.
    #[error("cannot {doing}: {source}")]
    Answer {
        /// What was tried.
        doing: String,
        /// What is wrong with the answer.
        source: Box<rtnetlink::Error>,
    },
    /// Not netlink's, but of the same errand.
    #[error(transparent)]
    Announce(AnnounceError),
    /// The connection broke, which needs a new [`Netlink`].
    #[error("cannot {doing}: the netlink connection is closed")]
    Closed {
        /// What was tried.
        doing: String,
    },
}

/// Did a request change anything?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It did.
    Made,
    /// All was as wanted before.
    NotNeeded,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's number for it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address, if it has one of six bytes.
    pub mac: Option<[u8; 6]>,
    /// All flags, as in `netdevice(7)`.
    pub flags: u32,
    /// Switched on by the administrator.
    pub up: bool,
    /// Connected to something.
    pub carrier: bool,
    /// `veth`, `bridge`, `bond`, …; nothing for hardware.
    pub kind: Option<String>,
    /// The bridge or bond it is a port of.
    pub controller: Option<u32>,
    /// Its IPv4 addresses, in the kernel's order.
    pub addresses: Vec<InterfaceAddress>,
    /// Its IPv6 addresses, in the kernel's order, without those that are not usable yet (RFC 4862 5.4).
    pub addresses6: Vec<Ipv6Addr>,
}

/// An IPv4 address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address itself.
    pub address: Ipv4Addr,
    /// Length of its network's prefix, in bits.
    pub prefix: u8,
    /// Broadcast address, if set.
    pub broadcast: Option<Ipv4Addr>,
    /// `eth0`, or an alias such as `eth0:0`.
    pub label: String,
    /// There is another address of the same network before it.
    pub secondary: bool,
}

/// An IPv4 route of the main table that leads to an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// First address of the destination network; `0.0.0.0` with prefix 0 is the default route.
    pub network: Ipv4Addr,
    /// Length of the network's prefix, in bits.
    pub prefix: u8,
    /// The interface it leads to (the first, if there are several).
    pub index: u32,
    /// Lower is preferred.
    pub metric: u32,
}

impl Netlink {
    /// Opens a connection in the network namespace of the calling thread, which a thread of its own serves until this
    /// value is dropped.
    ///
    /// # Errors
    ///
    /// When the system gives no socket or no thread.
    pub fn new() -> Result<Self, NetlinkError> {
        let (connection, handle) = Connection::open().map_err(NetlinkError::Open)?;
        Ok(Self { handle, connection })
    }

    /// Opens a connection that is served by the calling thread's own runtime, a [`tokio::task::LocalSet`]: who waits for
    /// nothing but the kernel saves two wake-ups for each request.
    ///
    /// # Errors
    ///
    /// When the system gives no socket.
    pub fn here() -> Result<Self, NetlinkError> {
        let (connection, handle) = Connection::here().map_err(NetlinkError::Open)?;
        Ok(Self { handle, connection })
    }

    /// All interfaces with their addresses.
    ///
    /// # Errors
    ///
    /// When the kernel refuses or the connection is closed.
    pub async fn interfaces(&self) -> Result<Vec<Interface>, NetlinkError> {
        let doing = || "list the interfaces".to_owned();
        let links: Vec<LinkMessage> =
            self.answered(self.handle.link().get().execute().try_collect().await, doing)?;
        let mut request = self.handle.address().get();
        request.message_mut().header.family = AddressFamily::Inet;
        let addresses: Vec<AddressMessage> = self.answered(request.execute().try_collect().await, doing)?;
        let mut interfaces: Vec<Interface> = links.iter().map(interface).collect();
        for (index, address) in addresses.iter().filter_map(interface_address) {
            if let Some(owner) = interfaces.iter_mut().find(|interface| interface.index == index) {
                owner.addresses.push(address);
            }
        }
        let mut request = self.handle.address().get();
        request.message_mut().header.family = AddressFamily::Inet6;
        let addresses: Vec<AddressMessage> = self.answered(request.execute().try_collect().await, doing)?;
        for (index, address) in addresses.iter().filter_map(interface_address6) {
            if let Some(owner) = interfaces.iter_mut().find(|interface| interface.index == index) {
                owner.addresses6.push(address);
            }
        }
        Ok(interfaces)
    }

    /// The IPv4 routes of the main table.
    ///
    /// # Errors
    ///
    /// When the kernel refuses or the connection is closed.
    pub async fn routes(&self) -> Result<Vec<Route>, NetlinkError> {
        let request = self.handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build());
        let messages: Vec<RouteMessage> =
            self.answered(request.execute().try_collect().await, || "list the routes".to_owned())?;
        Ok(messages.iter().filter_map(route).collect())
    }

    /// Decides interface, prefix, broadcast address and label of each virtual address ([`place()`]), from what is
    /// there now.
    ///
    /// # Errors
    ///
    /// When interfaces or routes cannot be listed. What is wrong with a single address stands in its place in
    /// the result.
    pub async fn place(&self, specs: &[VipSpec]) -> Result<Vec<Result<Placed, PlaceError>>, NetlinkError> {
        Ok(place(specs, &self.interfaces().await?, &self.routes().await?))
    }

    /// Adds an address: one request. Having it already is fine.
    ///
    /// # Errors
    ///
    /// When the kernel refuses or the connection is closed.
    pub async fn add_address(&self, placed: &Placed) -> Result<Change, NetlinkError> {
        let mut request = self.handle.address().add(placed.index, placed.address.into(), placed.prefix);
        *request.message_mut() = address_message(placed);
        self.changed(request.execute().await, placed, "add", libc::EEXIST)
    }

    /// Deletes an address: one request. Not having it is fine.
    ///
    /// Where it is the first (primary) address of its network and the interface's `promote_secondaries` is off,
    /// the kernel deletes all others of that network with it; [`watch`] tells.
    ///
    /// # Errors
    ///
    /// When the kernel refuses or the connection is closed.
    pub async fn delete_address(&self, placed: &Placed) -> Result<Change, NetlinkError> {
        // Without the label: an address is the same one under any label.
        let message = address_message(&Placed { label: None, broadcast: None, ..placed.clone() });
        let done = self.handle.address().del(message).execute().await;
        self.changed(done, placed, "delete", libc::EADDRNOTAVAIL)
    }

    fn changed(
        &self,
        done: Result<(), rtnetlink::Error>,
        placed: &impl std::fmt::Display,
        verb: &str,
        already: i32,
    ) -> Result<Change, NetlinkError> {
        match done {
            Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -already => {
                Ok(Change::NotNeeded)
            }
            // An interface that is gone has no addresses.
            Err(rtnetlink::Error::NetlinkError(error))
                if error.raw_code() == -libc::ENODEV && already == libc::EADDRNOTAVAIL =>
            {
                Ok(Change::NotNeeded)
            }
            done => self.answered(done, || format!("{verb} {placed}")).map(|()| Change::Made),
        }
    }

    /// Puts an answer into our words. A closed connection answers nothing at all, which the
    /// library takes for consent.
    fn answered<T>(
        &self,
        answer: Result<T, rtnetlink::Error>,
        doing: impl FnOnce() -> String,
    ) -> Result<T, NetlinkError> {
        match answer {
            Ok(_) | Err(rtnetlink::Error::RequestFailed) if self.connection.is_closed() => {
                Err(NetlinkError::Closed { doing: doing() })
            }
            Ok(value) => Ok(value),
            Err(rtnetlink::Error::NetlinkError(error)) => {
                let errno = error.raw_code().abs();
                Err(NetlinkError::Refused { doing: doing(), explanation: explain(errno), errno })
            }
            Err(error) => Err(NetlinkError::Answer { doing: doing(), source: Box::new(error) }),
        }
    }
}

fn explain(errno: i32) -> String {
    match errno {
        libc::ENODEV => "there is no such interface (any more)".to_owned(),
        // What adding an IPv6 address says where there is no IPv6.
        libc::EACCES => "refused: is IPv6 disabled there (net.ipv6.conf.INTERFACE.disable_ipv6)?".to_owned(),
        libc::EPERM => "not permitted: it needs CAP_NET_ADMIN in this network namespace".to_owned(),
        other => io::Error::from_raw_os_error(other).to_string(),
    }
}

fn address_message(placed: &Placed) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = placed.prefix;
    message.header.index = placed.index;
    message.attributes = vec![
        AddressAttribute::Address(placed.address.into()),
        AddressAttribute::Local(placed.address.into()),
    ];
    message.attributes.extend(placed.broadcast.map(AddressAttribute::Broadcast));
    message.attributes.extend(placed.label.clone().map(AddressAttribute::Label));
    message
}

fn interface(link: &LinkMessage) -> Interface {
    let flags = link.header.flags;
    let mut interface = Interface {
        index: link.header.index,
        name: String::new(),
        mac: None,
        flags: flags.bits(),
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        kind: None,
        controller: None,
        addresses: Vec::new(),
        addresses6: Vec::new(),
    };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name.clone_from(name),
            LinkAttribute::Address(mac) => interface.mac = mac.as_slice().try_into().ok(),
            LinkAttribute::Controller(index) => interface.controller = Some(*index),
            LinkAttribute::LinkInfo(infos) => {
                interface.kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    interface
}

/// The address in a message, with the index of its interface; nothing if it is no IPv4 address.
fn interface_address(message: &AddressMessage) -> Option<(u32, InterfaceAddress)> {
    let mut local = None;
    let mut remote = None;
    let mut broadcast = None;
    let mut label = String::new();
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(IpAddr::V4(address)) => local = Some(*address),
            // The far end's on a point-to-point interface, elsewhere the same again.
            AddressAttribute::Address(IpAddr::V4(address)) => remote = Some(*address),
            AddressAttribute::Broadcast(address) => broadcast = Some(*address),
            AddressAttribute::Label(name) => label.clone_from(name),
            _ => {}
        }
    }
    let address = InterfaceAddress {
        address: local.or(remote)?,
        prefix: message.header.prefix_len,
        broadcast,
        label,
        secondary: message.header.flags.contains(AddressHeaderFlags::Secondary),
    };
    Some((message.header.index, address))
}

/// The IPv6 address in a message, with the index of its interface; nothing if it is none, or not usable yet.
fn interface_address6(message: &AddressMessage) -> Option<(u32, Ipv6Addr)> {
    if message.header.flags.intersects(AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed) {
        return None;
    }
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(IpAddr::V6(address)) => Some(*address),
        _ => None,
    });
    Some((message.header.index, address?))
}

/// The route in a message, if it is of the main table and leads to an interface.
fn route(message: &RouteMessage) -> Option<Route> {
    let mut route = Route {
        network: Ipv4Addr::UNSPECIFIED,
        prefix: message.header.destination_prefix_length,
        index: 0,
        metric: 0,
    };
    let mut table = u32::from(message.header.table);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(network)) => route.network = *network,
            RouteAttribute::Oif(index) => route.index = *index,
            RouteAttribute::MultiPath(hops) => route.index = hops.first()?.interface_index,
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::Table(number) => table = *number,
            _ => {}
        }
    }
    let main = table == u32::from(RouteHeader::RT_TABLE_MAIN);
    (main && message.header.kind == RouteType::Unicast && route.index != 0).then_some(route)
}
