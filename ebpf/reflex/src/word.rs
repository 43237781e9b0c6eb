//! One shared 64-bit word: what orders and facts are made of.
//!
//! Kernel and agent touch the same memory at the same time, so every field is a word that is read and
//! written whole. Words that several CPUs write are *monotone*: they only grow, by [`Word::raise`].

use core::sync::atomic::AtomicU64;
#[cfg(not(target_arch = "bpf"))]
use core::sync::atomic::Ordering;

/// A 64-bit word in shared memory.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Word(AtomicU64);

/// How often [`Word::raise`] tries before it takes the drastic way. Each failed try means that another CPU
/// raised the same word meanwhile, so more tries than CPUs can only happen on very large machines.
const RAISE_TRIES: u32 = 32;

impl Word {
    /// A word that holds `value`.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// What the word holds now.
    #[inline(always)]
    pub fn get(&self) -> u64 {
        self.load()
    }

    /// Stores `value`. Only for words with a single writer.
    #[inline(always)]
    pub fn set(&self, value: u64) {
        self.store(value);
    }

    /// Makes the word at least `value`; true if it was lower before. Never lowers it, also when several
    /// CPUs raise it at once: a lost fence would be the worst bug that this system can have.
    #[inline(always)]
    pub fn raise(&self, value: u64) -> bool {
        let mut seen = self.get();
        for _ in 0..RAISE_TRIES {
            if seen >= value {
                return false;
            }
            let found = self.compare_exchange(seen, value);
            if found == seen {
                return true;
            }
            seen = found;
        }
        // Not reached in practice. `a | b` is at least `max(a, b)`: too high a mark is safe, too low is not.
        self.or(value);
        true
    }

    /// Adds `n`.
    #[inline(always)]
    pub fn add(&self, n: u64) {
        self.fetch_add(n);
    }

    #[cfg(not(target_arch = "bpf"))]
    fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[cfg(not(target_arch = "bpf"))]
    fn store(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    #[cfg(not(target_arch = "bpf"))]
    fn compare_exchange(&self, old: u64, new: u64) -> u64 {
        match self.0.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(found) | Err(found) => found,
        }
    }

    #[cfg(not(target_arch = "bpf"))]
    fn or(&self, value: u64) {
        self.0.fetch_or(value, Ordering::SeqCst);
    }

    #[cfg(not(target_arch = "bpf"))]
    fn fetch_add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
}

/// The BPF target has no read-modify-write in `core::sync::atomic`; its instruction set (v3) does. Atomic loads and
/// stores compile there but do not link (LLVM 22: "Cannot select: AtomicLoad"); a volatile access of an aligned
/// double word is one instruction.
#[cfg(target_arch = "bpf")]
#[allow(unsafe_code, reason = "the instruction set's own atomics, reached by intrinsics")]
impl Word {
    #[inline(always)]
    fn load(&self) -> u64 {
        // SAFETY: the pointer comes from a live, aligned AtomicU64.
        unsafe { self.0.as_ptr().read_volatile() }
    }

    #[inline(always)]
    fn store(&self, value: u64) {
        // SAFETY: as above.
        unsafe { self.0.as_ptr().write_volatile(value) }
    }

    #[inline(always)]
    fn compare_exchange(&self, old: u64, new: u64) -> u64 {
        use core::intrinsics::{AtomicOrdering::SeqCst, atomic_cxchg};
        // SAFETY: as above.
        unsafe { atomic_cxchg::<u64, { SeqCst }, { SeqCst }>(self.0.as_ptr(), old, new).0 }
    }

    #[inline(always)]
    fn or(&self, value: u64) {
        use core::intrinsics::{AtomicOrdering::SeqCst, atomic_or};
        // SAFETY: as above.
        unsafe { atomic_or::<u64, u64, { SeqCst }>(self.0.as_ptr(), value) };
    }

    #[inline(always)]
    fn fetch_add(&self, n: u64) {
        use core::intrinsics::{AtomicOrdering::Relaxed, atomic_xadd};
        // SAFETY: as above.
        unsafe { atomic_xadd::<u64, u64, { Relaxed }>(self.0.as_ptr(), n) };
    }
}

#[cfg(test)]
mod tests;
