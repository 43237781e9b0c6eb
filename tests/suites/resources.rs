//! Resources of every kind on real agents: units, OCF agents, built-in ones; what dies, does not stop, or prints without end.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::files::{Files, RECORDING_SCRIPT};
use tests::scene::{LIMIT, Scene, play};
use tests::wait::{eventually, pause};

const NODES: [&str; 2] = ["server1", "server2"];
const KEY: &str = "192.0.2.100";
const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

fn state(scene: &Scene, node: usize) -> String {
    scene.status(node).ok().and_then(|status| Some(status.group(KEY)?.state.clone())).unwrap_or_default()
}

fn count(scene: &Scene, node: usize, call: &str) -> usize {
    scene.hosts[node].script_calls().iter().filter(|known| *known == call).count()
}

/// Writes a program into the node's configuration directory, which is on the `PATH` of scripts.
fn program(scene: &Scene, node: usize, name: &str, text: &str) -> Result<()> {
    let host = &scene.hosts[node];
    let text = text.replace("@RUN@", &host.run_dir().display().to_string());
    let text = text.replace("@STATE@", &host.state_dir().display().to_string());
    let path = host.config_dir().join(name);
    fs::create_dir_all(path.parent().context("a directory")?)?;
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// What `ip` says on the node.
fn ip(scene: &Scene, node: usize, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("ip");
    command.args(arguments);
    Ok(scene.hosts[node].run(command, LIMIT)?.stdout)
}

/// There is no systemd in a network namespace: its `systemctl` is a script that keeps its contract.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "systemctl $*" >> "@STATE@/calls"
for unit; do :; done
[ "$unit" = web ] || [ "$unit" = web.service ] || { [ $1 = show ] && echo not-found; exit 4; }
flag="@RUN@/unit.started"
case "$1" in
  show) echo loaded ;;
  start) : > "$flag" ;;
  stop) rm -f "$flag" ;;
  is-active) if [ -e "$flag" ]; then echo active; else echo inactive; exit 3; fi ;;
esac
"#;

#[test]
fn systemd_units_move_with_their_group() {
    let files = Files::cluster(&NODES, "server1 192.0.2.100 systemd::web.service web\n");
    play(&NODES, &files, |scene| {
        (0..2).try_for_each(|node| program(scene, node, "systemctl", SYSTEMCTL))?;
        scene.start_all(0)?;
        ensure!(count(scene, 0, "systemctl start web.service") == 1);
        // Under its plain name it is the same unit, and runs already.
        ensure!(
            count(scene, 0, "systemctl is-active web") == 1 && count(scene, 0, "systemctl start web") == 0
        );
        scene.xbeat(0, &["standby"], 0)?;
        scene.settles_on(1)?;
        ensure!(!scene.hosts[0].run_dir().join("unit.started").exists());
        ensure!(scene.hosts[1].run_dir().join("unit.started").exists());
        Ok(())
    });
}

const OCF_AGENT: &str = r#"#!/bin/sh
echo "$OCF_RESOURCE_TYPE $1 $OCF_RESKEY_size" >> "@STATE@/calls"
flag="@RUN@/ocf.started"
case "$1" in
  start) : > "$flag" ;;
  stop) rm -f "$flag" ;;
  monitor) [ -e "$flag" ] || exit 7 ;;
  *) exit 3 ;;
esac
"#;

#[test]
fn ocf_agents_move_with_their_group() {
    let files = Files::cluster(&NODES, "server1 192.0.2.100 ocf::xbeat-test::Thing::size=9\n");
    play(&NODES, &files, |scene| {
        for (node, name) in NODES.iter().enumerate() {
            program(scene, node, "ocf/resource.d/xbeat-test/Thing", OCF_AGENT)?;
            let root = scene.hosts[node].config_dir().join("ocf");
            scene.hosts[node].start_agent_with(|command| {
                command.args(["--node", name]).env("OCF_ROOT", root);
            })?;
            scene.shows(node, "anything", |_| true)?;
        }
        scene.settles_on(0)?;
        ensure!(scene.hosts[0].script_calls() == ["Thing monitor 9", "Thing start 9"]);
        scene.xbeat(0, &["standby"], 0)?;
        scene.settles_on(1)?;
        ensure!(count(scene, 0, "Thing stop 9") == 1 && count(scene, 1, "Thing start 9") == 1);
        Ok(())
    });
}

