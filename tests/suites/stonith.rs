//! STONITH: what could do harm twice starts when the silent node was reset; addresses do not wait.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use tests::files::{Files, RECORDING_SCRIPT};
use tests::scene::{Scene, play};

const NODES: [&str; 2] = ["server1", "server2"];

/// A fence agent: notes whom it resets, and fails while a file says so.
const AGENT: &str = r#"#!/bin/sh
whom=$(sed -n 's/^nodename=//p')
[ -e "@STATE@/switch-is-broken" ] && { echo "fence $whom failed" >> "@STATE@/calls"; exit 1; }
echo "fence $whom" >> "@STATE@/calls"
"#;
const AGENT_PATH: &str = "/usr/sbin/fence_xbeattest";

fn files() -> Files {
    Files::cluster(&NODES, "server1 192.0.2.100 web\n")
        .script("web", RECORDING_SCRIPT)
        .line("stonith_host * xbeattest hosts=server1,server2")
}

fn start_all(scene: &mut Scene) -> Result<()> {
    for host in &scene.hosts {
        host.install(Path::new(AGENT_PATH), Some(AGENT))?;
    }
    scene.start_all(0)
}

fn calls(scene: &Scene, node: usize) -> Vec<String> {
    let all = scene.hosts[node].script_calls();
    all.into_iter().filter(|call| call.starts_with("fence") || call == "web start").collect()
}

#[test]
fn a_silent_node_is_reset_before_more_than_its_address_is_taken_over() {
    play(&NODES, &files(), |scene| {
        let switch = scene.hosts[1].state_dir().join("switch-is-broken");
        fs::write(&switch, "")?;
        start_all(scene)?;

        // The kernel takes the address; the service waits, and says for what.
        scene.power_off(0)?;
        scene.serves(1)?;
        scene.logs(1, "STONITH of server1 failed.  Retrying...")?;
        scene.until("the status tells", |scene| {
            scene.hosts[1].command(&["status"]).is_ok_and(|page| {
                page.stdout.contains("server1 has to be reset before 192.0.2.100 is safe here")
                    && !page.status.success()
            })
        })?;
        ensure!(!calls(scene, 1).contains(&"web start".to_owned()), "{:?}", calls(scene, 1));
        ensure!(scene.answerer(tests::lan::VIP) == Some(1));
        // Somebody has looked.
        scene.xbeat(1, &["confirm", "nobody"], 1)?;
        scene.xbeat(1, &["confirm", "server1"], 0)?;
        scene.settles_on(1)?;
        ensure!(calls(scene, 1).last().is_some_and(|last| last == "web start"), "{:?}", calls(scene, 1));

        // A planned move resets nobody; the node that came back is as suspect as before when it falls silent again.
        scene.power_on_with(0, |host| host.install(Path::new(AGENT_PATH), Some(AGENT)))?;
        scene.settles_on(0)?;
        scene.xbeat(1, &["confirm", "server1"], 1)?;
        fs::remove_file(&switch)?;
        fs::remove_file(scene.hosts[1].state_dir().join("calls"))?;
        scene.power_off(0)?;
        scene.settles_on(1)?;
        ensure!(calls(scene, 1) == ["fence server1", "web start"], "{:?}", calls(scene, 1));
        scene.logs(1, "node server1 now reset.")
    });
}

/// Its kernel says that it is fenced, so its address is free at once; what its agent had started runs on.
#[test]
fn a_node_whose_agent_was_killed_is_reset_because_its_resources_run_on() {
    play(&NODES, &files(), |scene| {
        start_all(scene)?;
        scene.hosts[0].kill_agent()?;
        scene.settles_on(1)?;
        ensure!(calls(scene, 1) == ["fence server1", "web start"], "{:?}", calls(scene, 1));
        Ok(())
    });
}
