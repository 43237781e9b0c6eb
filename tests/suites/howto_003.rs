//! How-to 003, with its own files and times: a pair of routers that hear each other by a null-modem cable and nothing else. Two
//! addresses, one towards the LAN and one towards the WAN, and a mail move together, and do not return by themselves.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use tests::cable::Cable;
use tests::files::Files;
use tests::lan::{CLIENT, Lan, Network, Wiring};
use tests::netns::Netns;
use tests::scene::{LIMIT, Scene, play_on};
use tests::wait::{eventually, pause};

/// The routers, and who is at the other end of the WAN.
const STATIONS: [&str; 3] = ["julius", "caesar", "far"];
const FAR: usize = 2;
const LAN_SIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const WAN_SIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const HARESOURCES: &str =
    "julius IPaddr::192.0.2.1 IPaddr::198.51.100.1 MailTo::alerts@example.org::JuliusCaesar\n";

/// Notes the subject of each mail.
const SENDMAIL: &str = "#!/bin/sh\nsed -n 's/^Subject: /mail /p' >> \"@STATE@/calls\"\n";
const PORT: u16 = 40_003;
/// In the router's own network namespace.
const FORWARD: &str = "echo 1 > /proc/sys/net/ipv4/ip_forward";

/// The subjects of all mails that left `node`.
fn mails(scene: &Scene, node: usize) -> Vec<String> {
    scene.hosts[node].script_calls()
}

/// Both addresses are on `owner`, each on the interface with the route to it, and not on the other.
fn addresses_on(scene: &Scene, owner: usize) -> Result<()> {
    for node in 0..2 {
        for (network, address) in [(Network::Eth0, LAN_SIDE), (Network::Eth1, WAN_SIDE)] {
            let there = scene.lan.addresses(node, network)?;
            let has = there.iter().any(|(known, _)| *known == address);
            ensure!(has == (node == owner), "{} has {there:?}", scene.lan.name(node));
        }
    }
    Ok(())
}

fn sh(scene: &Scene, node: usize, script: &str) -> Result<()> {
    let mut command = Command::new("sh");
    command.args(["-ec", script]);
    scene.hosts[node].run(command, LIMIT)?.ok().map(drop)
}

/// Speech between the client and the far end, by way of the routers: fifty packets a second to there, each of which is sent
/// back.
struct Call {
    stop: Arc<AtomicBool>,
    heard: Arc<AtomicU64>,
}

/// Adds a route on a machine.
fn route(netns: &Netns, to: &str, via: Ipv4Addr, dev: &str) -> Result<()> {
    netns.run(|| {
        let via = via.to_string();
        let output = Command::new("ip").args(["route", "add", to, "via", &via, "dev", dev]).output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(())
    })?
}

