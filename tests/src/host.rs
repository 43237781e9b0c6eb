//! A node of the [`Lan`] as a machine: files, a mount namespace, a host name, an agent and a service.
//!
//! What an agent finds is what it would find on a machine of its own: `/etc/hosts` with all nodes, a private
//! `/var/log`, `/sys` of its own network namespace with an empty bpffs, and its own configuration, run and state
//! directories.
//!
//! The agent is the binary in `XBEAT_BIN`, or else `xbeat` in the target directory of the running executable
//! (`target/debug/xbeat` for `target/debug/deps/suite-...`), built by `cargo build -p xbeat`.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::Signal;
use nix::unistd::sethostname;
use tempfile::TempDir;

use crate::files::Files;
use crate::lan::Lan;
use crate::netns::Netns;
use crate::process::{self, Output, Process};
use crate::responder::Responder;
use crate::status::Status;
use crate::sys;

/// How long a command of the operator may take: `xbeat standby` waits for scripts, and the old `heartbeat` for a whole start.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);

/// One node. Everything it runs ends when it is dropped.
#[derive(Debug)]
pub struct Host {
    index: usize,
    name: String,
    binary: PathBuf,
    dir: TempDir,
    /// `None` while power is off.
    machine: Option<Machine>,
}

/// What is lost when power goes off.
#[derive(Debug)]
struct Machine {
    // In the order of dropping: what runs inside first.
    agent: Option<Process>,
    responder: Option<Responder>,
    mounts: OwnedFd,
    uts: OwnedFd,
    netns: Arc<Netns>,
}

impl Host {
    /// Node `index` of `lan`, configured by `files`: powered on, nothing running.
    pub fn new(lan: &Lan, index: usize, files: &Files) -> Result<Self> {
        Self::with_binary(lan, index, files, binary()?)
    }

    /// Like [`Host::new`], with the agent's binary given.
    pub fn with_binary(lan: &Lan, index: usize, files: &Files, binary: PathBuf) -> Result<Self> {
        let dir =
            tempfile::Builder::new().prefix("xbeat-harness-").tempdir().context("temporary directory")?;
        process::keep_directory(dir.path());
        let name = lan.name(index).to_owned();
        let mut host = Self { index, name, binary, dir, machine: None };
        for directory in [host.config_dir(), host.run_dir(), host.state_dir(), host.log_dir()] {
            fs::create_dir(&directory).with_context(|| directory.display().to_string())?;
        }
        fs::write(host.hosts_file(), lan.hosts())?;
        host.configure(files)?;
        host.machine = Some(host.machine_in(lan.node(index).clone())?);
        Ok(host)
    }

    /// Replaces the configuration files. A running agent keeps the old ones.
    pub fn configure(&self, files: &Files) -> Result<()> {
        let dir = self.config_dir();
        fs::write(dir.join("ha.cf"), &files.ha_cf)?;
        fs::write(dir.join("haresources"), &files.haresources)?;
        fs::write(dir.join("authkeys"), &files.authkeys)?;
        fs::set_permissions(dir.join("authkeys"), Permissions::from_mode(files.authkeys_mode))?;
        fs::create_dir_all(dir.join("resource.d"))?;
        files
            .scripts
            .iter()
            .try_for_each(|(name, text)| self.write_program(&dir.join("resource.d").join(name), text))
    }

