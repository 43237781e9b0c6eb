//! The few interface operations of the harness, through netlink, inside a given namespace.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use anyhow::{Context as _, Result, anyhow};
use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::{
    BridgePortState, InfoBridgePort, InfoPortData, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkXdp,
};
use rtnetlink::packet_route::route::RouteScope;
use rtnetlink::{
    Handle, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
};

use crate::arp::Mac;
use crate::netns::Netns;

/// `XDP_FLAGS_DRV_MODE`: refuse rather than fall back to generic mode.
const XDP_DRIVER_MODE: u32 = 1 << 2;

/// Runs `work` with a netlink connection of the namespace.
async fn connected<T>(work: impl AsyncFnOnce(Handle) -> Result<T>) -> Result<T> {
    let (connection, handle, _) = rtnetlink::new_connection().context("netlink socket")?;
    let pump = tokio::spawn(connection);
    let result = work(handle).await;
    pump.abort();
    result
}

fn with<T: Send>(netns: &Netns, work: impl AsyncFnOnce(Handle) -> Result<T> + Send) -> Result<T> {
    netns.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(connected(work))
    })?
}

async fn link(handle: &Handle, name: &str) -> Result<LinkMessage> {
    let found = handle.link().get().match_name(name).execute().try_next().await;
    found.with_context(|| format!("interface {name}"))?.ok_or_else(|| anyhow!("no interface {name}"))
}

async fn change(handle: &Handle, message: LinkMessage) -> Result<()> {
    Ok(handle.link().change(message).execute().await?)
}

/// The index of interface `name`.
pub(crate) fn index(netns: &Netns, name: &str) -> Result<u32> {
    with(netns, async |handle| Ok(link(&handle, name).await?.header.index))
}

/// Makes a bridge, up, that forwards everything and snoops nothing.
pub(crate) fn add_bridge(netns: &Netns, name: &str) -> Result<()> {
    with(netns, async |handle| {
        let bridge = LinkBridge::new(name).mcast_snooping(false).up().build();
        handle.link().add(bridge).execute().await.with_context(|| format!("bridge {name}"))
    })
}

/// A cable from a bridge port in the switch to an interface in another namespace.
#[derive(Debug)]
pub(crate) struct Cable<'a> {
    /// The namespace of the bridge.
    pub(crate) switch: &'a Netns,
    /// The bridge's name.
    pub(crate) bridge: &'a str,
    /// The port's name on the switch.
    pub(crate) port: &'a str,
    /// The namespace at the far end.
    pub(crate) station: &'a Netns,
    /// The interface's name there.
    pub(crate) interface: &'a str,
    /// The interface's hardware address.
    pub(crate) mac: Mac,
    /// The interface's address in a /24 network.
    pub(crate) address: Ipv4Addr,
}

impl Cable<'_> {
    /// Lays the cable: both ends up, addressed, transmit checksums computed in software.
    pub(crate) fn lay(&self) -> Result<()> {
        self.make_ends().with_context(|| format!("veth {} for the switch", self.port))?;
        self.bring_up_station().with_context(|| format!("{} behind port {}", self.interface, self.port))?;
        let (port, interface) = (self.port.to_owned(), self.interface.to_owned());
        self.switch.run(move || crate::sys::tx_checksum_off(&port))??;
        self.station.run(move || crate::sys::tx_checksum_off(&interface))??;
        Ok(())
    }

    fn make_ends(&self) -> Result<()> {
        // Unique within the switch's namespace, where the far end begins its life.
        let far = format!("{}~", self.port);
        let station = self.station.as_fd().as_raw_fd();
        with(self.switch, async |handle| {
            let bridge = link(&handle, self.bridge).await?.header.index;
            handle.link().add(LinkVeth::new(self.port, &far).build()).execute().await?;
            let (port, far) = (link(&handle, self.port).await?, link(&handle, &far).await?);
            let moved = LinkUnspec::new_with_index(far.header.index).setns_by_fd(station);
            change(&handle, moved.name(self.interface).build()).await?;
            let plugged = LinkUnspec::new_with_index(port.header.index).controller(bridge).up();
            change(&handle, plugged.build()).await
        })
    }

    fn bring_up_station(&self) -> Result<()> {
        with(self.station, async |handle| {
            change(&handle, LinkUnspec::new_with_name("lo").up().build()).await?;
            let index = link(&handle, self.interface).await?.header.index;
            change(&handle, LinkUnspec::new_with_index(index).address(self.mac.to_vec()).build()).await?;
            handle.address().add(index, self.address.into(), 24).execute().await?;
            change(&handle, LinkUnspec::new_with_index(index).up().build()).await
        })
    }
}

