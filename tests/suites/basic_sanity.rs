//! BasicSanityCheck, which Heartbeat's package ran on one machine, restated: its twelve checks, in its order, on a node whose
//! partner never exists, with its own directives. Its own script looks for programs that no longer lie where it looks.

use anyhow::{Result, ensure};
use tests::files::{Files, RECORDING_SCRIPT};
use tests::lan::{Lan, VIP, Wiring};
use tests::scene::{Scene, play_on};
use tests::wire::Wire;

/// The one that is, and one more station for the wire.
const STATIONS: [&str; 2] = ["localnode", "stranger"];
const DEAD: &str = "imalwaysdead";

/// As the script writes it, with the addresses of this harness.
const HA_CF: &str = "\
keepalive 10ms
deadtime 1
initdead 3
stonith_host * null localnode imalwaysdead
mcast eth0 239.192.0.1 694 1 0
ping 192.0.2.50
ping_group ping1 192.0.2.50 192.0.2.12
respawn root /usr/lib/heartbeat/ipfail
respawn root /usr/sbin/xbeat-test-client
apiauth ccm uid=root
auto_failback off
logfile /var/log/ha-log
debugfile /var/log/ha-debug
debug 1
node localnode
node imalwaysdead
";

/// A client that ends twice and then stays.
const CLIENT: &str = "#!/bin/sh\necho client >> \"@STATE@/calls\"\n[ $(grep -c client \"@STATE@/calls\") -lt 3 ] && exit 1\nexec sleep 1000\n";

fn says(scene: &Scene, line: &str, out: &str, code: i32) -> Result<()> {
    let output = scene.hosts[0].old(line)?;
    ensure!(output.stdout == out && output.status.code() == Some(code), "{line}: {output:?}");
    Ok(())
}

#[test]
fn the_twelve_checks_of_basic_sanity_check() {
    let files = Files::howto_001().haresources("localnode IPaddr::192.0.2.100 web\n");
    let files = Files { ha_cf: HA_CF.to_owned(), ..files }.script("web", RECORDING_SCRIPT);
    play_on(
        || Lan::new(&STATIONS, Wiring::One),
        1,
        &files,
        |scene| {
            scene.hosts[0].install("/usr/sbin/xbeat-test-client".as_ref(), Some(CLIENT))?;
            // 1, 2: it is stopped, and says so by both commands.
            says(scene, "heartbeat -s", "heartbeat is stopped. No process\n", 3)?;
            says(scene, "cl_status hbstatus", "Heartbeat is stopped on this machine.\n", 1)?;
            // 3: it starts; the address is announced.
            let wire = Wire::listen(&scene.lan, 0)?;
            let output = scene.hosts[0].old("heartbeat")?;
            ensure!(output.status.success(), "{output:?}");
            scene.shows(0, "the group", |status| {
                status.group("IPaddr::192.0.2.100").is_some_and(|group| group.state == "started")
            })?;
            scene.serves(0)?;
            wire.mark()?;
            ensure!(wire.until_mark()?.iter().any(|sent| sent.arp && sent.from == VIP), "no gratuitous ARP");
            // 4, 5, 6: it runs, it is active, it holds everything.
            says(scene, "cl_status hbstatus", "Heartbeat is running on this machine.\n", 0)?;
            says(scene, "cl_status nodestatus localnode", "active\n", 0)?;
            says(scene, "cl_status rscstatus", "all\n", 0)?;
            // 7: the other one is dead and was reset, before what could do harm twice was started.
            says(scene, &format!("cl_status nodestatus {DEAD}"), "dead\n", 1)?;
            let debug = || std::fs::read_to_string(scene.hosts[0].log_dir().join("ha-debug"));
            let log = debug()?;
            let at =
                |text: &str| log.find(text).ok_or_else(|| anyhow::anyhow!("no {text:?} in the log:\n{log}"));
            ensure!(at("node imalwaysdead: is dead")? < at("Resetting node imalwaysdead with")?);
            ensure!(at("node imalwaysdead now reset")? < at("resource.d/web start")?);
            // 8: the resource's own status agrees.
            says(scene, "ResourceManager status IPaddr::192.0.2.100", "running\n", 0)?;
            // 9: clients are started again.
            scene.until("the client stays", |scene| {
                scene.hosts[0].script_calls().iter().filter(|call| *call == "client").count() == 3
            })?;
            // 10: ping nodes are seen.
            for ping in ["192.0.2.50", "ping1"] {
                let line = format!("cl_status nodestatus {ping}");
                scene.until(&line, |scene| says(scene, &line, "ping\n", 0).is_ok())?;
            }
            // 11: new files, and three times new keys, while it serves.
            let files = Files { ha_cf: HA_CF.replace("debug 1", "debug 0"), ..files.clone() };
            scene.hosts[0].configure(&files)?;
            for authkeys in
                ["auth 1\n1 crc\n", "auth 2\n1 crc\n2 md5 one\n", "auth 3\n2 md5 one\n3 sha1 two\n"]
            {
                scene.hosts[0].configure(&Files { authkeys: authkeys.to_owned(), ..files.clone() })?;
                let output = scene.hosts[0].old("heartbeat -r")?;
                ensure!(output.status.success(), "{output:?}");
            }
            scene.serves(0)?;
            ensure!(scene.hosts[0].script_calls().iter().filter(|call| *call == "web start").count() == 1);
            // 12: it stops, and leaves nothing.
            says(scene, "heartbeat -k", "", 0)?;
            scene.until("nothing is left", |scene| {
                scene.nobody_serves() && scene.lan.node(0).processes().is_empty()
            })?;
            scene.has_addresses(0, false)?;
            let log = debug()?;
            ensure!(log.contains("localnode Heartbeat shutdown complete."), "{log}");
            // The two ends of the client; and nobody else was there who could have had the group at the end.
            let meant = ["Respawning client", "nobody can take it"];
            let is_bad = |line: &&str| line.contains("ERROR") || line.contains("CRIT");
            let bad: Vec<&str> = log
                .lines()
                .filter(is_bad)
                .filter(|line| !meant.iter().any(|meant| line.contains(meant)))
                .collect();
            ensure!(bad.is_empty(), "{bad:#?}");
            Ok(())
        },
    );
}
