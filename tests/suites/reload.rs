//! New files for running agents: a difference applied, never a restart.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod ownership_support;

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use reflex::Verdict;
use tests::clock;
use tests::files::Files;
use tests::stage::{NODES, Stage, play};
use tests::wait::{eventually, pause};
use xbeat::control::{Command, client};
use xbeat::status::{NodeStatus, Status};

use ownership_support::{LIMIT, OTHER, OWNER};

/// 1 kHz.
const PERIOD: Duration = Duration::from_millis(1);

const BOTH: [usize; 2] = [OWNER, OTHER];

/// How-to 001 with a keepalive of 1 ms. Dead times are long enough that a busy machine kills nobody: what moves, a reload
/// has moved.
fn files() -> Files {
    let files = Files::howto_001().directive("keepalive", "1ms").directive("warntime", "1");
    let files = files.directive("deadtime", "3").directive("initdead", "20");
    files.directive("lease", "2").directive("auto_failback", "off")
}

fn with_keys(files: Files, authkeys: &str) -> Files {
    Files { authkeys: authkeys.to_owned(), ..files }
}

/// What `node` says of itself, without a process in between.
fn status(stage: &Stage, node: usize) -> Result<Status> {
    let reply = client::call(&stage.hosts[node].run_dir(), &Command::Status, LIMIT, &mut |_| {})?;
    reply.status.context("a status")
}

/// Gives `node` these files by SIGHUP and waits until they are in force.
fn hang_up(stage: &mut Stage, node: usize, files: &Files) -> Result<()> {
    let before = status(stage, node)?.reloads;
    stage.hosts[node].configure(files)?;
    stage.hosts[node].agent()?.signal(Signal::SIGHUP)?;
    let after = || status(stage, node).map(|status| status.reloads);
    let answered = || after().is_ok_and(|after| after.done + after.refused > before.done + before.refused);
    eventually(LIMIT, "the reload is answered", answered)?;
    let after = after()?;
    ensure!(after.done == before.done + 1, "refused: {:?}", after.last);
    Ok(())
}

/// The same by the command; returns what it says.
fn reload(stage: &Stage, node: usize, files: &Files) -> Result<String> {
    stage.hosts[node].configure(files)?;
    let output = stage.hosts[node].command(&["reload"])?.ok()?;
    Ok(output.stdout)
}

/// What must stay as it is: lives, epochs, gates, and frames that nobody refused or missed.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    sessions: Vec<Option<String>>,
    epoch: u64,
    open: bool,
    armed: bool,
    refused: u64,
    both_active: bool,
}

fn standing(stage: &Stage, node: usize) -> Result<Standing> {
    let status = status(stage, node)?;
    let count = |verdict: Verdict| status.counters.get(verdict.name()).copied().unwrap_or(0);
    let group = status.groups.first().context("a group")?;
    Ok(Standing {
        sessions: status.nodes.iter().map(|node| node.session.clone()).collect(),
        epoch: group.epoch,
        open: group.open,
        armed: group.armed,
        refused: count(Verdict::UnknownKey) + count(Verdict::BadMac),
        both_active: status.nodes.iter().all(|node| node.status == NodeStatus::Active),
    })
}

/// Probes to the other node so far, and how many of them it answered.
fn probes(stage: &Stage, node: usize) -> Result<(u64, u64)> {
    let status = status(stage, node)?;
    let peer = status.links.first().and_then(|link| link.peers.first()).context("a peer")?;
    Ok((peer.probes_sent, peer.answered))
}

/// Probes that were not answered, but for those that are under way.
fn unanswered(stage: &Stage, node: usize) -> Result<u64> {
    let mut least = u64::MAX;
    // Of several looks the one between two probes.
    for _ in 0..20 {
        let (sent, answered) = probes(stage, node)?;
        least = least.min(sent.saturating_sub(answered));
    }
    Ok(least)
}

/// Waits until `node` has sent so many probes more, and got answers to as many.
fn talks(stage: &Stage, node: usize, more: u64) -> Result<()> {
    let (_, before) = probes(stage, node)?;
    let what = format!("{} gets {more} answers", NODES[node]);
    eventually(LIMIT, &what, || probes(stage, node).is_ok_and(|(_, answered)| answered >= before + more))
}