/// Deletes interface `name`, and with it the other end of its cable.
pub(crate) fn delete(netns: &Netns, name: &str) -> Result<()> {
    with(netns, async |handle| {
        let index = link(&handle, name).await?.header.index;
        Ok(handle.link().del(index).execute().await?)
    })
}

/// Sets interface `name` administratively up or down.
pub(crate) fn set_up(netns: &Netns, name: &str, up: bool) -> Result<()> {
    with(netns, async |handle| {
        let link = LinkUnspec::new_with_index(link(&handle, name).await?.header.index);
        change(&handle, if up { link.up() } else { link.down() }.build()).await
    })
}

/// Whether interface `name` has carrier.
pub(crate) fn carrier(netns: &Netns, name: &str) -> Result<bool> {
    with(netns, async |handle| Ok(link(&handle, name).await?.header.flags.contains(LinkFlags::LowerUp)))
}

/// The way to `destination` and the `prefix` bits around it is `interface`, by router `via` if there is one.
pub(crate) fn add_route(
    netns: &Netns,
    interface: &str,
    (destination, prefix): (Ipv4Addr, u8),
    via: Option<Ipv4Addr>,
) -> Result<()> {
    with(netns, async |handle| {
        let index = link(&handle, interface).await?.header.index;
        let route = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(destination, prefix);
        let route = route.output_interface(index);
        let route = match via {
            Some(router) => route.gateway(router),
            None => route.scope(RouteScope::Link),
        };
        let added = handle.route().add(route.build()).execute().await;
        added.with_context(|| format!("route to {destination}/{prefix} by {interface}"))
    })
}

/// Changes the bridge port `name` as `change` says.
pub(crate) fn set_port(
    netns: &Netns,
    name: &str,
    changed: impl FnOnce(LinkMessageBuilder<LinkBridgePort>) -> LinkMessageBuilder<LinkBridgePort> + Send,
) -> Result<()> {
    with(netns, async |handle| {
        let index = link(&handle, name).await?.header.index;
        let message = changed(LinkBridgePort::new(index)).build();
        handle.link().set_port(message).execute().await.with_context(|| format!("bridge port {name}"))
    })
}

/// Whether the bridge port `name` forwards.
pub(crate) fn forwards(netns: &Netns, name: &str) -> Result<bool> {
    with(netns, async |handle| {
        let link = link(&handle, name).await?;
        let infos = link.attributes.iter().filter_map(|attribute| match attribute {
            LinkAttribute::LinkInfo(infos) => Some(infos),
            _ => None,
        });
        let port = infos.flatten().find_map(|info| match info {
            LinkInfo::PortData(InfoPortData::BridgePort(port)) => Some(port),
            _ => None,
        });
        let port = port.ok_or_else(|| anyhow!("{name} is no bridge port"))?;
        Ok(port.contains(&InfoBridgePort::State(BridgePortState::Forwarding)))
    })
}

/// Attaches the XDP program to interface `name` in native mode.
pub(crate) fn attach_xdp(netns: &Netns, name: &str, program: BorrowedFd<'_>) -> Result<()> {
    let xdp = vec![LinkXdp::Fd(program.as_raw_fd()), LinkXdp::Flags(XDP_DRIVER_MODE)];
    with(netns, async |handle| {
        let link = LinkUnspec::new_with_index(link(&handle, name).await?.header.index);
        change(&handle, link.append_extra_attribute(LinkAttribute::Xdp(xdp)).build()).await
    })
    .with_context(|| format!("native XDP on {name}"))
}