impl Call {
    /// Between the client and the far end at that address. Both know their routes.
    fn start(lan: &Lan, far: usize, far_address: Ipv4Addr) -> Result<Self> {
        let speaker = lan.client().run(|| UdpSocket::bind((CLIENT, 0)))??;
        let far = lan.node(far).run(|| UdpSocket::bind((far_address, PORT)))??;
        let (stop, heard) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        far.set_read_timeout(Some(Duration::from_millis(100)))?;
        speaker.set_nonblocking(true)?;
        let (ended, counted) = ((stop.clone(), stop.clone()), heard.clone());
        thread::spawn(move || {
            let mut packet = [0; 160];
            while !ended.0.load(Ordering::Relaxed) {
                if let Ok((length, from)) = far.recv_from(&mut packet) {
                    let _ = far.send_to(&packet[..length], from);
                }
            }
        });
        thread::spawn(move || {
            let mut packet = [0; 160];
            while !ended.1.load(Ordering::Relaxed) {
                // Nobody has the router's address for a moment: that is lost speech, no error.
                let _ = speaker.send_to(&packet, (far_address, PORT));
                while speaker.recv(&mut packet).is_ok() {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        Ok(Self { stop, heard })
    }

    /// Waits until a second's worth of speech has come back from now on.
    fn goes_on(&self) -> Result<()> {
        let before = self.heard.load(Ordering::Relaxed);
        eventually(LIMIT, "speech comes back by the routers", || {
            self.heard.load(Ordering::Relaxed) > before + 50
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_routers_change_over_by_the_cable_while_a_call_goes_on() {
    let cable = Cable::new(19_200).unwrap();
    let files = |node: usize| Files::howto_003(&cable.device(node)).haresources(HARESOURCES);
    // The witness asks on the LAN.
    let watched = files(0).haresources("julius IPaddr::192.0.2.1\n");
    play_on(
        || Lan::new(&STATIONS, Wiring::Two),
        2,
        &watched,
        |scene| {
            let prepare = FORWARD;
            for node in 0..2 {
                scene.hosts[node].configure(&files(node))?;
                scene.hosts[node].install(Path::new("/usr/sbin/sendmail"), Some(SENDMAIL))?;
                sh(scene, node, prepare)?;
            }
            // Both boot together, half a keepalive apart: so a heartbeat of one or the other is due every 2.5 s, and what is
            // late can be late without being dead.
            scene.start(&[0])?;
            pause(Duration::from_millis(2500))?;
            scene.start(&[1])?;
            scene.settles_on(0)?;
            addresses_on(scene, 0)?;
            scene.until("the mail is there", |scene| !mails(scene, 0).is_empty())?;
            let told = mails(scene, 0);
            ensure!(
                told.len() == 1 && told[0].starts_with("mail JuliusCaesar Takeover in progress"),
                "{told:?}"
            );
            ensure!(mails(scene, 1).is_empty(), "{:?}", mails(scene, 1));

            let far_address = scene.lan.address(FAR, Network::Eth1);
            route(scene.lan.client(), &format!("{far_address}/32"), LAN_SIDE, "eth0")?;
            route(scene.lan.node(FAR), &format!("{CLIENT}/32"), WAN_SIDE, "eth1")?;
            let call = Call::start(&scene.lan, FAR, far_address)?;
            call.goes_on()?;

            // The cable is out for longer than warntime and shorter than deadtime.
            cable.pull();
            scene.shows(1, "julius late", |status| {
                let mut peers = status.links.iter().flat_map(|link| &link.peers);
                let heard = peers.find_map(|peer| peer.last_heard_us);
                heard.is_some_and(|ago| ago > 10_200_000)
            })?;
            cable.plug();
            scene.logs(1, "Late heartbeat: Node julius: interval ")?;
            scene.settles_on(0)?;
            ensure!(!scene.hosts[1].found_dead(), "nobody was declared dead");

            scene.power_off(0)?;
            scene.settles_on(1)?;
            // What has no power keeps its interfaces in this harness, and is silent.
            call.goes_on()?;
            let told = mails(scene, 1);
            ensure!(told.len() == 1 && told[0].ends_with(" on caesar"), "{told:?}");

            let install =
                |host: &tests::host::Host| host.install(Path::new("/usr/sbin/sendmail"), Some(SENDMAIL));
            scene.power_on_with(0, install)?;
            sh(scene, 0, prepare)?;
            // Nothing moves when julius is back.
            scene.settles_on(1)?;
            scene.stays(1, Duration::from_secs(3))?;
            addresses_on(scene, 1)?;

            scene.xbeat(1, &["standby"], 0)?;
            scene.settles_on(0)?;
            addresses_on(scene, 0)?;
            call.goes_on()?;
            ensure!(!scene.hosts[0].found_dead(), "caesar never died");
            Ok(())
        },
    );
}

/// Both pairs of the how-to: two towns, a WAN (eth1) between, and at each end a LAN. Both LANs are on one switch (eth0), where
/// they are two networks, joined by routers alone.
const TOWNS: [&str; 5] = ["julius", "caesar", "marcus", "aurelius", "phone"];
const PHONE: usize = 4;
/// The network of the second LAN; the first is that of the harness.
const SECOND_LAN: &str = "203.0.113";
const SECOND_LAN_SIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const SECOND_WAN_SIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const SECOND_HARESOURCES: &str = "marcus IPaddr::203.0.113.1 IPaddr::198.51.100.2\n";

/// The pair in which both say that `owner` serves, and it does.
fn pair_agrees(scene: &Scene, pair: [usize; 2], owner: usize) -> bool {
    pair.iter().all(|&node| {
        scene.status(node).is_ok_and(|status| {
            let state = if node == owner { "started" } else { "stopped" };
            status
                .groups
                .iter()
                .all(|group| group.owner.as_deref() == Some(TOWNS[owner]) && group.state == state)
                && !status.groups.is_empty()
        })
    })
}

#[test]
fn a_call_between_two_towns_goes_on_while_both_pairs_change_over_by_their_cables() {
    let cables = [Cable::new(19_200).unwrap(), Cable::new(19_200).unwrap()];
    let files = |node: usize| {
        let files = Files::howto_003(&cables[node / 2].device(node % 2));
        // A pair of its own names, and times that a test can wait for.
        let files = if node < 2 {
            files.haresources("julius IPaddr::192.0.2.1 IPaddr::198.51.100.1\n")
        } else {
            let ha_cf = files.ha_cf.replace("julius", "marcus").replace("caesar", "aurelius");
            Files { ha_cf, ..files }.haresources(SECOND_HARESOURCES)
        };
        let files = files.directive("keepalive", "1").directive("warntime", "5");
        files.directive("deadtime", "10")
    };
    // The witness asks on the first LAN.
    let watched = files(0).haresources("julius IPaddr::192.0.2.1\n");
    play_on(
        || Lan::new(&TOWNS, Wiring::Two),
        4,
        &watched,
        |scene| {
            // The second town has another network on its LAN.
            for (node, host) in [(2, 13), (3, 14), (PHONE, 50)] {
                let script =
                    format!("ip addr flush dev eth0 && ip addr add {SECOND_LAN}.{host}/24 brd + dev eth0");
                let mut command = Command::new("sh");
                command.args(["-ec", &script]);
                let output = scene.lan.node(node).run(|| command.output())??;
                ensure!(output.status.success(), "{output:?}");
            }
            for node in 0..4 {
                scene.hosts[node].configure(&files(node))?;
                sh(scene, node, FORWARD)?;
            }
            let second = format!("{SECOND_LAN}.0/24");
            route(scene.lan.client(), &second, LAN_SIDE, "eth0")?;
            route(scene.lan.node(PHONE), "192.0.2.0/24", SECOND_LAN_SIDE, "eth0")?;
            for node in 0..2 {
                route(scene.lan.node(node), &second, SECOND_WAN_SIDE, "eth1")?;
                route(scene.lan.node(node + 2), "192.0.2.0/24", WAN_SIDE, "eth1")?;
            }
            scene.start_in_turn(&[0, 1, 2, 3])?;
            scene.until("julius and marcus serve", |scene| {
                pair_agrees(scene, [0, 1], 0) && pair_agrees(scene, [2, 3], 2)
            })?;
            let call = Call::start(&scene.lan, PHONE, Ipv4Addr::new(203, 0, 113, 50))?;
            call.goes_on()?;

            // A new kernel for each, one after the other; and back.
            for (node, pair, heir) in [(0, [0, 1], 1), (2, [2, 3], 3), (1, [0, 1], 0), (3, [2, 3], 2)] {
                scene.xbeat(node, &["standby"], 0)?;
                scene.until("the pair has changed over", |scene| pair_agrees(scene, pair, heir))?;
                call.goes_on()?;
            }
            for host in &scene.hosts {
                ensure!(!host.found_dead(), "somebody died for {}", host.name());
            }
            Ok(())
        },
    );
}
