//! Heartbeat's commands by their old names, against real agents: the binary under test, called by a link of that name.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use tests::files::Files;
use tests::hooks::{HOOK, hook, hooks, shell};
use tests::host::Host;
use tests::lan::VIP;
use tests::scene::{LIMIT, Scene, play};
use tests::wait::eventually;
use tests::wire::Wire;

const NODES: [&str; 2] = ["server1", "server2"];

/// The same, which must print `out` to stdout and end with `code`.
fn says(scene: &Scene, node: usize, line: &str, out: &str, code: i32) -> Result<()> {
    let output = scene.hosts[node].old(line)?;
    let name = scene.lan.name(node);
    ensure!(output.stdout == out && output.status.code() == Some(code), "{line} on {name}: {output:?}");
    Ok(())
}

#[test]
fn cl_status_tells_how_things_stand() {
    play(&NODES, &Files::howto_001().brisk(), |scene| {
        says(scene, 0, "cl_status hbstatus", "Heartbeat is stopped on this machine.\n", 1)?;
        says(scene, 0, "cl_status nodestatus server1", "", 1)?;
        scene.start_all(0)?;
        for (line, out, code) in [
            ("cl_status hbstatus", "Heartbeat is running on this machine.\n", 0),
            ("cl_status listnodes", "server2\nserver1\n", 0),
            ("cl_status nodestatus server2", "active\n", 0),
            ("cl_status nodetype server2", "normal\n", 0),
            ("cl_status listhblinks server2", "\teth0\n", 0),
            ("cl_status hblinkstatus server2 eth0", "up\n", 0),
            ("cl_status hblinkstatus server2 eth7", "", 13),
            ("cl_status nodestatus nobody", "", 11),
            ("cl_status clientstatus server2 ipfail", "offline\n", 1),
            ("cl_status rscstatus", "local\n", 0),
            ("cl_status hbparameter -p deadtime", "100ms\n", 0),
            ("cl_status hbparameter -p nonsense", "", 1),
            ("cl_status nonsense", "", 11),
        ] {
            says(scene, 0, line, out, code)?;
        }
        scene.power_off(1)?;
        scene.shows(0, "server2 dead", |status| status.node_status("server2") == "dead")?;
        says(scene, 0, "cl_status nodestatus server2", "dead\n", 1)?;
        says(scene, 0, "cl_status hblinkstatus server2 eth0", "dead\n", 1)?;
        says(scene, 0, "cl_status rscstatus", "all\n", 0)
    });
}

#[test]
fn hb_standby_and_hb_takeover_move_the_groups_and_come_back_when_it_is_done() {
    let files = Files::howto_001().brisk().directive("auto_failback", "off");
    play(&NODES, &files, |scene| {
        scene.start_all(0)?;
        // Nothing is foreign to who is at home.
        for (node, line, owner) in [
            (0, "hb_standby", 1),
            (0, "hb_takeover local", 0),
            (1, "hb_takeover all", 1),
            (1, "hb_standby failback", 0),
            (0, "hb_standby local", 1),
            (0, "hb_takeover failback", 0),
        ] {
            let output = scene.hosts[node].old(line)?;
            ensure!(output.status.success(), "{line}: {output:?}");
            scene.settles_on(owner)?;
        }
        for line in
            ["hb_standby nonsense", "hb_takeover all local", "hb_standby --help", "hb_standby 192.0.2.100"]
        {
            let output = scene.hosts[0].old(line)?;
            ensure!(
                output.status.code() == Some(1) && output.stderr.contains("usage:"),
                "{line}: {output:?}"
            );
        }
        scene.settles_on(0)?;
        // Done is done, and not done says why.
        scene.power_off(1)?;
        scene.shows(0, "server2 dead", |status| status.node_status("server2") == "dead")?;
        let output = scene.hosts[0].old("hb_standby")?;
        ensure!(output.status.code() == Some(1) && !output.stderr.is_empty(), "{output:?}");
        Ok(())
    });
}