/// What the agents have written since their logs had these lengths.
fn logs_since(stage: &Stage, from: &[usize]) -> String {
    let logs = BOTH.map(|node| stage.hosts[node].log().get(from[node]..).unwrap_or_default().to_owned());
    logs.concat()
}

#[test]
fn a_thousand_reloads_under_traffic_lose_nothing_and_move_nothing() {
    let keys = "auth 1\n1 sha1 one\n2 sha256 two\n";
    let base = with_keys(files(), keys);
    // Each differs from the one before and the one after; nothing that the other node needs is ever missing.
    let variants = [
        base.clone(),
        with_keys(base.clone().directive("keepalive", "2ms"), &keys.replace("auth 1", "auth 2")),
        base.clone().directive("deadtime", "2500ms").directive("lease", "1500ms").line("env MODE=other"),
        with_keys(base.clone().directive("warntime", "2"), &format!("{keys}3 sha1 spare\n"))
            .directive("auto_failback", "on"),
        with_keys(base.clone().directive("keepalive", "1500us"), &keys.replace("auth 1", "auth 2"))
            .directive("debugfile", "/var/log/other"),
    ];
    let played = play(&base, PERIOD, |stage| {
        stage.start_all(OWNER)?;
        let before = [standing(stage, OWNER)?, standing(stage, OTHER)?];
        let missing = [unanswered(stage, OWNER)?, unanswered(stage, OTHER)?];
        let calls = stage.hosts[OWNER].script_calls();
        let from = clock::now();
        for round in 1..=1000 {
            // Not the same step on both nodes.
            let node = round % 2;
            hang_up(stage, node, &variants[(round / 2) % variants.len()])
                .with_context(|| format!("reload {round}"))?;
        }
        let to = clock::now();
        for node in BOTH {
            let status = status(stage, node)?;
            ensure!((status.reloads.done, status.reloads.refused) == (500, 0), "{:?}", status.reloads);
            let after = standing(stage, node)?;
            ensure!(after == before[node], "{}: {:?} became {after:?}", NODES[node], before[node]);
            let lost = unanswered(stage, node)?.saturating_sub(missing[node]);
            ensure!(lost == 0, "{}: {lost} keepalives were not answered", NODES[node]);
        }
        ensure!(stage.hosts[OWNER].script_calls() == calls, "no script was called");
        Ok((from, to))
    });
    let Some(((from, to), seen)) = played else { return };
    let asked = seen.record.requests.iter().filter(|request| (from..to).contains(&request.sent)).count();
    println!("1000 reloads in {} ms, {asked} requests", (to - from) / 1_000_000);
    assert!(asked > 0);
    assert_eq!(seen.missed(OWNER, from, to), (0, 0), "requests lost, and answered by the other");
}

/// Keys roll over while both talk: add the new one, sign with it, remove the old one, each step on one node after the
/// other, in this order of nodes.
fn rolls_over(order: [usize; 2], base: Files) {
    let base = with_keys(base, "auth 1\n1 sha1 old\n");
    let steps = [
        ("auth 1\n1 sha1 old\n2 sha256 new\n", "key 2 added"),
        ("auth 2\n1 sha1 old\n2 sha256 new\n", "signs with key 2 instead of 1"),
        ("auth 2\n2 sha256 new\n", "key 1 removed"),
    ];
    let played = play(&base, PERIOD, |stage| {
        stage.start_all(OWNER)?;
        let before = [standing(stage, OWNER)?, standing(stage, OTHER)?];
        let missing = [unanswered(stage, OWNER)?, unanswered(stage, OTHER)?];
        let lengths = BOTH.map(|node| stage.hosts[node].log().len());
        let from = clock::now();
        for (keys, change) in steps {
            for node in order {
                let said = reload(stage, node, &with_keys(base.clone(), keys))?;
                ensure!(said.trim() == change, "{said:?} instead of {change:?}");
                for node in BOTH {
                    talks(stage, node, 50)?;
                }
            }
        }
        let to = clock::now();
        for node in BOTH {
            let after = standing(stage, node)?;
            ensure!(after == before[node], "{}: {:?} became {after:?}", NODES[node], before[node]);
            ensure!(after.refused == 0 && after.both_active, "{after:?}");
            let lost = unanswered(stage, node)?.saturating_sub(missing[node]);
            ensure!(lost == 0, "{}: {lost} keepalives were not answered", NODES[node]);
        }
        let logs = logs_since(stage, &lengths);
        ensure!(!logs.contains("failed authentication"), "{logs}");
        Ok((from, to))
    });
    let Some(((from, to), seen)) = played else { return };
    assert_eq!(seen.missed(OWNER, from, to), (0, 0), "requests lost, and answered by the other");
}

