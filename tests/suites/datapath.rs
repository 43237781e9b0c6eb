//! The ways in which the reflex is run: in the driver, in the network stack, not in the kernel at all.

use std::time::Duration;

use anyhow::{Result, ensure};
use tests::files::Files;
use tests::lan::{Lan, Wiring};
use tests::scene::{Scene, play, play_on};

const NODES: [&str; 2] = ["server1", "server2"];

fn files(xdp: &str) -> Files {
    Files::howto_001().brisk().directive("xdp", xdp)
}

/// Waits until both nodes handle eth0 in that way.
fn both_use(scene: &Scene, datapath: &str) -> Result<()> {
    (0..2).try_for_each(|node| scene.shows(node, datapath, |status| status.datapath("eth0") == datapath))
}

/// The owner dies and returns.
fn fails_over_and_back(scene: &mut Scene) -> Result<()> {
    scene.power_off(0)?;
    scene.settles_on(1)?;
    scene.power_on(0)?;
    scene.settles_on(0)
}

#[test]
fn native_mode_is_used_and_tested_where_it_works() {
    play(&NODES, &files("native"), |scene| {
        scene.start_all(0)?;
        both_use(scene, "native")?;
        for node in 0..2 {
            scene.shows(node, "native mode tested", |status| {
                status.link("eth0").is_some_and(|link| link.tx_tested)
            })?;
        }
        fails_over_and_back(scene)?;
        both_use(scene, "native")
    });
}

#[test]
fn generic_mode_serves_as_well() {
    play(&NODES, &files("generic"), |scene| {
        scene.start_all(0)?;
        both_use(scene, "generic")?;
        fails_over_and_back(scene)?;
        both_use(scene, "generic")
    });
}

/// A network in which native mode attaches and sends nothing.
fn mute() -> Result<Lan> {
    Lan::without_pass(&NODES, Wiring::One)
}

#[test]
fn native_mode_that_sends_nothing_is_left_for_generic_mode() {
    play_on(mute, 2, &files("auto"), |scene| {
        scene.start_all(0)?;
        both_use(scene, "generic")?;
        for node in 0..2 {
            let why = scene.status(node)?.link("eth0").and_then(|link| link.why.clone());
            ensure!(why.is_some_and(|why| why.contains("native mode sends no answers")));
        }
        fails_over_and_back(scene)?;
        both_use(scene, "generic")
    });
}

#[test]
fn an_owner_whose_native_mode_sends_nothing_answers_arp_all_the_same() {
    play_on(mute, 2, &files("auto"), |scene| {
        // Alone: nobody is there who could tell that nothing is sent.
        scene.start(&[0])?;
        scene.settles_on(0)?;
        scene.keeps_answering(0, Duration::from_secs(1))?;
        scene.start(&[1])?;
        scene.keeps_answering(0, Duration::from_secs(2))?;
        scene.settles_on(0)?;
        both_use(scene, "generic")?;
        scene.keeps_answering(0, Duration::from_secs(1))
    });
}

/// What both nodes say about the missing eBPF.
fn the_loss_is_told(scene: &Scene) -> Result<()> {
    both_use(scene, "none")?;
    for node in 0..2 {
        let lost = scene.status(node)?.lost.join(" ");
        ensure!(lost.contains("no eBPF") && lost.contains("not fenced"), "{lost}");
        scene.logs(node, "no eBPF")?;
    }
    Ok(())
}

#[test]
fn without_ebpf_groups_fail_over_and_back_and_the_loss_is_told() {
    play(&NODES, &files("off"), |scene| {
        scene.start_all(0)?;
        the_loss_is_told(scene)?;
        fails_over_and_back(scene)?;
        scene.xbeat(0, &["standby"], 0)?;
        scene.settles_on(1)
    });
}

#[test]
fn without_the_privilege_for_ebpf_groups_fail_over_and_back_and_the_loss_is_told() {
    play(&NODES, &files("auto"), |scene| {
        for host in &mut scene.hosts {
            host.start_agent_without_bpf()?;
        }
        scene.settles_on(0)?;
        the_loss_is_told(scene)?;
        scene.power_off(0)?;
        scene.settles_on(1)?;
        scene.hosts[0].boot(&mut scene.lan)?;
        scene.hosts[0].start_agent_without_bpf()?;
        scene.settles_on(0)
    });
}

#[test]
fn nodes_with_and_without_ebpf_work_together() {
    play(&NODES, &files("auto"), |scene| {
        scene.hosts[1].configure(&files("off"))?;
        scene.start_all(0)?;
        ensure!(scene.status(1)?.datapath("eth0") == "none");
        fails_over_and_back(scene)
    });
}
