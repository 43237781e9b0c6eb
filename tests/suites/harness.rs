//! The harness itself: that its faults are faults, its witnesses see, and nothing stays behind.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddrV4, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tests::client::{self, Client};
use tests::files::Files;
use tests::host::Host;
use tests::lan::{Direction, Lan, Network, VIP, Wiring};
use tests::require::root_or_skip;
use tests::responder::{PORT, Responder};
use tests::wait::{eventually, pause};
use tests::witness::{self, Witness};
use tests::{clock, netns::Netns};

const LIMIT: Duration = Duration::from_secs(20);
const NODES: [&str; 2] = ["server1", "server2"];

fn lan(wiring: Wiring) -> Lan {
    Lan::new(&NODES, wiring).unwrap()
}

/// Whether a datagram from one namespace arrives in another.
fn arrives(from: &Netns, to: &Netns, address: std::net::Ipv4Addr) -> bool {
    let far = to.run(|| UdpSocket::bind((address, 6000))).unwrap().unwrap();
    let near = from.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
    far.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    // The first may wait for ARP.
    (0..4).any(|_| near.send_to(b"?", (address, 6000)).is_ok() && far.recv(&mut [0; 8]).is_ok())
}

fn vip() -> SocketAddrV4 {
    SocketAddrV4::new(VIP, PORT)
}

#[test]
fn every_station_reaches_every_other() {
    if !root_or_skip("every_station_reaches_every_other") {
        return;
    }
    let lan = lan(Wiring::Two);
    for network in [Network::Eth0, Network::Eth1] {
        assert!(arrives(lan.node(0), lan.node(1), lan.address(1, network)), "{network:?}");
        assert!(arrives(lan.node(1), lan.node(0), lan.address(0, network)), "{network:?}");
    }
    assert!(arrives(lan.client(), lan.node(0), lan.address(0, Network::Eth0)));
    assert!(lan.native_xdp(), "the pass program is on the switch ports");
}

#[test]
fn silence_drops_both_directions_with_carrier_up_and_heal_restores_them() {
    if !root_or_skip("silence_drops_both_directions_with_carrier_up_and_heal_restores_them") {
        return;
    }
    let lan = lan(Wiring::One);
    let (a, b) = (lan.address(0, Network::Eth0), lan.address(1, Network::Eth0));
    // Once heard, so that neither ARP nor the switch has anything to learn.
    assert!(arrives(lan.node(0), lan.node(1), b) && arrives(lan.node(1), lan.node(0), a));
    lan.silence(0).unwrap();
    assert!(!arrives(lan.node(0), lan.node(1), b), "from the silent node");
    assert!(!arrives(lan.node(1), lan.node(0), a), "to the silent node");
    assert!(lan.carrier(0, Network::Eth0).unwrap(), "its carrier stays up");
    lan.heal(0).unwrap();
    assert!(arrives(lan.node(0), lan.node(1), b) && arrives(lan.node(1), lan.node(0), a));
}

#[test]
fn a_cut_drops_one_direction_only() {
    if !root_or_skip("a_cut_drops_one_direction_only") {
        return;
    }
    let lan = lan(Wiring::One);
    let (a, b) = (lan.address(0, Network::Eth0), lan.address(1, Network::Eth0));
    for direction in [Direction::FromNode, Direction::ToNode] {
        assert!(arrives(lan.node(0), lan.node(1), b) && arrives(lan.node(1), lan.node(0), a));
        lan.cut(0, Network::Eth0, direction).unwrap();
        assert_eq!(
            arrives(lan.node(0), lan.node(1), b),
            direction == Direction::ToNode,
            "{direction:?}: from"
        );
        assert_eq!(
            arrives(lan.node(1), lan.node(0), a),
            direction == Direction::FromNode,
            "{direction:?}: to"
        );
        assert!(lan.carrier(0, Network::Eth0).unwrap(), "its carrier stays up");
        lan.heal(0).unwrap();
    }
}

#[test]
fn a_pulled_cable_is_a_lost_carrier_in_that_network_only() {
    if !root_or_skip("a_pulled_cable_is_a_lost_carrier_in_that_network_only") {
        return;
    }
    let lan = lan(Wiring::Two);
    lan.pull(0, Network::Eth1).unwrap();
    eventually(LIMIT, "eth1 loses carrier", || !lan.carrier(0, Network::Eth1).unwrap()).unwrap();
    assert!(lan.carrier(0, Network::Eth0).unwrap());
    lan.heal(0).unwrap();
    eventually(LIMIT, "eth1 has carrier", || lan.carrier(0, Network::Eth1).unwrap()).unwrap();
    assert!(arrives(lan.node(0), lan.node(1), lan.address(1, Network::Eth1)));
}

