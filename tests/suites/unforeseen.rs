//! What nobody thought of: random commands, stops and power failures on three nodes. Whatever comes, no question is
//! answered by two nodes, and in the end all agree.
//!
//! The seed decides what happens, though not to the millisecond. `XBEAT_SEED` plays another one.

use std::time::{Duration, Instant};

use anyhow::Result;
use tests::files::{Files, RECORDING_SCRIPT};
use tests::scene::{LIMIT, Scene, play};
use tests::wait::pause;

const NODES: [&str; 3] = ["alpha", "beta", "gamma"];
const GROUPS: &str = "alpha 192.0.2.100 web\nbeta 192.0.2.101\ngamma 192.0.2.102 mail\n";

/// How long things happen.
const TURMOIL: Duration = Duration::from_secs(12);
/// Longest time between two of them.
const PAUSE_MAX_MS: u64 = 1000;

/// Marsaglia's xorshift64: good enough to choose, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % limit
    }

    fn one_of<T: Copy, const N: usize>(&mut self, all: [T; N]) -> T {
        all[self.below(N as u64) as usize]
    }
}

#[derive(Clone, Copy)]
enum Event {
    Order(&'static str),
    Stop,
    PowerOff,
}

fn happen(scene: &mut Scene, node: usize, event: Event, set: &str) -> Result<()> {
    match event {
        // Refused or done: both are fine, and the rest of the cluster goes on.
        Event::Order(order) => scene.hosts[node].command(&[order, set]).map(drop),
        Event::Stop => scene.hosts[node].stop_agent(LIMIT),
        Event::PowerOff => {
            scene.power_off(node)?;
            scene.hosts[node].boot(&mut scene.lan)
        }
    }
}

fn turmoil(scene: &mut Scene, chance: &mut Chance) -> Result<()> {
    let events = [
        Event::Order("standby"),
        Event::Order("takeover"),
        Event::Order("standby"),
        Event::Stop,
        Event::PowerOff,
    ];
    let sets = ["all", "local", "foreign", "failback", "192.0.2.101"];
    let end = Instant::now() + TURMOIL;
    while Instant::now() < end {
        let node = chance.one_of([0, 1, 2]);
        if scene.hosts[node].has_agent() {
            let (event, set) = (chance.one_of(events), chance.one_of(sets));
            happen(scene, node, event, set)?;
        } else {
            scene.start(&[node])?;
        }
        pause(Duration::from_millis(chance.below(PAUSE_MAX_MS)))?;
    }
    Ok(())
}

/// The owners of the groups, if everybody agrees on them and each runs where it is owned and nowhere else.
fn agreed(scene: &Scene) -> bool {
    let Ok(view) = scene.status(0) else { return false };
    let owner = |key: &str| NODES.iter().position(|name| view.owner(key) == Some(name));
    view.groups.iter().all(|group| owner(&group.key).is_some()) && scene.agree(owner)
}

fn survives(seed: u64) {
    let seed = std::env::var("XBEAT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(seed);
    let files =
        Files::cluster(&NODES, GROUPS).script("web", RECORDING_SCRIPT).script("mail", RECORDING_SCRIPT);
    play(&NODES, &files, |scene| {
        scene.start(&[0, 1, 2])?;
        // Multiplied by the golden ratio, so that small seeds differ in all bits; never zero.
        turmoil(scene, &mut Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))?;
        for node in 0..NODES.len() {
            if !scene.hosts[node].has_agent() {
                scene.start(&[node])?;
            }
        }
        scene.until("every group runs at one node and all agree which", agreed)
    });
}

#[test]
fn three_nodes_survive_turmoil_1() {
    survives(1);
}

#[test]
fn three_nodes_survive_turmoil_2() {
    survives(2);
}

#[test]
fn three_nodes_survive_turmoil_3() {
    survives(3);
}
