//! The watch's timer: one per node, re-armed by its own callback, whether an agent lives or not.

use core::ffi::c_void;

use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_timer_init, bpf_timer_set_callback, bpf_timer_start};
use reflex::watch;

use crate::maps::{self, Ring, WATCHES, Watch};

const CLOCK_MONOTONIC: u64 = 1;
/// Time to the first look after arming, ns.
const FIRST_LOOK_NS: u64 = 100_000;

/// Starts the timer of node `node`. Starting it again is harmless.
#[inline(always)]
pub(crate) fn start(node: u32) -> Option<()> {
    let watch = WATCHES.get_ptr_mut(node)?;
    // SAFETY: the timer is where the map's BTF says; the helpers serialise its use.
    unsafe {
        let timer = &raw mut (*watch).timer;
        // -EBUSY when it was initialised before, by an earlier agent: as good.
        bpf_timer_init(timer, (&raw const WATCHES).cast_mut().cast(), CLOCK_MONOTONIC);
        bpf_timer_set_callback(timer, on_watch as *mut c_void);
        bpf_timer_start(timer, FIRST_LOOK_NS, 0);
    }
    Some(())
}

/// Called by the kernel when the timer of node `*key` fires.
unsafe extern "C" fn on_watch(_map: *mut c_void, key: *mut u32, watch: *mut Watch) -> i64 {
    let (Some(orders), Some(facts)) = (maps::orders(), maps::facts()) else { return 0 };
    // SAFETY: the kernel passes the element's key and value.
    unsafe {
        let next = watch::look(orders, facts, *key as u8, bpf_ktime_get_ns(), &mut Ring);
        bpf_timer_start(&raw mut (*watch).timer, next, 0);
    }
    0
}
