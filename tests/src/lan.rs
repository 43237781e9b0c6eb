//! The network: a switch, a client and the nodes, each in its own namespace.
//!
//! ```text
//!   client            server1            server2
//!    eth0           eth0    eth1       eth0    eth1
//!      |              |       |          |       |         veth pairs
//!  ----+--------------+-------|----------+-------|----  switch: bridge lan0   192.0.2.0/24
//!                             +------------------+----  switch: bridge lan1   198.51.100.0/24 (optional)
//! ```
//!
//! A switch port is named after its node (`server1`, and `server1.1` for eth1). Faults are made at the port, so
//! the node cannot notice by its carrier, just as with a real switch.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rtnetlink::packet_route::link::BridgePortState;

use crate::arp::{self, Mac};
use crate::netlink::{self, Cable};
use crate::netns::Netns;
use crate::{sys, wait};

/// The virtual address of the how-tos.
pub const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
/// The client's address.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 50);
/// Whom the witness pretends to be, so that the client's own ARP cache never profits from its questions.
pub const WITNESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 51);

/// Host number of the first node in both networks; the others follow.
const FIRST_NODE: u8 = 11;
/// Leaves room in the 15 characters of an interface name for `.1` and the mark of a cable's far end.
const NODE_NAME_MAX: usize = 12;
const NODES_MAX: usize = 30;
const CLIENT_STATION: u8 = 50;

/// One of the two networks of a [`Lan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// eth0, 192.0.2.0/24, with the client in it.
    Eth0,
    /// eth1, 198.51.100.0/24, nodes only.
    Eth1,
}

impl Network {
    /// The interface's name on every node.
    pub const fn interface(self) -> &'static str {
        match self {
            Self::Eth0 => "eth0",
            Self::Eth1 => "eth1",
        }
    }

    const fn bridge(self) -> &'static str {
        match self {
            Self::Eth0 => "lan0",
            Self::Eth1 => "lan1",
        }
    }

    fn port(self, station: &str) -> String {
        match self {
            Self::Eth0 => station.to_owned(),
            Self::Eth1 => format!("{station}.1"),
        }
    }

    const fn address(self, station: u8) -> Ipv4Addr {
        match self {
            Self::Eth0 => Ipv4Addr::new(192, 0, 2, station),
            Self::Eth1 => Ipv4Addr::new(198, 51, 100, station),
        }
    }

    /// Its IPv6 network is fd00:0:0:0::/64 or fd00:0:0:1::/64; the host number is written as in the IPv4 address.
    const fn address6(self, station: u8) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0, 0, self as u16, 0, 0, 0, (station / 10 * 16 + station % 10) as u16)
    }

    const fn mac(self, station: u8) -> Mac {
        // Locally administered; the same at every run, so that captures can be compared.
        [0x02, 0x78, 0x62, 0, self as u8, station]
    }
}

/// Which way frames are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// What the node sends reaches nobody; it still hears.
    FromNode,
    /// The node hears nothing; what it sends still arrives.
    ToNode,
}

/// How far the nodes are wired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wiring {
    /// eth0 only.
    One,
    /// eth0 and eth1.
    Two,
}

/// The network. Gone, with everything that runs in it, when dropped.
#[derive(Debug)]
pub struct Lan {
    switch: Netns,
    client: Arc<Netns>,
    nodes: Vec<(String, Arc<Netns>)>,
    wiring: Wiring,
    /// The nodes speak IPv6 too.
    ipv6: bool,
    /// The program on the switch ports; `None` where the kernel refuses to load one.
    pass: Option<OwnedFd>,
}

impl Lan {
    /// Builds the network for `nodes`, in their order in `ha.cf`, and waits until frames can flow.
    pub fn new(nodes: &[&str], wiring: Wiring) -> Result<Self> {
        Self::with_pass(nodes, wiring, sys::load_xdp_pass().ok())
    }

    /// Like [`Lan::new`], but no switch port carries a program: native XDP attaches on the nodes, and what they
    /// transmit by `XDP_TX` is lost.
    pub fn without_pass(nodes: &[&str], wiring: Wiring) -> Result<Self> {
        Self::with_pass(nodes, wiring, None)
    }

