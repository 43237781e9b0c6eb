//! The null-modem cable: real agents at both ends of two pseudo terminals, see `tests::cable`.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use reflex::Frame;
use tests::cable::Cable;
use tests::files::Files;
use tests::hooks::{HOOK, hook, hooks, shell};
use tests::host::Host;
use tests::lan::{Lan, Network, Wiring};
use tests::scene::{Scene, play};
use tests::status::{Line, Status};
use xbeat::links::serial::framing::encode;

const NODES: [&str; 2] = ["server1", "server2"];
const ROUTERS: [&str; 2] = ["julius", "caesar"];

/// How often each fault of the cable is made here; `cargo run -p bench -- serial --repeat 100` does it more often.
const REPEAT: u64 = 2;

/// What each end of the cable has in its ha.cf: the same but for the device.
fn configure(scene: &Scene, files: impl Fn(usize) -> Files) -> Result<()> {
    scene.hosts.iter().enumerate().try_for_each(|(node, host)| host.configure(&files(node)))
}

/// Short times, but both nodes wait for each other at the start, however long the other takes, and neither is fenced for a
/// moment in which the machine stands still.
fn patient(files: Files, baud: u32) -> Files {
    files.brisk().directive("initdead", "60s").directive("lease", "3s").directive("baud", &baud.to_string())
}

/// How-to 001 with a cable beside the network. Its deadtime has room for a machine that is busy with other things.
fn with_network(cable: &Cable, baud: u32, node: usize) -> Files {
    let device = cable.device(node);
    patient(Files::howto_001(), baud).line(&format!("serial {0}\nlinkdead {0} 4s", device.display()))
}

/// How-to 003: the line's deadtime is the lease and a little more.
fn without_network(cable: &Cable, baud: u32, node: usize) -> Files {
    patient(Files::howto_003(&cable.device(node)), baud)
}

fn serial<'a>(status: &'a Status, cable: &Cable, node: usize) -> Option<&'a tests::status::Link> {
    status.link(cable.device(node).to_str()?)
}

fn line(scene: &Scene, cable: &Cable, node: usize) -> Result<Line> {
    let status = scene.status(node)?;
    serial(&status, cable, node).and_then(|link| link.line.clone()).context("no line in the status")
}

/// Waits until both ends hear each other over the cable, or neither does.
fn heard(scene: &Scene, cable: &Cable, up: bool) -> Result<()> {
    (0..2).try_for_each(|node| {
        scene.shows(node, &format!("the cable up: {up}"), |status| {
            serial(status, cable, node)
                .is_some_and(|link| !link.peers.is_empty() && link.peers.iter().all(|peer| peer.up == up))
        })
    })
}

