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
use reflex::layout::{Facts, Orders, Vip};
use reflex::nd::{self, Nd};
use reflex::node::Desk;
use reflex::path::{self, Arrival, Ip};
use reflex::strangers::mac_word;
use reflex::{LINKS_MAX, NODES_MAX, Verdict, arp, gate, node, strangers};

use crate::maps::{self, Ring};
use crate::packet::{self, Datagram, Leaving};
use crate::timer;

/// Frames and ARP for the VIPs; everything else passes.
#[xdp]
pub fn xbeat(ctx: XdpContext) -> u32 {
    let action = match packet::ether_type(&ctx) {
        Some(packet::ARP) => {
            listen(&ctx);
            return on_arp(&ctx);
        }
        Some(ether_type) => on_ip(&ctx, ether_type),
        None => None,
    };
    // Behind all branches of what is for us: before them, the verifier would follow each of those once more for every
    // outcome of this.
    match action {
        Some(action) => action,
        None => {
            listen(&ctx);
            on_other(&ctx)
        }
    }
}

/// Who else is heard on an interface in doubt? In peace, the test of one word. A function of its own: 512 bytes of stack are
/// all that a program and what it calls have.
#[inline(never)]
fn listen(ctx: &XdpContext) {
    if let (Some(orders), Some(facts)) = (maps::orders(), maps::facts())
        && orders.doubt.get() != 0
        && let Some(from) = packet::mac(ctx)
    {
        strangers::on_frame(orders, facts, ctx.ingress_ifindex() as u32, from, now());
    }
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
    let closed = match packet::leaving(ctx)? {
        Leaving::From(address) => is_closed(address),
        Leaving::From6(address) => {
            // Without IPv6 VIPs that is all.
            if maps::orders()?.vips6.get() == 0 {
                return None;
            }
            is_closed(address) || packet::advertised(ctx).is_some_and(is_closed)
        }
    };
    closed.then_some(Verdict::EgressClosed)
}

