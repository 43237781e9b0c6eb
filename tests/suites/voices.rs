//! Third voices: ping nodes, and who else is on the network of an address.

mod voices_support;

use std::time::Duration;

use anyhow::{Result, ensure};
use tests::files::Files;
use tests::lan::{Direction, Lan, Network, Wiring};
use tests::scene::{Scene, play_on};
use tests::wait::pause;

use voices_support::liar::Liar;

const NODES: [&str; 2] = ["server1", "server2"];
/// The client, which is outside of the cluster.
const GATEWAY: &str = "192.0.2.50";
const IPFAIL: &str = "respawn hacluster /usr/lib/heartbeat/ipfail";
const BLIND: &str = "the other node sees more ping nodes";
const DEAF: &str = "others reach the other node on its network, and not this one";
/// Several times what a move takes, if one were made.
const LONG: Duration = Duration::from_secs(3);

/// The first node is home. Both wait for each other at the start, however long the other takes, and neither is found dead or
/// fenced for a moment in which the machine stands still.
fn cluster() -> Files {
    let files = Files::cluster(&NODES, "server1 192.0.2.100\n").directive("auto_failback", "off");
    files.directive("initdead", "60s").directive("deadtime", "500ms").directive("lease", "5s")
}

/// Heartbeats on eth1 alone, the address on eth0: what happens there is told by ping nodes only.
fn with_pings(lines: &[&str]) -> Files {
    let cluster = cluster();
    let ha_cf = cluster.ha_cf.replace("ucast eth0 server1", "ucast eth1 198.51.100.11");
    let ha_cf = ha_cf.replace("ucast eth0 server2", "ucast eth1 198.51.100.12");
    let files = Files { ha_cf, ..cluster };
    lines.iter().fold(files.directive("deadping", "400ms"), |files, line| files.line(line))
}

/// Ping nodes are asked at a pace at which two nodes that find the same do so at the same time, also on a machine that is
/// busy: a difference means something after 900 ms.
fn both_find_the_same() -> Files {
    let slow = with_pings(&[&format!("ping {GATEWAY}"), IPFAIL]);
    let slow = slow.directive("deadtime", "2s").directive("warntime", "1s").directive("deadping", "1200ms");
    slow.directive("keepalive", "400ms")
}

/// Heartbeats on eth0, where the address is, and on eth1; no ping nodes.
fn two_paths() -> Files {
    cluster().line("ucast eth1 198.51.100.11").line("ucast eth1 198.51.100.12")
}

fn play(files: &Files, act: impl FnOnce(&mut Scene) -> Result<()>) {
    play_on(|| Lan::new(&NODES, Wiring::Two), 2, files, act);
}

fn pings_are(scene: &Scene, node: usize, status: &str) -> Result<()> {
    let what = format!("every ping node as {status}");
    scene.shows(node, &what, |shown| {
        !shown.pings.is_empty() && shown.pings.iter().all(|ping| ping.status == status)
    })
}

fn all_ping(scene: &mut Scene) -> Result<()> {
    scene.start_all(0)?;
    pings_are(scene, 0, "ping")?;
    pings_are(scene, 1, "ping")
}

fn in_doubt(scene: &Scene, node: usize, reach: &[&str]) -> Result<()> {
    scene.shows(node, &format!("eth0 in doubt and {reach:?}"), |status| {
        status.networks.iter().any(|network| {
            network.state == "doubt" && network.reach.as_deref().is_some_and(|found| reach.contains(&found))
        })
    })
}

fn moves(scene: &Scene, because: &str) -> usize {
    scene.hosts.iter().map(|host| host.log().matches(because).count()).sum()
}

#[test]
fn an_owner_that_sees_fewer_ping_nodes_hands_over_once() {
    play(&with_pings(&[&format!("ping {GATEWAY}"), IPFAIL]), |scene| {
        all_ping(scene)?;
        scene.lan.silence_on(0, Network::Eth0)?;
        scene.serves(1)?;
        pings_are(scene, 0, "dead")?;
        scene.logs(0, &format!("Link {GATEWAY}:{GATEWAY} dead."))?;
        scene.logs(0, &format!("Status update: Node {GATEWAY} now has status dead"))?;
        scene.stays(1, LONG)?;
        scene.lan.heal(0)?;
        pings_are(scene, 0, "ping")?;
        scene.logs(0, &format!("Link {GATEWAY}:{GATEWAY} up."))?;
        scene.stays(1, LONG)?;
        ensure!(moves(scene, BLIND) == 1, "one move, no flap");
        Ok(())
    });
}

