//! How-to 001, with its own files and times: one address and a hook script, automatic return.

use std::time::Duration;

use anyhow::{Result, ensure};
use tests::files::Files;
use tests::lan::{Network, VIP};
use tests::scene::{Scene, play};

const NODES: [&str; 2] = ["server1", "server2"];
const KEY: &str = "IPaddr::192.0.2.100";

/// The recording script, which also notes whether the address is there at that moment.
const SCRIPT: &str = r#"#!/bin/sh
if grep -q '192\.0\.2\.100$' /proc/net/fib_trie; then vip=with; else vip=without; fi
echo "$1 $vip" >> "@STATE@/calls"
case "$1" in
  start) : > "@RUN@/started" ;;
  stop) rm -f "@RUN@/started" ;;
  status) if [ -e "@RUN@/started" ]; then echo running; else echo stopped; fi ;;
esac
"#;

fn files() -> Files {
    Files::howto_001().script("failback.sh", SCRIPT)
}

/// How `ip addr` shows the address on `node`, if it does.
fn label(scene: &Scene, node: usize) -> Result<Option<String>> {
    let there = scene.lan.addresses(node, Network::Eth0)?;
    Ok(there.into_iter().find(|(address, _)| *address == VIP).map(|(_, label)| label))
}

/// The script was called with these words on `node`, each with the address there: after `IPaddr` came up, before it
/// goes down.
fn calls(scene: &Scene, node: usize, expected: &[&str]) -> Result<()> {
    let expected: Vec<String> = expected.iter().map(|call| format!("{call} with")).collect();
    scene.until("the script was called", |scene| scene.hosts[node].script_calls().len() >= expected.len())?;
    let calls = scene.hosts[node].script_calls();
    ensure!(calls == expected, "{} called {calls:?}, expected {expected:?}", scene.lan.name(node));
    Ok(())
}

fn is_logged(scene: &Scene, node: usize, lines: &[&str]) -> Result<()> {
    let log = std::fs::read_to_string(scene.hosts[node].log_dir().join("ha-log"))?;
    for line in lines {
        ensure!(log.contains(line), "the ha-log of {} lacks {line:?}:\n{log}", scene.lan.name(node));
    }
    Ok(())
}

#[test]
fn the_address_moves_with_its_script_and_returns() {
    play(&NODES, &files(), |scene| {
        scene.start_all(0)?;
        ensure!(label(scene, 0)?.as_deref() == Some("eth0:0"), "{:?}", label(scene, 0)?);
        ensure!(label(scene, 1)?.is_none());
        calls(scene, 0, &["status", "start"])?;

        scene.power_off(0)?;
        scene.settles_on(1)?;
        ensure!(label(scene, 1)?.as_deref() == Some("eth0:0"), "{:?}", label(scene, 1)?);
        calls(scene, 1, &["status", "start"])?;

        scene.power_on(0)?;
        scene.settles_on(0)?;
        calls(scene, 1, &["status", "start", "stop"])?;
        calls(scene, 0, &["status", "start", "status", "start"])?;
        ensure!(label(scene, 0)?.as_deref() == Some("eth0:0") && label(scene, 1)?.is_none());

        is_logged(
            scene,
            1,
            &[
                "Configuration validated. Starting heartbeat",
                "Local status now set to: 'active'",
                "Status update for node server1: status up",
                "node server1: is dead",
                "Taking over resource group IPaddr::192.0.2.100",
                "Acquiring resource group: server1 IPaddr::192.0.2.100 failback.sh",
                "resource.d/IPaddr 192.0.2.100 start",
                "resource.d/failback.sh start",
                "Releasing resource group: server1 IPaddr::192.0.2.100 failback.sh",
                "resource.d/failback.sh stop",
                "resource.d/IPaddr 192.0.2.100 stop",
            ],
        )
    });
}

#[test]
fn loss_and_return_of_the_idle_node_change_nothing() {
    play(&NODES, &files(), |scene| {
        scene.start_all(0)?;
        let epoch = |scene: &Scene| scene.status(0).ok().and_then(|status| Some(status.group(KEY)?.epoch));
        let before = epoch(scene);
        scene.power_off(1)?;
        scene.shows(0, "server2 dead", |status| status.node_status("server2") == "dead")?;
        scene.power_on(1)?;
        scene.settles_on(0)?;
        scene.stays(0, Duration::from_secs(3))?;
        calls(scene, 0, &["status", "start"])?;
        calls(scene, 1, &[])?;
        ensure!(epoch(scene) == before, "epoch {:?}, before {before:?}", epoch(scene));
        Ok(())
    });
}

#[test]
fn authkeys_that_others_can_read_are_refused() {
    play(&NODES, &Files { authkeys_mode: 0o644, ..files() }, |scene| {
        scene.start(&[0])?;
        ensure!(scene.ends(0)? == Some(6), "the agent refuses to start with 6");
        let log = scene.hosts[0].log();
        ensure!(log.contains("authkeys") && log.contains("0644") && log.contains("0600"), "{log}");
        ensure!(scene.nobody_serves());
        Ok(())
    });
}

#[test]
fn the_host_name_need_not_be_the_name_of_the_node() {
    play(&NODES, &files().brisk(), |scene| {
        scene.hosts[0].set_host_name("something.else.example")?;
        scene.start_all(0)?;
        // Without --node the host's name counts, and this one is no node.
        scene.hosts[0].stop_agent(tests::scene::LIMIT)?;
        scene.hosts[0].start_agent_with(|_| {})?;
        ensure!(scene.ends(0)? == Some(6), "the agent refuses to start with 6");
        let log = scene.hosts[0].log();
        ensure!(log.contains("something.else.example"), "{log}");
        Ok(())
    });
}

#[test]
fn a_machine_can_be_given_another_name() {
    play(&NODES, &files().brisk(), |scene| {
        scene.start_all(0)?;
        scene.xbeat(0, &["stop"], 0)?;
        scene.xbeat(1, &["stop"], 0)?;
        // As the how-to tells it: the new name in /etc/hosts and in the three files of both nodes; what the agent
        // remembers in its state directory stays.
        let renamed = |text: &str| text.replace("server1", "alpha");
        let old = files().brisk();
        let new = Files { ha_cf: renamed(&old.ha_cf), haresources: renamed(&old.haresources), ..old };
        for host in &scene.hosts {
            let hosts = std::fs::read_to_string(host.hosts_file())?;
            std::fs::write(host.hosts_file(), renamed(&hosts))?;
            host.configure(&new)?;
        }
        scene.hosts[0].set_host_name("alpha")?;
        for host in &mut scene.hosts {
            host.start_agent_with(|_| {})?;
        }
        scene.serves(0)?;
        scene.shows(1, "alpha as owner", |status| status.owner(KEY) == Some("alpha"))
    });
}