#[test]
fn the_witness_sees_every_holder_of_the_address() {
    if !root_or_skip("the_witness_sees_every_holder_of_the_address") {
        return;
    }
    let lan = lan(Wiring::One);
    let watch = || {
        let witness = Witness::start(&lan, VIP, witness::PERIOD).unwrap();
        pause(Duration::from_millis(300)).unwrap();
        witness.finish().unwrap()
    };
    let nobody = watch();
    assert!(!nobody.rounds.is_empty() && nobody.rounds.iter().all(|round| round.answers.is_empty()));

    lan.add_address(0, VIP).unwrap();
    let one = watch();
    assert_eq!(one.both_answered(0, u64::MAX), 0);
    assert!(one.rounds.iter().any(|round| round.answers == [lan.mac(0, Network::Eth0)]));

    lan.add_address(1, VIP).unwrap();
    let both = watch();
    assert!(both.both_answered(0, u64::MAX) > 0, "{both:?}");
    lan.delete_address(0, VIP).unwrap();
    let other = watch();
    assert_eq!(other.both_answered(0, u64::MAX), 0);
    assert!(other.rounds.iter().any(|round| round.answers == [lan.mac(1, Network::Eth0)]));
}

#[test]
fn the_client_sees_an_address_move_and_what_it_cost() {
    if !root_or_skip("the_client_sees_an_address_move_and_what_it_cost") {
        return;
    }
    let lan = lan(Wiring::One);
    let responders: Vec<_> =
        (0..2).map(|node| Responder::start(lan.node(node), NODES[node]).unwrap()).collect();
    lan.add_address(0, VIP).unwrap();
    let client = Client::start(&lan, vip(), client::PERIOD).unwrap();
    assert!(client.wait_for(0, LIMIT, |_| ()).unwrap().last_before.is_none());
    // Some undisturbed service first.
    pause(Duration::from_millis(50)).unwrap();
    let fault = clock::now();
    lan.silence(0).unwrap();
    pause(Duration::from_millis(20)).unwrap();
    lan.add_address(1, VIP).unwrap();
    lan.announce(1, VIP).unwrap();
    let change = client.wait_for(1, LIMIT, |_| ()).unwrap();
    assert_eq!(client.answerer(), Some(1));
    pause(Duration::from_millis(50)).unwrap();
    let record = client.finish().unwrap();
    let outage = record.outage(fault, u64::MAX);
    assert!(outage.over && outage.lost > 0, "{outage:?}");
    assert!(outage.length >= 20 * clock::MS, "at least the time in which nobody had the address: {outage:?}");
    assert_eq!(
        outage.length,
        change.sent - change.last_before.unwrap(),
        "live and afterwards are one figure"
    );
    assert_eq!((record.outage(0, fault).lost, record.answered_twice), (0, 0));
    drop(responders);
}

#[test]
fn a_stopped_responder_answers_nothing_more() {
    if !root_or_skip("a_stopped_responder_answers_nothing_more") {
        return;
    }
    let lan = lan(Wiring::One);
    lan.add_address(0, VIP).unwrap();
    let responder = Responder::start(lan.node(0), NODES[0]).unwrap();
    let client = Client::start(&lan, vip(), client::PERIOD).unwrap();
    client.wait_for(0, LIMIT, |_| ()).unwrap();
    responder.stop();
    let stopped = clock::now();
    pause(Duration::from_millis(50)).unwrap();
    let record = client.finish().unwrap();
    let later = record.requests.iter().filter(|request| request.sent >= stopped);
    assert!(later.clone().count() > 0 && later.clone().all(|request| request.answer.is_none()));
}

#[test]
fn a_renewed_node_is_a_fresh_machine_at_the_same_port() {
    if !root_or_skip("a_renewed_node_is_a_fresh_machine_at_the_same_port") {
        return;
    }
    let mut lan = lan(Wiring::Two);
    lan.add_address(0, VIP).unwrap();
    lan.silence(0).unwrap();
    lan.renew(0).unwrap();
    let addresses: Vec<_> = lan.addresses(0, Network::Eth0).unwrap().into_iter().map(|(a, _)| a).collect();
    assert_eq!(addresses, [lan.address(0, Network::Eth0)]);
    for network in [Network::Eth0, Network::Eth1] {
        assert!(arrives(lan.node(1), lan.node(0), lan.address(0, network)), "{network:?}");
    }
}

/// A stand-in for the agent: tells what it finds, starts a child of its own and stays.
const STAND_IN: &str = r#"#!/bin/sh
if [ "$1" != run ]; then echo "asked: $*"; exit 3; fi
{ uname -n; getent hosts server2; ls /sys/class/net /var/log; } > "$5/found"
sleep 1000 &
echo $! > "$5/child"
wait
"#;

