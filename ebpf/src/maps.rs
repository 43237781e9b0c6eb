//! The maps, with who writes and who reads each.

use aya_ebpf::{
    bindings::bpf_timer,
    btf_maps::{Array, HashMap, PerCpuArray, RingBuf},
    macros::btf_map,
    maps::ring_buf::RingBufEntry,
};
use reflex::NODES_MAX;
use reflex::frame::Frame;
use reflex::layout::{Facts, Held, Orders, Vip};
use reflex::node::Desk;
use reflex::path::Ip;
use reflex::verdict::{Event, EventKind, Sink, VERDICTS, Verdict};

const BPF_F_MMAPABLE: usize = 1024;

/// Written by the agent, through a memory mapping; read here.
#[btf_map]
static ORDERS: Array<Orders, 1, BPF_F_MMAPABLE> = Array::new();

/// Written here; read by the agent, through a memory mapping.
#[btf_map]
static FACTS: Array<Facts, 1, BPF_F_MMAPABLE> = Array::new();

/// VIPs by address, those of IPv4 as mapped ones. Written by the agent, read here.
#[btf_map]
static VIPS: HashMap<Ip, Vip, 2048> = HashMap::new();

/// Packets by verdict. Written here, read by the agent.
#[btf_map]
static COUNTERS: PerCpuArray<u64, VERDICTS> = PerCpuArray::new();

/// The frame under work. Of no interest to the agent.
#[btf_map]
static DESK: PerCpuArray<Desk, 1> = PerCpuArray::new();

/// Changes, for the agent to wake up on.
#[btf_map]
static EVENTS: RingBuf<Event, 65536> = RingBuf::new();

/// Gates that have opened, once more, and nodes whose gates may have to in a moment: for the thread of the agent that waits for nothing else.
#[btf_map]
static OPENED: RingBuf<Event, 65536> = RingBuf::new();

/// Letters of other nodes, for the agent to read.
#[btf_map]
static LETTERS: RingBuf<Frame, 65536> = RingBuf::new();

/// Packets for VIPs that are changing hands, for the agent to send on.
#[btf_map]
static HELD: RingBuf<Held, 262144> = RingBuf::new();

/// One timer per node, alone in its map: an update from userspace would cancel it, and a program on a
/// tracepoint may not touch a map with timers.
#[btf_map]
pub(crate) static WATCHES: Array<Watch, NODES_MAX> = Array::new();

/// The value of [`WATCHES`].
#[repr(C)]
pub(crate) struct Watch {
    pub(crate) timer: bpf_timer,
}

/// The agent's orders.
#[inline(always)]
pub(crate) fn orders() -> Option<&'static Orders> {
    ORDERS.get(0)
}

/// What was found.
#[inline(always)]
pub(crate) fn facts() -> Option<&'static Facts> {
    FACTS.get(0)
}

/// The VIP with that address.
#[inline(always)]
pub(crate) fn vip(address: Ip) -> Option<&'static Vip> {
    // SAFETY: the agent replaces values whole and removes a VIP only after its group's gate is shut.
    unsafe { VIPS.get(&address) }
}

/// This CPU's desk.
#[inline(always)]
pub(crate) fn desk() -> Option<&'static mut Desk> {
    // SAFETY: one program at a time works on a CPU's slot: XDP runs in softirq, or with softirqs off.
    DESK.get_ptr_mut(0).map(|desk| unsafe { &mut *desk })
}

/// Counts a packet.
#[inline(always)]
pub(crate) fn count(verdict: Verdict) {
    if let Some(counter) = COUNTERS.get_ptr_mut(verdict as u32) {
        // SAFETY: this CPU's own slot.
        unsafe { *counter += 1 };
    }
}

/// Room for a packet that is held back; none: too many are.
#[inline(always)]
pub(crate) fn room_for_held() -> Option<RingBufEntry<Held>> {
    HELD.reserve(0)
}

/// The ring buffers as the reflex's sink; full means dropped.
pub(crate) struct Ring;

impl Sink for Ring {
    #[inline(always)]
    fn emit(&mut self, event: Event) {
        if event.kind == EventKind::GateOpened as u32 {
            let _ = OPENED.output(&event, 0);
        }
        let _ = EVENTS.output(&event, 0);
    }

    #[inline(always)]
    fn forewarn(&mut self, node: u8, now: u64) {
        let kind = EventKind::NodeDoubted as u32;
        let event = Event { at: now, epoch: 0, kind, node: u32::from(node), group: 0, detail: 0 };
        let _ = OPENED.output(&event, 0);
    }

    #[inline(always)]
    fn letter(&mut self, letter: &Frame) -> bool {
        LETTERS.output(letter, 0).is_ok()
    }
}