    fn write_program(&self, path: &Path, text: &str) -> Result<()> {
        let text = text.replace("@RUN@", &self.run_dir().display().to_string());
        let text = text.replace("@STATE@", &self.state_dir().display().to_string());
        fs::write(path, text)?;
        fs::set_permissions(path, Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node's index in the [`Lan`].
    pub fn index(&self) -> usize {
        self.index
    }

    /// `--config-dir`.
    pub fn config_dir(&self) -> PathBuf {
        self.dir.path().join("ha.d")
    }

    /// `--run-dir`. Empty after power was off.
    pub fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// `--state-dir`. Survives power-off.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// What the node sees as `/var/log`.
    pub fn log_dir(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Starts the agent. What it writes to its standard output and error is [`Host::log`].
    pub fn start_agent(&mut self) -> Result<()> {
        let name = self.name.clone();
        self.start_agent_with(|command| {
            command.args(["--node", &name]);
        })
    }

    /// Like [`Host::start_agent`], with the command changed by `change`; `--node` is not given.
    pub fn start_agent_with(&mut self, change: impl FnOnce(&mut Command)) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_file())?;
        let mut command = Command::new(&self.binary);
        command.arg("run").arg("--config-dir").arg(self.config_dir()).arg("--run-dir").arg(self.run_dir());
        command.arg("--state-dir").arg(self.state_dir());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        change(&mut command);
        let namespaces = self.machine()?.namespaces()?;
        let agent = Process::spawn(command, namespaces)
            .with_context(|| format!("starting {} on {}", self.binary.display(), self.name))?;
        self.machine_mut()?.agent = Some(agent);
        Ok(())
    }

    /// Like [`Host::start_agent`], for an agent that may not load BPF programs: without CAP_SYS_ADMIN, CAP_PERFMON and
    /// CAP_BPF (capability.h), which the kernel would ask for.
    pub fn start_agent_without_bpf(&mut self) -> Result<()> {
        let name = self.name.clone();
        self.start_agent_with(|command| {
            command.args(["--node", &name]);
            sys::without_capabilities(command, &[21, 38, 39]);
        })
    }

    /// The agent's process, if one was started since power-on. It may have ended.
    pub fn agent(&mut self) -> Result<&mut Process> {
        let name = self.name.clone();
        self.machine_mut()?.agent.as_mut().ok_or_else(|| anyhow!("no agent was started on {name}"))
    }

    /// Ends the agent as an administrator would (SIGTERM) and waits until it is gone.
    pub fn stop_agent(&mut self, limit: Duration) -> Result<()> {
        let agent = self.agent()?;
        agent.signal(Signal::SIGTERM)?;
        crate::wait::eventually(limit, "the agent ends after SIGTERM", || agent.exit_status().is_some())?;
        self.machine_mut()?.agent = None;
        Ok(())
    }

    /// Kills the agent, and only the agent (`kill -9`).
    pub fn kill_agent(&mut self) -> Result<()> {
        self.agent()?.kill();
        self.machine_mut()?.agent = None;
        Ok(())
    }

    /// Gives the machine the host name `name` (what `uname -n` says), as long as it has power.
    pub fn set_host_name(&self, name: &str) -> Result<()> {
        let uts = &self.machine()?.uts;
        thread::scope(|scope| {
            let renaming = scope.spawn(|| -> Result<()> {
                setns(uts, CloneFlags::CLONE_NEWUTS).context("setns to the node's host name")?;
                sethostname(name).context("sethostname")
            });
            renaming.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Until power is off the node finds the agent's binary at `path` too, which is below `/usr/lib` or `/usr/sbin`, as a
    /// package would have linked it there; or `script` instead, with `@STATE@` and `@RUN@` as in [`Files::scripts`].
    /// Nobody else sees it: that directory becomes an overlay, in the node's own mount namespace.
    pub fn install(&self, path: &Path, script: Option<&str>) -> Result<()> {
        let root: PathBuf = path.components().take(3).collect();
        let layer = self.dir.path().join(root.to_string_lossy().trim_matches('/').replace('/', "-"));
        let file = layer.join(path.strip_prefix(&root)?);
        fs::create_dir_all(file.parent().context("a directory")?)?;
        if let Some(text) = script {
            self.write_program(&file, text)?;
        } else if !file.exists() {
            symlink(&self.binary, &file)?;
        }
        let mounts = &self.machine()?.mounts;
        let options = format!("lowerdir={}:{}", layer.display(), root.display());
        thread::scope(|scope| {
            let mounting = scope.spawn(|| -> Result<()> {
                // What shares its working directory with others cannot enter a mount namespace.
                unshare(CloneFlags::CLONE_FS).context("unshare")?;
                setns(mounts, CloneFlags::CLONE_NEWNS).context("setns to the node's mounts")?;
                let kind = Some("overlay");
                mount(kind, &root, kind, MsFlags::empty(), Some(options.as_str())).context("an overlay")
            });
            mounting.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Whether it has power and an agent was started since, which may have ended.
    pub fn has_agent(&self) -> bool {
        self.machine.as_ref().is_some_and(|machine| machine.agent.is_some())
    }

    /// Starts the service that answers the client.
    pub fn start_responder(&mut self) -> Result<()> {
        let responder = Responder::start(&self.machine()?.netns, &self.name)?;
        self.machine_mut()?.responder = Some(responder);
        Ok(())
    }

    /// Everything that runs on the node is killed, and its mounts (with all that was pinned there) are gone. Its
    /// interfaces stay as they are until [`Host::boot`]; [`Lan::silence`] it first, as a dead machine is silent.
    pub fn power_off(&mut self) -> Result<()> {
        if let Some(machine) = self.machine.take() {
            machine.netns.kill_all()?;
        }
        Ok(())
    }

    /// Power is back: a new kernel's worth of network, an empty run directory, nothing running.
    pub fn boot(&mut self, lan: &mut Lan) -> Result<()> {
        self.power_off()?;
        lan.renew(self.index)?;
        fs::remove_dir_all(self.run_dir())?;
        fs::create_dir(self.run_dir())?;
        self.machine = Some(self.machine_in(lan.node(self.index).clone())?);
        Ok(())
    }

    /// Runs `xbeat` with `arguments` and `--run-dir` on the node.
    pub fn command(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.binary);
        command.args(arguments).arg("--run-dir").arg(self.run_dir());
        self.run(command, COMMAND_LIMIT)
    }

    /// Runs any `command` on the node to its end.
    pub fn run(&self, command: Command, limit: Duration) -> Result<Output> {
        process::run(command, self.machine()?.namespaces()?, limit)
    }

    /// What `xbeat status --json` says on the node.
    pub fn status(&self) -> Result<Status> {
        // Exit 1 says that something is wrong, a dead peer for one; the status says what.
        let output = self.command(&["status", "--json"])?;
        serde_json::from_str(&output.stdout)
            .with_context(|| format!("status of {}: {}{}", self.name, output.stdout, output.stderr))
    }

    /// All that agents on this node have written so far.
    pub fn log(&self) -> String {
        fs::read(self.log_file()).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// Whether agents on this node have declared a node dead that they had heard.
    pub fn found_dead(&self) -> bool {
        let is_found = |line: &str| line.contains(": is dead") && !line.contains("not heard within initdead");
        self.log().lines().any(is_found)
    }

    /// Runs the command `line`, a name of old and its words, as the package has it: by a link to the agent.
    pub fn old(&self, line: &str) -> Result<Output> {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        let link = self.state_dir().join(name);
        if !link.exists() {
            symlink(binary()?, &link)?;
        }
        let mut command = Command::new(link);
        command.args(words).env("XBEAT_RUN_DIR", self.run_dir());
        command.env("XBEAT_CONFIG_DIR", self.config_dir()).env("XBEAT_STATE_DIR", self.state_dir());
        self.run(command, COMMAND_LIMIT)
    }

    /// The calls that [`crate::files::RECORDING_SCRIPT`] noted, in order.
    pub fn script_calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.state_dir().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("agent.log")
    }

    /// What the node sees as `/etc/hosts`.
    pub fn hosts_file(&self) -> PathBuf {
        self.dir.path().join("hosts")
    }

    fn machine(&self) -> Result<&Machine> {
        self.machine.as_ref().ok_or_else(|| anyhow!("{} has no power", self.name))
    }

    fn machine_mut(&mut self) -> Result<&mut Machine> {
        let name = &self.name;
        self.machine.as_mut().ok_or_else(|| anyhow!("{name} has no power"))
    }

    fn machine_in(&self, netns: Arc<Netns>) -> Result<Machine> {
        let (mounts, uts) = netns.run(|| self.make_mounts()).and_then(|made| made)?;
        Ok(Machine { agent: None, responder: None, mounts, uts, netns })
    }

    /// On a thread of its own: gives it a mount and a UTS namespace, furnishes them and returns them.
    fn make_mounts(&self) -> Result<(OwnedFd, OwnedFd)> {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)
            .context("unshare mounts and host name")?;
        sethostname(&self.name).context("sethostname")?;
        let nothing = None::<&Path>;
        // Nothing done here may reach the machine.
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)
            .context("private mounts")?;
        bind(&self.hosts_file(), "/etc/hosts")?;
        bind(&self.log_dir(), "/var/log")?;
        // A sysfs mounted from here shows this network namespace; what was below the old one (the machine's
        // bpffs among it) is out of sight.
        mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), nothing).context("sysfs")?;
        // Absent on kernels without BPF; then the agent must do without as well.
        if Path::new("/sys/fs/bpf").exists() {
            mount(Some("bpf"), "/sys/fs/bpf", Some("bpf"), MsFlags::empty(), nothing).context("bpffs")?;
        }
        let own = |kind: &str| File::open(format!("/proc/thread-self/ns/{kind}")).context("own namespace");
        Ok((own("mnt")?.into(), own("uts")?.into()))
    }
}

impl Machine {
    fn namespaces(&self) -> Result<process::Namespaces> {
        Ok(vec![
            (self.mounts.try_clone()?, CloneFlags::CLONE_NEWNS),
            (self.uts.try_clone()?, CloneFlags::CLONE_NEWUTS),
            self.netns.for_child()?,
        ])
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Also what the agent has started, while the namespace is still ours to search.
        let _ = self.netns.kill_all();
    }
}

fn bind(source: &Path, target: &str) -> Result<()> {
    let nothing = None::<&Path>;
    mount(Some(source), target, nothing, MsFlags::MS_BIND, nothing).with_context(|| format!("bind {target}"))
}

/// The agent under test; see the module's documentation.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("XBEAT_BIN") {
        let path = PathBuf::from(path);
        if !path.is_file() {
            bail!("XBEAT_BIN is {}, which is no file", path.display());
        }
        return Ok(path);
    }
    let executable = std::env::current_exe().context("the running executable")?;
    let beside = executable.ancestors().skip(1).take(2).map(|dir| dir.join("xbeat"));
    let found = beside.into_iter().find(|path| path.is_file());
    found.ok_or_else(|| {
        anyhow!("no xbeat near {}: run `cargo build -p xbeat`, or set XBEAT_BIN", executable.display())
    })
}