/// Adds `address`/24 to interface `name`.
pub(crate) fn add_address(netns: &Netns, name: &str, address: Ipv4Addr) -> Result<()> {
    with(netns, async |handle| {
        let index = link(&handle, name).await?.header.index;
        let added = handle.address().add(index, address.into(), 24).execute().await;
        added.with_context(|| format!("address {address} on {name}"))
    })
}

/// Turns IPv6 on at interface `name`, whose addresses are usable at once: nobody else is there to have them.
pub(crate) fn turn_ipv6_on(netns: &Netns, name: &str, address: Ipv6Addr) -> Result<()> {
    let setting = |what: &str, value: &str| {
        let path = format!("/proc/sys/net/ipv6/conf/{what}");
        std::fs::write(&path, value).with_context(|| path)
    };
    netns.run(|| {
        setting("all/accept_dad", "0")?;
        setting(&format!("{name}/accept_dad"), "0")?;
        setting(&format!("{name}/router_solicitations"), "0")?;
        setting(&format!("{name}/disable_ipv6"), "0")
    })??;
    with(netns, async |handle| {
        let index = link(&handle, name).await?.header.index;
        let added = handle.address().add(index, address.into(), 64).execute().await;
        added.with_context(|| format!("address {address} on {name}"))
    })
}

/// Adds `address`/64 to interface `name`, to be used at once. IPv6 is off in the namespaces until then.
pub(crate) fn add_address6(netns: &Netns, name: &str, address: Ipv6Addr) -> Result<()> {
    netns.run(|| {
        let path = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
        std::fs::write(&path, "0").context(path)
    })??;
    with(netns, async |handle| {
        let index = link(&handle, name).await?.header.index;
        let mut request = handle.address().add(index, address.into(), 64);
        // Whether somebody else has it is not asked first.
        request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        request.execute().await.with_context(|| format!("address {address} on {name}"))
    })
}

/// Deletes `address` from interface `name`.
pub(crate) fn delete_address(netns: &Netns, name: &str, address: Ipv4Addr) -> Result<()> {
    with(netns, async |handle| {
        let index = link(&handle, name).await?.header.index;
        let addresses = addresses(&handle, index).await?;
        let found = addresses.into_iter().find(|message| local(message) == Some(address));
        let message = found.ok_or_else(|| anyhow!("{name} does not have {address}"))?;
        Ok(handle.address().del(message).execute().await?)
    })
}

/// The IPv4 addresses of interface `name`, each with its label.
pub(crate) fn labelled_addresses(netns: &Netns, name: &str) -> Result<Vec<(Ipv4Addr, String)>> {
    with(netns, async |handle| {
        let index = link(&handle, name).await?.header.index;
        let addresses = addresses(&handle, index).await?;
        Ok(addresses.iter().filter_map(|message| Some((local(message)?, label(message)))).collect())
    })
}

/// Whether `address` of interface `name` has the flag that `ip addr` shows as `secondary`.
pub(crate) fn is_secondary(netns: &Netns, name: &str, address: Ipv4Addr) -> Result<bool> {
    with(netns, async |handle| {
        let index = link(&handle, name).await?.header.index;
        let addresses = addresses(&handle, index).await?;
        let found = addresses.iter().find(|message| local(message) == Some(address));
        Ok(found.is_some_and(|message| message.header.flags.contains(AddressHeaderFlags::Secondary)))
    })
}

async fn addresses(handle: &Handle, index: u32) -> Result<Vec<AddressMessage>> {
    Ok(handle.address().get().set_link_index_filter(index).execute().try_collect().await?)
}

fn local(message: &AddressMessage) -> Option<Ipv4Addr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(std::net::IpAddr::V4(address)) => Some(*address),
        _ => None,
    })
}

fn label(message: &AddressMessage) -> String {
    let label = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Label(label) => Some(label.clone()),
        _ => None,
    });
    label.unwrap_or_default()
}
