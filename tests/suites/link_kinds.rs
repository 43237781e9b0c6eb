//! Every kind of link that goes over a network: alone, beside another one, and what is told of it.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{setsockopt, sockopt};
use reflex::frame::{FRAME_LEN, Frame, Kind as FrameKind};
use tests::files::Files;
use tests::kinds::Kind;
use tests::lan::{Lan, Network, Wiring};
use tests::scene::{Scene, play_on};

const NODES: [&str; 2] = ["server1", "server2"];

fn lan(wiring: Wiring) -> Result<Lan> {
    Lan::new(&NODES, wiring)?.with_ipv6()
}

/// Files whose links are `kinds`, the first on eth0, the second on eth1; what they say depends on the network's addresses,
/// which are the same in every network.
fn files(kinds: &[Kind]) -> Result<Files> {
    let lan = lan(Wiring::Two)?;
    let networks = [Network::Eth0, Network::Eth1];
    let lines: String = kinds.iter().zip(networks).map(|(kind, network)| kind.lines(&lan, network)).collect();
    Ok(files_of_kinds(&lines))
}

/// How-to 001 with these links. Both nodes wait for each other at the start, however long the other takes, and neither is
/// found dead or fenced for a moment in which the machine stands still.
fn files_of_kinds(lines: &str) -> Files {
    let files = Files::howto_001().brisk().directive("initdead", "60s");
    files.directive("deadtime", "1s").directive("lease", "5s").links(lines)
}

/// Plays with links of these kinds.
fn play(kinds: &[Kind], change: impl FnOnce(Files) -> Files, act: impl FnOnce(&mut Scene) -> Result<()>) {
    if !tests::require::root_or_skip(std::thread::current().name().unwrap_or("test")) {
        return;
    }
    let files = match files(kinds) {
        Ok(files) => change(files),
        Err(error) => panic!("{error:#}"),
    };
    let wiring = if kinds.len() == 1 { Wiring::One } else { Wiring::Two };
    play_on(|| lan(wiring), 2, &files, act);
}

/// Takeover and failback over one link.
fn moves_and_returns(scene: &mut Scene, kind: Kind, is_in_kernel: bool) -> Result<()> {
    scene.start_all(0)?;
    for node in 0..2 {
        scene.shows(node, "the link with all that is known of it", |status| {
            status.link("eth0").is_some_and(|link| {
                let peer = link.peers.first();
                link.kind == kind.name()
                    && link.group.is_some() == matches!(kind, Kind::Bcast | Kind::Mcast | Kind::Mcast6)
                    && (link.datapath != "none") == is_in_kernel
                    && link.peers.len() == 1
                    && peer.is_some_and(|peer| peer.up && peer.address.is_some() && peer.rtt_us.is_some())
            })
        })?;
    }
    scene.power_off(0)?;
    scene.settles_on(1)?;
    scene.power_on(0)?;
    scene.settles_on(0)?;
    scene.xbeat(0, &["standby"], 0)?;
    scene.settles_on(1)
}

macro_rules! alone {
    ($($name:ident $plain:ident $kind:ident)*) => { $(
        #[test]
        fn $name() {
            play(&[Kind::$kind], |files| files, |scene| moves_and_returns(scene, Kind::$kind, true));
        }

        #[test]
        fn $plain() {
            // Without the kernel everything waits for the scheduler of a busy machine: nothing here is about time.
            let slow = |files: Files| files.directive("deadtime", "2s").directive("lease", "20s");
            let off = |files: Files| slow(files).directive("xdp", "off");
            play(&[Kind::$kind], off, |scene| moves_and_returns(scene, Kind::$kind, false));
        }
    )* };
}

alone! {
    ucast_alone ucast_alone_without_ebpf Ucast
    bcast_alone bcast_alone_without_ebpf Bcast
    mcast_alone mcast_alone_without_ebpf Mcast
    ucast6_alone ucast6_alone_without_ebpf Ucast6
    mcast6_alone mcast6_alone_without_ebpf Mcast6
}

