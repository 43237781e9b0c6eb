//! The machine that a peer's daemon runs on: a node of the [`Lan`] with directories of its own.
//!
//! Daemons have fixed paths (`/var/run/heartbeat`, `/etc/ha.d`, `/run/frr`), and two nodes share one file system here. So
//! each node gets a mount namespace, in which such a directory is one of its own; the machine's are never written.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::unistd::sethostname;
use tempfile::TempDir;

use crate::lan::Lan;
use crate::netns::Netns;
use crate::process::{self, Output, Process};
use crate::wait;

/// Far more than any command of an operator takes on a busy machine.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// What a disarmed program is replaced by.
const NOTHING: &str = "/bin/true";

/// Private on every node, whatever runs there: pid files, sockets, locks and logs. Emptied when power goes off.
const VOLATILE: [&str; 2] = ["/run", "/var/log"];

/// One node. Everything that runs on it ends when it is dropped.
#[derive(Debug)]
pub(super) struct Machine {
    // In the order of dropping: what runs inside first.
    processes: Vec<Process>,
    mounts: OwnedFd,
    uts: OwnedFd,
    netns: Arc<Netns>,
    index: usize,
    name: String,
    /// Paths of the machine, and what the node has in their place.
    private: Vec<(PathBuf, PathBuf)>,
    dir: TempDir,
}

impl Machine {
    /// Node `index` of `lan`, on which the directories `private` (they exist) start empty and survive power-off.
    pub(super) fn new(lan: &Lan, index: usize, private: &[&str]) -> Result<Self> {
        let dir =
            tempfile::Builder::new().prefix("xbeat-harness-").tempdir().context("temporary directory")?;
        process::keep_directory(dir.path());
        let name = lan.name(index).to_owned();
        let hosts = dir.path().join("hosts");
        fs::write(&hosts, lan.hosts())?;
        let mut places = vec![(PathBuf::from("/etc/hosts"), hosts)];
        for path in VOLATILE.iter().chain(private) {
            let own = dir.path().join(path.trim_start_matches('/').replace('/', "."));
            fs::create_dir(&own).with_context(|| own.display().to_string())?;
            places.push((path.into(), own));
        }
        let netns = lan.node(index).clone();
        let (mounts, uts) = namespaces(&netns, &name, &places)?;
        Ok(Self { processes: Vec::new(), mounts, uts, netns, index, name, private: places, dir })
    }

    /// Puts a copy of the machine's directory `path` in the place of the node's own.
    pub(super) fn copy(&self, path: &str) -> Result<()> {
        let mut command = Command::new("/bin/cp");
        command.arg("--archive").arg(format!("{path}/.")).arg(self.place(path)?);
        let done = process::run(command, Vec::new(), COMMAND_LIMIT)?.ok();
        done.with_context(|| format!("copying {path} for {}", self.name)).map(drop)
    }

    /// From now on `programs` do nothing on this node, and say that it was done. Those that do not exist are left out.
    pub(super) fn disarm(&mut self, programs: &[&str]) -> Result<()> {
        let there = programs.iter().filter(|program| Path::new(program).exists());
        self.private.extend(there.map(|program| (program.into(), NOTHING.into())));
        (self.mounts, self.uts) = namespaces(&self.netns, &self.name, &self.private)?;
        Ok(())
    }

