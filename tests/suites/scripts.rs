//! Resource scripts that misbehave: the damage is bounded, and it is the group's own.

use std::time::Duration;

use anyhow::ensure;
use tests::files::{Files, RECORDING_SCRIPT};
use tests::scene::{LIMIT, Scene, play};
use tests::wait::eventually;

const NODES: [&str; 2] = ["server1", "server2"];
const KEY: &str = "192.0.2.100";

/// One group whose script is the recording one, with `special` before it; `$1` is the operation.
fn files(special: &str) -> Files {
    let text = RECORDING_SCRIPT.replace("flag=", &format!("{special}\nflag="));
    Files::cluster(&NODES, "server1 192.0.2.100 web\n").script("web", &text)
}

fn state(scene: &Scene, node: usize) -> String {
    scene.status(node).ok().and_then(|status| Some(status.group(KEY)?.state.clone())).unwrap_or_default()
}

fn starts(scene: &Scene, node: usize) -> usize {
    scene.hosts[node].script_calls().iter().filter(|call| *call == "web start").count()
}

#[test]
fn a_group_that_does_not_start_moves_on_and_does_not_come_back_by_itself() {
    let failing = files("[ $1 = start ] && [ $HA_CURHOST = server1 ] && exit 1");
    play(&NODES, &failing, |scene| {
        scene.start_in_turn(&[0, 1])?;
        scene.serves(1)?;
        scene.until("it runs on server2", |scene| state(scene, 1) == "started")?;
        scene.has_addresses(0, false)?;
        scene.stays(1, Duration::from_secs(4))?;
        ensure!((starts(scene, 0), starts(scene, 1)) == (1, 1), "it flaps");
        let page = scene.xbeat(0, &["status"], 1)?;
        ensure!(page.contains("group 192.0.2.100 failed here"), "{page}");
        scene.logs(0, "Giving up resources due to failure of web")?;
        let said = scene.xbeat(1, &["standby"], 1)?;
        ensure!(said.contains("cannot take"), "{said}");
        scene.stays(1, Duration::from_secs(1))?;
        // The cause is mended; the operator says so by fetching the group.
        scene.hosts[0].configure(&files(""))?;
        scene.xbeat(0, &["takeover"], 0)?;
        scene.settles_on(0)
    });
}

#[test]
fn a_group_that_starts_on_the_third_node_only_ends_there() {
    let nodes = ["alpha", "beta", "gamma"];
    let text =
        RECORDING_SCRIPT.replace("flag=", "[ $1 = start ] && [ $HA_CURHOST != gamma ] && exit 1\nflag=");
    let files = Files::cluster(&nodes, "alpha 192.0.2.100 web\n").script("web", &text);
    play(&nodes, &files, |scene| {
        scene.start_in_turn(&[0, 1, 2])?;
        scene.serves(2)?;
        scene.until("it runs on gamma", |scene| state(scene, 2) == "started")?;
        scene.stays(2, Duration::from_secs(2))?;
        ensure!((0..3).all(|node| starts(scene, node) == 1), "it flaps");
        Ok(())
    });
}

#[test]
fn a_group_that_starts_nowhere_is_down_and_says_so() {
    play(&NODES, &files("[ $1 = start ] && exit 1"), |scene| {
        scene.start_in_turn(&[0, 1])?;
        scene.until("it failed on both", |scene| (0..2).all(|node| state(scene, node) == "failed"))?;
        scene.until("nobody answers", Scene::nobody_serves)?;
        for node in 0..2 {
            scene.has_addresses(node, false)?;
            let page = scene.xbeat(node, &["status"], 1)?;
            ensure!(page.contains("group 192.0.2.100 failed here"), "{page}");
            ensure!(page.contains("group 192.0.2.100 has no owner") || page.contains("nobody"), "{page}");
        }
        tests::wait::pause(Duration::from_secs(3))?;
        ensure!((starts(scene, 0), starts(scene, 1)) == (1, 1), "it flaps");
        ensure!(scene.nobody_serves());
        Ok(())
    });
}

#[test]
fn an_address_behind_a_script_is_served_only_while_that_runs() {
    let slow = RECORDING_SCRIPT.replace("flag=", "[ $1 = status ] || sleep 1\nflag=");
    let files = Files::cluster(&NODES, "server1 web 192.0.2.100\n").script("web", &slow);
    play(&NODES, &files, |scene| {
        // The script makes this mark after its second of work.
        let mark = |scene: &Scene, node: usize| scene.hosts[node].run_dir().join("web.started").exists();
        scene.start_all(0)?;
        ensure!(mark(scene, 0));
        scene.power_off(0)?;
        scene.serves(1)?;
        ensure!(mark(scene, 1), "the address was served before the script was done");
        scene.power_on(0)?;
        scene.settles_on(0)?;
        ensure!(mark(scene, 0) && !mark(scene, 1));
        Ok(())
    });
}