#[test]
fn keys_roll_over_with_the_owner_first() {
    rolls_over([OWNER, OTHER], files());
}

#[test]
fn keys_roll_over_with_the_owner_last() {
    rolls_over([OTHER, OWNER], files());
}

#[test]
fn keys_roll_over_without_ebpf() {
    rolls_over([OWNER, OTHER], files().directive("xdp", "off"));
}

#[test]
fn a_key_that_only_one_node_was_told_of_is_named_as_refused() {
    play(&files(), PERIOD, |stage| {
        stage.start_all(OWNER)?;
        let length = stage.hosts[OWNER].log().len();
        let early = with_keys(files(), "auth 2\n1 sha1 PutYourSuperSecretKeyHere\n2 sha1 new\n");
        let said = reload(stage, OTHER, &early)?;
        ensure!(said.contains("signs with key 2 instead of 1"), "{said}");
        stage.logs_after(OWNER, length, "node server2: frames in its name failed authentication")?;
        // Taken back, all is as before; nobody was dead meanwhile.
        reload(stage, OTHER, &files())?;
        stage.settles_on(OWNER)
    });
}

#[test]
fn wrong_files_are_refused_and_nothing_changes() {
    let wrong = [
        (files().directive("keepalive", "7x").directive("deadtime", "9"), "ha.cf:11:11: error: found `7x`"),
        (
            files().directive("keepalive", "2").directive("deadtime", "3"),
            "deadtime of 3000ms with a keepalive of 2000ms",
        ),
        (with_keys(files(), "auth 2\n1 sha1 x\n").directive("keepalive", "2ms"), "authkeys:1:6"),
        (Files { authkeys_mode: 0o644, ..files().directive("keepalive", "2ms") }, "others can read the keys"),
        (with_keys(files(), "auth 1\n1 crc secret\n").directive("keepalive", "2ms"), "`crc` takes none"),
        (files().directive("keepalive", "2ms").haresources("nobody 192.0.2.100\n"), "haresources:1:1"),
    ];
    play(&files(), PERIOD, |stage| {
        stage.start_all(OWNER)?;
        let (before, seen) = (standing(stage, OWNER)?, status(stage, OWNER)?);
        for ((files, reason), refused) in wrong.iter().zip(1..) {
            stage.hosts[OWNER].configure(files)?;
            let output = stage.hosts[OWNER].command(&["reload"])?;
            ensure!(output.status.code() == Some(1), "{reason}: {output:?}");
            ensure!(output.stderr.contains(reason), "{reason:?} is not in {:?}", output.stderr);
            ensure!(stage.hosts[OWNER].log().contains(reason), "{reason:?} is not in the log");
            let now = status(stage, OWNER)?;
            ensure!(now.reloads.refused == refused && now.reloads.done == 0, "{:?}", now.reloads);
            let in_force =
                |status: &Status| (status.keepalive_us, status.deadtime_us, status.config_digest.clone());
            ensure!(in_force(&now) == in_force(&seen), "{reason}");
            ensure!(now.warnings.iter().any(|warning| warning.contains(reason)), "{:?}", now.warnings);
        }
        ensure!(standing(stage, OWNER)? == before);
        // Good ones count again.
        hang_up(stage, OWNER, &files().directive("keepalive", "2ms"))?;
        let now = status(stage, OWNER)?;
        ensure!(now.keepalive_us == 2_000 && now.warnings == seen.warnings, "{now:?}");
        // Also where lines go to.
        let elsewhere = stage.hosts[OWNER].log_dir().join("elsewhere");
        ensure!(!elsewhere.exists());
        hang_up(stage, OWNER, &files().directive("logfile", "/var/log/elsewhere"))?;
        let logged = || std::fs::read_to_string(&elsewhere).unwrap_or_default();
        eventually(LIMIT, "the new log file is written", || logged().contains("-> /var/log/elsewhere"))?;
        stage.settles_on(OWNER)
    });
}

