//! Several links, several nodes, many groups.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::ensure;
use tests::files::Files;
use tests::lan::{Direction, Lan, Network, Wiring};
use tests::scene::{play, play_on};
use tests::wait::pause;

const NODES: [&str; 2] = ["server1", "server2"];

#[test]
fn one_of_two_links_lost_moves_nothing_and_is_shown() {
    let files = Files::howto_001().brisk().line("ucast eth1 198.51.100.11").line("ucast eth1 198.51.100.12");
    play_on(
        || Lan::new(&NODES, Wiring::Two),
        2,
        &files,
        |scene| {
            scene.start_all(0)?;
            let heard = |node, up| {
                scene.shows(node, "how the other is heard on eth1", |status| {
                    let link = status.link("eth1");
                    link.is_some_and(|link| {
                        !link.peers.is_empty() && link.peers.iter().all(|peer| peer.up == up)
                    })
                })
            };
            heard(0, true)?;
            heard(1, true)?;
            scene.lan.silence_on(0, Network::Eth1)?;
            heard(0, false)?;
            heard(1, false)?;
            scene.logs(0, "Link server2:eth1 dead. Nothing of server2 came by it")?;
            let page = scene.xbeat(0, &["status"], 1)?;
            ensure!(page.contains("server2 is not heard on link eth1"), "{page}");
            scene.settles_on(0)?;
            scene.stays(0, Duration::from_secs(2))?;
            scene.lan.heal(0)?;
            heard(0, true)?;
            scene.logs(0, "Link server2:eth1 up")?;
            scene.xbeat(0, &["status"], 0)?;
            ensure!(!scene.hosts[1].found_dead(), "nobody was declared dead");
            // The other link alone is enough as well, for the cluster; the address is on it.
            scene.power_off(0)?;
            scene.serves(1)
        },
    );
}

/// A heartbeat cable of its own, the addresses on the common network: whoever loses the cable cannot know whether the other
/// is off. It asks the common network before it takes anything.
#[test]
fn who_can_send_by_no_link_takes_only_what_nobody_answers_for() {
    let files = Files::howto_001().brisk().directive("deadtime", "3s").directive("warntime", "2s");
    let ha_cf: String = files.ha_cf.lines().filter(|line| !line.starts_with("ucast")).map(own_line).collect();
    let files = Files { ha_cf, ..files }.line("ucast eth1 198.51.100.11").line("ucast eth1 198.51.100.12");
    play_on(
        || Lan::new(&NODES, Wiring::Two),
        2,
        &files,
        |scene| {
            scene.start_all(0)?;
            scene.lan.pull(1, Network::Eth1)?;
            scene.logs(1, "somebody answers for IPaddr::192.0.2.100 whom server2 does not hear")?;
            scene.keeps_answering(0, Duration::from_secs(6))?;
            let log = scene.hosts[1].log();
            ensure!(!log.contains("verdict: server1 is dead"), "it asked nobody, and judged");
            ensure!(!log.contains("Taking over resource group"), "the kernel took what the other serves");
            // The other one is off now, and that is all that is different.
            scene.power_off(0)?;
            scene.serves(1)?;
            scene.logs(1, "server2 may not be alone: it serves, and does not hear server1")
        },
    );
}

fn own_line(line: &str) -> String {
    format!("{line}\n")
}

#[test]
fn of_three_nodes_the_last_one_serves_when_owner_and_heir_are_gone() {
    let nodes = ["alpha", "beta", "gamma"];
    play(&nodes, &Files::cluster(&nodes, "alpha 192.0.2.100\n"), |scene| {
        scene.start_all(0)?;
        // Lines do not say which node is behind which address; the nodes find out.
        for node in 0..3 {
            scene.shows(node, "both others by name", |status| {
                status
                    .link("eth0")
                    .is_some_and(|link| link.peers.len() == 2 && link.peers.iter().all(|peer| peer.up))
            })?;
        }
        scene.power_off(0)?;
        scene.settles_on(1)?;
        scene.power_off(1)?;
        scene.settles_on(2)?;
        scene.power_on(1)?;
        scene.until("beta is back", |scene| {
            scene.status(2).is_ok_and(|status| status.node_status("beta") == "active")
        })?;
        scene.stays(2, Duration::from_secs(1))?;
        scene.power_on(0)?;
        scene.settles_on(0)
    });
}

#[test]
fn many_groups_with_two_homes_all_move_and_return() {
    let address = |group: usize| format!("192.0.2.{}", 100 + group);
    let mut groups = String::new();
    for group in 0..20 {
        let _ = writeln!(groups, "{} {}", NODES[group % 2], address(group));
    }
    play(&NODES, &Files::cluster(&NODES, &groups), |scene| {
        let keys: Vec<String> = (0..20).map(address).collect();
        let at_home: Vec<(&str, usize)> =
            keys.iter().zip(0..).map(|(key, group)| (key.as_str(), group % 2)).collect();
        scene.start(&[0, 1])?;
        scene.places(&at_home)?;
        scene.power_off(0)?;
        scene.settles_on(1)?;
        scene.power_on(0)?;
        scene.places(&at_home)?;
        scene.xbeat(1, &["standby"], 0)?;
        scene.settles_on(0)
    });
}

#[test]
fn an_owner_that_nobody_hears_is_replaced_and_fences_itself() {
    play(&NODES, &Files::howto_001().brisk(), |scene| {
        scene.start_all(0)?;
        scene.lan.cut(0, Network::Eth0, Direction::FromNode)?;
        scene.serves(1)?;
        // It still hears, and what it hears is a higher epoch.
        scene.logs(0, "is fenced here: another node holds it with a higher epoch")?;
        scene.has_addresses(0, false)?;
        scene.stays(1, Duration::from_secs(1))?;
        scene.lan.heal(0)?;
        scene.settles_on(0)
    });
}

#[test]
fn a_late_heartbeat_is_logged_and_moves_nothing() {
    let patient = Files::howto_001().brisk().directive("warntime", "200ms").directive("deadtime", "20s");
    play(&NODES, &patient.directive("initdead", "20s"), |scene| {
        scene.start_all(0)?;
        scene.lan.silence(0)?;
        pause(Duration::from_millis(500))?;
        scene.lan.heal(0)?;
        scene.logs(0, "Late heartbeat: Node server2: interval ")?;
        scene.logs(1, "Late heartbeat: Node server1: interval ")?;
        scene.settles_on(0)?;
        ensure!(scene.hosts[1].script_calls().is_empty(), "nothing was started");
        Ok(())
    });
}