/// A mail relay on the node's loopback; the mails' subjects.
fn relay(scene: &Scene, node: usize) -> Result<Receiver<String>> {
    let listener = scene.lan.node(node).run(|| TcpListener::bind("127.0.0.1:2525"))??;
    let (told, subjects) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.map(|stream| take_mail(stream, &told));
        }
    });
    Ok(subjects)
}

fn take_mail(mut stream: std::net::TcpStream, told: &std::sync::mpsc::Sender<String>) -> Result<()> {
    stream.write_all(b"220 relay\r\n")?;
    let mut data = false;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        if data {
            if let Some(subject) = line.strip_prefix("Subject: ") {
                told.send(subject.to_owned())?;
            }
            data = line != ".";
        } else {
            data = line == "DATA";
        }
        let answer: &[u8] = match line.as_str() {
            "DATA" => b"354 go on\r\n",
            "QUIT" => return Ok(()),
            _ if data => b"",
            _ => b"250 fine\r\n",
        };
        stream.write_all(answer)?;
    }
    Ok(())
}

#[test]
fn mail_to_tells_who_takes_over_and_who_releases() {
    let files = Files::cluster(&NODES, "server1 192.0.2.100 MailTo::alerts@example.org::JuliusCaesar\n")
        .directive("mailer", "127.0.0.1:2525");
    play(&NODES, &files, |scene| {
        let subjects = [relay(scene, 0)?, relay(scene, 1)?];
        scene.start_all(0)?;
        let up = subjects[0].recv_timeout(LIMIT)?;
        ensure!(
            up.starts_with("JuliusCaesar Takeover in progress at ") && up.ends_with(" on server1"),
            "{up}"
        );
        // The agent ends: its last mail is sent all the same.
        scene.xbeat(0, &["stop"], 0)?;
        scene.serves(1)?;
        let down = subjects[0].recv_timeout(LIMIT)?;
        ensure!(down.starts_with("JuliusCaesar Migrating resource away at "), "{down}");
        let up = subjects[1].recv_timeout(LIMIT)?;
        ensure!(up.ends_with(" on server2"), "{up}");
        ensure!(subjects.iter().all(|subjects| subjects.try_recv().is_err()), "a mail too many");
        Ok(())
    });
}

#[test]
fn a_mail_server_that_is_not_there_delays_nothing() {
    let files = Files::cluster(&NODES, "server1 192.0.2.100 MailTo::root web\n")
        .directive("mailer", "192.0.2.77:25")
        .script("web", RECORDING_SCRIPT);
    play(&NODES, &files, |scene| {
        scene.start_all(0)?;
        scene.xbeat(0, &["standby"], 0)?;
        scene.settles_on(1)?;
        scene.logs(0, "mail to root not sent")
    });
}

#[test]
fn the_source_of_outgoing_packets_moves_with_the_address() {
    let files = Files::cluster(&NODES, "server1 192.0.2.100 IPsrcaddr::192.0.2.100\n");
    play(&NODES, &files, |scene| {
        for node in 0..2 {
            ip(scene, node, &["route", "add", "default", "via", "192.0.2.254", "onlink", "dev", "eth0"])?;
        }
        let before = ip(scene, 0, &["route", "show"])?;
        ensure!(before.contains("default via 192.0.2.254"), "{before}");
        scene.start_all(0)?;
        let default = ip(scene, 0, &["route", "show", "default"])?;
        ensure!(default.contains("src 192.0.2.100"), "{default}");
        let chosen = ip(scene, 0, &["route", "get", "198.51.100.200"])?;
        ensure!(chosen.contains("src 192.0.2.100"), "{chosen}");
        scene.xbeat(0, &["standby"], 0)?;
        scene.settles_on(1)?;
        let after = ip(scene, 0, &["route", "show"])?;
        ensure!(words(&after) == words(&before), "{before}{after}");
        ensure!(ip(scene, 1, &["route", "show", "default"])?.contains("src 192.0.2.100"));
        Ok(())
    });
}

