//! How-to 004, with its own files and times: two addresses that move together.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use tests::files::Files;
use tests::lan::Network;
use tests::scene::{Scene, play};

const NODES: [&str; 2] = ["www1", "www2"];
const FIRST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 3);
const SECOND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 4);

/// `ip addr` shows both addresses as `secondary` on `active`, as `eth0:0` and `eth0:1`, and neither on the other.
fn shown_on(scene: &Scene, active: usize) -> Result<()> {
    let fixed = |node| (scene.lan.address(node, Network::Eth0), "eth0".to_owned());
    let there = scene.lan.addresses(active, Network::Eth0)?;
    let expected = [fixed(active), (FIRST, "eth0:0".to_owned()), (SECOND, "eth0:1".to_owned())];
    ensure!(there == expected, "{} has {there:?}", scene.lan.name(active));
    for address in [FIRST, SECOND] {
        ensure!(scene.lan.is_secondary(active, address)?, "{address} is secondary");
    }
    Ok(())
}

fn shows_nothing(scene: &Scene, idle: usize) -> Result<()> {
    scene.has_addresses(idle, false)?;
    let there = scene.lan.addresses(idle, Network::Eth0)?;
    ensure!(there.len() == 1, "{} has {there:?}", scene.lan.name(idle));
    Ok(())
}

#[test]
fn both_addresses_move_when_power_is_lost_and_return() {
    play(&NODES, &Files::howto_004(), |scene| {
        scene.start_all(0)?;
        shown_on(scene, 0)?;
        shows_nothing(scene, 1)?;
        scene.power_off(0)?;
        scene.settles_on(1)?;
        shown_on(scene, 1)?;
        scene.power_on(0)?;
        scene.settles_on(0)?;
        shown_on(scene, 0)?;
        shows_nothing(scene, 1)
    });
}

#[test]
fn both_addresses_move_when_networking_is_stopped_and_return() {
    play(&NODES, &Files::howto_004(), |scene| {
        scene.start_all(0)?;
        scene.lan.pull(0, Network::Eth0)?;
        scene.serves(1)?;
        scene.has_addresses(1, true)?;
        shown_on(scene, 1)?;
        // It gave the group up when the cable went, so there is nobody to fence.
        scene.logs(0, "its interface is down here")?;
        scene.lan.heal(0)?;
        scene.settles_on(0)?;
        shown_on(scene, 0)?;
        shows_nothing(scene, 1)
    });
}
