//! xbeat itself, behind the same trait as its peers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use super::{Missing, Node, System, says};
use crate::files::Files;
use crate::host::Host;
use crate::lan::{Lan, VIP};
use crate::stage::NODES;

/// Stopping waits for nothing but the built-in resource.
const LIMIT: Duration = Duration::from_secs(20);

/// xbeat with how-to 001's files and times of one's own.
#[derive(Debug, Clone)]
pub struct Xbeat {
    name: String,
    binary: PathBuf,
    times: (String, String),
    files: Files,
    recordings: Option<PathBuf>,
}

impl Xbeat {
    /// The agent `binary` with `keepalive` and `deadtime`, named `name` in tables.
    pub fn new(name: &str, binary: &Path, keepalive: &str, deadtime: &str) -> Self {
        let files = Files::howto_001().haresources(&format!("{} IPaddr::{VIP}/24/eth0\n", NODES[0]));
        let files = files.fast().directive("keepalive", keepalive).directive("deadtime", deadtime);
        // Between the two, it would only be said that it is late.
        let files = files.directive("warntime", deadtime);
        let times = (keepalive.to_owned(), deadtime.to_owned());
        Self { name: name.to_owned(), binary: binary.to_owned(), times, files, recordings: None }
    }

    /// The same, and it keeps `more` addresses, each with prefix and interface (`198.51.100.100/24/eth1`), in the same group.
    #[must_use]
    pub fn also(mut self, more: &[&str]) -> Self {
        let line = self.files.haresources.trim_end().to_owned();
        let line = more.iter().fold(line, |line, address| format!("{line} IPaddr::{address}"));
        self.files = self.files.haresources(&(line + "\n"));
        self
    }

    /// The same with `name value` in `ha.cf`.
    #[must_use]
    pub fn directive(self, name: &str, value: &str) -> Self {
        Self { files: self.files.directive(name, value), ..self }
    }

    /// The same, and each agent writes a recording for `xbeat replay` into `directory`.
    #[must_use]
    pub fn record(self, directory: &Path) -> Self {
        Self { recordings: Some(directory.to_owned()), ..self }
    }
}

impl System for Xbeat {
    fn name(&self) -> &str {
        &self.name
    }

    fn summary(&self) -> String {
        let (keepalive, deadtime) = &self.times;
        format!("how-to 001 with keepalive {keepalive}, deadtime {deadtime}")
    }

    fn settings(&self) -> String {
        format!("# ha.cf\n{}\n# haresources\n{}", self.files.ha_cf, self.files.haresources)
    }

    fn version(&self) -> Option<String> {
        says(self.binary.to_str()?, "--version")
    }

    fn missing(&self) -> Option<Missing> {
        (!self.binary.is_file()).then(|| Missing {
            program: self.binary.display().to_string(),
            install: "cargo build --release --package xbeat".to_owned(),
        })
    }

    fn rest(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn node(&self, lan: &Lan, index: usize) -> Result<Box<dyn Node>> {
        let host = Host::with_binary(lan, index, &self.files, self.binary.clone())?;
        let recording = self.recordings.as_ref().map(|dir| dir.join(format!("{}.jsonl", NODES[index])));
        Ok(Box::new(XbeatNode { host, recording }))
    }
}

#[derive(Debug)]
struct XbeatNode {
    host: Host,
    recording: Option<PathBuf>,
}

impl Node for XbeatNode {
    fn start(&mut self) -> Result<()> {
        let (name, recording) = (self.host.name().to_owned(), self.recording.clone());
        self.host.start_agent_with(|command| {
            command.args(["--node", &name]);
            if let Some(file) = recording {
                command.arg("--record").arg(file);
            }
        })
    }

    fn stop(&mut self) -> Result<()> {
        self.host.stop_agent(LIMIT)
    }

    fn hand_over(&mut self) -> Result<()> {
        self.host.command(&["standby"])?.ok().context("xbeat standby")?;
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        self.host.kill_agent()
    }

    fn freeze(&mut self) -> Result<()> {
        self.host.agent()?.signal(Signal::SIGSTOP)
    }

    fn thaw(&mut self) -> Result<()> {
        self.host.agent()?.signal(Signal::SIGCONT)
    }

    fn power_off(&mut self) -> Result<()> {
        self.host.power_off()
    }

    fn boot(&mut self, lan: &mut Lan) -> Result<()> {
        self.host.boot(lan)
    }

    fn is_settled(&mut self, owner: usize) -> bool {
        let Ok(status) = self.host.status() else { return false };
        let here = self.host.index() == owner;
        NODES.iter().all(|node| status.node_status(node) == "active")
            && status.groups.iter().all(|group| {
                group.owner.as_deref() == Some(NODES[owner]) && group.open == here && group.armed != here
            })
    }

    fn log(&self) -> String {
        self.host.log()
    }
}