/// The page of `xbeat status`, in one line: it wraps long ones.
fn page(scene: &Scene, node: usize, code: i32) -> Result<String> {
    Ok(scene.xbeat(node, &["status"], code)?.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Waits until that page says so.
fn says(scene: &Scene, node: usize, text: &str) -> Result<()> {
    scene.until(&format!("the status page of node {node} says {text:?}"), |scene| {
        let page = scene.hosts[node].command(&["status"]).map(|page| page.stdout);
        page.is_ok_and(|page| page.split_whitespace().collect::<Vec<_>>().join(" ").contains(text))
    })
}

#[test]
fn over_the_cable_alone_a_group_goes_to_and_fro_by_standby_and_by_takeover() {
    let cable = Cable::new(115_200).unwrap();
    play(&ROUTERS, &without_network(&cable, 115_200, 0), |scene| {
        configure(scene, |node| without_network(&cable, 115_200, node))?;
        scene.start_all(0)?;
        heard(scene, &cable, true)?;
        for (node, command, owner) in
            [(0, "standby", 1), (1, "standby", 0), (1, "takeover", 1), (0, "takeover", 0)]
        {
            scene.xbeat(node, &[command], 0)?;
            scene.settles_on(owner)?;
        }
        let page = page(scene, 0, 0)?;
        ensure!(page.contains("serial"), "{page}");
        ensure!(!scene.hosts[0].found_dead(), "nobody was declared dead");
        Ok(())
    });
}

/// Letters wait for probes and pongs, and no longer than a try or two: nobody is declared dead for them.
#[test]
fn over_the_cable_alone_messages_of_programs_reach_rc_d_at_the_other_end_once() {
    let cable = Cable::new(115_200).unwrap();
    play(&ROUTERS, &without_network(&cable, 115_200, 0), |scene| {
        configure(scene, |node| without_network(&cable, 115_200, node))?;
        scene.hosts.iter().try_for_each(|host| hook(host, "backup_done", HOOK))?;
        scene.start_all(0)?;
        heard(scene, &cable, true)?;
        let write = |n: usize, info: &str| {
            format!("printf '>>>\\nt=backup_done\\ninfo={n}\\nmore={info}\\n<<<\\n' > $FIFO")
        };
        let long = "x".repeat(450);
        for n in 0..5 {
            shell(&scene.hosts[n % 2], &write(n, &long))?;
            let told = |host: &Host, n: usize| {
                let line = |n: usize| format!("backup_done {}  {n} {}\n", ROUTERS[n % 2], host.name());
                (0..=n).map(line).collect::<String>()
            };
            scene.until("both hooks were told", |scene| {
                scene.hosts.iter().all(|host| hooks(host) == told(host, n))
            })?;
        }
        ensure!(scene.hosts.iter().all(|host| !host.found_dead()), "nobody was declared dead");
        Ok(())
    });
}

#[test]
fn over_the_cable_alone_the_death_of_the_owner_and_of_its_agent_are_noticed() {
    let cable = Cable::new(115_200).unwrap();
    play(&ROUTERS, &without_network(&cable, 115_200, 0), |scene| {
        configure(scene, |node| without_network(&cable, 115_200, node))?;
        scene.start_all(0)?;
        scene.power_off(0)?;
        scene.settles_on(1)?;
        scene.power_on(0)?;
        // No return: `auto_failback off`.
        scene.settles_on(1)?;
        // Its kernel fences at once, and has no way to say so: silence tells it.
        scene.hosts[1].kill_agent()?;
        scene.serves(0)
    });
}

/// Nothing tells over the cable that a frozen agent's kernel has fenced: the line's deadtime waits for it.
#[test]
fn over_the_cable_alone_a_frozen_agent_is_fenced_before_the_other_serves() {
    let cable = Cable::new(115_200).unwrap();
    play(&ROUTERS, &without_network(&cable, 115_200, 0), |scene| {
        configure(scene, |node| without_network(&cable, 115_200, node))?;
        scene.start_all(0)?;
        scene.hosts[0].agent()?.signal(Signal::SIGSTOP)?;
        scene.serves(1)?;
        scene.stays(1, Duration::from_millis(500))?;
        scene.hosts[0].agent()?.signal(Signal::SIGCONT)?;
        scene.settles_on(1)
    });
}

#[test]
fn the_network_is_cut_and_the_cable_is_whole_so_nobody_moves_and_both_say_why() {
    let cable = Cable::new(115_200).unwrap();
    play(&NODES, &with_network(&cable, 115_200, 0), |scene| {
        configure(scene, |node| with_network(&cable, 115_200, node))?;
        scene.start_all(0)?;
        heard(scene, &cable, true)?;
        scene.lan.silence(1)?;
        for node in 0..2 {
            scene.shows(node, "the network silent", |status| {
                status.link("eth0").is_some_and(|link| link.peers.iter().all(|peer| !peer.up))
            })?;
        }
        scene.keeps_answering(0, Duration::from_secs(2))?;
        let device = |node| cable.device(node).display().to_string();
        says(scene, 1, &format!("not taken over: server1 is alive on {}", device(1)))?;
        says(scene, 0, &format!("server2 does not take over: it is alive on {}", device(0)))?;
        for node in 0..2 {
            ensure!(!scene.hosts[node].found_dead(), "node {node} declared somebody dead");
            let status = scene.status(node)?;
            ensure!(status.owner("IPaddr::192.0.2.100") == Some("server1"), "{:?}", status.groups);
        }
        // Then the owner is silent on both, each by its own clock: that is its end. (It is alive, so it serves beside it,
        // where nobody reaches it: its cable to the clients is cut in this scene.)
        scene.lan.heal(1)?;
        scene.settles_on(0)?;
        scene.power_off(0)?;
        scene.serves(1)
    });
}

/// A frame in the name of the other node for the one at `end`.
fn frame_of_nobody(end: usize) -> Frame {
    let mut frame = Frame::default();
    frame.set_kind(reflex::Kind::Probe);
    frame.set_key(1);
    frame.set_source(1 - end as u8);
    frame.set_destination(end as u8);
    frame.set_session(7);
    frame.set_seq(u64::MAX);
    frame
}

#[test]
fn the_cable_is_pulled_its_device_vanishes_and_noise_comes_and_nobody_moves() {
    let cable = Cable::new(115_200).unwrap();
    play(&NODES, &with_network(&cable, 115_200, 0), |scene| {
        configure(scene, |node| with_network(&cable, 115_200, node))?;
        scene.start_all(0)?;
        heard(scene, &cable, true)?;
        for round in 0..REPEAT {
            let end = (round % 2) as usize;
            cable.pull();
            heard(scene, &cable, false)?;
            cable.plug();
            heard(scene, &cable, true)?;

            let opened = line(scene, &cable, end)?.opened;
            cable.remove(end)?;
            scene.shows(end, "the device gone", |status| {
                serial(status, &cable, end).is_some_and(|link| !link.up)
            })?;
            heard(scene, &cable, false)?;
            says(scene, end, "is down: there is no /")?;
            cable.restore(end)?;
            heard(scene, &cable, true)?;
            ensure!(line(scene, &cable, end)?.opened > opened, "opened again");

            // Well made, and signed by nobody who has the key.
            let forged = |scene: &Scene| -> Result<u64> {
                Ok(scene.status(end)?.counters.get("bad_mac").copied().unwrap_or(0))
            };
            let before = forged(scene)?;
            cable.noise(end, encode(&frame_of_nobody(end)).bytes());
            scene.until("the forged frame counted", |scene| forged(scene).is_ok_and(|now| now > before))?;

            let (garbage, frames) = (line(scene, &cable, end)?.garbage, line(scene, &cable, end)?.frames_in);
            // Zeros among it, so that it is many pieces and not one.
            let noise: Vec<u8> =
                (0..2000u64).map(|i| ((i * (round + 7) * 2_654_435_761) >> 13) as u8).collect();
            cable.noise(end, &noise);
            scene.shows(end, "the noise counted, and frames after it", |status| {
                let line = serial(status, &cable, end).and_then(|link| link.line.as_ref());
                line.is_some_and(|line| line.garbage > garbage && line.frames_in > frames + 10)
            })?;
        }
        scene.settles_on(0)?;
        for host in &scene.hosts {
            ensure!(!host.found_dead(), "{} declared somebody dead", host.name());
        }
        Ok(())
    });
}

#[test]
fn a_line_that_loses_bytes_still_carries_frames() {
    let cable = Cable::new(115_200).unwrap();
    play(&ROUTERS, &without_network(&cable, 115_200, 0), |scene| {
        // Most frames survive, and a deadtime of hundreds of probes is not reached by those that do not.
        configure(scene, |node| without_network(&cable, 115_200, node).directive("deadtime", "10s"))?;
        scene.start_all(0)?;
        cable.lose(Some(500));
        scene.until("both ends count broken frames, and go on", |scene| {
            (0..2).all(|node| {
                line(scene, &cable, node).is_ok_and(|line| line.garbage >= 20 && line.frames_in >= 100)
            })
        })?;
        scene.settles_on(0)?;
        cable.lose(None);
        ensure!(!scene.hosts[1].found_dead(), "nobody was declared dead");
        Ok(())
    });
}

#[test]
fn a_line_that_takes_nothing_drops_what_is_old_and_goes_on_when_it_may() {
    let cable = Cable::new(921_600).unwrap();
    play(&NODES, &with_network(&cable, 921_600, 0), |scene| {
        configure(scene, |node| with_network(&cable, 921_600, node))?;
        scene.start_all(0)?;
        heard(scene, &cable, true)?;
        cable.hold(0, true);
        scene.shows(0, "frames dropped, and the line down", |status| {
            let link = serial(status, &cable, 0);
            link.is_some_and(|link| !link.up && link.line.as_ref().is_some_and(|line| line.dropped > 10))
        })?;
        cable.hold(0, false);
        heard(scene, &cable, true)?;
        scene.shows(0, "the line up", |status| serial(status, &cable, 0).is_some_and(|link| link.up))?;
        scene.settles_on(0)
    });
}

#[test]
fn a_device_that_is_not_there_does_not_keep_a_dead_node_alive() {
    let cable = Cable::new(19_200).unwrap();
    cable.remove(1).unwrap();
    play(&NODES, &with_network(&cable, 19_200, 0), |scene| {
        configure(scene, |node| with_network(&cable, 19_200, node))?;
        scene.start_all(0)?;
        let status = scene.status(1)?;
        let link = serial(&status, &cable, 1).context("no link")?;
        ensure!(link.why.as_ref().is_some_and(|why| why.starts_with("there is no ")), "{link:?}");
        // What is in the status is what `xbeat check` warns of.
        let checked = scene.hosts[1].config_dir();
        let mut check = std::process::Command::new(tests::host::binary()?);
        check.arg("check").arg("--config-dir").arg(checked).args(["--node", NODES[1]]);
        let checked = scene.hosts[1].run(check, Duration::from_secs(30))?;
        let told = format!("{}{}", checked.stdout, checked.stderr);
        ensure!(told.contains("there is no "), "{told}");
        scene.power_off(0)?;
        scene.serves(1)
    });
}

#[test]
fn a_device_that_breaks_while_its_peer_is_silent_holds_the_verdict_for_its_deadtime_alone() {
    let cable = Cable::new(19_200).unwrap();
    play(&NODES, &with_network(&cable, 19_200, 0), |scene| {
        configure(scene, |node| with_network(&cable, 19_200, node))?;
        scene.start_all(0)?;
        heard(scene, &cable, true)?;
        cable.remove(1)?;
        scene.shows(1, "the device gone", |status| serial(status, &cable, 1).is_some_and(|link| !link.up))?;
        scene.power_off(0)?;
        scene.serves(1)
    });
}

fn without_linkdead(files: &Files) -> String {
    files.ha_cf.lines().filter(|line| !line.starts_with("linkdead")).map(|line| format!("{line}\n")).collect()
}

/// Waits for a dozen whole frames, beside which at most a few were dropped or broken. A machine that stands still may break some,
/// and so does who opens the line in its middle: then the next dozen counts. A line that is asked faster than it can carry drops
/// one for each.
fn in_peace(scene: &Scene, cable: &Cable) -> Result<()> {
    let mut begun: Option<Line> = None;
    scene.until("a dozen whole frames, and few that were dropped", |scene| {
        let Ok(now) = line(scene, cable, 0) else { return false };
        let from = begun.get_or_insert_with(|| now.clone());
        let whole = now.frames_in - from.frames_in;
        let lost = (now.dropped + now.garbage) - (from.dropped + from.garbage);
        if whole < 12 {
            return false;
        }
        begun = Some(now);
        lost * 4 <= whole
    })
}

fn is_asked_at_its_own_pace(baud: u32) {
    let cable = Cable::new(baud).unwrap_or_else(|error| panic!("{error:#}"));
    let by_default = |node| {
        let files = with_network(&cable, baud, node);
        Files { ha_cf: without_linkdead(&files), ..files }
    };
    play(&NODES, &by_default(0), |scene| {
        configure(scene, by_default)?;
        scene.start_all(0)?;
        heard(scene, &cable, true)?;
        in_peace(scene, &cable)?;
        let status = scene.status(0)?;
        let link = serial(&status, &cable, 0).context("no link")?;
        let told = link.line.as_ref().context("no line")?;
        ensure!(told.baud == baud, "{link:?}");
        ensure!(link.deadtime_us >= 100_000 && link.deadtime_us >= 4 * told.keepalive_us - 3, "{link:?}");
        // A frame takes some 75 bytes, and the cable is never faster than its rate.
        let rtt = link.peers.first().and_then(|peer| peer.rtt_us).context("no round trip")?;
        ensure!(rtt >= 2 * 60 * 10 * 1_000_000 / u64::from(baud), "faster than the line: {link:?}");
        scene.lan.silence(1)?;
        scene.keeps_answering(0, Duration::from_secs(2))?;
        ensure!(!scene.hosts[1].found_dead(), "the line vouches for server1");
        Ok(())
    });
}

#[test]
fn a_line_of_9600_baud_is_asked_at_its_own_pace() {
    is_asked_at_its_own_pace(9_600);
}

#[test]
fn a_line_of_19200_baud_is_asked_at_its_own_pace() {
    is_asked_at_its_own_pace(19_200);
}

#[test]
fn a_line_of_921600_baud_is_asked_at_its_own_pace() {
    is_asked_at_its_own_pace(921_600);
}

/// Two cables and two networks; all but one of the four paths fail, whichever is left.
#[test]
fn one_of_four_paths_is_enough() {
    let cables = [Cable::new(115_200).unwrap(), Cable::new(57_600).unwrap()];
    let lines = |node: usize| {
        let files = patient(Files::howto_001(), 57_600);
        let files = files.line("ucast eth1 198.51.100.11").line("ucast eth1 198.51.100.12");
        let devices = cables.each_ref().map(|cable| cable.device(node).display().to_string());
        let lines = devices.each_ref().map(|device| format!("linkdead {device} 4s"));
        files.line(&format!("serial {}\n{}", devices.join(" "), lines.join("\n")))
    };
    tests::scene::play_on(
        || Lan::new(&NODES, Wiring::Two),
        2,
        &lines(0),
        |scene| {
            configure(scene, lines)?;
            scene.start_all(0)?;
            cables.iter().try_for_each(|cable| heard(scene, cable, true))?;
            scene.lan.silence_on(1, Network::Eth1)?;
            scene.lan.silence_on(1, Network::Eth0)?;
            cables[0].pull();
            heard(scene, &cables[0], false)?;
            scene.keeps_answering(0, Duration::from_secs(1))?;
            cables[0].plug();
            heard(scene, &cables[0], true)?;
            cables[1].pull();
            heard(scene, &cables[1], false)?;
            scene.keeps_answering(0, Duration::from_secs(1))?;
            ensure!(!scene.hosts[1].found_dead(), "nobody was declared dead");
            cables[1].plug();
            scene.lan.heal(1)?;
            scene.settles_on(0)
        },
    );
}

/// Each node counts its links as they stand in its own file, and what is said of a link is about that link. One node has kernel
/// programs, the other has none.
#[test]
fn links_stand_in_another_order_on_the_other_node() {
    let cable = Cable::new(115_200).unwrap();
    let files = |node: usize| {
        let ucast =
            |network: &str, net: &str| format!("ucast {network} {net}.11\nucast {network} {net}.12\n");
        let device = cable.device(node).display().to_string();
        let networks = ucast("eth0", "192.0.2") + &ucast("eth1", "198.51.100");
        let lines = if node == 0 {
            format!("{networks}serial {device}\n")
        } else {
            format!("serial {device}\n{networks}")
        };
        let files = patient(Files::howto_001(), 115_200).directive("deadtime", "2s").links(&lines);
        files.directive("xdp", if node == 0 { "auto" } else { "off" }).line(&format!("linkdead {device} 5s"))
    };
    tests::scene::play_on(
        || Lan::new(&NODES, Wiring::Two),
        2,
        &files(0),
        |scene| {
            configure(scene, files)?;
            scene.start_all(0)?;
            let carry = |scene: &Scene, silent: Option<usize>| {
                (0..2).try_for_each(|node| {
                    let device = cable.device(node).display().to_string();
                    let names = ["eth0", "eth1", &device];
                    let what = format!("of three paths silent: {:?}", silent.map(|silent| names[silent]));
                    scene.shows(node, &what, |status| {
                        (0..3).all(|path| {
                            let link = status.link(names[path]);
                            let up = Some(path) != silent;
                            link.is_some_and(|link| {
                                !link.peers.is_empty() && link.peers.iter().all(|peer| peer.up == up)
                            })
                        })
                    })
                })
            };
            carry(scene, None)?;
            scene.lan.silence_on(1, Network::Eth1)?;
            carry(scene, Some(1))?;
            scene.lan.heal(1)?;
            carry(scene, None)?;
            cable.pull();
            carry(scene, Some(2))?;
            cable.plug();
            carry(scene, None)?;
            scene.settles_on(0)?;
            ensure!(!scene.hosts[1].found_dead(), "nobody was declared dead");
            scene.power_off(0)?;
            scene.serves(1)
        },
    );
}
