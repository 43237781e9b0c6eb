//! Sample programs: timer, atomics, subprograms, maps, log, XDP, TC and raw tracepoint.
use core::{ffi::c_void, intrinsics, ptr};

use aya_ebpf::{
    bindings::{TC_ACT_PIPE, bpf_timer, xdp_action},
    btf_maps::{Array, HashMap, PerCpuArray, RingBuf},
    helpers::{
        bpf_get_current_pid_tgid, bpf_ktime_get_boot_ns, bpf_ktime_get_ns, bpf_timer_init,
        bpf_timer_set_callback, bpf_timer_start,
    },
    macros::{btf_map, classifier, raw_tracepoint, xdp},
    programs::{RawTracePointContext, TcContext, XdpContext},
};
use aya_log_ebpf::{info, warn};

const BPF_F_MMAPABLE: usize = 1024;
const CLOCK_MONOTONIC: u64 = 1;

#[repr(C)]
pub struct Watch {
    timer: bpf_timer,
    state: u64,
}

#[repr(C)]
pub struct Gate {
    granted: u64,
    taken: u64,
    fenced: u64,
    fired: u64,
}

#[repr(C)]
pub struct Event {
    what: u64,
    at_ns: u64,
}

#[repr(C)]
pub struct Scratch {
    words: [u32; 16],
    out: [u32; 5],
}

/// Writer: kernel. Nobody in userspace updates it: an update would cancel the timer.
#[btf_map]
static WATCHES: Array<Watch, 8> = Array::new();
/// Writer: kernel and agent (granted).
#[btf_map]
static GATES: Array<Gate, 16> = Array::new();
/// Writer: agent, by a memory mapping.
#[btf_map]
static LEASE: Array<u64, 16, BPF_F_MMAPABLE> = Array::new();
#[btf_map]
static COUNTERS: PerCpuArray<u64, 32> = PerCpuArray::new();
#[btf_map]
static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();
#[btf_map]
static ADDRESSES: HashMap<u32, u32, 64> = HashMap::new();
#[btf_map]
static EVENTS: RingBuf<Event, 65536> = RingBuf::new();

#[inline(always)]
fn count(i: u32) {
    if let Some(p) = COUNTERS.get_ptr_mut(i) {
        // SAFETY: this CPU's own slot.
        unsafe { *p += 1 };
    }
}

/// Compare and exchange by the compiler's intrinsic.
#[inline(always)]
unsafe fn cas(p: *mut u64, old: u64, new: u64) -> (u64, bool) {
    unsafe {
        intrinsics::atomic_cxchg::<
            u64,
            { intrinsics::AtomicOrdering::SeqCst },
            { intrinsics::AtomicOrdering::SeqCst },
        >(p, old, new)
    }
}

/// Compare and exchange by the instruction itself.
#[inline(always)]
unsafe fn cas_asm(p: *mut u64, old: u64, new: u64) -> u64 {
    let mut seen = old;
    unsafe {
        core::arch::asm!("r0 = cmpxchg_64({p} + 0, r0, {new})", p = in(reg) p, new = in(reg) new, inout("r0") seen);
    }
    seen
}

/// `*p = max(*p, v)`, bounded tries.
#[inline(always)]
unsafe fn raise(p: *mut u64, v: u64) -> bool {
    let mut seen = unsafe { ptr::read_volatile(p) };
    for _ in 0..8 {
        if seen >= v {
            return true;
        }
        let (was, done) = unsafe { cas(p, seen, v) };
        if done {
            return true;
        }
        seen = was;
    }
    false
}

/// A subprogram of its own, with pointers to a map value.
#[inline(never)]
fn mix(s: &mut Scratch, rounds: u32) -> u32 {
    let mut a = s.out[0];
    for i in 0..80u32 {
        let w = s.words[(i & 15) as usize];
        a = a.rotate_left(5).wrapping_add(w).wrapping_add(rounds);
        s.words[(i & 15) as usize] = w.rotate_left(1) ^ a;
    }
    s.out[0] = a;
    a
}