#[test]
fn heartbeat_starts_asks_reloads_and_stops() {
    play(&NODES, &Files::howto_001().brisk(), |scene| {
        says(scene, 0, "heartbeat -s", "heartbeat is stopped. No process\n", 3)?;
        let output = scene.hosts[0].old("heartbeat -k")?;
        ensure!(output.status.success() && output.stderr.contains("already stopped"), "{output:?}");

        scene.hosts[0].configure(&Files::howto_001().brisk().line("nonsense 7"))?;
        let output = scene.hosts[0].old("heartbeat")?;
        ensure!(output.status.code() == Some(6) && output.stderr.contains("nonsense"), "{output:?}");
        says(scene, 0, "heartbeat -s", "heartbeat is stopped. No process\n", 3)?;

        scene.hosts[0].configure(&Files::howto_001().brisk())?;
        let output = scene.hosts[0].old("heartbeat")?;
        ensure!(output.status.success(), "{output:?}");
        scene.start(&[1])?;
        scene.serves(0)?;
        let output = scene.hosts[0].old("heartbeat -s")?;
        let said = output.stdout.starts_with("heartbeat OK [pid ")
            && output.stdout.ends_with(" et al] is running on server1 [server1]...\n");
        ensure!(said && output.status.success(), "{output:?}");
        let again = scene.hosts[0].old("heartbeat")?;
        ensure!(again.status.success() && again.stderr.contains("already running [pid "), "{again:?}");

        let output = scene.hosts[0].old("heartbeat -r")?;
        ensure!(output.status.success(), "{output:?}");
        scene.hosts[0].configure(&Files::howto_001().brisk().directive("keepalive", "7x"))?;
        let output = scene.hosts[0].old("heartbeat -r")?;
        ensure!(output.status.code() == Some(6) && output.stderr.contains("7x"), "{output:?}");
        ensure!(scene.hosts[0].old("heartbeat -x")?.status.code() == Some(2));

        says(scene, 0, "heartbeat -k", "", 0)?;
        says(scene, 0, "heartbeat -s", "heartbeat is stopped. No process\n", 3)?;
        scene.serves(1)
    });
}

/// LSB tells what has died from what was stopped.
#[test]
fn what_is_left_of_a_dead_daemon_has_a_code_of_its_own() {
    play(&NODES, &Files::howto_001().brisk(), |scene| {
        scene.start_all(0)?;
        scene.hosts[0].agent()?.signal(Signal::SIGKILL)?;
        scene.ends(0)?;
        says(scene, 0, "heartbeat -s", "heartbeat is stopped. No process\n", 1)
    });
}

#[test]
fn send_arp_is_seen_on_the_wire() {
    play(&NODES, &Files::howto_001().brisk(), |scene| {
        let host = &scene.hosts[0];
        let pidfile = host.run_dir().join("send_arp.pid");
        for mac in ["auto", "0200c0000264"] {
            let wire = Wire::listen(&scene.lan, 0)?;
            let line = format!(
                "send_arp -i 10 -r 3 -p {} eth0 {VIP} {mac} 192.0.2.255 255.255.255.0",
                pidfile.display()
            );
            let output = host.old(&line)?;
            ensure!(output.status.success(), "{output:?}");
            wire.mark()?;
            let sent = wire.until_mark()?.into_iter().filter(|sent| sent.arp && sent.from == VIP).count();
            // A request and a reply each time.
            ensure!(sent == 6, "{sent} announcements with {mac}");
            eventually(LIMIT, "the pid file is gone", || !pidfile.exists())?;
        }
        for wrong in ["send_arp eth9 192.0.2.1 auto x x", "send_arp eth0 192.0.2.1 nonsense x x", "send_arp"]
        {
            let output = host.old(wrong)?;
            ensure!(output.status.code() == Some(1) && !output.stderr.is_empty(), "{wrong}: {output:?}");
        }
        Ok(())
    });
}

/// Heartbeat's own, as its package left it.
const OWN_HOOK: &str = "#!/bin/sh\necho own >> \"@STATE@/hooks\"\n$HA_BIN/mach_down $HA_src\n";

#[test]
fn programs_of_old_speak_by_the_fifo_and_hear_by_rc_d() {
    let files = Files::howto_001().brisk().directive("auto_failback", "off");
    play(&NODES, &files, |scene| {
        for (host, text) in scene.hosts.iter().zip([HOOK, OWN_HOOK]) {
            hook(host, "status", text)?;
            hook(host, "backup_done", HOOK)?;
        }
        scene.start_all(0)?;
        let told = |node: usize, line: &'static str| {
            move |scene: &Scene| hooks(&scene.hosts[node]).lines().any(|told| told.trim() == line)
        };
        scene.until("the hook was told of server2", told(0, "status server2 active  server1"))?;

        // What hb_standby of old wrote; and before it what anybody might.
        shell(&scene.hosts[0], "head -c 100000 /dev/urandom > $FIFO; printf '\\n>>>\\nt=nonsense' > $FIFO")?;
        shell(
            &scene.hosts[0],
            "printf '\\n>>>\\nt=ask_resources\\nrsc_hold=all\\ninfo=me\\n<<<\\n' > $FIFO",
        )?;
        scene.settles_on(1)?;
        shell(&scene.hosts[0], "printf '>>>\\nt=hb_takeover\\nrsc_hold=local\\n<<<\\n' > $FIFO")?;
        scene.settles_on(0)?;
        shell(&scene.hosts[1], "printf '>>>\\nt=backup_done\\ninfo=tonight\\n<<<\\n' > $FIFO")?;
        scene.until("the hook was told of the backup", told(1, "backup_done server2  tonight server2"))?;
        // Heartbeat's own machinery would have started resources behind the election's back.
        ensure!(!hooks(&scene.hosts[1]).contains("own"), "{}", hooks(&scene.hosts[1]));
        scene.logs(1, "rc.d/status is not run: it calls mach_down")?;

        scene.power_off(1)?;
        scene.until("the hook was told of the death", told(0, "status server2 dead  server1"))
    });
}