    fn with_pass(nodes: &[&str], wiring: Wiring, pass: Option<OwnedFd>) -> Result<Self> {
        if nodes.len() > NODES_MAX {
            bail!("{} nodes: the harness numbers at most {NODES_MAX}", nodes.len());
        }
        if let Some(name) = nodes.iter().find(|name| name.len() > NODE_NAME_MAX) {
            bail!("node name {name}: a switch port's name has room for {NODE_NAME_MAX} characters");
        }
        let (switch, client) = (Netns::new()?, Arc::new(Netns::new()?));
        let mut lan = Self { switch, client, nodes: Vec::new(), wiring, ipv6: false, pass };
        for &network in lan.networks() {
            netlink::add_bridge(&lan.switch, network.bridge())?;
        }
        lan.plug("client", &lan.client, Network::Eth0, CLIENT_STATION)?;
        for (index, name) in nodes.iter().enumerate() {
            lan.nodes.push(((*name).to_owned(), Arc::new(Netns::new()?)));
            lan.plug_node(index)?;
        }
        Ok(lan)
    }

    /// Gives the nodes IPv6 addresses, too, at once and after [`Lan::renew`].
    pub fn with_ipv6(mut self) -> Result<Self> {
        self.ipv6 = true;
        (0..self.size()).try_for_each(|index| self.turn_ipv6_on(index))?;
        Ok(self)
    }

    /// The IPv6 address of node `index` in `network`.
    pub fn address6(&self, index: usize, network: Network) -> Ipv6Addr {
        network.address6(station(index))
    }