/// One of two links is cut, then the other one: nobody moves. Both are: takeover.
fn either_is_enough(scene: &mut Scene) -> Result<()> {
    scene.start_all(0)?;
    let heard = |scene: &Scene, interface: &str, up: bool| {
        (0..2).try_for_each(|node| {
            scene.shows(node, &format!("whether the other is heard on {interface}"), |status| {
                let link = status.link(interface);
                link.is_some_and(|link| !link.peers.is_empty() && link.peers.iter().all(|peer| peer.up == up))
            })
        })
    };
    heard(scene, "eth0", true)?;
    heard(scene, "eth1", true)?;
    for network in [Network::Eth1, Network::Eth0] {
        // The heir's ports: an owner that reaches nobody on the address's network would hand over (docs/voices.md).
        scene.lan.silence_on(1, network)?;
        heard(scene, network.interface(), false)?;
        scene.stays(0, Duration::from_secs(1))?;
        scene.lan.heal(1)?;
        heard(scene, network.interface(), true)?;
    }
    for host in &scene.hosts {
        ensure!(!host.found_dead(), "nobody was declared dead by {}", host.name());
    }
    ensure!(scene.hosts[1].script_calls().iter().all(|call| !call.ends_with("start")), "nothing was started");
    scene.settles_on(0)?;
    scene.power_off(0)?;
    scene.serves(1)
}

macro_rules! pairs {
    ($($name:ident $one:ident $two:ident)*) => { $(
        #[test]
        fn $name() {
            play(&[Kind::$one, Kind::$two], |files| files, either_is_enough);
        }
    )* };
}

pairs! {
    ucast_and_bcast Ucast Bcast
    ucast_and_mcast Ucast Mcast
    ucast_and_ucast6 Ucast Ucast6
    ucast_and_mcast6 Ucast Mcast6
    bcast_and_mcast Bcast Mcast
    bcast_and_ucast6 Bcast Ucast6
    bcast_and_mcast6 Bcast Mcast6
    mcast_and_ucast6 Mcast Ucast6
    mcast_and_mcast6 Mcast Mcast6
    ucast6_and_mcast6 Ucast6 Mcast6
}

/// On one interface every kind at once, two multicast groups among them: each is a link of its own.
#[test]
fn all_kinds_share_an_interface() {
    for xdp in ["auto", "off"] {
        if !tests::require::root_or_skip("all_kinds_share_an_interface") {
            return;
        }
        let lines = || -> Result<String> {
            let lan = lan(Wiring::One)?;
            let lines: String = Kind::ALL.iter().map(|kind| kind.lines(&lan, Network::Eth0)).collect();
            Ok(lines + "mcast eth0 239.0.0.2 694 1 1\n")
        };
        let lines = lines().unwrap_or_else(|error| panic!("{error:#}"));
        let files = files_of_kinds(&lines).directive("deadtime", "2s").directive("lease", "20s");
        let files = files.directive("xdp", xdp);
        play_on(
            || lan(Wiring::One),
            2,
            &files,
            |scene| {
                scene.start_all(0)?;
                for node in 0..2 {
                    scene.shows(node, "six links on which the other is heard", |status| {
                        status.links.len() == 6
                            && status.links.iter().all(|link| link.peers.len() == 1 && link.peers[0].up)
                    })?;
                }
                scene.power_off(0)?;
                scene.serves(1)
            },
        );
    }
}

/// Three nodes on one group: two thirds of what each hears is for somebody else, and none of it is an error.
#[test]
fn three_nodes_meet_in_one_group() {
    let nodes = ["alpha", "beta", "gamma"];
    let files = Files::cluster(&nodes, "alpha 192.0.2.100\n").directive("initdead", "60s");
    let files = files.links("mcast eth0 239.0.0.1 694 1 0\n");
    tests::scene::play(&nodes, &files, |scene| {
        scene.start_all(0)?;
        for node in 0..3 {
            scene.shows(node, "both others", |status| {
                status
                    .link("eth0")
                    .is_some_and(|link| link.peers.len() == 2 && link.peers.iter().all(|peer| peer.up))
            })?;
            let page = scene.xbeat(node, &["status", "--json"], 0)?;
            ensure!(page.contains("\"for_other\""), "{page}");
            ensure!(!page.contains("\"bad_node\": 1"), "{page}");
        }
        scene.power_off(0)?;
        scene.settles_on(1)
    });
}

