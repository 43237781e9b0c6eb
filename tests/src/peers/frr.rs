//! FRRouting's vrrpd, with zebra, which it needs.
//!
//! It keeps the address on a macvlan device with the virtual hardware address of RFC 5798, which its user makes; the device
//! of the node that does not own the address is held down. Both nodes answer ARP with that one hardware address.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::machine::Machine;
use super::peer::{Daemon, Peer};
use super::{Missing, Node, System, missing, says};
use crate::lan::{Lan, VIP};
use crate::wait;

const ZEBRA: &str = "/usr/lib/frr/zebra";
const VRRPD: &str = "/usr/lib/frr/vrrpd";
const CONFIGURATION: &str = "/etc/frr";

/// How long zebra may take to open the socket that vrrpd wants.
const LIMIT: Duration = Duration::from_secs(30);

/// The device of virtual router 5, made as FRRouting's manual says. `arp_ignore` keeps eth0 from answering for the address
/// of the device that is on it.
const FURNISH: &str = r#"
set -e
mkdir -p /run/frr
chown frr:frr /run/frr /etc/frr /etc/frr/*
echo 1 > /proc/sys/net/ipv4/conf/eth0/arp_ignore
ip link show vrrp4-1 > /dev/null 2>&1 && exit
ip link add vrrp4-1 link eth0 type macvlan mode bridge
ip link set dev vrrp4-1 address 00:00:5e:00:01:05
ip addr add "$0"/24 dev vrrp4-1
ip link set dev vrrp4-1 up
"#;

/// vrrpd with adverts each 10 ms, its floor.
#[derive(Debug, Clone, Copy)]
pub struct Frr;

const PRIORITIES: [u8; 2] = [200, 100];

fn file(node: usize) -> String {
    let priority = PRIORITIES[node];
    format!(
        "interface eth0
 vrrp 5 version 3
 vrrp 5 priority {priority}
 vrrp 5 advertisement-interval 10
 vrrp 5 ip {VIP}
"
    )
}

impl System for Frr {
    fn name(&self) -> &str {
        "frr"
    }

    fn summary(&self) -> String {
        "vrrpd, VRRPv3, adverts each 10 ms, priorities 200 and 100".to_owned()
    }

    fn settings(&self) -> String {
        format!("# vrrpd.conf; the other: priority {}\n{}\n# on each node{FURNISH}", PRIORITIES[1], file(0))
    }

    fn version(&self) -> Option<String> {
        says(VRRPD, "--version")
    }

    fn missing(&self) -> Option<Missing> {
        missing("frr iproute2", &[ZEBRA, VRRPD, "/sbin/ip"])
    }

    fn rest(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn shares_mac(&self) -> bool {
        true
    }

    fn node(&self, lan: &Lan, index: usize) -> Result<Box<dyn Node>> {
        let machine = Machine::new(lan, index, &[CONFIGURATION])?;
        machine.write("/etc/frr/vrrpd.conf", &file(index))?;
        machine.write("/etc/frr/zebra.conf", "")?;
        Ok(Peer::node(machine, Daemons))
    }
}

/// zebra and vrrpd, in the foreground.
#[derive(Debug)]
struct Daemons;

impl Daemon for Daemons {
    fn start(&self, machine: &mut Machine) -> Result<()> {
        let mut furnish = Command::new("/bin/sh");
        furnish.args(["-c", FURNISH, &VIP.to_string()]);
        machine.run(furnish)?.ok().context("making the device of the virtual router")?;
        for program in [ZEBRA, VRRPD] {
            let mut command = Command::new(program);
            command.args(["-A", "127.0.0.1", "--log", "stdout"]);
            machine.spawn(command)?;
            // vrrpd would try again after seconds only.
            let socket = machine.place("/run/frr/zserv.api")?;
            wait::eventually(LIMIT, "zebra listens", || socket.exists())?;
        }
        Ok(())
    }
}
