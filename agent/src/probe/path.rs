//! Whom to ask, and by which interface.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::sys::socket::LinkAddr;
use socket2::{Domain, Protocol, Socket, Type};

use super::packet::Mac;
use super::{Mode, Options, ProbeError};

/// The way to the target.
#[derive(Debug, Clone)]
pub(super) struct Path {
    /// With the scope of a link-local address; the port is 0.
    pub target: SocketAddr,
    pub interface: String,
    /// Our address towards the target; ARP can do without.
    pub own: IpAddr,
    /// The interface's own address, to bind packet sockets to.
    pub link: Option<LinkAddr>,
    pub mac: Option<Mac>,
}

impl Path {
    /// Finds the way.
    pub(super) fn find(options: &Options) -> Result<Self, ProbeError> {
        let mut target = resolve(&options.target)?;
        let entries: Vec<InterfaceAddress> =
            getifaddrs().map_err(|error| ProbeError::io("list the interfaces")(error.into()))?.collect();
        if let Some(name) = options.interface.as_deref() {
            check_interface(name, &entries)?;
            if let SocketAddr::V6(target) = &mut target
                && target.ip().is_unicast_link_local()
            {
                target.set_scope_id(nix::net::if_::if_nametoindex(name).unwrap_or(0));
            }
        }
        let own = match (options.mode, options.interface.as_deref()) {
            (Mode::Arp, _) if target.is_ipv6() => return Err(ProbeError::ArpNeedsIpv4(target.ip())),
            // ARP needs no route.
            (Mode::Arp, Some(name)) => first_ipv4(name, &entries).unwrap_or(Ipv4Addr::UNSPECIFIED).into(),
            (_, name) => {
                source(target, name).map_err(|source| ProbeError::NoRoute { target: target.ip(), source })?
            }
        };
        let interface = match options.interface.clone() {
            Some(name) => name,
            None if own == target.ip() => "lo".to_owned(),
            None => holder(own, &entries).unwrap_or_default(),
        };
        let link = entries.iter().filter(|entry| entry.interface_name == interface);
        let link = link.filter_map(|entry| entry.address?.as_link_addr().copied()).next();
        let mac =
            link.filter(|link| link.halen() == 6).and_then(|link| link.addr()).filter(|mac| *mac != [0; 6]);
        if options.mode == Mode::Arp && mac.is_none() {
            return Err(ProbeError::NotEthernet(interface));
        }
        Ok(Self { target, interface, own, link, mac })
    }

    /// Whether the target is an address of this machine.
    pub(super) fn is_local(&self) -> bool {
        self.own == self.target.ip()
    }
}

fn resolve(name: &str) -> Result<SocketAddr, ProbeError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, 0));
    }
    let unknown = |error| ProbeError::Unresolvable(name.to_owned(), error);
    let found: Vec<SocketAddr> = (name, 0).to_socket_addrs().map_err(unknown)?.collect();
    // ARP needs IPv4, and virtual addresses are mostly that.
    let chosen = found.iter().find(|address| address.is_ipv4()).or_else(|| found.first());
    chosen.copied().ok_or_else(|| unknown(io::Error::other("it has no address")))
}

fn check_interface(name: &str, entries: &[InterfaceAddress]) -> Result<(), ProbeError> {
    if entries.iter().any(|entry| entry.interface_name == name) {
        return Ok(());
    }
    let mut names: Vec<&str> = entries.iter().map(|entry| entry.interface_name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    Err(ProbeError::NoInterface(name.to_owned(), names.join(", ")))
}

/// The address that the kernel would speak with. Nothing is sent.
fn source(target: SocketAddr, interface: Option<&str>) -> io::Result<IpAddr> {
    let socket = Socket::new(Domain::for_address(target), Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(interface.map(str::as_bytes))?;
    let mut towards = target;
    // Any port but 0, which cannot be connected to; discard (RFC 863).
    towards.set_port(9);
    socket.connect(&towards.into())?;
    let own = socket.local_addr()?.as_socket();
    own.map(|own| own.ip()).ok_or_else(|| io::Error::other("the kernel names no address of ours"))
}

fn ip_of(entry: &InterfaceAddress) -> Option<IpAddr> {
    let address = entry.address.as_ref()?;
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
}

fn first_ipv4(interface: &str, entries: &[InterfaceAddress]) -> Option<Ipv4Addr> {
    entries.iter().filter(|entry| entry.interface_name == interface).find_map(|entry| match ip_of(entry)? {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    })
}

fn holder(own: IpAddr, entries: &[InterfaceAddress]) -> Option<String> {
    let entry = entries.iter().find(|entry| ip_of(entry) == Some(own))?;
    Some(entry.interface_name.clone())
}