/// What a program writes on one node is told to the hooks of all, each message once and in order, with its sender's name: by the
/// kernel programs, and without them.
#[test]
fn a_message_by_the_fifo_of_one_node_reaches_rc_d_on_all() {
    const ALL: [&str; 3] = ["server1", "server2", "server3"];
    let long = "x".repeat(450);
    for xdp in ["auto", "off"] {
        let files = Files::cluster(&ALL, "server1 192.0.2.100\n").directive("xdp", xdp);
        play(&ALL, &files, |scene| {
            scene.hosts.iter().try_for_each(|host| hook(host, "backup_done", HOOK))?;
            scene.start_all(0)?;
            let message = "printf '>>>\\nt=backup_done\\nsrc=nobody\\ninfo=%s\\nmore=%s\\n<<<\\n'";
            let writes = format!("for n in $(seq 20); do {message} $n {long} > $FIFO; done");
            shell(&scene.hosts[1], &writes)?;
            let told = |host: &Host| {
                let line = |n| format!("backup_done server2  {n} {}\n", host.name());
                (1..=20).map(line).collect::<String>()
            };
            scene.until("all hooks were told", |scene| {
                scene.hosts.iter().all(|host| hooks(host).len() >= told(host).len())
            })?;
            // Heartbeat's own are for this node alone, and one behind them shows that nothing came twice.
            shell(
                &scene.hosts[2],
                &format!("printf '>>>\\nt=status\\n<<<\\n' > $FIFO; {message} last > $FIFO"),
            )?;
            let ends = |host: &Host| format!("{}backup_done server3  last {}\n", told(host), host.name());
            scene.until("all hooks were told of the last one", |scene| {
                scene.hosts.iter().all(|host| hooks(host).contains("last"))
            })?;
            for host in &scene.hosts {
                ensure!(hooks(host) == ends(host), "{}: {}", host.name(), hooks(host));
                ensure!(
                    !host.log().contains("is ignored: xbeat moves") || host.index() == 2,
                    "{}",
                    host.log()
                );
            }
            Ok(())
        });
    }
}

#[test]
fn the_resource_manager_of_old_asks_and_moves() {
    let files = Files::cluster(&NODES, "server1 192.0.2.100 web\nserver2 other\n")
        .script("web", tests::files::RECORDING_SCRIPT)
        .script("other", tests::files::RECORDING_SCRIPT);
    play(&NODES, &files, |scene| {
        scene.start_in_turn(&[0, 1])?;
        scene.places(&[("192.0.2.100", 0), ("other", 1)])?;
        for (line, out, code) in [
            ("ResourceManager allkeys", "192.0.2.100\nother\n", 0),
            ("ResourceManager ourkeys", "192.0.2.100\n", 0),
            ("ResourceManager otherkeys", "other\n", 0),
            ("ResourceManager listkeys server2", "other\n", 0),
            ("ResourceManager status web", "running\n", 0),
            ("ResourceManager status 192.0.2.100", "running\n", 0),
            ("ResourceManager status other", "stopped\n", 1),
            ("ResourceManager statgroup 192.0.2.100", "ALL\n", 0),
            ("ResourceManager statgroup other", "NONE\n", 0),
            ("ResourceManager givegroup IPaddr::192.0.2.100", "", 0),
            ("ResourceManager statgroup 192.0.2.100", "NONE\n", 0),
            ("req_resource 192.0.2.100", "", 0),
            ("req_resource 192.0.2.100", "", 0),
            ("ResourceManager takegroup nonsense", "", 1),
            ("ResourceManager", "", 1),
            ("mach_down server2", "", 1),
            ("mach_down nobody", "", 1),
        ] {
            says(scene, 0, line, out, code)?;
        }
        scene.places(&[("192.0.2.100", 0), ("other", 1)])?;
        let output = scene.hosts[0].old("ResourceManager verifyallidle")?;
        ensure!(
            output.stderr == "CRITICAL: Resource 192.0.2.100 is active, and should not be!\n",
            "{output:?}"
        );
        scene.power_off(1)?;
        scene.places(&[("192.0.2.100", 0), ("other", 0)])?;
        says(scene, 0, "mach_down server2", "mach_down: xbeat takes over from server2 by itself\n", 0)
    });
}
