//! The programs: each turns a verdict into an action.

use aya_ebpf::{
    bindings::{
        TC_ACT_PIPE, TC_ACT_SHOT,
        xdp_action::{XDP_DROP, XDP_PASS, XDP_TX},
    },
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::{classifier, raw_tracepoint, xdp},
    programs::{RawTracePointContext, TcContext, XdpContext},
};
use aya_log_ebpf::warn;
use reflex::arp::Operation;
use reflex::layout::{Facts, Orders};
use reflex::{NODES_MAX, Verdict, arp, gate, node};

use crate::maps::{self, Ring};
use crate::packet::{self, Datagram};
use crate::timer;

/// Frames and ARP for the VIPs; everything else passes.
#[xdp]
pub fn xbeat(ctx: XdpContext) -> u32 {
    let action = match packet::ether_type(&ctx) {
        Some(packet::IPV4) => on_ipv4(&ctx),
        Some(packet::ARP) => on_arp(&ctx),
        _ => None,
    };
    action.unwrap_or(XDP_PASS)
}

/// Starts the watch. Run once by `BPF_PROG_TEST_RUN`, attached nowhere.
#[xdp]
pub fn xbeat_start(_ctx: XdpContext) -> u32 {
    for node in 0..NODES_MAX as u32 {
        timer::start(node);
    }
    XDP_PASS
}

/// Passes everything: the measure of what the real program costs, and what the far end of a veth needs
/// before `XDP_TX` works in native mode.
#[xdp]
pub fn xbeat_pass(_ctx: XdpContext) -> u32 {
    XDP_PASS
}

/// The egress gate: nothing leaves in the name of a VIP that is not served here, ARP included.
#[classifier]
pub fn xbeat_egress(ctx: TcContext) -> i32 {
    match egress_verdict(&ctx) {
        Some(verdict) => {
            maps::count(verdict);
            TC_ACT_SHOT
        }
        None => TC_ACT_PIPE,
    }
}

/// The dying gasp: runs whenever a thread exits, and fences when it is the agent's.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn xbeat_exit(_ctx: RawTracePointContext) -> i32 {
    if let (Some(orders), Some(facts)) = (maps::orders(), maps::facts())
        && facts.thread.get() == thread()
    {
        gate::on_exit(orders, facts, now(), &mut Ring);
        facts.thread.set(0);
    }
    0
}

/// Run once by the agent's decision loop, by `BPF_PROG_TEST_RUN`: the thread that runs it is the one whose exit counts.
/// The kernel's own number of it, which is not the one that the agent sees in a PID namespace.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn xbeat_register(_ctx: RawTracePointContext) -> i32 {
    if let Some(facts) = maps::facts() {
        facts.thread.set(thread());
    }
    0
}

/// The calling thread, as the kernel numbers it.
#[inline(always)]
fn thread() -> u64 {
    bpf_get_current_pid_tgid() & 0xffff_ffff
}

#[inline(always)]
fn egress_verdict(ctx: &TcContext) -> Option<Verdict> {
    let source = packet::egress_source(ctx)?;
    let vip = maps::vip(source)?;
    let open = gate::is_open(maps::orders()?, maps::facts()?, vip.group, now());
    (!open).then_some(Verdict::EgressClosed)
}

#[inline(always)]
fn on_ipv4(ctx: &XdpContext) -> Option<u32> {
    let orders = maps::orders()?;
    let verdict = match packet::datagram(ctx, orders.port.get() as u16, |to| is_own(orders, to)) {
        Datagram::Unrelated => return on_traffic(ctx, orders),
        Datagram::Fragment | Datagram::OtherLength => Verdict::BadLength,
        Datagram::Frame => on_frame(ctx, orders, maps::facts()?)?,
    };
    maps::count(verdict);
    Some(match verdict {
        Verdict::ProbeAnswered | Verdict::ProbeUnproven => XDP_TX,
        _ => XDP_DROP,
    })
}

/// The ingress gate: traffic to a VIP passes while its gate is open.
#[inline(always)]
fn on_traffic(ctx: &XdpContext, orders: &Orders) -> Option<u32> {
    let vip = maps::vip(packet::destination(ctx)?)?;
    if gate::is_open(orders, maps::facts()?, vip.group, now()) {
        return None;
    }
    maps::count(Verdict::VipClosed);
    Some(XDP_DROP)
}

#[inline(always)]
fn is_own(orders: &Orders, address: u32) -> bool {
    let mut own = false;
    for word in &orders.addresses {
        own |= word.get() == u64::from(address);
    }
    // 0 is what an unused word holds.
    own && address != 0
}

#[inline(always)]
fn on_frame(ctx: &XdpContext, orders: &Orders, facts: &Facts) -> Option<Verdict> {
    let desk = maps::desk()?;
    packet::copy_frame(ctx, &mut desk.frame)?;
    desk.now = now();
    desk.ifindex = ctx.ingress_ifindex() as u64;
    desk.address = packet::source(ctx)?;
    let source = desk.frame.source();
    let verdict = node::on_frame(orders, facts, desk, &mut Ring);
    match verdict {
        Verdict::ProbeAnswered | Verdict::ProbeUnproven => packet::reply(ctx, &desk.frame)?,
        Verdict::BadMac | Verdict::UnknownKey => {
            // Once a second at most: the same limit as for the event.
            if facts.nodes[source as usize & (NODES_MAX - 1)].refused_at.get() == desk.now {
                warn!(ctx, "a frame in the name of node {} is signed with another key", source);
            }
        }
        _ => {}
    }
    Some(verdict)
}

#[inline(always)]
fn on_arp(ctx: &XdpContext) -> Option<u32> {
    let (verdict, action) = arp_verdict(ctx)?;
    maps::count(verdict);
    Some(action)
}

#[inline(always)]
fn arp_verdict(ctx: &XdpContext) -> Option<(Verdict, u32)> {
    let (orders, facts) = (maps::orders()?, maps::facts()?);
    const OTHER: (Verdict, u32) = (Verdict::ArpOther, XDP_PASS);
    let Some(mut arp) = packet::arp(ctx) else { return Some(OTHER) };
    let Some(operation) = arp.operation() else { return Some(OTHER) };
    if let Some(vip) = maps::vip(arp.sender()) {
        if arp.sender_mac() != vip.mac {
            return Some((arp::on_foreign_claim(orders, facts, vip, now(), &mut Ring), XDP_PASS));
        }
        return Some(OTHER);
    }
    if operation != Operation::Request {
        return Some(OTHER);
    }
    let Some(vip) = maps::vip(arp.target()) else { return Some(OTHER) };
    let verdict = arp::on_request(orders, facts, vip, ctx.ingress_ifindex() as u32, now());
    Some(match verdict {
        Verdict::ArpAnswered => {
            arp.answer(vip.mac);
            packet::write_arp(ctx, &arp)?;
            (verdict, XDP_TX)
        }
        Verdict::ArpClosed => (verdict, XDP_DROP),
        _ => (verdict, XDP_PASS),
    })
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: a helper without conditions.
    unsafe { bpf_ktime_get_ns() }
}
