//! keepalived: VRRP (RFC 5798, RFC 3768) as most people run it.
//!
//! It runs in the foreground, with VRRP alone; its pid files are in the node's own `/run`. It has no command that hands an
//! address over: users stop it, and a stopped master says so (priority 0).

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::machine::Machine;
use super::peer::{Daemon, Peer};
use super::{Missing, Node, System, missing, says};
use crate::lan::{Lan, VIP};
use crate::stage::NODES;

const PROGRAM: &str = "/usr/sbin/keepalived";
const CONFIGURATION: &str = "/etc/keepalived/keepalived.conf";

/// keepalived with one of two configurations.
#[derive(Debug, Clone)]
pub struct Keepalived {
    name: &'static str,
    summary: &'static str,
    globals: &'static str,
    interval: &'static str,
    priorities: [u8; 2],
    /// Addresses beside the usual one, with prefix and interface, as in its configuration.
    more: &'static [&'static str],
    rest: Duration,
}

impl Keepalived {
    /// VRRPv3 with adverts each 10 ms, its floor, real-time, locked in memory, priorities that keep the skew time short:
    /// the shortest failover at which it stays put.
    pub const fn tuned() -> Self {
        Self {
            name: "keepalived",
            summary: "VRRPv3, adverts each 10 ms, real-time, locked in memory, priorities 254 and 253",
            globals: "    vrrp_version 3\n    vrrp_rt_priority 50\n    vrrp_no_swap\n",
            interval: "0.01",
            priorities: [254, 253],
            more: &[],
            rest: Duration::from_secs(1),
        }
    }

    /// VRRPv2 with adverts each second, as in the how-tos.
    pub const fn one_second() -> Self {
        Self {
            name: "keepalived-1s",
            summary: "VRRPv2, adverts each second, priorities 150 and 100, as in the how-tos",
            globals: "    vrrp_version 2\n",
            interval: "1",
            priorities: [150, 100],
            more: &[],
            rest: Duration::from_secs(4),
        }
    }

    /// The same, and it keeps `more` addresses, each with prefix and interface (`198.51.100.100/24 dev eth1`), in the same
    /// instance.
    #[must_use]
    pub const fn also(self, more: &'static [&'static str]) -> Self {
        Self { more, ..self }
    }

    fn file(&self, node: usize) -> String {
        let more: String = self.more.iter().map(|address| format!("        {address}\n")).collect();
        let Self { globals, interval, priorities, .. } = self;
        let (name, priority) = (NODES[node], priorities[node]);
        let state = if node == 0 { "MASTER" } else { "BACKUP" };
        format!(
            "global_defs {{
    router_id {name}
{globals}}}
vrrp_instance vip {{
    state {state}
    interface eth0
    virtual_router_id 51
    priority {priority}
    advert_int {interval}
    virtual_ipaddress {{
        {VIP}/24 dev eth0
{more}    }}
}}
"
        )
    }
}

impl System for Keepalived {
    fn name(&self) -> &str {
        self.name
    }

    fn summary(&self) -> String {
        self.summary.to_owned()
    }

    fn settings(&self) -> String {
        let [_, other] = self.priorities;
        format!("# keepalived.conf of {}; the other: BACKUP, priority {other}\n{}", NODES[0], self.file(0))
    }

    fn version(&self) -> Option<String> {
        says(PROGRAM, "--version")
    }

    fn missing(&self) -> Option<Missing> {
        missing("keepalived", &[PROGRAM])
    }

    fn rest(&self) -> Duration {
        self.rest
    }

    fn node(&self, lan: &Lan, index: usize) -> Result<Box<dyn Node>> {
        let machine = Machine::new(lan, index, &["/etc/keepalived"])?;
        machine.write(CONFIGURATION, &self.file(index))?;
        Ok(Peer::node(machine, Vrrp))
    }
}

/// VRRP alone, in the foreground. Its end is what hands over.
#[derive(Debug)]
struct Vrrp;

impl Daemon for Vrrp {
    fn start(&self, machine: &mut Machine) -> Result<()> {
        let mut command = Command::new(PROGRAM);
        command.args(["--dont-fork", "--log-console", "--log-detail", "--no-syslog", "--vrrp"]);
        command.args(["--use-file", CONFIGURATION]);
        machine.spawn(command)
    }
}