#[test]
fn a_standby_that_sees_fewer_moves_nothing_and_neither_do_both() {
    play(&both_find_the_same(), |scene| {
        all_ping(scene)?;
        scene.lan.silence_on(1, Network::Eth0)?;
        pings_are(scene, 1, "dead")?;
        scene.stays(0, LONG)?;
        scene.lan.heal(1)?;
        pings_are(scene, 1, "ping")?;
        scene.lan.client_echoes(false)?;
        pings_are(scene, 0, "dead")?;
        pings_are(scene, 1, "dead")?;
        scene.stays(0, LONG)?;
        ensure!(moves(scene, "handing") == 0, "nothing moved");
        Ok(())
    });
}

#[test]
fn a_gateway_that_flaps_moves_nothing() {
    play(&both_find_the_same(), |scene| {
        all_ping(scene)?;
        for _ in 0..3 {
            for (echoes, status) in [(false, "dead"), (true, "ping")] {
                scene.lan.client_echoes(echoes)?;
                pings_are(scene, 0, status)?;
                pings_are(scene, 1, status)?;
            }
        }
        scene.stays(0, Duration::from_secs(1))?;
        ensure!(moves(scene, "handing") == 0, "nothing moved");
        Ok(())
    });
}

#[test]
fn without_ipfail_ping_nodes_are_shown_and_move_nothing() {
    play(&with_pings(&[&format!("ping {GATEWAY}")]), |scene| {
        all_ping(scene)?;
        let page = scene.xbeat(0, &["status"], 0)?;
        ensure!(page.contains(GATEWAY) && page.contains("shown only"), "{page}");
        // The witness cannot be answered meanwhile: the address is behind the dead port.
        scene.lan.silence_on(0, Network::Eth0)?;
        pings_are(scene, 0, "dead")?;
        pause(LONG)?;
        let page = scene.xbeat(0, &["status"], 1)?;
        ensure!(page.contains(&format!("ping node {GATEWAY} does not answer")), "{page}");
        scene.lan.heal(0)?;
        scene.settles_on(0)?;
        ensure!(moves(scene, "handing") == 0, "nothing moved");
        Ok(())
    });
}

#[test]
fn of_a_ping_group_one_host_is_enough_and_it_counts_once() {
    let files = with_pings(&[&format!("ping_group routers 192.0.2.77 {GATEWAY}"), IPFAIL]);
    play(&files, |scene| {
        all_ping(scene)?;
        scene.lan.silence_on(0, Network::Eth0)?;
        scene.serves(1)?;
        scene.logs(0, "Link routers:routers dead.")?;
        ensure!(moves(scene, BLIND) == 1, "one move");
        Ok(())
    });
}

#[test]
fn ping6_asks_over_ipv6() {
    play_on(
        || {
            let lan = Lan::new(&NODES, Wiring::Two)?;
            lan.add_address6(None, "2001:db8::50".parse()?)?;
            lan.add_address6(Some(0), "2001:db8::11".parse()?)?;
            lan.add_address6(Some(1), "2001:db8::12".parse()?)?;
            Ok(lan)
        },
        2,
        &with_pings(&["ping6 2001:db8::50", IPFAIL]),
        |scene| {
            all_ping(scene)?;
            scene.lan.silence_on(0, Network::Eth0)?;
            scene.serves(1)?;
            pings_are(scene, 0, "dead")
        },
    );
}

#[test]
fn replies_with_another_payload_are_counted_and_are_no_answers() {
    play(&both_find_the_same(), |scene| {
        all_ping(scene)?;
        scene.lan.client_echoes(false)?;
        let liar = Liar::start(&scene.lan)?;
        pings_are(scene, 0, "dead")?;
        pings_are(scene, 1, "dead")?;
        for node in 0..2 {
            scene.shows(node, "ignored replies", |status| {
                status.counters.get("ping_ignored").is_some_and(|&ignored| ignored > 0)
            })?;
        }
        ensure!(liar.answered() > 0, "it did answer");
        scene.stays(0, Duration::from_secs(1))
    });
}

