//! Linux-HA Heartbeat 3, with the how-to's own files.
//!
//! It calls `reboot` when a resource will not stop, so it runs in a PID namespace of its own, where the system call ends
//! the namespace and nothing else, and there is no program to call: all of that family do nothing on its nodes. Its fixed
//! directories are the node's own; `/etc/ha.d`, which has its scripts, is a copy.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::machine::Machine;
use super::peer::{Daemon, LIMIT, Peer};
use super::{Missing, Node, System, missing, says};
use crate::files::Files;
use crate::lan::{Lan, VIP};
use crate::stage::NODES;

const PROGRAM: &str = "/usr/libexec/heartbeat/heartbeat";
const STANDBY: &str = "/usr/share/heartbeat/hb_standby";
const CONFIGURATION: &str = "/etc/ha.d";
const STATE: &str = "/var/lib/heartbeat";

/// What could end the machine. Where they are links to one program, that is what is replaced.
const DANGEROUS: [&str; 6] =
    ["/bin/systemctl", "/sbin/reboot", "/sbin/shutdown", "/sbin/halt", "/sbin/poweroff", "/sbin/init"];

/// What `systemd-tmpfiles` does at boot, then the daemon as its unit starts it.
const START: &str = r#"
if [ -e /proc/sysrq-trigger ]; then mount --bind /dev/null /proc/sysrq-trigger || exit 1; fi
mkdir -p /run/lock /run/resource-agents
install -d -o hacluster -g haclient -m 750 /run/heartbeat /run/heartbeat/ccm /run/heartbeat/crm /run/heartbeat/dopd
"$0" -f
"#;

/// How the daemon's first process calls itself: the one to stop.
const MASTER: &str = "heartbeat: master control process";

/// Heartbeat with one of two sets of times.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    name: &'static str,
    summary: &'static str,
    files: Files,
    rest: Duration,
}

impl Heartbeat {
    /// How-to 001's times.
    pub fn how_to() -> Self {
        Self {
            name: "heartbeat",
            summary: "how-to 001: keepalive 1 s, deadtime 5 s",
            files: files(),
            rest: Duration::from_secs(5),
        }
    }

    /// Times near its floor: it looks at its timers each 250 ms.
    pub fn fast() -> Self {
        let files = files().directive("keepalive", "10ms").directive("deadtime", "50ms");
        Self {
            name: "heartbeat-fast",
            summary: "how-to 001 with keepalive 10 ms, deadtime 50 ms",
            files: files.directive("warntime", "30ms"),
            rest: Duration::from_secs(5),
        }
    }
}

fn files() -> Files {
    Files::howto_001().haresources(&format!("{} IPaddr::{VIP}/24/eth0\n", NODES[0]))
}

impl System for Heartbeat {
    fn name(&self) -> &str {
        self.name
    }

    fn summary(&self) -> String {
        self.summary.to_owned()
    }

    fn settings(&self) -> String {
        format!("# ha.cf\n{}\n# haresources\n{}", self.files.ha_cf, self.files.haresources)
    }

    fn version(&self) -> Option<String> {
        says(PROGRAM, "-V").map(|version| format!("Heartbeat {version}"))
    }

    fn missing(&self) -> Option<Missing> {
        missing("heartbeat", &[PROGRAM, STANDBY])
    }

    fn rest(&self) -> Duration {
        self.rest
    }

    fn node(&self, lan: &Lan, index: usize) -> Result<Box<dyn Node>> {
        let mut machine = Machine::new(lan, index, &[CONFIGURATION, STATE])?;
        machine.disarm(&DANGEROUS)?;
        machine.copy(CONFIGURATION)?;
        machine.copy(STATE)?;
        machine.write("/etc/ha.d/ha.cf", &self.files.ha_cf)?;
        machine.write("/etc/ha.d/haresources", &self.files.haresources)?;
        let authkeys = machine.write("/etc/ha.d/authkeys", &self.files.authkeys)?;
        std::fs::set_permissions(authkeys, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(Peer::node(machine, Daemons))
    }
}

/// The master process and its children.
#[derive(Debug)]
struct Daemons;

impl Daemon for Daemons {
    fn start(&self, machine: &mut Machine) -> Result<()> {
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c", START, PROGRAM]);
        machine.spawn(command)
    }

    fn stop(&self, machine: &mut Machine) -> Result<()> {
        machine.terminate_titled(MASTER)?;
        machine.ends(LIMIT)
    }

    fn hand_over(&self, machine: &mut Machine) -> Result<()> {
        let mut command = Command::new(STANDBY);
        command.arg("all");
        machine.run(command)?.ok().context("hb_standby all")?;
        Ok(())
    }
}
