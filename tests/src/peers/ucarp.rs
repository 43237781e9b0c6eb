//! ucarp: OpenBSD's CARP as a program. One daemon per address; scripts add and delete the address.
//!
//! It has no command to hand over: users stop it.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::machine::Machine;
use super::peer::{Daemon, Peer};
use super::{Missing, Node, System, missing, says};
use crate::lan::{Lan, Network, VIP};

const PROGRAM: &str = "/usr/sbin/ucarp";

/// ucarp with the fastest times at which it stays put: the preferred node advertises ten times a second, the other waits
/// for a second and a fifth.
#[derive(Debug, Clone, Copy)]
pub struct Ucarp;

/// By node.
const TIMES: [&[&str]; 2] =
    [&["--advbase=0", "--advskew=25", "--preempt"], &["--advbase=1", "--deadratio=1", "--advskew=50"]];

impl System for Ucarp {
    fn name(&self) -> &str {
        "ucarp"
    }

    fn summary(&self) -> String {
        "the fastest times at which it stays put".to_owned()
    }

    fn settings(&self) -> String {
        let line = |times: &[&str]| {
            format!("ucarp --interface=eth0 … --addr={VIP} --shutdown {}\n", times.join(" "))
        };
        format!("{}{}# up.sh\n{}", line(TIMES[0]), line(TIMES[1]), script("add"))
    }

    fn version(&self) -> Option<String> {
        says(PROGRAM, "--help")
    }

    fn missing(&self) -> Option<Missing> {
        missing("ucarp iproute2", &[PROGRAM, "/sbin/ip"])
    }

    fn rest(&self) -> Duration {
        Duration::from_secs(3)
    }

    fn node(&self, lan: &Lan, index: usize) -> Result<Box<dyn Node>> {
        let machine = Machine::new(lan, index, &[])?;
        let source = lan.address(index, Network::Eth0);
        let script = |name: &str, verb: &str| machine.script(name, &script(verb));
        let (up, down) = (script("up.sh", "add")?, script("down.sh", "del")?);
        let mut arguments = vec![
            "--interface=eth0".to_owned(),
            format!("--srcip={source}"),
            "--vhid=1".to_owned(),
            "--pass=SuperSecretKey".to_owned(),
            format!("--addr={VIP}"),
            format!("--upscript={}", up.display()),
            format!("--downscript={}", down.display()),
            "--shutdown".to_owned(),
        ];
        arguments.extend(TIMES[index].iter().map(|&time| time.to_owned()));
        Ok(Peer::node(machine, Carp { arguments }))
    }
}

fn script(verb: &str) -> String {
    format!("#!/bin/sh\nexec /sbin/ip address {verb} {VIP}/24 dev \"$1\"\n")
}

/// In the foreground.
#[derive(Debug)]
struct Carp {
    arguments: Vec<String>,
}

impl Daemon for Carp {
    fn start(&self, machine: &mut Machine) -> Result<()> {
        let mut command = Command::new(PROGRAM);
        command.args(&self.arguments);
        machine.spawn(command)
    }
}