/// What anybody can send: too short, too long, no frame, and frames in the name of each node for the other that nobody signed.
fn strangers_frames() -> Vec<Vec<u8>> {
    let forged = |source: u8| {
        let mut frame = Frame::default();
        frame.set_kind(FrameKind::Probe);
        frame.set_key(1);
        frame.set_source(source);
        frame.set_destination(1 - source);
        frame.set_session(7);
        frame.set_seq(u64::MAX);
        frame.bytes.to_vec()
    };
    vec![vec![0x78; 10], vec![0; FRAME_LEN + 1], vec![0x55; FRAME_LEN], forged(0), forged(1)]
}

/// From the client, by its eth0.
fn send_as_stranger(lan: &Lan, to: SocketAddr) -> Result<()> {
    lan.client().run(|| {
        let any: IpAddr =
            if to.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0))?;
        setsockopt(&socket, sockopt::BindToDevice, &OsString::from(Network::Eth0.interface()))?;
        for bytes in strangers_frames() {
            socket.send_to(&bytes, to).with_context(|| format!("sending to {to}"))?;
        }
        Ok(())
    })?
}

/// To addresses and groups of either family: counted by reason, answered to nobody, and nothing moves. One node has kernel
/// programs, the other has none.
#[test]
fn what_strangers_send_is_counted_and_moves_nothing() {
    let of = |scene: &Scene, node: usize| -> Result<Vec<u64>> {
        let counters = scene.status(node)?.counters;
        let count = |name| counters.get(name).copied().unwrap_or(0);
        Ok(["bad_length", "bad_format", "bad_mac"].map(count).into())
    };
    if !tests::require::root_or_skip("what_strangers_send_is_counted_and_moves_nothing") {
        return;
    }
    let built = lan(Wiring::One).unwrap_or_else(|error| panic!("{error:#}"));
    let kinds = [Kind::Ucast, Kind::Mcast, Kind::Ucast6, Kind::Mcast6];
    let lines: String = kinds.iter().map(|kind| kind.lines(&built, Network::Eth0)).collect();
    drop(built);
    let files = |node: usize| {
        let files = files_of_kinds(&lines).directive("deadtime", "2s");
        files.directive("xdp", if node == 0 { "auto" } else { "off" })
    };
    let wired = || -> Result<Lan> {
        let lan = lan(Wiring::One)?;
        lan.add_address6(None, "fd00::50".parse()?)?;
        Ok(lan)
    };
    play_on(wired, 2, &files(0), |scene| {
        scene.hosts.iter().enumerate().try_for_each(|(node, host)| host.configure(&files(node)))?;
        scene.start_all(0)?;
        let all = "four links on which the other is heard";
        let is_whole = |status: &tests::status::Status| {
            status.links.len() == 4 && status.links.iter().all(|link| link.peers.iter().all(|peer| peer.up))
        };
        (0..2).try_for_each(|node| scene.shows(node, all, is_whole))?;
        for node in 0..2 {
            let (v4, v6) = (scene.lan.address(node, Network::Eth0), scene.lan.address6(node, Network::Eth0));
            let (group, group6): (IpAddr, IpAddr) = ("239.0.0.1".parse()?, "ff02::694".parse()?);
            for (to, port) in [(v4.into(), 694), (v6.into(), 694), (group, 6940), (group6, 6940)] {
                let before = of(scene, node)?;
                // Sent until it is seen: a datagram may be lost.
                scene.until(&format!("what came to {to} is counted on node {node}"), |scene| {
                    send_as_stranger(&scene.lan, SocketAddr::new(to, port)).is_ok()
                        && of(scene, node)
                            .is_ok_and(|now| now.iter().zip(&before).all(|(now, old)| now > old))
                })?;
            }
        }
        (0..2).try_for_each(|node| scene.shows(node, all, is_whole))?;
        scene.settles_on(0)?;
        for host in &scene.hosts {
            ensure!(!host.found_dead(), "{} declared somebody dead", host.name());
        }
        ensure!(
            scene.hosts[1].script_calls().iter().all(|call| !call.ends_with("start")),
            "nothing was started"
        );
        Ok(())
    });
}

