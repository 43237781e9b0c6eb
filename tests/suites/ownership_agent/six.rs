//! The same for an IPv6 address, seen from a client's neighbour table.

use std::io;
use std::net::{Ipv6Addr, UdpSocket};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use reflex::Verdict;
use tests::arp::Mac;
use tests::files::Files;
use tests::lan::{Lan, Network, Wiring};
use tests::scene::{LIMIT, Scene, play_on};
use tests::stage::NODES;
use tests::wire::Wire;

use crate::ownership_support::counters::Counters;
use crate::{OTHER, OWNER};

const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100);
const CLIENT6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x5001);
/// Nobody listens there.
const DISCARD: u16 = 9;

/// What `ip` says at the client.
fn ip(scene: &Scene, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("ip");
    command.args(arguments);
    Ok(scene.lan.client().output(command, LIMIT)?.stdout)
}

/// Whom the client believes to have the address, when it has just spoken to it.
fn believed(scene: &Scene) -> Option<Mac> {
    let speak = || UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?.send_to(b"anybody there?", (VIP6, DISCARD));
    let _: io::Result<usize> = scene.lan.client().run(speak).ok()?;
    let shown = ip(scene, &["-6", "neigh", "show", &VIP6.to_string(), "dev", "eth0"]).ok()?;
    let mac = shown.split_whitespace().skip_while(|word| *word != "lladdr").nth(1)?;
    let bytes: Option<Vec<u8>> = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

/// The client's neighbour table follows to `node`.
fn follows(scene: &Scene, node: usize) -> Result<()> {
    let mac = scene.lan.mac(node, Network::Eth0);
    scene.until(&format!("the client finds the address at {}", NODES[node]), |scene| {
        believed(scene) == Some(mac)
    })
}

fn has_address(scene: &Scene, node: usize) -> bool {
    let mut show = Command::new("ip");
    show.args(["-6", "addr", "show", "dev", "eth0"]);
    let shown = scene.hosts[node].run(show, LIMIT).map(|shown| shown.stdout).unwrap_or_default();
    shown.lines().any(|line| line.contains(&format!("{VIP6}/64")) && !line.contains("tentative"))
}

#[test]
fn an_ipv6_address_fails_over_and_nothing_leaves_a_killed_agents_node_in_its_name() {
    let files = Files::cluster(&NODES, &format!("server1 192.0.2.100 IPv6addr::{VIP6}/64/eth0\n"));
    play_on(
        || Lan::new(&NODES, Wiring::One)?.with_ipv6(),
        NODES.len(),
        &files,
        |scene| {
            scene.lan.add_address6(None, CLIENT6)?;
            scene.start_all(OWNER)?;
            follows(scene, OWNER)?;
            let page = scene.xbeat(OWNER, &["status"], 0)?;
            ensure!(page.contains(&format!("{VIP6}/64 on eth0, up here")), "{page}");
            scene.until("a solicitation is answered in the kernel", |scene| {
                let _ = ip(scene, &["-6", "neigh", "del", &VIP6.to_string(), "dev", "eth0"]);
                believed(scene);
                let status = scene.status(OWNER);
                status.is_ok_and(|status| status.counters.get("nd_answered").is_some_and(|&count| count > 0))
            })?;
            killed_it_is_silent(scene)?;

            // The next agent removes what was left, and the address comes home.
            scene.hosts[OWNER].start_agent()?;
            scene.settles_on(OWNER)?;
            follows(scene, OWNER)?;
            scene.until("it is gone from the other", |scene| !has_address(scene, OTHER))?;

            scene.lan.silence(OWNER)?;
            follows(scene, OTHER)
        },
    );
}

fn killed_it_is_silent(scene: &mut Scene) -> Result<()> {
    let speaker = scene.lan.node(OWNER).run(|| UdpSocket::bind((VIP6, 0)))?.context("a datagram socket")?;
    let speak = || drop(speaker.send_to(b"still here", (CLIENT6, DISCARD)));
    let wire = Wire::listen(&scene.lan, OWNER)?;
    let heard = || -> Result<usize> {
        wire.mark()?;
        Ok(wire.until_mark()?.iter().filter(|sent| sent.from == VIP6).count())
    };
    scene.until("it speaks in the name of the address", |_| {
        speak();
        heard().is_ok_and(|heard| heard > 0)
    })?;
    let counters = Counters::of(scene.hosts[OWNER].agent()?.id())?;
    scene.hosts[OWNER].kill_agent()?;
    follows(scene, OTHER)?;

    heard()?;
    let closed = counters.count(Verdict::EgressClosed);
    scene.until("the egress gate keeps packets from leaving", |_| {
        speak();
        counters.count(Verdict::EgressClosed) >= closed + 3
    })?;
    ensure!(has_address(scene, OWNER), "the address is still on the interface: otherwise nothing is shown");
    let heard = heard()?;
    ensure!(heard == 0, "{heard} frames left the fenced node in the name of {VIP6}");
    // From one who still asks it, as a neighbour does now and then: not even its stack answers.
    let asked = counters.count(Verdict::NdClosed);
    scene.until("solicitations are dropped", |scene| {
        let _ = ip(scene, &["-6", "neigh", "del", &VIP6.to_string(), "dev", "eth0"]);
        believed(scene);
        counters.count(Verdict::NdClosed) > asked
    })?;
    follows(scene, OTHER)
}
