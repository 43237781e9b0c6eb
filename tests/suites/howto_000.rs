//! How-to 000, with its own files and times: the whole service is one script, which prints nothing and announces its address
//! with `/usr/lib/heartbeat/send_arp`. Two links, by unicast on eth1 and by broadcast on eth0; an `md5` key.

use std::path::Path;

use anyhow::{Result, ensure};
use tests::files::Files;
use tests::lan::{Lan, Network, VIP, Wiring};
use tests::scene::{Scene, play_on};

const NODES: [&str; 2] = ["ser0", "ser0b"];
const SEND_ARP: &str = "/usr/lib/heartbeat/send_arp";

/// Each call is noted once it is done, with what failed in it.
const HA_SH: &str = r#"#!/bin/sh
case "$1" in
start)
    ip link set eth1 up || echo "no link" >> "@STATE@/calls"
    ip addr add 192.0.2.100/24 dev eth1 || echo "no address" >> "@STATE@/calls"
    /usr/lib/heartbeat/send_arp -r 10 eth1 192.0.2.100 auto 192.0.2.255 255.255.255.0 || echo "no ARP" >> "@STATE@/calls"
    echo start >> "@STATE@/calls"
    ;;
stop)
    ip addr del 192.0.2.100/24 dev eth1 || echo "no address" >> "@STATE@/calls"
    echo stop >> "@STATE@/calls"
    ;;
esac
exit 0
"#;

/// Each node's file names the other's address.
fn files(node: usize) -> Files {
    let peer = ["198.51.100.12", "198.51.100.11"][node];
    Files::howto_000(peer).script("ha.sh", HA_SH)
}

/// Waits until the script's calls on `node` are these.
fn calls(scene: &Scene, node: usize, expected: &[&str]) -> Result<()> {
    scene.until("the script was called", |scene| scene.hosts[node].script_calls().len() >= expected.len())?;
    let calls = scene.hosts[node].script_calls();
    ensure!(calls == expected, "{} called {calls:?}, expected {expected:?}", scene.lan.name(node));
    Ok(())
}

fn address_on(scene: &Scene, owner: usize) -> Result<()> {
    for node in 0..NODES.len() {
        let there = scene.lan.addresses(node, Network::Eth1)?;
        let has = there.iter().any(|(address, _)| *address == VIP);
        ensure!(has == (node == owner), "{} has {there:?}", scene.lan.name(node));
    }
    Ok(())
}

#[test]
fn the_service_in_one_script_moves_once_and_returns() {
    play_on(
        || Lan::new(&NODES, Wiring::Two),
        2,
        &files(0),
        |scene| {
            for (node, host) in scene.hosts.iter().enumerate() {
                host.configure(&files(node))?;
                host.install(Path::new(SEND_ARP), None)?;
            }
            scene.start_all(0)?;
            calls(scene, 0, &["start"])?;
            address_on(scene, 0)?;
            let status = scene.status(0)?;
            for link in ["eth0", "eth1"] {
                let heard = status.link(link).is_some_and(|link| link.peers.iter().any(|peer| peer.up));
                ensure!(heard, "ser0b is heard on {link}: {:?}", status.links);
            }
            scene.logs(0, "`md5`, which is weak by now")?;

            // One link less is no death.
            scene.lan.silence_on(0, Network::Eth1)?;
            scene.shows(1, "eth1 silent", |status| {
                status.link("eth1").is_some_and(|link| link.peers.iter().all(|peer| !peer.up))
            })?;
            scene.lan.heal(0)?;
            scene.settles_on(0)?;
            calls(scene, 1, &[])?;

            scene.power_off(0)?;
            scene.settles_on(1)?;
            calls(scene, 1, &["start"])?;

            scene.power_on_with(0, |host| host.install(Path::new(SEND_ARP), None))?;
            scene.settles_on(0)?;
            calls(scene, 1, &["start", "stop"])?;
            calls(scene, 0, &["start", "start"])?;
            address_on(scene, 0)
        },
    );
}
