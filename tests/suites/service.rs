//! The agent as a service: what systemd and a watchdog device hear of it, restarts, upgrades, the init script.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod ownership_support;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tests::files::Files;
use tests::host::{Host, binary};
use tests::process::Output;
use tests::stage::{Stage, play};
use tests::wait::eventually;

use ownership_support::{OTHER, OWNER, Peace, pinned, undisturbed};

/// 1 kHz.
const PERIOD: Duration = Duration::from_millis(1);

/// For what starts an agent and waits for it, on a machine that has no time.
const PATIENCE: Duration = Duration::from_secs(180);

/// The package's init script.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/xbeat.init");

/// A file in the node's own `/var/log`: it takes feeds as a device does.
const WATCHDOG: &str = "watchdog";

/// How-to 001, where no takeover can come from silence.
fn files() -> Files {
    let files = Files::howto_001().directive("keepalive", "10ms").directive("deadtime", "60s");
    let files = files.directive("initdead", "60s").directive("auto_failback", "off");
    files.line(&format!("watchdog /var/log/{WATCHDOG}"))
}

/// What systemd hears.
struct Systemd {
    heard: Arc<Mutex<String>>,
    ended: Arc<AtomicBool>,
}

impl Systemd {
    fn listen(socket: UnixDatagram) -> Result<Self> {
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let systemd = Self { heard: Arc::default(), ended: Arc::default() };
        let (heard, ended) = (Arc::clone(&systemd.heard), Arc::clone(&systemd.ended));
        thread::spawn(move || {
            let mut message = [0; 512];
            while !ended.load(Ordering::Relaxed) {
                if let Ok(length) = socket.recv(&mut message) {
                    heard.lock().unwrap().push_str(&String::from_utf8_lossy(&message[..length]));
                }
            }
        });
        Ok(systemd)
    }