    /// The address that node `index` has by itself on its link to `network` (EUI-64, RFC 4291 appendix A).
    pub fn link_local(&self, index: usize, network: Network) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac(index, network);
        let word = |high: u8, low: u8| u16::from_be_bytes([high, low]);
        Ipv6Addr::new(0xfe80, 0, 0, 0, word(a ^ 2, b), word(c, 0xff), word(0xfe, d), word(e, f))
    }

    /// The name of node `index`.
    pub fn name(&self, index: usize) -> &str {
        &self.nodes[index].0
    }

    /// The namespace of node `index`. After [`Lan::renew`] it is another one.
    pub fn node(&self, index: usize) -> &Arc<Netns> {
        &self.nodes[index].1
    }

    /// The number of nodes.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// The namespace of the client.
    pub fn client(&self) -> &Arc<Netns> {
        &self.client
    }

    /// The namespace of the switch.
    pub fn switch(&self) -> &Netns {
        &self.switch
    }

    /// The fixed address of node `index` in `network`.
    pub fn address(&self, index: usize, network: Network) -> Ipv4Addr {
        network.address(station(index))
    }

    /// The hardware address of node `index` in `network`.
    pub fn mac(&self, index: usize, network: Network) -> Mac {
        network.mac(station(index))
    }

    /// The node whose eth0 has hardware address `mac`.
    pub fn node_of(&self, mac: Mac) -> Option<usize> {
        (0..self.size()).find(|&index| self.mac(index, Network::Eth0) == mac)
    }

    /// Lines for `/etc/hosts`: every node's name and its address on eth0.
    pub fn hosts(&self) -> String {
        let line = |index| format!("{} {}\n", self.address(index, Network::Eth0), self.name(index));
        std::iter::once("127.0.0.1 localhost\n".to_owned()).chain((0..self.size()).map(line)).collect()
    }

    /// Both directions are dropped at all switch ports of the node; its carrier stays up.
    pub fn silence(&self, index: usize) -> Result<()> {
        self.networks().iter().try_for_each(|&network| self.silence_on(index, network))
    }

    /// Like [`Lan::silence`], in one network only.
    pub fn silence_on(&self, index: usize, network: Network) -> Result<()> {
        // *Listening* drops everything and stays: a bridge without spanning tree takes a port out of *disabled*
        // at the next event of its device, and out of *blocking* at once.
        let port = network.port(self.name(index));
        netlink::set_port(&self.switch, &port, |port| port.state(BridgePortState::Listening))
    }

    /// Frames of one direction are dropped at the node's port in `network`; the other direction still works.
    pub fn cut(&self, index: usize, network: Network, direction: Direction) -> Result<()> {
        // Without learning, the bridge knows no station behind this port. A *locked* port (Linux 5.16) then
        // drops all that comes in, and a port without flooding gets nothing out.
        let port = network.port(self.name(index));
        netlink::set_port(&self.switch, &port, |port| {
            let port = port.learning(false);
            match direction {
                Direction::FromNode => port.locked(true),
                Direction::ToNode => port.flood(false).bcast_flood(false).mcast_flood(false),
            }
        })?;
        netlink::set_port(&self.switch, &port, |port| port.fdb_flush())
    }

    /// All ports of the node work again, whatever was done to them.
    pub fn heal(&self, index: usize) -> Result<()> {
        for &network in self.networks() {
            let port = network.port(self.name(index));
            netlink::set_up(&self.switch, &port, true)?;
            netlink::set_port(&self.switch, &port, |port| {
                let port = port.state(BridgePortState::Forwarding).learning(true).locked(false);
                port.flood(true).bcast_flood(true).mcast_flood(true)
            })?;
            self.wait_for_port(&port)?;
        }
        Ok(())
    }

    /// The cable of the node in `network` is pulled at the switch: the node loses carrier. [`Lan::heal`] plugs it
    /// in again.
    pub fn pull(&self, index: usize, network: Network) -> Result<()> {
        netlink::set_up(&self.switch, &network.port(self.name(index)), false)
    }

    /// Whether the node's interface in `network` has carrier.
    pub fn carrier(&self, index: usize, network: Network) -> Result<bool> {
        netlink::carrier(self.node(index), network.interface())
    }

    /// Gives the node a new namespace, as a machine has a new kernel after power was off: no address but the
    /// fixed ones, no program attached, nothing running. The hardware addresses stay; the ports are open.
    pub fn renew(&mut self, index: usize) -> Result<()> {
        self.node(index).kill_all()?;
        for &network in self.networks() {
            netlink::delete(&self.switch, &network.port(self.name(index)))?;
        }
        self.nodes[index].1 = Arc::new(Netns::new()?);
        self.plug_node(index)
    }

    /// Adds `address`/24 to the node's eth0.
    pub fn add_address(&self, index: usize, address: Ipv4Addr) -> Result<()> {
        netlink::add_address(self.node(index), Network::Eth0.interface(), address)
    }

    /// Adds `address`/64 to the node's eth0, or to the client's.
    pub fn add_address6(&self, index: Option<usize>, address: Ipv6Addr) -> Result<()> {
        let netns = index.map_or(&self.client, |index| self.node(index));
        netlink::add_address6(netns, Network::Eth0.interface(), address)
    }

    /// Node `index` talks to the client, as nodes do with their gateway, so that each is in the other's neighbour table.
    /// Nobody listens there; the client's kernel says so.
    pub fn meet_client(&self, index: usize) -> Result<()> {
        self.node(index).run(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("a socket")?;
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            socket.connect((CLIENT, 9))?;
            socket.send(b"hello")?;
            // Refused: the ICMP error is the answer.
            let _ = socket.recv(&mut [0]);
            Ok(())
        })?
    }

    /// Plugs one more station into `network`, with host number `number` (60 and above are free), and returns its
    /// namespace. It lives as long as that.
    pub fn station(&self, name: &str, network: Network, number: u8) -> Result<Arc<Netns>> {
        let netns = Arc::new(Netns::new()?);
        self.plug(name, &netns, network, number)?;
        Ok(netns)
    }

    /// `station`, whose only interface is in `network`, reaches `destination` (and the `prefix` bits around it) by router
    /// `via`; without one, directly.
    pub fn route(
        station: &Netns,
        network: Network,
        (destination, prefix): (Ipv4Addr, u8),
        via: Option<Ipv4Addr>,
    ) -> Result<()> {
        netlink::add_route(station, network.interface(), (destination, prefix), via)
    }

    /// Node `index` forwards packets between its networks, as a router does, until power is off.
    pub fn forwards(&self, index: usize) -> Result<()> {
        // Of the node's network namespace alone.
        const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
        self.node(index).run(|| std::fs::write(FORWARD, "1").context(FORWARD))?
    }

    /// Whether the client answers ICMP echo from now on. It does at first.
    pub fn client_echoes(&self, echoes: bool) -> Result<()> {
        // Of the client's network namespace alone.
        const IGNORE: &str = "/proc/sys/net/ipv4/icmp_echo_ignore_all";
        self.client.run(|| std::fs::write(IGNORE, if echoes { "0" } else { "1" }).context(IGNORE))?
    }

    /// Deletes `address` from the node's eth0.
    pub fn delete_address(&self, index: usize, address: Ipv4Addr) -> Result<()> {
        netlink::delete_address(self.node(index), Network::Eth0.interface(), address)
    }

    /// The IPv4 addresses of the node's interface in `network`, in the kernel's order, with their labels.
    pub fn addresses(&self, index: usize, network: Network) -> Result<Vec<(Ipv4Addr, String)>> {
        netlink::labelled_addresses(self.node(index), network.interface())
    }

    /// Whether the node's eth0 has `address` as a secondary one, beside its fixed address.
    pub fn is_secondary(&self, index: usize, address: Ipv4Addr) -> Result<bool> {
        netlink::is_secondary(self.node(index), Network::Eth0.interface(), address)
    }

    /// Announces from the node's eth0 that `address` is there.
    pub fn announce(&self, index: usize, address: Ipv4Addr) -> Result<()> {
        let interface = netlink::index(self.node(index), Network::Eth0.interface())?;
        let frame = arp::announcement(self.mac(index, Network::Eth0), address);
        self.node(index).run(|| -> Result<()> {
            let socket = sys::arp_socket(interface)?;
            nix::unistd::write(&socket, &frame)?;
            Ok(())
        })?
    }

    /// Attaches the XDP program behind `program` to the switch port `ifname` in native mode, instead of the
    /// harness's own pass program (a program there is what lets the node's end of the veth transmit by `XDP_TX`).
    pub fn attach_pass(&self, ifname: &str, program: BorrowedFd<'_>) -> Result<()> {
        netlink::attach_xdp(&self.switch, ifname, program)
    }

    /// Whether the switch ports carry an XDP program, so that the nodes can use native mode.
    pub fn native_xdp(&self) -> bool {
        self.pass.is_some()
    }

    fn networks(&self) -> &'static [Network] {
        match self.wiring {
            Wiring::One => &[Network::Eth0],
            Wiring::Two => &[Network::Eth0, Network::Eth1],
        }
    }

    fn plug_node(&self, index: usize) -> Result<()> {
        let (name, netns) = &self.nodes[index];
        self.networks().iter().try_for_each(|&network| self.plug(name, netns, network, station(index)))?;
        if self.ipv6 { self.turn_ipv6_on(index) } else { Ok(()) }
    }

    fn turn_ipv6_on(&self, index: usize) -> Result<()> {
        self.networks().iter().try_for_each(|&network| {
            netlink::turn_ipv6_on(self.node(index), network.interface(), self.address6(index, network))
        })
    }

    fn plug(&self, name: &str, netns: &Netns, network: Network, number: u8) -> Result<()> {
        let port = network.port(name);
        let cable = Cable {
            switch: &self.switch,
            bridge: network.bridge(),
            port: &port,
            station: netns,
            interface: network.interface(),
            mac: network.mac(number),
            address: network.address(number),
        };
        cable.lay()?;
        if let Some(pass) = &self.pass {
            self.attach_pass(&port, pass.as_fd())?;
        }
        self.wait_for_port(&port)
    }

    fn wait_for_port(&self, port: &str) -> Result<()> {
        let limit = Duration::from_secs(10);
        let forwards = || netlink::forwards(&self.switch, port).unwrap_or(false);
        wait::eventually(limit, "the switch port forwards", forwards).with_context(|| format!("port {port}"))
    }
}

/// The host number of node `index`. `Lan::new` keeps the index small.
fn station(index: usize) -> u8 {
    FIRST_NODE + u8::try_from(index).unwrap_or(u8::MAX - FIRST_NODE)
}
