//! Who is on the networks of this node: the kernel's neighbour table and the gateways.

use std::net::Ipv4Addr;

use futures_util::TryStreamExt as _;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};

use super::{Netlink, NetlinkError};

/// A neighbour that the kernel knows the hardware address of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The interface that it is behind.
    pub index: u32,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its hardware address.
    pub mac: [u8; 6],
}

impl Netlink {
    /// The IPv4 neighbours that were reached, lately or once.
    ///
    /// # Errors
    ///
    /// When the kernel refuses or the connection is closed.
    pub async fn neighbours(&self) -> Result<Vec<Neighbour>, NetlinkError> {
        let request = self.handle.neighbours().get().set_address_family(AddressFamily::Inet);
        let messages: Vec<NeighbourMessage> =
            self.answered(request.execute().try_collect().await, || "list the neighbours".to_owned())?;
        Ok(messages.iter().filter_map(neighbour).collect())
    }

    /// The IPv4 gateways of all routes, each with the interface that it is behind; those of default routes first.
    ///
    /// # Errors
    ///
    /// When the kernel refuses or the connection is closed.
    pub async fn gateways(&self) -> Result<Vec<(u32, Ipv4Addr)>, NetlinkError> {
        let request = self.handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build());
        let mut messages: Vec<RouteMessage> =
            self.answered(request.execute().try_collect().await, || "list the routes".to_owned())?;
        messages.sort_by_key(|message| message.header.destination_prefix_length);
        Ok(messages.iter().flat_map(gateways_of).collect())
    }
}

fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    let known = matches!(
        message.header.state,
        NeighbourState::Reachable
            | NeighbourState::Stale
            | NeighbourState::Delay
            | NeighbourState::Probe
            | NeighbourState::Permanent
    );
    let (mut address, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(found)) => address = Some(*found),
            NeighbourAttribute::LinkLayerAddress(found) => mac = found.as_slice().try_into().ok(),
            _ => {}
        }
    }
    let (address, mac) = (address?, mac?);
    known.then_some(Neighbour { index: message.header.ifindex, address, mac })
}

fn gateways_of(message: &RouteMessage) -> Vec<(u32, Ipv4Addr)> {
    let (mut index, mut gateway, mut found) = (None, None, Vec::new());
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(oif) => index = Some(*oif),
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => gateway = Some(*address),
            RouteAttribute::MultiPath(hops) => {
                for hop in hops {
                    let gateway = hop.attributes.iter().find_map(|attribute| match attribute {
                        RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(*address),
                        _ => None,
                    });
                    found.extend(gateway.map(|gateway| (hop.interface_index, gateway)));
                }
            }
            _ => {}
        }
    }
    found.extend(index.zip(gateway));
    found
}
