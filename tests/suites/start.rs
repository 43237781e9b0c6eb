//! How agents start: alone, together, beside something unexpected.

use std::time::Duration;

use anyhow::ensure;
use tests::files::Files;
use tests::lan::{Lan, Network, VIP, Wiring};
use tests::scene::{Scene, play, play_on};

const NODES: [&str; 2] = ["server1", "server2"];
const KEY: &str = "IPaddr::192.0.2.100";

fn files() -> Files {
    Files::howto_001().brisk()
}

#[test]
fn a_node_that_starts_alone_serves_after_initdead() {
    play(&NODES, &files(), |scene| {
        // Not even at home there.
        scene.start(&[1])?;
        scene.settles_on(1)?;
        scene.logs(1, "initdead has passed")?;
        ensure!(scene.status(1)?.node_status("server1") == "init");
        // The group goes home when the other comes.
        scene.start(&[0])?;
        scene.settles_on(0)
    });
}

#[test]
fn nodes_that_start_together_have_one_owner_at_home() {
    play(&NODES, &files(), |scene| {
        scene.start(&[0, 1])?;
        scene.settles_on(0)?;
        scene.stays(0, Duration::from_secs(2))?;
        let status = scene.status(0)?;
        ensure!(status.group(KEY).is_some_and(|group| group.epoch == 1), "taken once: {:?}", status.groups);
        ensure!(scene.hosts[0].script_calls() == ["failback.sh status", "failback.sh start"]);
        ensure!(scene.hosts[1].script_calls().is_empty(), "{:?}", scene.hosts[1].script_calls());
        Ok(())
    });
}

/// A network with a third station that runs no agent.
fn with_a_stranger() -> anyhow::Result<Lan> {
    Lan::new(&["server1", "server2", "stranger"], Wiring::One)
}

#[test]
fn a_lone_node_stays_back_while_somebody_answers_for_its_address() {
    play_on(with_a_stranger, 2, &files(), |scene| {
        scene.lan.add_address(2, VIP)?;
        scene.start(&[0])?;
        scene.logs(0, "somebody answers for IPaddr::192.0.2.100 whom server1 does not hear: staying back")?;
        scene.stays(2, Duration::from_secs(3))?;
        let page = scene.xbeat(0, &["status"], 1)?;
        ensure!(page.contains("group IPaddr::192.0.2.100 has no owner"), "{page}");
        scene.lan.delete_address(2, VIP)?;
        scene.settles_on(0)
    });
}

#[test]
fn an_address_left_by_an_earlier_life_is_removed_at_start() {
    play(&NODES, &files(), |scene| {
        scene.lan.add_address(1, VIP)?;
        scene.start(&[1])?;
        scene.logs(1, "left over from an earlier life")?;
        scene.has_addresses(1, false)?;
        scene.start(&[0])?;
        scene.settles_on(0)
    });
}

/// Gates that are open for the group, over all nodes.
fn open_gates(scene: &Scene) -> usize {
    let open =
        |node: usize| scene.status(node).is_ok_and(|status| status.groups.iter().any(|group| group.open));
    (0..scene.hosts.len()).filter(|&node| open(node)).count()
}

/// Watches for ten seconds that `owner` alone serves.
fn stays_alone(scene: &Scene, owner: usize) -> anyhow::Result<()> {
    for _ in 0..10 {
        scene.stays(owner, Duration::from_secs(1))?;
        ensure!(open_gates(scene) == 1, "{} gates are open", open_gates(scene));
    }
    Ok(())
}

fn other_key() -> Files {
    Files { authkeys: "auth 1\n1 sha1 SomethingElse\n".into(), ..files() }
}

#[test]
fn nodes_with_different_keys_raise_alarm_and_stay_apart() {
    play(&NODES, &files(), |scene| {
        scene.hosts[1].configure(&other_key())?;
        scene.start_in_turn(&[0, 1])?;
        scene.serves(0)?;
        for (node, other) in [(0, "server2"), (1, "server1")] {
            scene.logs(node, &format!("node {other}: frames in its name failed authentication"))?;
            scene.shows(node, "the other refused", |status| status.node_status(other) == "refused")?;
            let page = scene.xbeat(node, &["status"], 1)?;
            ensure!(page.contains("its key is not ours"), "{page}");
        }
        scene.logs(1, "server2 stays back: server1 is there with another key")?;
        stays_alone(scene, 0)?;
        let takings = scene.hosts[0].log().matches("nobody holds it").count();
        ensure!(takings == 1, "taken {takings} times");
        // Put right, they find each other.
        scene.hosts[1].stop_agent(tests::scene::LIMIT)?;
        scene.hosts[1].configure(&files())?;
        scene.start(&[1])?;
        scene.settles_on(0)
    });
}

#[test]
fn a_home_node_that_returns_with_another_key_stays_back() {
    play(&NODES, &files(), |scene| {
        scene.start_all(0)?;
        scene.power_off(0)?;
        scene.serves(1)?;
        scene.hosts[0].configure(&other_key())?;
        scene.power_on(0)?;
        scene.logs(0, "failed authentication")?;
        scene.logs(1, "failed authentication")?;
        stays_alone(scene, 1)
    });
}

#[test]
fn a_node_with_another_configuration_stays_back_and_says_why() {
    play(&NODES, &files(), |scene| {
        scene.hosts[1].configure(&files().haresources("server1 IPaddr::192.0.2.100\n"))?;
        scene.start(&[0])?;
        scene.serves(0)?;
        scene.start(&[1])?;
        scene.logs(1, "server2 stays back: server1 is there with another configuration")?;
        scene.logs(0, "server2 has another configuration")?;
        let page = scene.xbeat(1, &["status"], 1)?;
        ensure!(page.contains("server1 has another configuration"), "{page}");
        let page = scene.xbeat(0, &["status"], 1)?;
        ensure!(page.contains("server2 has another configuration"), "{page}");
        scene.stays(0, Duration::from_secs(3))?;
        let said = scene.xbeat(0, &["standby"], 1)?;
        ensure!(said.contains("cannot take"), "{said}");
        // Put right, they agree.
        scene.hosts[1].stop_agent(tests::scene::LIMIT)?;
        scene.hosts[1].configure(&files())?;
        scene.start(&[1])?;
        scene.settles_on(0)
    });
}

#[test]
fn a_home_node_that_returns_with_another_configuration_stays_back() {
    play(&NODES, &files(), |scene| {
        scene.start_all(0)?;
        scene.power_off(0)?;
        scene.serves(1)?;
        scene.hosts[0].configure(&files().haresources("server1 IPaddr::192.0.2.100\n"))?;
        scene.power_on(0)?;
        scene.logs(0, "server1 stays back: server2 is there with another configuration")?;
        stays_alone(scene, 1)
    });
}

#[test]
fn nodes_with_different_configurations_have_one_owner() {
    play(&NODES, &files(), |scene| {
        scene.hosts[1].configure(&files().haresources("server1 IPaddr::192.0.2.100\n"))?;
        scene.start_in_turn(&[0, 1])?;
        scene.serves(0)?;
        scene.logs(1, "another configuration")?;
        scene.stays(0, Duration::from_secs(3))?;
        let there = scene.lan.addresses(1, Network::Eth0)?;
        ensure!(there.len() == 1, "{there:?}");
        Ok(())
    });
}