/// The lines in any order, without blanks at their ends.
fn words(routes: &str) -> Vec<String> {
    let mut lines: Vec<String> = routes.lines().map(|line| line.trim().to_owned()).collect();
    lines.sort();
    lines
}

#[test]
fn a_resource_that_dies_is_started_again_in_place() {
    let files = Files::cluster(&NODES, "server1 192.0.2.100 web\n")
        .script("web", RECORDING_SCRIPT)
        .line("monitor web 100ms");
    play(&NODES, &files, |scene| {
        scene.start_all(0)?;
        scene.until("it was seen running", |scene| count(scene, 0, "web status") >= 3)?;
        fs::remove_file(scene.hosts[0].run_dir().join("web.started"))?;
        scene.until("it runs again", |scene| count(scene, 0, "web start") == 2)?;
        scene.logs(0, "web has stopped running")?;
        scene.stays(0, Duration::from_secs(1))?;
        ensure!(count(scene, 1, "web start") == 0, "the group moved");
        Ok(())
    });
}

const DIES_AND_STAYS_DEAD: &str = "[ $1 = start ] && [ -e @RUN@/broken ] && exit 1\nflag=";

#[test]
fn a_resource_that_does_not_come_back_moves_its_group_once() {
    let files = Files::cluster(&NODES, "server1 192.0.2.100 web\n")
        .script("web", &RECORDING_SCRIPT.replace("flag=", DIES_AND_STAYS_DEAD))
        .line("monitor web 100ms");
    play(&NODES, &files, |scene| {
        scene.start_all(0)?;
        scene.until("it was seen running", |scene| count(scene, 0, "web status") >= 3)?;
        fs::write(scene.hosts[0].run_dir().join("broken"), "")?;
        fs::remove_file(scene.hosts[0].run_dir().join("web.started"))?;
        scene.serves(1)?;
        scene.until("it runs on server2", |scene| state(scene, 1) == "started")?;
        scene.stays(1, Duration::from_secs(2))?;
        ensure!(count(scene, 1, "web start") == 1, "it flaps");
        let page = scene.xbeat(0, &["status"], 1)?;
        ensure!(page.contains("group 192.0.2.100 failed here"), "{page}");
        Ok(())
    });
}

#[test]
fn alone_a_group_keeps_its_address_although_a_resource_is_dead_and_moves_when_somebody_comes() {
    let files = Files::cluster(&NODES, "server1 192.0.2.100 web\n")
        .script("web", &RECORDING_SCRIPT.replace("flag=", DIES_AND_STAYS_DEAD))
        .line("monitor * 100ms");
    play(&NODES, &files, |scene| {
        scene.start(&[0])?;
        scene.serves(0)?;
        scene.until("it was seen running", |scene| count(scene, 0, "web status") >= 3)?;
        fs::write(scene.hosts[0].run_dir().join("broken"), "")?;
        fs::remove_file(scene.hosts[0].run_dir().join("web.started"))?;
        scene.logs(0, "no other node can take it, so it stays")?;
        scene.stays(0, Duration::from_secs(1))?;
        scene.start(&[1])?;
        scene.serves(1)?;
        scene.until("it runs on server2", |scene| state(scene, 1) == "started")
    });
}

/// Says that it runs until it is fenced, and does not stop.
const UNDEAD: &str = "[ $1 = stop ] && [ $HA_CURHOST = server1 ] && exit 1\nflag=";

const FENCE: &str =
    "#!/bin/sh\necho \"fence $* [$HA_left]\" >> \"@STATE@/calls\"\nrm -f \"@RUN@/web.started\"\n";