#[test]
fn what_takes_a_restart_is_refused_as_a_whole_and_a_kept_restart_brings_it_into_force() {
    // However long the kernel takes to verify the programs of the next agent.
    let files = || files().directive("lease", "60");
    let played = play(&files(), PERIOD, |stage| {
        stage.start_all(OWNER)?;
        let before = standing(stage, OWNER)?;
        for (files, reason) in [
            (files().directive("realtime", "off"), "realtime: true -> false: takes a restart"),
            (
                files().haresources("server1 IPaddr::192.0.2.100\n"),
                "group IPaddr::192.0.2.100 changed: must change on all",
            ),
            (
                files().line("node server3"),
                "node: server1 server2 -> server1 server2 server3: must change on all",
            ),
        ] {
            let output = {
                stage.hosts[OWNER].configure(&files.directive("keepalive", "2ms"))?;
                stage.hosts[OWNER].command(&["reload"])?
            };
            ensure!(output.status.code() == Some(1) && output.stderr.contains(reason), "{output:?}");
            ensure!(status(stage, OWNER)?.keepalive_us == 1_000, "nothing of it was taken over");
        }
        let from = clock::now();
        stage.hosts[OWNER].configure(&files().directive("realtime", "off").directive("keepalive", "2ms"))?;
        stage.hosts[OWNER].command(&["stop", "--keep"])?.ok()?;
        let agent = stage.hosts[OWNER].agent()?;
        eventually(LIMIT, "the old agent is gone", || agent.exit_status().is_some())?;
        stage.hosts[OWNER].start_agent()?;
        stage.settles_on(OWNER)?;
        let after = standing(stage, OWNER)?;
        ensure!(
            (after.epoch, &after.sessions) == (before.epoch, &before.sessions),
            "{before:?} became {after:?}"
        );
        ensure!(status(stage, OWNER)?.keepalive_us == 2_000);
        Ok((from, clock::now()))
    });
    let Some(((from, to), seen)) = played else { return };
    assert_eq!(seen.missed(OWNER, from, to), (0, 0), "requests lost, and answered by the other");
}

#[test]
fn times_change_under_way_by_a_factor_of_hundreds_and_nobody_is_found_dead() {
    let timed = |keepalive: &str, deadtime: &str| {
        let files = files().directive("keepalive", keepalive).directive("deadtime", deadtime);
        files.directive("warntime", "2").directive("lease", "3").directive("initdead", "60")
    };
    let (slow, fast) = (timed("500ms", "30"), timed("1ms", "1500ms"));
    let played = play(&fast, PERIOD, |stage| {
        stage.start_all(OWNER)?;
        let before = [standing(stage, OWNER)?, standing(stage, OTHER)?];
        let lengths = BOTH.map(|node| stage.hosts[node].log().len());
        let from = clock::now();
        for order in [[OWNER, OTHER], [OTHER, OWNER]] {
            for files in [&slow, &fast] {
                for node in order {
                    reload(stage, node, files)?;
                    let page = stage.hosts[node].command(&["status"])?;
                    ensure!(page.status.success(), "while they differ, all is well: {page:?}");
                    talks(stage, node, 3)?;
                }
            }
        }
        // The one that was told asks faster than the one that was not.
        reload(stage, OTHER, &slow)?;
        let (fast_before, slow_before) = (probes(stage, OWNER)?.0, probes(stage, OTHER)?.0);
        talks(stage, OTHER, 2)?;
        let (fast_after, slow_after) = (probes(stage, OWNER)?.0, probes(stage, OTHER)?.0);
        let (fast_asked, slow_asked) = (fast_after - fast_before, slow_after - slow_before);
        ensure!(fast_asked > 10 * slow_asked, "{fast_asked} to {slow_asked}");
        reload(stage, OTHER, &fast)?;
        let to = clock::now();
        for node in BOTH {
            let after = standing(stage, node)?;
            ensure!(after == before[node], "{}: {:?} became {after:?}", NODES[node], before[node]);
        }
        let logs = logs_since(stage, &lengths);
        ensure!(!logs.contains("is dead") && !logs.contains("another configuration"), "{logs}");
        Ok((from, to))
    });
    let Some(((from, to), seen)) = played else { return };
    assert_eq!(seen.missed(OWNER, from, to), (0, 0), "requests lost, and answered by the other");
}

