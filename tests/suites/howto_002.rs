//! How-to 002, the difference between Heartbeat and keepalived: a resource at *at most one* place, an address at *at least one*.
//!
//! A stateless pair, as people praise it in keepalived: the service runs on both nodes all the time, four lines of ha.cf and one
//! word of haresources, no script. What is proved is the other half: nobody ever gets two answers. The witness of every scene
//! fails it on the first question that two nodes answered.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use tests::files::Files;
use tests::lan::{Network, VIP};
use tests::scene::{Scene, play};
use tests::wait::eventually;

const NODES: [&str; 2] = ["web1", "web2"];

fn files() -> Files {
    let ha_cf = "node web1 web2\nucast eth0 web1\nucast eth0 web2\nauto_failback off\n".to_owned();
    Files { ha_cf, scripts: Vec::new(), ..Files::howto_001() }.haresources("web1 192.0.2.100\n").brisk()
}

fn has_vip(scene: &Scene, node: usize) -> Result<bool> {
    let there: Vec<Ipv4Addr> =
        scene.lan.addresses(node, Network::Eth0)?.into_iter().map(|(address, _)| address).collect();
    Ok(there.contains(&VIP))
}

#[test]
fn an_address_without_a_script_is_at_one_place_whatever_happens_to_the_agents() {
    play(&NODES, &files(), |scene| {
        scene.start_all(0)?;
        ensure!(has_vip(scene, 0)? && !has_vip(scene, 1)?);

        // keepalived that is killed leaves its address where it is, and the other one takes it too.
        scene.hosts[0].kill_agent()?;
        scene.serves(1)?;
        ensure!(has_vip(scene, 0)?, "nobody was there to remove it: the kernel alone keeps it quiet");
        scene.hosts[0].start_agent()?;
        scene.settles_on(1)?;
        eventually(tests::scene::LIMIT, "the next agent has tidied up", || {
            has_vip(scene, 0).is_ok_and(|has| !has)
        })?;

        // One that stands still does not know what happens meanwhile.
        scene.hosts[1].agent()?.signal(Signal::SIGSTOP)?;
        scene.serves(0)?;
        scene.hosts[1].agent()?.signal(Signal::SIGCONT)?;
        scene.settles_on(0)?;

        scene.power_off(0)?;
        scene.settles_on(1)?;
        scene.power_on(0)?;
        scene.settles_on(1)?;
        scene.xbeat(1, &["standby"], 0)?;
        scene.settles_on(0)
    });
}
