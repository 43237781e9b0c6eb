//! The kernel programs of xbeat: thin shells around the reflex.
//!
//! Entry points here, maps in `maps`, access to packets in `packet`, the timer in `timer`. What is decided is
//! decided in the `reflex` crate. For any target but BPF this is an empty program, so that
//! `cargo check --workspace` works everywhere; `cargo xtask ebpf` builds the real one.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod packet;
#[cfg(target_arch = "bpf")]
mod programs;
#[cfg(target_arch = "bpf")]
mod timer;

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Cannot be reached: the verifier would not let a program in that may loop for ever.
    loop {}
}

// The helpers for timers and the clock are open to GPL-compatible programs only.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
