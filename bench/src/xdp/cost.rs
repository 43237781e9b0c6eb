//! Cost per packet.
//!
//! `BPF_PROG_TEST_RUN` can repeat a program, but on one and the same packet, which the program rewrites; and a frame is
//! accepted once. So there are two ways to measure, and the bare pass program is measured both ways beside each:
//!
//! - *repeated*: what leaves no trace. A million runs in one call; the processor time of the call by the number of runs.
//! - *single*: what is answered or believed. One run per call, each with a fresh signed frame, timed by the kernel
//!   itself around the program. That time has two readings of the clock in it and a program that comes to cold branch
//!   predictors; the first falls out by subtraction of the pass program measured the same way, the second is how
//!   packets arrive in life.
//!
//! Rounds are interleaved: each measures every kind once, so that a disturbance hits all alike. Within a round the mean of
//! the middle half of the single packets counts (the clock's steps are too coarse for a median), over the rounds the
//! median of the differences to the pass program of the same round.

use anyhow::{Context, Result};
use aya::programs::Xdp;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use reflex::mac::{SHA1, SHA256};
use reflex::verdict::{VERDICTS, Verdict};
use reflex::{Frame, Kind};
use serde::{Deserialize, Serialize};
use xbeat::datapath::xdp::Kernel;

use super::XdpArgs;
use super::node::{self, MS, Peer, VIP};
use super::packets::{self, PORT};
use crate::figures;

const DROP: u32 = 1;
const PASS: u32 = 2;
const TX: u32 = 3;

/// Rounds that are thrown away.
const WARM_UP: u32 = 2;

/// What one kind of packet costs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) name: String,
    /// Nobody's but the host's: has a limit of its own.
    pub(crate) unrelated: bool,
    /// `repeated` or `single`.
    pub(crate) measured: String,
    /// Median over the rounds, ns.
    pub(crate) ns: f64,
    /// More than the bare pass program, ns.
    pub(crate) over_pass_ns: f64,
    /// To the bare pass program.
    pub(crate) ratio: f64,
}

/// All costs.
pub(crate) struct Costs {
    pub(crate) pass_ns: f64,
    pub(crate) classes: Vec<Cost>,
}

/// A kind of packet.
struct Class {
    name: &'static str,
    unrelated: bool,
    packet: Source,
    action: u32,
    /// What the program says of it: checked by the counters.
    verdict: Verdict,
    /// Per round: ns more than the pass program of that round.
    over: Vec<f64>,
}

enum Source {
    /// Always this packet, repeated.
    Repeated(Vec<u8>),
    /// This packet, one run per call.
    Single(Vec<u8>),
    /// A fresh frame for each run, signed with that key.
    Fresh(Kind, u32),
}

pub(crate) fn measure(arguments: &XdpArgs) -> Result<Costs> {
    pin()?;
    let mut kernel = node::load(arguments.groups, 3_600_000 * MS)?;
    node::program(&mut kernel, "xbeat_pass")?.load().context("loading the pass program")?;
    kernel.orders.gates[0].granted.set(1);
    let mut peer = Peer::new();
    admit(&mut kernel, &mut peer)?;

    let mut classes = classes();
    let mut pass = Vec::new();
    for round in 0..WARM_UP + arguments.rounds {
        let counted = round >= WARM_UP;
        let repeated = repeated(pass_program(&mut kernel)?, &packets::tcp(), arguments.repeat)?;
        let single = singles(pass_program(&mut kernel)?, &same(&packets::tcp(), arguments.packets), PASS)?;
        if counted {
            pass.push(repeated);
        }
        for class in &mut classes {
            let before = kernel.counters()?;
            let over = match &class.packet {
                Source::Repeated(packet) => {
                    self::repeated(program(&mut kernel)?, packet, arguments.repeat)? - repeated
                }
                Source::Single(packet) => {
                    singles(program(&mut kernel)?, &same(packet, arguments.packets), class.action)? - single
                }
                Source::Fresh(kind, key) => {
                    kernel.orders.key_current.set(u64::from(*key));
                    let all = fresh(&kernel, &mut peer, *kind, *key, arguments.packets);
                    singles(program(&mut kernel)?, &all, class.action)? - single
                }
            };
            check(class, &before, &kernel.counters()?)?;
            if counted {
                class.over.push(over);
            }
        }
        eprint!("\rround {} of {}", (round + 1).saturating_sub(WARM_UP), arguments.rounds);
    }
    eprint!("\r                      \r");
    let pass_ns = figures::median(pass).context("no round")?;
    Ok(Costs { pass_ns, classes: classes.into_iter().map(|class| class.cost(pass_ns)).collect() })
}