/// The broadcast address goes with the address of the interface.
#[test]
fn a_changed_broadcast_address_is_followed() {
    play(
        &[Kind::Bcast],
        |files| files.directive("deadtime", "2s"),
        |scene| {
            scene.start_all(0)?;
            for node in 0..2 {
                let (old, new) =
                    (scene.lan.address(node, Network::Eth0), Ipv4Addr::new(192, 0, 3, 11 + node as u8));
                scene.lan.add_address(node, new)?;
                scene.lan.delete_address(node, old)?;
            }
            for node in 0..2 {
                scene.shows(node, "the new broadcast address", |status| {
                    status.link("eth0").is_some_and(|link| link.group.as_deref() == Some("192.0.3.255:694"))
                })?;
                scene.shows(node, "the other at its new address", |status| {
                    status.link("eth0").is_some_and(|link| {
                        let peer = link.peers.first();
                        let at = |peer: &tests::status::Peer| {
                            peer.address.as_deref().unwrap_or("").starts_with("192.0.3.")
                        };
                        peer.is_some_and(|peer| peer.up && at(peer))
                    })
                })?;
            }
            Ok(())
        },
    );
}

/// The port of a node whose agent is not there is refused by its kernel: that is told, and proves nothing.
#[test]
fn a_refused_port_is_told_and_moves_nothing() {
    play(
        &[Kind::Ucast, Kind::Mcast],
        |files| files,
        |scene| {
            scene.start_all(0)?;
            scene.hosts[1].stop_agent(Duration::from_secs(20))?;
            scene.logs(0, "Link eth0: frames are refused: nobody listens on the port there")?;
            scene.shows(0, "the refusal", |status| {
                status.link("eth0").is_some_and(|link| {
                    link.trouble
                        .as_deref()
                        .is_some_and(|trouble| trouble.starts_with("frames to server2 are refused"))
                })
            })?;
            scene.stays(0, Duration::from_millis(500))?;
            scene.start(&[1])?;
            scene.settles_on(0)
        },
    );
}

/// A cable that is pulled and plugged in again: told, nobody moves, and the group is joined again.
#[test]
fn a_pulled_cable_is_told_and_the_group_is_joined_again() {
    play(
        &[Kind::Ucast, Kind::Mcast],
        |files| files,
        |scene| {
            scene.start_all(0)?;
            scene.lan.pull(0, Network::Eth1)?;
            scene.logs(0, "Link eth1 dead.")?;
            scene.shows(0, "that the link is down", |status| {
                status.link("eth1").is_some_and(|link| !link.up)
            })?;
            scene.stays(0, Duration::from_millis(500))?;
            scene.lan.heal(0)?;
            scene.logs(0, "Link eth1 up.")?;
            for node in 0..2 {
                scene.shows(node, "the other on eth1", |status| {
                    status.link("eth1").is_some_and(|link| link.up && link.peers.iter().all(|peer| peer.up))
                })?;
            }
            ensure!(!scene.hosts[1].found_dead(), "nobody was declared dead");
            Ok(())
        },
    );
}

/// Heartbeat refuses to start with a link whose interface is not there; so does xbeat, and says which there are.
#[test]
fn an_interface_that_is_not_there_is_refused_at_start() {
    let files = Files::howto_001().brisk().links("mcast eth7 239.0.0.1 694 1 0\n");
    tests::scene::play(&NODES, &files, |scene| {
        scene.start(&[0])?;
        let code = scene.ends(0)?;
        ensure!(code != Some(0), "exit {code:?}");
        scene.logs(0, "mcast eth7: there is no such interface")
    });
}
