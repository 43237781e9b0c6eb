//! The kernel programs of xbeat (sample: every construct the real programs need, once).
//!
//! For any target but BPF this is an empty program, so that `cargo check --workspace` works everywhere.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics, asm_experimental_arch), allow(internal_features))]

#[cfg(target_arch = "bpf")]
mod programs;

#[cfg(not(target_arch = "bpf"))]
fn main() {}