#[test]
fn what_does_not_stop_is_ended_by_the_fence_script() {
    let files = Files::cluster(&NODES, "server1 192.0.2.100 web\n")
        .script("web", &RECORDING_SCRIPT.replace("flag=", UNDEAD))
        .directive("stoptime", "1s");
    play(&NODES, &files, |scene| {
        for node in 0..2 {
            program(scene, node, "end-it", FENCE)?;
            let path = scene.hosts[node].config_dir().join("end-it");
            scene.hosts[node].configure(&files.clone().line(&format!("fence {}", path.display())))?;
        }
        scene.start_all(0)?;
        scene.xbeat(0, &["standby"], 0)?;
        scene.settles_on(1)?;
        ensure!(count(scene, 0, "fence server1 192.0.2.100 [web]") == 1);
        // It was ended, so nothing is wrong with this node.
        scene.xbeat(0, &["takeover"], 0)?;
        scene.settles_on(0)
    });
}

#[test]
fn a_script_that_prints_gigabytes_does_not_disturb_the_gates() {
    let loud = "[ $1 = start ] && { head -c 3000000000 /dev/zero; yes | head -c 1000000000; }\nflag=";
    let files = Files::cluster(&NODES, "server1 192.0.2.100 web\nserver1 192.0.2.101 quiet\n")
        .script("web", &RECORDING_SCRIPT.replace("flag=", loud))
        .script("quiet", RECORDING_SCRIPT)
        .directive("starttime", "5s");
    play(&NODES, &files, |scene| {
        scene.start_in_turn(&[0, 1])?;
        scene.logs(0, "not finished after 5s, killed")?;
        ensure!(!scene.hosts[0].log().contains("is fenced here"), "the flood starved the agent");
        let kept = scene.status(0)?.group("192.0.2.101").map(|group| group.state.clone());
        ensure!(kept.as_deref() == Some("started"), "{kept:?}");
        let size = scene.hosts[0].log().len();
        ensure!(size < 4 << 20, "the log has {size} bytes");
        Ok(())
    });
}

#[test]
fn a_hanging_stop_of_one_group_leaves_the_other_groups_address_alone() {
    let hangs = "[ $1 = stop ] && sleep 1000\nflag=";
    let files = Files::cluster(&NODES, "server1 192.0.2.100 hangs\nserver1 192.0.2.101 web\n")
        .script("hangs", &RECORDING_SCRIPT.replace("flag=", hangs))
        .script("web", RECORDING_SCRIPT)
        .directive("stoptime", "3s");
    play(&NODES, &files, |scene| {
        scene.start_all(0)?;
        let moving = scene.hosts[0].command(&["standby", KEY, "--timeout", "0.5"])?;
        ensure!(!moving.status.success(), "{moving:?}");
        ensure!(scene.answerer("192.0.2.101".parse()?) == Some(0), "the other group's address is not served");
        eventually(LIMIT, "the first address moved", || scene.answerer(VIP) == Some(1))?;
        ensure!(scene.answerer("192.0.2.101".parse()?) == Some(0));
        ensure!(count(scene, 0, "web stop") == 0);
        Ok(())
    });
}

#[test]
fn a_daemon_that_made_itself_independent_ends_with_the_start_that_hung() {
    let hangs = "[ $1 = start ] && [ $HA_CURHOST = server1 ] && { setsid sleep 1000 & sleep 1000; }\nflag=";
    let files = Files::cluster(&NODES, "server1 192.0.2.100 web\n")
        .script("web", &RECORDING_SCRIPT.replace("flag=", hangs))
        .directive("starttime", "1s");
    play(&NODES, &files, |scene| {
        scene.start_in_turn(&[0, 1])?;
        scene.logs(0, "not finished after 1s, killed")?;
        scene.serves(1)?;
        let agent = scene.hosts[0].agent()?.id().cast_signed();
        eventually(LIMIT, "only the agent runs there", || scene.lan.node(0).processes() == [agent])?;
        pause(Duration::ZERO)
    });
}