fn classes() -> Vec<Class> {
    let class = |name, packet, action, verdict| Class {
        name,
        unrelated: verdict == Verdict::Unrelated,
        packet,
        action,
        verdict,
        over: Vec::new(),
    };
    let elsewhere = std::net::Ipv4Addr::new(10, 9, 0, 200);
    use Source::{Fresh, Repeated, Single};
    vec![
        class("TCP", Repeated(packets::tcp()), PASS, Verdict::Unrelated),
        class("UDP to another port", Repeated(packets::udp(PORT + 1, &[0; 144])), PASS, Verdict::Unrelated),
        class("IPv6", Repeated(packets::ipv6()), PASS, Verdict::Unrelated),
        class("TCP, one run per call", Single(packets::tcp()), PASS, Verdict::Unrelated),
        class("ARP for another address", Repeated(packets::who_has(elsewhere)), PASS, Verdict::ArpOther),
        class(
            "ARP for another, one run per call",
            Single(packets::who_has(elsewhere)),
            PASS,
            Verdict::ArpOther,
        ),
        class("ARP for a VIP, gate open", Single(packets::who_has(VIP)), TX, Verdict::ArpAnswered),
        class("probe, HMAC-SHA1", Fresh(Kind::Probe, SHA1), TX, Verdict::ProbeAnswered),
        class("probe, HMAC-SHA256", Fresh(Kind::Probe, SHA256), TX, Verdict::ProbeAnswered),
        class("pong, HMAC-SHA1", Fresh(Kind::Pong, SHA1), DROP, Verdict::PongTaken),
        class("pong, HMAC-SHA256", Fresh(Kind::Pong, SHA256), DROP, Verdict::PongTaken),
    ]
}

impl Class {
    fn cost(self, pass_ns: f64) -> Cost {
        let over_pass_ns = figures::median(self.over.iter().copied()).unwrap_or(f64::NAN);
        Cost {
            name: self.name.to_owned(),
            unrelated: self.unrelated && matches!(self.packet, Source::Repeated(_)),
            measured: if matches!(self.packet, Source::Repeated(_)) { "repeated" } else { "single" }
                .to_owned(),
            ns: pass_ns + over_pass_ns,
            over_pass_ns,
            ratio: (pass_ns + over_pass_ns) / pass_ns,
        }
    }
}

/// Every packet must have gone the way that is being measured.
fn check(class: &Class, before: &[u64; VERDICTS], after: &[u64; VERDICTS]) -> Result<()> {
    for (i, verdict) in Verdict::ALL.iter().enumerate() {
        let risen = after[i] != before[i];
        let expected = *verdict == class.verdict && class.verdict != Verdict::Unrelated;
        anyhow::ensure!(risen == expected, "{}: the counter {} rose: {risen}", class.name, verdict.name());
    }
    Ok(())
}

fn program(kernel: &mut Kernel) -> Result<&Xdp> {
    Ok(node::program(kernel, "xbeat")?)
}

fn pass_program(kernel: &mut Kernel) -> Result<&Xdp> {
    Ok(node::program(kernel, "xbeat_pass")?)
}

/// The peer answers a challenge: from then on its probes are believed.
fn admit(kernel: &mut Kernel, peer: &mut Peer) -> Result<()> {
    let packets = fresh(kernel, peer, Kind::Pong, SHA1, 1);
    node::run(program(kernel)?, &packets[0], 1, DROP)?;
    Ok(())
}

/// ns per run of `packet`, over `repeat` runs.
fn repeated(program: &Xdp, packet: &[u8], repeat: u32) -> Result<f64> {
    let before = processor_time()?;
    node::run(program, packet, repeat, PASS)?;
    Ok((processor_time()? - before) / f64::from(repeat))
}

/// ns of one run by the kernel's own clock: the mean of the middle half of `packets`.
fn singles(program: &Xdp, packets: &[Vec<u8>], action: u32) -> Result<f64> {
    let mut times = Vec::with_capacity(packets.len());
    for packet in packets {
        times.push(node::run(program, packet, 1, action)?.duration.as_secs_f64() * 1e9);
    }
    let times = figures::sorted(times);
    let quarter = times.len() / 4;
    let middle = &times[quarter..times.len() - quarter];
    Ok(middle.iter().sum::<f64>() / middle.len() as f64)
}

fn same(packet: &[u8], count: u32) -> Vec<Vec<u8>> {
    vec![packet.to_vec(); count as usize]
}

/// `count` frames that were never seen before; answers are to probes and letters that count as sent.
fn fresh(kernel: &Kernel, peer: &mut Peer, kind: Kind, key: u32, count: u32) -> Vec<Vec<u8>> {
    let sent = &kernel.orders.nodes[1].links[0].sent;
    (0..count)
        .map(|_| {
            let mut frame: Frame = match kind {
                Kind::Probe | Kind::Letter => peer.next(kind, key),
                Kind::Pong => {
                    sent.add(1);
                    peer.frame(Kind::Pong, sent.get(), key)
                }
                Kind::Taken => {
                    kernel.orders.letters.add(1);
                    peer.frame(Kind::Taken, kernel.orders.letters.get(), key)
                }
            };
            node::sign(kernel, &mut frame);
            packets::carrying(&frame)
        })
        .collect()
}

/// Processor time of this thread, ns: what others do meanwhile is not in it.
fn processor_time() -> Result<f64> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(time.tv_sec() as f64 * 1e9 + time.tv_nsec() as f64)
}

/// Keeps this thread on one processor: a move would be measured, too.
fn pin() -> Result<()> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).context("which processors are allowed")?;
    let last = (0..CpuSet::count()).rev().find(|&cpu| allowed.is_set(cpu).unwrap_or(false));
    let mut only = CpuSet::new();
    only.set(last.context("no processor is allowed")?)?;
    sched_setaffinity(this, &only).context("staying on one processor")
}
