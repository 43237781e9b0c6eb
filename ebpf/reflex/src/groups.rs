//! A loop over all groups that a verifier accepts.

use crate::GROUPS_MAX;

/// Calls `each` with every group index below `len`.
#[cfg(not(target_arch = "bpf"))]
pub(crate) fn for_each(len: u64, mut each: impl FnMut(u32)) {
    let len = len.min(GROUPS_MAX as u64) as u32;
    for group in 0..len {
        each(group);
    }
}

/// Calls `each` with every group index below `len`, by the kernel's `bpf_loop` (5.17): the verifier looks at the
/// body once, where it would follow a plain loop of this length through every branch of every turn.
#[cfg(target_arch = "bpf")]
#[allow(unsafe_code, reason = "a kernel helper takes its callback as a bare pointer")]
#[inline(always)]
pub(crate) fn for_each<F: FnMut(u32)>(len: u64, mut each: F) {
    use core::ffi::c_void;

    unsafe extern "C" fn turn<F: FnMut(u32)>(group: u64, each: *mut c_void) -> i64 {
        // SAFETY: the pointer passed to `bpf_loop` below; `each` lives until that returns.
        unsafe { (*each.cast::<F>())(group as u32) };
        0
    }
    const BPF_LOOP: usize = 181;
    let len = if len > GROUPS_MAX as u64 { GROUPS_MAX as u64 } else { len };
    // SAFETY: helpers are called by their number; this is the signature of number 181.
    unsafe {
        let bpf_loop: unsafe extern "C" fn(u32, *mut c_void, *mut c_void, u64) -> i64 =
            core::mem::transmute(BPF_LOOP);
        bpf_loop(len as u32, turn::<F> as *mut c_void, (&raw mut each).cast(), 0);
    }
}
