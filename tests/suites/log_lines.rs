//! Heartbeat's log lines: all that operators search for are really logged, word by word, by a pair that is started, moved by
//! hand, cut in two, switched off and stopped.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use tests::files::{Files, RECORDING_SCRIPT};
use tests::lan::{Direction, Network};
use tests::scene::{Scene, play};
use tests::wait::pause;
use xbeat::driver::OLD_LINES;

const NODES: [&str; 2] = ["server1", "server2"];

/// Lines that this pair has no occasion for: their own tests are in `agent/src/driver/old_lines.rs`.
const ELSEWHERE: [&str; 1] = ["No reply to standby request.  Standby request cancelled."];

/// Where one of the pair cannot start the group.
const UNLESS_BROKEN: &str = "[ $1 = start ] && [ -e \"@STATE@/broken\" ] && exit 1\nflag=";

/// Whether a line of the log has the parts of the pattern in their order.
fn is_logged(log: &str, pattern: &str) -> bool {
    let is_it = |line: &str| {
        let mut rest = line;
        pattern.split('…').all(|part| match rest.find(part) {
            Some(at) => {
                rest = &rest[at + part.len()..];
                true
            }
            None => false,
        })
    };
    log.lines().any(is_it)
}

/// What server2 says is late for a while, and then heard again.
fn is_late(scene: &Scene) -> Result<()> {
    // What is late on a machine that stands still may be dead: then again.
    for _ in 0..10 {
        scene.lan.cut(1, Network::Eth0, Direction::FromNode)?;
        scene.shows(0, "server2 late", |status| {
            let mut peers = status.links.iter().flat_map(|link| &link.peers);
            peers.any(|peer| peer.last_heard_us.is_some_and(|ago| ago > 500_000))
        })?;
        scene.lan.heal(1)?;
        scene.settles_on(0)?;
        pause(Duration::from_millis(200))?;
        if scene.hosts[0].log().contains("Late heartbeat: Node server2") {
            return Ok(());
        }
    }
    anyhow::bail!("no late heartbeat was told in ten tries")
}

/// What an administrator's logrotate does, without telling anybody.
fn rotate(scene: &Scene, node: usize) -> Result<()> {
    let log = scene.hosts[node].log_dir().join("ha-log");
    Ok(fs::rename(&log, log.with_extension("1"))?)
}

#[test]
fn every_line_that_operators_search_for_is_logged_when_it_happens() {
    let files = Files::howto_001()
        .brisk()
        .directive("deadtime", "2s")
        .directive("initdead", "3s")
        .directive("warntime", "300ms")
        .script("failback.sh", &RECORDING_SCRIPT.replace("flag=", UNLESS_BROKEN));
    play(&NODES, &files, |scene| {
        scene.start_all(0)?;
        is_late(scene)?;
        rotate(scene, 1)?;
        scene.xbeat(0, &["standby"], 0)?;
        scene.settles_on(1)?;
        scene.xbeat(0, &["takeover"], 0)?;
        scene.settles_on(0)?;

        scene.lan.silence(0)?;
        scene.serves(1)?;
        scene.logs(0, "node server2: is dead")?;
        scene.logs(1, "mach_down takeover complete for node server1.")?;
        scene.heal_owner(0)?;
        // It returns home.
        scene.settles_on(0)?;

        scene.power_off(0)?;
        scene.settles_on(1)?;
        scene.power_on(0)?;
        scene.settles_on(0)?;

        scene.xbeat(0, &["stop"], 0)?;
        scene.serves(1)?;
        scene.xbeat(1, &["stop"], 0)?;
        fs::write(scene.hosts[0].state_dir().join("broken"), "")?;
        scene.start(&[0])?;
        scene.logs(0, "No one owns our local resources!")?;

        let logs: String = scene.hosts.iter().map(|host| host.log()).collect();
        let missing: Vec<&&str> =
            OLD_LINES.iter().filter(|line| !ELSEWHERE.contains(line) && !is_logged(&logs, line)).collect();
        ensure!(missing.is_empty(), "never logged: {missing:#?}");
        // What was logged before and after logrotate came by.
        let read = |name: &str| fs::read_to_string(scene.hosts[1].log_dir().join(name));
        let (old, new) = (read("ha-log.1")?, read("ha-log")?);
        ensure!(is_logged(&old, " server2 xbeat: […]: info: Configuration validated."), "{old}");
        ensure!(!old.contains("Heartbeat shutdown complete."), "{old}");
        ensure!(new.contains("Heartbeat shutdown complete."), "{new}");
        // What scripts print is for the debug file too.
        ensure!(read("ha-debug")?.contains("Heartbeat shutdown complete."));
        Ok(())
    });
}

#[test]
fn patterns_match_lines_and_not_logs() {
    assert!(is_logged("a\nx: info: Link server2:eth0 up.\n", "Link …:… up."));
    assert!(!is_logged("Link server2:eth0\n up.", "Link …:… up."));
    assert!(!is_logged("up. Link :", "Link …:… up."));
}
