//! Which address this node speaks with: the preferred source of the default route of an interface (`IPsrcaddr`).
//!
//! The route to the interface's own network is left alone, because keepalives go by it: they are to come from the node's
//! own address. The kernel deletes a route together with its preferred source, so it has to be taken back before the
//! address is deleted.

use std::net::Ipv4Addr;

use futures_util::TryStreamExt as _;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteType,
};

use super::{Netlink, NetlinkError};

impl Netlink {
    /// Makes `address` the source of what leaves by the default route of its interface, or no longer.
    ///
    /// # Errors
    ///
    /// When no interface has the address, no route is there to be changed, or the kernel refuses.
    pub async fn set_source(&self, address: Ipv4Addr, on: bool) -> Result<(), NetlinkError> {
        let doing = || format!("make {address} the source address");
        let nothing = |explanation: &str| NetlinkError::Refused {
            doing: doing(),
            explanation: explanation.to_owned(),
            errno: libc::EADDRNOTAVAIL,
        };
        let interfaces = self.interfaces().await?;
        let owner = interfaces.iter().find(|known| known.addresses.iter().any(|own| own.address == address));
        let routes = self.main_routes().await?;
        let changes: Vec<RouteMessage> = match (on, owner) {
            (true, None) => {
                return Err(nothing("no interface has it; its IPaddr has to stand before the IPsrcaddr"));
            }
            (true, Some(owner)) => {
                let own = routes.into_iter().filter(|route| is_default_of(route, owner.index));
                own.map(|route| with_source(route, Some(address))).collect()
            }
            (false, _) => {
                let own = routes.into_iter().filter(|route| source(route) == Some(address));
                own.map(|route| with_source(route, None)).collect()
            }
        };
        if on && changes.is_empty() {
            return Err(nothing("its interface has no default route"));
        }
        for route in changes {
            let request = self.handle.route().add(route).replace();
            self.answered(request.execute().await, doing)?;
        }
        Ok(())
    }

    /// Whether a route prefers that source.
    ///
    /// # Errors
    ///
    /// When the routes cannot be listed.
    pub async fn is_source(&self, address: Ipv4Addr) -> Result<bool, NetlinkError> {
        Ok(self.main_routes().await?.iter().any(|route| source(route) == Some(address)))
    }

    async fn main_routes(&self) -> Result<Vec<RouteMessage>, NetlinkError> {
        let request = self.handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build());
        let routes: Vec<RouteMessage> =
            self.answered(request.execute().try_collect().await, || "list the routes".to_owned())?;
        Ok(routes.into_iter().filter(is_main).collect())
    }
}

fn is_main(route: &RouteMessage) -> bool {
    let table = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(number) => Some(*number),
        _ => None,
    });
    let table = table.unwrap_or_else(|| u32::from(route.header.table));
    table == u32::from(RouteHeader::RT_TABLE_MAIN) && route.header.kind == RouteType::Unicast
}

fn source(route: &RouteMessage) -> Option<Ipv4Addr> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::PrefSource(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    })
}

fn is_default_of(route: &RouteMessage, index: u32) -> bool {
    let leads_there = route
        .attributes
        .iter()
        .any(|attribute| matches!(attribute, RouteAttribute::Oif(oif) if *oif == index));
    leads_there && route.header.destination_prefix_length == 0
}

fn with_source(mut route: RouteMessage, source: Option<Ipv4Addr>) -> RouteMessage {
    route.attributes.retain(|attribute| {
        !matches!(attribute, RouteAttribute::PrefSource(_) | RouteAttribute::CacheInfo(_))
    });
    route.attributes.extend(source.map(|source| RouteAttribute::PrefSource(RouteAddress::Inet(source))));
    // What else stands there the kernel tells (the link is down, ...), and is not told.
    route.header.flags &= RouteFlags::Onlink;
    route
}