#[test]
fn an_owner_whose_port_is_dead_hands_over_without_any_ping_node() {
    play(&two_paths(), |scene| {
        scene.start_all(0)?;
        for node in 0..2 {
            scene.shows(node, "eth0 in peace", |status| {
                status.networks.iter().any(|network| network.state == "peace")
            })?;
        }
        scene.lan.silence_on(0, Network::Eth0)?;
        scene.serves(1)?;
        scene.logs(0, DEAF)?;
        in_doubt(scene, 0, &["deaf"])?;
        in_doubt(scene, 1, &["hears", "answered"])?;
        let page = scene.xbeat(1, &["status"], 1)?;
        ensure!(page.contains("server1 is silent here and heard elsewhere"), "{page}");
        scene.stays(1, LONG)?;
        scene.lan.heal(0)?;
        scene.settles_on(1)?;
        scene.stays(1, LONG)?;
        ensure!(moves(scene, DEAF) == 1, "one move, no flap");
        ensure!(!scene.hosts.iter().any(|host| host.found_dead()), "nobody was dead");
        Ok(())
    });
}

#[test]
fn a_standby_whose_port_is_dead_moves_nothing() {
    play(&two_paths(), |scene| {
        scene.start_all(0)?;
        scene.lan.silence_on(1, Network::Eth0)?;
        in_doubt(scene, 1, &["deaf"])?;
        in_doubt(scene, 0, &["hears", "answered"])?;
        scene.stays(0, LONG)?;
        scene.lan.heal(1)?;
        scene.settles_on(0)?;
        scene.shows(0, "eth0 in peace again", |status| {
            status.networks.iter().all(|network| network.state == "peace")
        })?;
        ensure!(moves(scene, "handing") == 0, "nothing moved");
        Ok(())
    });
}

#[test]
fn nothing_moves_when_neither_hears_anybody() {
    play(&two_paths(), |scene| {
        scene.start_all(0)?;
        // The standby first: until the owner's port is dead too, the owner is the one who sees more.
        scene.lan.silence_on(1, Network::Eth0)?;
        in_doubt(scene, 1, &["deaf"])?;
        scene.lan.silence_on(0, Network::Eth0)?;
        in_doubt(scene, 0, &["deaf"])?;
        pause(LONG)?;
        let open: Vec<bool> =
            (0..2).map(|node| Ok(scene.status(node)?.groups[0].open)).collect::<Result<_>>()?;
        ensure!(moves(scene, "handing") == 0 && open == [true, false], "{open:?}");
        Ok(())
    });
}

#[test]
fn a_port_that_carries_one_way_is_a_dead_one() {
    for (node, direction) in
        [(0, Direction::ToNode), (0, Direction::FromNode), (1, Direction::ToNode), (1, Direction::FromNode)]
    {
        play(&two_paths(), |scene| {
            scene.start_all(0)?;
            // Somebody who answers: from him one is told that is only heard.
            scene.lan.meet_client(0)?;
            scene.lan.meet_client(1)?;
            for node in 0..2 {
                scene.shows(node, "a neighbour", |status| {
                    status.networks.iter().any(|network| network.neighbours > 1)
                })?;
            }
            scene.lan.cut(node, Network::Eth0, direction)?;
            in_doubt(scene, node, &["deaf", "hears"])?;
            in_doubt(scene, 1 - node, &["answered"])?;
            if node == 0 {
                scene.serves(1)?;
                return scene.stays(1, Duration::from_secs(1));
            }
            pause(LONG)?;
            ensure!(moves(scene, "handing") == 0, "nothing moved");
            Ok(())
        });
    }
}

#[test]
fn without_kernel_programs_the_free_voice_speaks_too() {
    // Without the kernel everything waits for the scheduler of a busy machine: nothing here is about time.
    let files = two_paths().directive("xdp", "off").directive("deadtime", "2s").directive("lease", "20s");
    play(&files, |scene| {
        scene.start_all(0)?;
        scene.lan.silence_on(0, Network::Eth0)?;
        in_doubt(scene, 0, &["deaf"])?;
        in_doubt(scene, 1, &["hears", "answered"])?;
        scene.logs(0, DEAF)?;
        scene.shows(1, "that it serves", |status| status.groups[0].open)
    });
}