/// Whether that is a VIP whose gate is shut.
#[inline(always)]
fn is_closed(address: Ip) -> bool {
    let (Some(vip), Some(orders), Some(facts)) = (maps::vip(address), maps::orders(), maps::facts()) else {
        return false;
    };
    !gate::is_open(orders, facts, vip.group, now())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

#[inline(always)]
fn on_ip(ctx: &XdpContext, ether_type: u16) -> Option<u32> {
    let orders = maps::orders()?;
    let (family, datagram) = match ether_type {
        packet::IPV4 => (Family::V4, packet::datagram(ctx, orders)),
        packet::IPV6 => (Family::V6, packet::datagram6(ctx, orders)),
        _ => return None,
    };
    let verdict = match datagram {
        Datagram::Unrelated => return None,
        Datagram::Bad(verdict) => verdict,
        Datagram::Frame(arrival) => on_frame(ctx, orders, family, arrival)?,
    };
    maps::count(verdict);
    Some(if verdict.answers() { XDP_TX } else { XDP_DROP })
}

/// What is no frame: neighbours that ask for a VIP over IPv6, and the ingress gate, which lets traffic to a VIP pass while its
/// gate is open. A function of its own as [`on_arp`] is.
#[inline(never)]
fn on_other(ctx: &XdpContext) -> u32 {
    let Some((verdict, action)) = other_verdict(ctx) else { return XDP_PASS };
    maps::count(verdict);
    action
}

#[inline(always)]
fn other_verdict(ctx: &XdpContext) -> Option<(Verdict, u32)> {
    let to = match packet::ether_type(ctx)? {
        packet::IPV4 => packet::destination(ctx)?,
        packet::IPV6 if maps::orders()?.vips6.get() != 0 => {
            if let Some(desk) = maps::desk()
                && let Some(message) = packet::neighbour(ctx, desk)
                && let Some(done) = neighbour_verdict(ctx, message)
            {
                return Some(done);
            }
            packet::destination6(ctx)?
        }
        _ => return None,
    };
    let (vip, orders, facts) = (maps::vip(to)?, maps::orders()?, maps::facts()?);
    let now = now();
    if gate::is_held(orders, vip.group, now)
        && let Some(done) = hold(ctx, vip)
    {
        return Some(done);
    }
    if gate::is_open(orders, facts, vip.group, now) {
        return None;
    }
    Some(pass_on(ctx, vip).unwrap_or((Verdict::VipClosed, XDP_DROP)))
}

/// For a VIP that is changing hands: kept for the node that will have it, with its address on it. None: there is no room, or
/// the packet is too long, and it goes where it went otherwise.
#[inline(always)]
fn hold(ctx: &XdpContext, vip: &Vip) -> Option<(Verdict, u32)> {
    let next = next(ctx, vip)?;
    let len = packet::length(ctx)?;
    let mut entry = maps::room_for_held()?;
    if packet::readdress(ctx, vip.mac, next).is_none() {
        entry.discard(0);
        return None;
    }
    packet::store(ctx, len, &mut entry);
    entry.submit(0);
    Some((Verdict::Held, XDP_DROP))
}

/// For a VIP that was handed over just now: to the node that has it.
#[inline(always)]
fn pass_on(ctx: &XdpContext, vip: &Vip) -> Option<(Verdict, u32)> {
    packet::readdress(ctx, vip.mac, next(ctx, vip)?)?;
    Some((Verdict::PassedOn, XDP_TX))
}

/// The node that a packet for a VIP goes on to, if there is one on the interface that it came by. Not for what that node
/// itself has sent here: it was passed on before, and would go to and fro.
#[inline(always)]
fn next(ctx: &XdpContext, vip: &Vip) -> Option<[u8; 6]> {
    let next = mac_word(vip.pass_to);
    let is_here = vip.ifindex == ctx.ingress_ifindex() as u32;
    (is_here && next != 0 && packet::mac(ctx)? != next).then_some(vip.pass_to)
}

/// Neighbour discovery about a VIP; none: about none.
#[inline(always)]
fn neighbour_verdict(ctx: &XdpContext, message: &mut Nd) -> Option<(Verdict, u32)> {
    let (orders, facts, kind) = (maps::orders()?, maps::facts()?, message.kind()?);
    let claimed = match kind {
        nd::Kind::Solicitation => message.source(),
        nd::Kind::Advertisement => message.target(),
    };
    if let Some(vip) = maps::vip(claimed)
        && nd::on_claim(orders, facts, vip, message, now(), &mut Ring) == Verdict::NdConflict
    {
        return Some((Verdict::NdConflict, XDP_PASS));
    }
    if kind == nd::Kind::Advertisement {
        return None;
    }
    let vip = maps::vip(message.target())?;
    let ifindex = ctx.ingress_ifindex() as u32;
    let (verdict, answer) = nd::on_solicitation(orders, facts, vip, message, ifindex, now());
    if let Some(answer) = answer {
        message.answer(answer, vip.mac, vip.router != 0);
        packet::write_neighbour(ctx, message)?;
        return Some((verdict, XDP_TX));
    }
    Some((verdict, if verdict == Verdict::NdClosed { XDP_DROP } else { XDP_PASS }))
}

#[inline(always)]
fn on_frame(ctx: &XdpContext, orders: &Orders, family: Family, arrival: Arrival) -> Option<Verdict> {
    let (facts, desk) = (maps::facts()?, maps::desk()?);
    match family {
        Family::V4 => {
            packet::copy_frame::<{ packet::PAYLOAD }>(ctx, &mut desk.frame)?;
            desk.address = packet::source(ctx)?;
        }
        Family::V6 => {
            packet::copy_frame::<{ packet::PAYLOAD6 }>(ctx, &mut desk.frame)?;
            desk.address = packet::source6(ctx)?;
        }
    }
    desk.now = now();
    desk.ifindex = ctx.ingress_ifindex() as u64;
    desk.mac = packet::mac(ctx)?;
    desk.is_ipv6 = u64::from(family == Family::V6);
    desk.group = match arrival {
        Arrival::Own => 0,
        Arrival::Group(path) => u64::from(path) + 1,
    };
    find_link(orders, desk);
    let source = desk.frame.source();
    let verdict = judge(orders, facts, desk);
    match verdict {
        verdict if verdict.answers() => answer(ctx, orders, desk)?,
        Verdict::BadMac | Verdict::UnknownKey => {
            // Once a second at most: the same limit as for the event.
            if facts.nodes[source as usize & (NODES_MAX - 1)].refused_at.get() == desk.now {
                report_refused(ctx, source);
            }
        }
        _ => {}
    }
    Some(verdict)
}

#[inline(never)]
fn report_refused(ctx: &XdpContext, source: u8) {
    warn!(ctx, "a frame in the name of node {} is signed with another key", source);
}

/// A function of its own, for the same reason as [`judge`].
#[inline(never)]
fn find_link(orders: &Orders, desk: &mut Desk) {
    desk.find_link(orders);
}

/// A function of its own, so that the program holds it once for both families and all links. How the frame came is on
/// the desk and nowhere else: so the verifier finds every call of this like the one before, and looks at one.
#[inline(never)]
fn judge(orders: &Orders, facts: &Facts, desk: &mut Desk) -> Verdict {
    node::on_frame(orders, facts, desk, &mut Ring)
}

/// Makes the packet the answer that lies on the desk.
#[inline(always)]
fn answer(ctx: &XdpContext, orders: &Orders, desk: &Desk) -> Option<()> {
    // SAFETY: two fields of the desk. Volatile: what was known of them before is forgotten, see `judge`.
    let (group, is_ipv6) =
        unsafe { ((&raw const desk.group).read_volatile(), (&raw const desk.is_ipv6).read_volatile()) };
    let own = match group {
        0 => None,
        link => orders.paths.get((link - 1) as usize & (LINKS_MAX - 1)),
    };
    match is_ipv6 {
        0 => packet::reply(ctx, &desk.frame, own),
        _ => packet::reply6(ctx, &desk.frame, own),
    }
}

/// A function of its own, as [`report_refused`] is: what these keep on the stack is not there when a frame is judged. All
/// calls share 512 bytes.
#[inline(never)]
fn on_arp(ctx: &XdpContext) -> u32 {
    let Some((verdict, action)) = arp_verdict(ctx) else { return XDP_PASS };
    maps::count(verdict);
    action
}

#[inline(always)]
fn arp_verdict(ctx: &XdpContext) -> Option<(Verdict, u32)> {
    let (orders, facts) = (maps::orders()?, maps::facts()?);
    const OTHER: (Verdict, u32) = (Verdict::ArpOther, XDP_PASS);
    let Some(mut arp) = packet::arp(ctx) else { return Some(OTHER) };
    let Some(operation) = arp.operation() else { return Some(OTHER) };
    if let Some(vip) = maps::vip(path::ipv4(arp.sender())) {
        if arp.sender_mac() != vip.mac {
            return Some((arp::on_foreign_claim(orders, facts, vip, now(), &mut Ring), XDP_PASS));
        }
        return Some(OTHER);
    }
    // ARP probes come from nobody yet.
    if arp.sender() != [0; 4] {
        strangers::on_caller(facts, ctx.ingress_ifindex() as u32, arp.sender());
    }
    if operation != Operation::Request {
        return Some(OTHER);
    }
    let Some(vip) = maps::vip(path::ipv4(arp.target())) else { return Some(OTHER) };
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