fn stand_in(lan: &Lan, node: usize) -> (Host, tempfile::TempDir) {
    let dir = tempfile::Builder::new().prefix("xbeat-harness-").tempdir().unwrap();
    let path = dir.path().join("xbeat");
    fs::write(&path, STAND_IN).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    (Host::with_binary(lan, node, &Files::howto_001(), path).unwrap(), dir)
}

/// The process that the stand-in started.
fn child_of(host: &Host) -> String {
    let file = host.run_dir().join("child");
    eventually(LIMIT, "the stand-in has a child", || fs::read(&file).is_ok_and(|pid| pid.ends_with(b"\n")))
        .unwrap();
    fs::read_to_string(&file).unwrap().trim().to_owned()
}

/// A zombie has no executable any more.
fn runs(pid: &str) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

#[test]
fn an_agent_finds_a_machine_of_its_own() {
    if !root_or_skip("an_agent_finds_a_machine_of_its_own") {
        return;
    }
    let lan = lan(Wiring::Two);
    let (mut host, _dir) = stand_in(&lan, 0);
    fs::write(host.log_dir().join("ha-log"), "").unwrap();
    host.start_agent().unwrap();
    child_of(&host);
    let found = fs::read_to_string(host.run_dir().join("found")).unwrap();
    let words: Vec<_> = found.split_whitespace().collect();
    let expected =
        ["server1", "192.0.2.12", "server2", "/sys/class/net:", "eth0", "eth1", "lo", "/var/log:", "ha-log"];
    assert_eq!(words, expected);
    let asked = host.command(&["standby"]).unwrap();
    assert_eq!(asked.status.code(), Some(3));
    assert_eq!(asked.stdout, format!("asked: standby --run-dir {}\n", host.run_dir().display()));
    let mode = fs::metadata(host.config_dir().join("authkeys")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn power_off_kills_everything_on_the_node_and_nothing_elsewhere() {
    if !root_or_skip("power_off_kills_everything_on_the_node_and_nothing_elsewhere") {
        return;
    }
    let mut lan = lan(Wiring::One);
    let ((mut first, _dir1), (mut second, _dir2)) = (stand_in(&lan, 0), stand_in(&lan, 1));
    first.start_agent().unwrap();
    second.start_agent().unwrap();
    let (child, other) = (child_of(&first), child_of(&second));
    assert!(runs(&child));
    first.power_off().unwrap();
    assert!(!runs(&child), "what the agent had started is dead");
    assert!(runs(&other), "the other node is not concerned");
    assert!(first.status().is_err(), "no power, no answer");
    first.boot(&mut lan).unwrap();
    assert!(!first.run_dir().join("child").exists(), "the run directory is empty after boot");
    first.start_agent().unwrap();
    assert!(runs(&child_of(&first)));
}

/// Not a test of its own: what the next test runs in another process and kills.
#[test]
fn scene_to_be_killed() {
    if std::env::var_os("XBEAT_SCENE").is_none() {
        return;
    }
    let lan = lan(Wiring::One);
    let (mut host, dir) = stand_in(&lan, 0);
    host.start_agent().unwrap();
    let child = child_of(&host);
    let agent = host.agent().unwrap().id();
    println!("\nscene {agent} {child} {} {}", host.run_dir().display(), dir.path().display());
    pause(Duration::from_secs(600)).unwrap();
}

#[test]
fn nothing_is_left_when_the_harness_is_killed() {
    if !root_or_skip("nothing_is_left_when_the_harness_is_killed") {
        return;
    }
    let mut scene = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "scene_to_be_killed", "--nocapture"])
        .env("XBEAT_SCENE", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(scene.stdout.take().unwrap()).lines();
    let told = lines.map_while(Result::ok).find(|line| line.starts_with("scene ")).unwrap();
    let told: Vec<_> = told.split_whitespace().skip(1).map(str::to_owned).collect();
    let [agent, child, run_dir, _] = told.as_slice() else { panic!("{told:?}") };
    assert!(runs(agent) && runs(child));
    scene.kill().unwrap();
    scene.wait().unwrap();
    eventually(LIMIT, "the agent is gone", || !runs(agent)).unwrap();
    eventually(LIMIT, "the agent's child is gone", || !runs(child)).unwrap();
    eventually(LIMIT, "the directory is gone", || !PathBuf::from(run_dir).exists()).unwrap();
    // The stand-in's own directory is the test's, not the harness's: it is tidied up here.
    fs::remove_dir_all(Path::new(&told[3])).unwrap();
}