/// The node's processes are the agent alone.
fn only_the_agent_runs(scene: &mut Scene, node: usize) -> anyhow::Result<()> {
    let agent = scene.hosts[node].agent()?.id().cast_signed();
    eventually(LIMIT, "only the agent runs there", || scene.lan.node(node).processes() == [agent])
}

const HANGS_ON_START: &str = "[ $1 = start ] && [ $HA_CURHOST = server1 ] && sleep 1000";

#[test]
fn a_start_that_hangs_is_cut_short_by_standby() {
    play(&NODES, &files(HANGS_ON_START), |scene| {
        scene.start_in_turn(&[0, 1])?;
        scene.serves(0)?;
        scene.until("the start hangs", |scene| starts(scene, 0) == 1)?;
        ensure!(state(scene, 0) == "starting");
        scene.xbeat(0, &["standby"], 0)?;
        scene.settles_on(1)?;
        scene.has_addresses(0, false)?;
        only_the_agent_runs(scene, 0)
    });
}

#[test]
fn a_start_that_hangs_is_killed_after_starttime_and_the_group_moves_on() {
    play(&NODES, &files(HANGS_ON_START).directive("starttime", "1s"), |scene| {
        scene.start_in_turn(&[0, 1])?;
        scene.logs(0, "not finished after 1s, killed")?;
        scene.serves(1)?;
        scene.until("it runs on server2", |scene| state(scene, 1) == "started")?;
        ensure!(state(scene, 0) == "failed");
        only_the_agent_runs(scene, 0)
    });
}

#[test]
fn a_start_that_ignores_sigterm_is_killed_all_the_same() {
    let deaf = "[ $1 = start ] && [ $HA_CURHOST = server1 ] && { trap '' TERM; while :; do sleep 1; done; }";
    play(&NODES, &files(deaf).directive("starttime", "1s"), |scene| {
        scene.start_in_turn(&[0, 1])?;
        scene.logs(0, "not finished after 1s, killed")?;
        scene.serves(1)?;
        scene.until("it runs on server2", |scene| state(scene, 1) == "started")?;
        only_the_agent_runs(scene, 0)
    });
}

#[test]
fn a_stop_that_hangs_delays_the_move_by_stoptime_and_no_longer() {
    let hanging =
        files("[ $1 = stop ] && [ $HA_CURHOST = server1 ] && sleep 1000").directive("stoptime", "1s");
    play(&NODES, &hanging, |scene| {
        scene.start_all(0)?;
        // The script has not removed its mark: by its own word it still runs. That is said, and the addresses move.
        let said = scene.hosts[0].command(&["standby"])?;
        scene.serves(1)?;
        scene.until("it runs on server2", |scene| state(scene, 1) == "started")?;
        scene.has_addresses(0, false)?;
        ensure!(said.status.code() == Some(1) && said.stderr.contains("still running"), "{said:?}");
        let page = scene.xbeat(0, &["status"], 1)?;
        ensure!(page.contains("group 192.0.2.100 failed here"), "{page}");
        only_the_agent_runs(scene, 0)
    });
}

#[test]
fn a_service_that_a_script_leaves_in_the_background_delays_nothing() {
    // It holds the script's standard output open, as careless daemons do.
    let forking = "[ $1 = start ] && { sleep 1000 & }";
    play(&NODES, &files(forking), |scene| {
        scene.start_all(0)?;
        scene.xbeat(0, &["standby"], 0)?;
        scene.settles_on(1)?;
        // What a start leaves running is the service: it is not the agent's to kill.
        ensure!(scene.lan.node(0).processes().len() == 2);
        Ok(())
    });
}

#[test]
fn a_script_that_hangs_does_not_delay_another_group() {
    let hanging =
        RECORDING_SCRIPT.replace("flag=", "[ $1 = start ] && [ $HA_CURHOST = server2 ] && sleep 1000\nflag=");
    let groups = "server1 192.0.2.100 hanging\nserver1 192.0.2.101 web\n";
    let files = Files::cluster(&NODES, groups).script("hanging", &hanging).script("web", RECORDING_SCRIPT);
    play(&NODES, &files, |scene| {
        scene.start_all(0)?;
        scene.power_off(0)?;
        // Both addresses: they stand before the script that hangs.
        scene.serves(1)?;
        let is = |scene: &Scene, key: &str, state: &str| {
            scene.status(1).is_ok_and(|status| status.group(key).is_some_and(|group| group.state == state))
        };
        scene.until("the second group runs", |scene| is(scene, "192.0.2.101", "started"))?;
        ensure!(is(scene, "192.0.2.100", "starting"), "the first one hangs meanwhile");
        Ok(())
    });
}
