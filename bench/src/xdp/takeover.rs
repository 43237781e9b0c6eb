//! From the kernel's verdict that a node is dead to the first ARP answer through the gate that this opened.
//!
//! All of it is the kernel's: its timer finds node 1 dead and opens the gate, its program answers the request. Requests
//! come without a pause, so that one is there when the gate opens; both moments are the kernel's own stamps. The requests
//! come from a real-time thread, because a network does not pause either when other programs want the processor.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reflex::Kind;
use reflex::gate::Armed;
use reflex::mac::SHA1;
use xbeat::sys::{clock, schedule};

use super::node::{self, MS, Peer, VIP};
use super::packets;
use crate::figures::Spread;

const DROP: u32 = 1;
const DEADTIME: u64 = 3 * MS;
const LIMIT: Duration = Duration::from_secs(10);

/// Times from verdict to answer, us.
pub(crate) fn measure(runs: u32) -> Result<Spread<f64>> {
    schedule::fifo_at(10).context("real-time priority for the thread that asks")?;
    let mut kernel = node::load(1, DEADTIME)?;
    kernel.start_watch()?;
    let mut peer = Peer::new();
    let request = packets::who_has(VIP);
    let mut times = Vec::new();
    for run in 0..runs {
        let (orders, facts) = (kernel.orders.clone(), kernel.facts.clone());
        let link = &orders.nodes[1].links[0];
        let gate = &facts.gates[0];
        let epoch = 10 * (run + 1);
        // Node 1 answers, holds the group, and is never heard again, though asked three times.
        link.sent.add(1);
        link.asked.add(1);
        let mut pong = peer.frame(Kind::Pong, link.sent.get(), SHA1);
        node::sign(&kernel, &mut pong);
        orders.gates[0].resigned.set(u64::from(epoch) - 1);
        orders.gates[0].armed.set(Armed { epoch, holder: 1, behind: 1 }.pack());
        let program = node::program(&mut kernel, "xbeat")?;
        node::run(program, &packets::carrying(&pong), 1, DROP)?;
        link.sent_at.set(clock::now());
        link.sent.add(3);
        link.asked_at.set(clock::now());
        link.asked.add(3);
        let start = Instant::now();
        while gate.taken.get() != u64::from(epoch) || gate.first_arp_at.get() == 0 {
            ensure!(start.elapsed() < LIMIT, "no takeover within {LIMIT:?}");
            node::ask(program, &request)?;
        }
        times.push(gate.first_arp_at.get().saturating_sub(gate.taken_at.get()));
    }
    let spread = Spread::of(times).context("no takeover")?;
    Ok(spread.map(|ns| ns as f64 / 1e3))
}