    /// Writes `text` to `path` as the node sees it, which must be in a directory of its own.
    pub(super) fn write(&self, path: &str, text: &str) -> Result<PathBuf> {
        let file = self.place(path)?;
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&file, text).with_context(|| file.display().to_string())?;
        Ok(file)
    }

    /// Writes an executable script, at the path that is returned on the node and outside.
    pub(super) fn script(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.dir.path().join(name);
        fs::write(&file, text).with_context(|| file.display().to_string())?;
        fs::set_permissions(&file, Permissions::from_mode(0o755))?;
        Ok(file)
    }

    /// Where `path` of the node really is.
    pub(super) fn place(&self, path: &str) -> Result<PathBuf> {
        let path = Path::new(path);
        let found = self.private.iter().find_map(|(seen, own)| Some(own.join(path.strip_prefix(seen).ok()?)));
        found.with_context(|| format!("{} is no directory of {}'s own", path.display(), self.name))
    }

    /// Starts `command` as a daemon in the foreground. What it writes is part of [`Machine::log`].
    pub(super) fn spawn(&mut self, mut command: Command) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_file())?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir("/");
        let what = format!("starting {command:?} on {}", self.name);
        let process = Process::spawn(command, self.namespaces()?).with_context(|| what)?;
        self.processes.push(process);
        Ok(())
    }

    /// Runs `command` to its end.
    pub(super) fn run(&self, command: Command) -> Result<Output> {
        process::run(command, self.namespaces()?, COMMAND_LIMIT)
    }

    /// Ends the daemons by SIGTERM, the newest first and each when the one after it is gone, and waits until nothing runs
    /// on the node any more.
    pub(super) fn terminate(&mut self, limit: Duration) -> Result<()> {
        let name = &self.name;
        for daemon in self.processes.iter_mut().rev() {
            daemon.signal(Signal::SIGTERM)?;
            let what = format!("process {} on {name} ends after SIGTERM", daemon.id());
            wait::eventually(limit, &what, || daemon.exit_status().is_some())?;
        }
        self.ends(limit)
    }

    /// SIGTERM to the processes on the node that call themselves `title`. An error if there are none.
    pub(super) fn terminate_titled(&mut self, title: &str) -> Result<()> {
        let titled = |pid: &i32| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(title.as_bytes()))
        };
        let found: Vec<i32> = self.netns.processes().into_iter().filter(titled).collect();
        if found.is_empty() {
            bail!("nothing on {} is called {title}", self.name);
        }
        self.netns.signal(&found, Signal::SIGTERM);
        Ok(())
    }

    /// Waits until every daemon has ended.
    pub(super) fn ends(&mut self, limit: Duration) -> Result<()> {
        let (processes, netns) = (&mut self.processes, &self.netns);
        let what = format!("everything on {} ends", self.name);
        wait::eventually(limit, &what, || {
            processes.iter_mut().all(|process| process.exit_status().is_some())
                && netns.processes().is_empty()
        })?;
        self.processes.clear();
        Ok(())
    }

    /// Whether what was started last still runs.
    pub(super) fn is_running(&mut self) -> bool {
        self.processes.last_mut().is_some_and(|process| process.exit_status().is_none())
    }

    /// SIGKILL to everything that runs on the node, and waits until it is gone. Addresses and interfaces stay.
    pub(super) fn kill_all(&mut self) -> Result<()> {
        self.netns.kill_all()?;
        self.processes.clear();
        Ok(())
    }

    /// `signal` to everything that runs on the node.
    pub(super) fn signal_all(&self, signal: Signal) {
        self.netns.signal_all(signal);
    }

    /// Power is back: a new kernel's worth of network, what is volatile is empty, nothing runs.
    pub(super) fn boot(&mut self, lan: &mut Lan) -> Result<()> {
        self.kill_all()?;
        lan.renew(self.index)?;
        for path in VOLATILE {
            let own = self.place(path)?;
            fs::remove_dir_all(&own)?;
            fs::create_dir(&own)?;
        }
        self.netns = lan.node(self.index).clone();
        (self.mounts, self.uts) = namespaces(&self.netns, &self.name, &self.private)?;
        Ok(())
    }

    /// All that daemons on this node have written, to their output and to files in `/var/log`.
    pub(super) fn log(&self) -> String {
        let files = self.place("/var/log").ok().and_then(|dir| fs::read_dir(dir).ok());
        let files = files.into_iter().flatten().flatten().map(|entry| entry.path());
        std::iter::once(self.log_file())
            .chain(files)
            .filter_map(|file| fs::read(file).ok())
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .collect()
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("output.log")
    }

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
        // Also what the daemons have started, while the namespace is still ours to search.
        let _ = self.netns.kill_all();
    }
}

/// A mount namespace with `private` in place and a host name, for daemons in `netns`.
fn namespaces(netns: &Netns, name: &str, private: &[(PathBuf, PathBuf)]) -> Result<(OwnedFd, OwnedFd)> {
    netns.run(|| {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)
            .context("unshare mounts and host name")?;
        sethostname(name).context("sethostname")?;
        let nothing = None::<&Path>;
        // Nothing done here may reach the machine.
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)
            .context("private mounts")?;
        for (seen, own) in private {
            mount(Some(own), seen, nothing, MsFlags::MS_BIND, nothing)
                .with_context(|| format!("bind {}", seen.display()))?;
        }
        // A sysfs mounted from here shows this network namespace.
        mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), nothing).context("sysfs")?;
        let own = |kind: &str| File::open(format!("/proc/thread-self/ns/{kind}")).context("own namespace");
        Ok((own("mnt")?.into(), own("uts")?.into()))
    })?
}