    /// Waits until `line` was heard so often.
    fn hears(&self, line: &str, times: usize) -> Result<()> {
        let what = format!("systemd hears {line} {times} times");
        let count = || self.heard.lock().unwrap().lines().filter(|heard| *heard == line).count();
        eventually(PATIENCE, &what, || count() >= times)
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// Starts the agent of `node` as systemd does; what it says comes by the socket.
fn start_under_systemd(stage: &mut Stage, node: usize) -> Result<UnixDatagram> {
    let host = &mut stage.hosts[node];
    fs::write(host.log_dir().join(WATCHDOG), "")?;
    let socket = host.state_dir().join("notify");
    let _ = fs::remove_file(&socket);
    let systemd = UnixDatagram::bind(&socket)?;
    let name = host.name().to_owned();
    host.start_agent_with(|command| {
        command.args(["--node", &name]).env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "200000");
    })?;
    Ok(systemd)
}

/// The init script with a verb, for that node.
fn init(host: &Host, verb: &str) -> Result<Command> {
    let mut command = Command::new(SCRIPT);
    command.arg(verb).env("XBEAT", binary()?).env("XBEAT_RUN_DIR", host.run_dir());
    command.env("XBEAT_CONFIG_DIR", host.config_dir()).env("XBEAT_STATE_DIR", host.state_dir());
    Ok(command)
}

/// `xbeat upgrade` with more `words`.
fn upgrade(stage: &Stage, node: usize, words: &[&str]) -> Result<Output> {
    let host = &stage.hosts[node];
    let mut command = Command::new(binary()?);
    command.args(["upgrade", "--timeout", "150", "--node", host.name()]);
    command.arg("--config-dir").arg(host.config_dir()).arg("--run-dir").arg(host.run_dir());
    command.args(words);
    for (name, value) in init(host, "")?.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    host.run(command, PATIENCE)
}

/// Waits until both agents have started, which takes a while where the kernel has no time to verify programs, and agree.
fn settles_on(stage: &Stage, owner: usize) -> Result<()> {
    for node in [OWNER, OTHER] {
        eventually(PATIENCE, "the agent answers", || stage.status(node).is_ok())?;
    }
    stage.settles_on(owner)
}

/// The process that serves the run directory.
fn agent(stage: &Stage, node: usize) -> Result<u32> {
    let lock = fs::read_to_string(stage.hosts[node].run_dir().join("lock"))?;
    lock.trim().parse().context("the lock names no process")
}

#[test]
fn restarts_by_signal_and_upgrades_in_service_lose_nothing() {
    let played = play(&files(), PERIOD, |stage| {
        for node in [OWNER, OTHER] {
            stage.hosts[node].start_responder()?;
        }
        stage.hosts[OTHER].start_agent()?;
        let systemd = Systemd::listen(start_under_systemd(stage, OWNER)?)?;
        systemd.hears("READY=1", 1)?;
        settles_on(stage, OWNER)?;
        systemd.hears("WATCHDOG=1", 3)?;
        let device = stage.hosts[OWNER].log_dir().join(WATCHDOG);
        eventually(PATIENCE, "the watchdog is fed", || {
            fs::read(&device).is_ok_and(|fed| fed.starts_with(&[0]))
        })?;

        let peace = Peace::before(stage)?;

        // systemctl restart.
        stage.hosts[OWNER].agent()?.signal(Signal::SIGQUIT)?;
        let agent_before = stage.hosts[OWNER].agent()?;
        eventually(PATIENCE, "the agent ends", || agent_before.exit_status().is_some())?;
        ensure!(agent_before.exit_status().is_some_and(|status| status.success()), "it ended in order");
        systemd.hears("STOPPING=1", 1)?;
        ensure!(fs::read(&device)?.ends_with(b"V"), "the watchdog is closed: {:?}", fs::read(&device));
        // A systemd that does not listen holds up nobody, at the end of the agent neither.
        let _deaf = start_under_systemd(stage, OWNER)?;
        settles_on(stage, OWNER)?;

        // dpkg.
        let process = agent(stage, OWNER)?;
        let output = upgrade(stage, OWNER, &["--", SCRIPT, "restart"])?.ok()?;
        ensure!(output.stdout.contains("goes on with the gates that are open"), "{output:?}");
        ensure!(agent(stage, OWNER)? != process, "the agent of before still runs: {output:?}");
        settles_on(stage, OWNER)?;
        peace.holds(stage)
    });
    undisturbed(played);
}

/// What the running agent has pinned is marked as another version's.
fn lay_out_otherwise(stage: &Stage, node: usize) -> Result<()> {
    let orders = pinned::orders(agent(stage, node)?)?;
    orders.layout.set(orders.layout.get() + 1);
    Ok(())
}

#[test]
fn an_upgrade_to_another_layout_hands_over_first_and_says_so_where_nobody_can_take_it() {
    play(&files(), PERIOD, |stage| {
        for node in [OWNER, OTHER] {
            stage.start(node)?;
        }
        settles_on(stage, OWNER)?;
        lay_out_otherwise(stage, OWNER)?;
        let process = agent(stage, OWNER)?;
        let output = upgrade(stage, OWNER, &["--", SCRIPT, "restart"])?.ok()?;
        ensure!(output.stdout.contains("all groups were handed over"), "{output:?}");
        ensure!(agent(stage, OWNER)? != process, "the agent of before still runs: {output:?}");
        settles_on(stage, OTHER)?;

        // Nobody is there any more.
        stage.hosts[OWNER].run(init(&stage.hosts[OWNER], "stop")?, PATIENCE)?.ok()?;
        stage.shows(OTHER, "no heir", |status| status["groups"][0]["heir"].is_null())?;
        lay_out_otherwise(stage, OTHER)?;
        let output = upgrade(stage, OTHER, &[])?.ok()?;
        ensure!(output.stderr.contains("cannot be handed over"), "{output:?}");
        ensure!(output.stdout.contains("may be restarted now"), "{output:?}");
        let output = upgrade(stage, OTHER, &["--", "false"])?;
        ensure!(output.status.code() == Some(1) && output.stderr.contains("still runs"), "{output:?}");
        stage.serves(OTHER)
    });
}