/// The watch: called by the kernel's timer.
unsafe extern "C" fn on_watch(_map: *mut c_void, key: *mut u32, v: *mut Watch) -> i64 {
    let key = unsafe { *key };
    count(8);
    unsafe { (*v).state += 1 };
    if let Some(g) = GATES.get_ptr_mut(key & 15) {
        unsafe {
            intrinsics::atomic_xadd::<u64, u64, { intrinsics::AtomicOrdering::SeqCst }>(
                &raw mut (*g).fired,
                1,
            )
        };
        unsafe { raise(&raw mut (*g).taken, 7) };
    }
    if let Some(mut e) = EVENTS.reserve(0) {
        e.write(Event { what: 1, at_ns: unsafe { bpf_ktime_get_ns() } });
        e.submit(0);
    }
    if unsafe { (*v).state } < 3 {
        unsafe { bpf_timer_start(&raw mut (*v).timer, 1_000_000, 0) };
    }
    0
}

#[inline(always)]
fn arm(index: u32, after_ns: u64) -> Option<()> {
    let w = WATCHES.get_ptr_mut(index)?;
    unsafe {
        let t = &raw mut (*w).timer;
        // The map argument of bpf_timer_init is the address of the map's definition.
        bpf_timer_init(t, (&raw const WATCHES).cast_mut().cast(), CLOCK_MONOTONIC);
        bpf_timer_set_callback(t, on_watch as *mut c_void);
        bpf_timer_start(t, after_ns, 0);
    }
    Some(())
}

#[inline(always)]
fn at<T>(ctx: &XdpContext, offset: usize) -> Option<*mut T> {
    let start = ctx.data();
    if start + offset + size_of::<T>() > ctx.data_end() {
        return None;
    }
    Some((start + offset) as *mut T)
}

#[xdp]
pub fn xbeat_xdp(ctx: XdpContext) -> u32 {
    match handle(&ctx) {
        Some(v) => v,
        None => xdp_action::XDP_PASS,
    }
}

#[inline(always)]
fn handle(ctx: &XdpContext) -> Option<u32> {
    count(0);
    let proto = u16::from_be(unsafe { ptr::read_unaligned(at::<u16>(ctx, 12)?) });
    if proto != 0x0800 {
        return None;
    }
    let dst = u32::from_be(unsafe { ptr::read_unaligned(at::<u32>(ctx, 30)?) });
    let payload = unsafe { ptr::read_unaligned(at::<[u8; 32]>(ctx, 42)?) };
    let s = unsafe { &mut *SCRATCH.get_ptr_mut(0)? };
    for i in 0..8 {
        s.words[i] =
            u32::from_be_bytes([payload[4 * i], payload[4 * i + 1], payload[4 * i + 2], payload[4 * i + 3]]);
    }
    let mac = mix(s, 1) ^ mix(s, 2);
    let group = unsafe { *ADDRESSES.get(dst)? };
    let lease = unsafe { ptr::read_volatile(LEASE.get_ptr(0)?) };
    let g = GATES.get_ptr_mut(group & 15)?;
    unsafe {
        raise(&raw mut (*g).fenced, u64::from(mac & 0xff));
        cas_asm(&raw mut (*g).granted, 5, 6);
    }
    let now = unsafe { bpf_ktime_get_boot_ns() };
    if lease < now {
        warn!(ctx, "lease over by {} ns for {:i}", now - lease, dst);
    }
    arm(group & 7, 1_000_000);
    unsafe { ptr::write_unaligned(at::<[u8; 4]>(ctx, 42)?, mac.to_be_bytes()) };
    Some(xdp_action::XDP_TX)
}

#[classifier]
pub fn xbeat_egress(ctx: TcContext) -> i32 {
    count(1);
    if ctx.data() + 14 > ctx.data_end() {
        return TC_ACT_PIPE;
    }
    TC_ACT_PIPE
}

#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn xbeat_exit(ctx: RawTracePointContext) -> i32 {
    let pid = bpf_get_current_pid_tgid() as u32;
    if let Some(agent) = LEASE.get_ptr(1)
        && unsafe { ptr::read_volatile(agent) } == u64::from(pid)
    {
        count(2);
        info!(&ctx, "the agent's thread {} ended", pid);
    }
    0
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