#[test]
fn a_disk_that_hangs_costs_neither_a_lease_nor_the_end() {
    let files = files().directive("lease", "200ms");
    let played = play(&files, PERIOD, |stage| {
        stage.start_all(OWNER)?;
        let before = standing(stage, OWNER)?;
        // Whoever opens a pipe waits until somebody writes.
        let ha_cf = stage.hosts[OWNER].config_dir().join("ha.cf");
        let hang = || -> Result<()> {
            std::fs::remove_file(&ha_cf)?;
            Ok(mkfifo(&ha_cf, Mode::S_IRUSR | Mode::S_IWUSR)?)
        };
        hang()?;
        let length = stage.hosts[OWNER].log().len();
        stage.hosts[OWNER].agent()?.signal(Signal::SIGHUP)?;
        stage.logs_after(OWNER, length, "reading the files anew")?;
        let from = clock::now();
        // Many leases.
        pause(Duration::from_secs(2))?;
        ensure!(status(stage, OWNER)?.reloads.done == 0);
        ensure!(standing(stage, OWNER)? == before);
        std::fs::write(&ha_cf, files.clone().directive("keepalive", "2ms").ha_cf)?;
        let done = || status(stage, OWNER).is_ok_and(|status| status.reloads.done == 1);
        eventually(LIMIT, "the files came at last", done)?;
        ensure!(status(stage, OWNER)?.keepalive_us == 2_000);
        let to = clock::now();

        hang()?;
        let length = stage.hosts[OWNER].log().len();
        stage.hosts[OWNER].agent()?.signal(Signal::SIGHUP)?;
        stage.logs_after(OWNER, length, "reading the files anew")?;
        stage.hosts[OWNER].stop_agent(LIMIT)?;
        Ok((from, to))
    });
    let Some(((from, to), seen)) = played else { return };
    assert_eq!(seen.missed(OWNER, from, to), (0, 0), "requests lost, and answered by the other");
}

#[test]
fn systemd_is_told_of_a_reload_and_of_its_end() {
    play(&files(), PERIOD, |stage| {
        let path = stage.hosts[OWNER].config_dir().join("notify");
        let socket = UnixDatagram::bind(&path)?;
        socket.set_read_timeout(Some(LIMIT))?;
        let next = || -> Result<String> {
            let mut buffer = [0; 1024];
            let length = socket.recv(&mut buffer).context("a word to systemd")?;
            Ok(String::from_utf8_lossy(&buffer[..length]).trim().to_owned())
        };
        stage.hosts[OWNER].start_agent_with(|command| {
            command.args(["--node", NODES[OWNER]]).env("NOTIFY_SOCKET", &path);
        })?;
        ensure!(next()? == "READY=1");
        for files in [files().directive("keepalive", "2ms"), files().directive("keepalive", "2x")] {
            stage.hosts[OWNER].configure(&files)?;
            let began = clock::now() / 1000;
            stage.hosts[OWNER].agent()?.signal(Signal::SIGHUP)?;
            let said = next()?;
            let at = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").with_context(|| said.clone())?;
            ensure!(at.parse::<u64>()? >= began, "{said} before {began}");
            ensure!(next()? == "READY=1", "also when it was refused");
        }
        Ok(())
    });
}

#[test]
fn a_rule_that_is_turned_on_moves_nothing_by_itself() {
    play(&files(), PERIOD, |stage| {
        stage.start_all(OWNER)?;
        stage.hosts[OWNER].command(&["standby"])?.ok()?;
        stage.settles_on(OTHER)?;
        for node in BOTH {
            reload(stage, node, &files().directive("auto_failback", "on"))?;
        }
        for node in BOTH {
            talks(stage, node, 500)?;
        }
        stage.settles_on(OTHER)?;
        // From now on it is in force.
        stage.hosts[OWNER].kill_agent()?;
        stage.hosts[OWNER].start_agent()?;
        stage.settles_on(OWNER)
    });
}
