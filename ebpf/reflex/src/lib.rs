//! The reflex: the part of xbeat's decision that runs in the kernel.
//!
//! Pure functions over plain structs, so that one crate has three homes: the XDP programs call it over
//! BPF maps, the agent calls it over ordinary memory where XDP cannot be had, and tests and the simulator
//! call it thousands of times a second. It does no IO, reads no clock and cannot panic: a verifier reads
//! it too.
//!
//! Two tables hold all state, and each has one writing side:
//!
//! ```text
//!             Orders (agent writes)                      Facts (reflex writes)
//!   lease, keys, timings, who I am              who was heard, when, with which words
//!   per gate: granted, resigned, armed          per gate: taken, fenced
//! ```
//!
//! A frame goes `frame` → `mac` → `node` (replay, stamp) → `gate` (fence, takeover) and comes back as a
//! [`Verdict`]; silence goes `watch` → `gate`. See docs/architecture.md and docs/protocol.md.
#![no_std]
#![cfg_attr(target_arch = "bpf", allow(internal_features, reason = "compare-exchange, see word.rs"))]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]

#[cfg(test)]
extern crate std;

pub mod arp;
pub mod checksum;
pub mod frame;
pub mod gate;
mod groups;
pub mod keys;
pub mod layout;
pub mod letter;
pub mod mac;
pub mod nd;
pub mod node;
pub mod path;
pub mod sight;
pub mod strangers;
pub mod verdict;
mod vip;
pub mod watch;
pub mod word;

#[cfg(test)]
mod testing;

pub use frame::{Claim, ClaimState, Frame, Kind, Status};
pub use layout::{Facts, Orders};
pub use sight::{Reach, Sight, Voice};
pub use verdict::{Event, EventKind, Reason, Sink, Verdict};

/// Nodes in a cluster, at most. The `hears` bitmap of a frame has this many bits.
pub const NODES_MAX: usize = 16;
/// Links between two nodes, at most.
pub const LINKS_MAX: usize = 8;
/// Own addresses that frames come to, at most.
pub const ADDRESSES_MAX: usize = 16;
/// Resource groups, at most: 128 pages of [`CLAIMS_PER_FRAME`].
pub const GROUPS_MAX: usize = 1024;
/// Claims that one frame carries: with the header they fill two SHA blocks to the last byte.
pub const CLAIMS_PER_FRAME: usize = 8;
/// Pages that the claims of all groups fill, at most.
pub const PAGES_MAX: usize = GROUPS_MAX / CLAIMS_PER_FRAME;
/// Authentication keys: Heartbeat's `authkeys` numbers them 0 to 15.
pub const KEYS_MAX: usize = 16;
/// Buckets of the inter-arrival histogram: bucket `i` counts gaps below 2^(i+10) ns, the last one all above.
pub const BUCKETS_MAX: usize = 24;
/// Interfaces that may be in doubt at the same moment ([`Orders::doubts`]); a power of two.
pub const DOUBTS_MAX: usize = 4;
/// Hardware addresses of cluster nodes that are told from others while an interface is in doubt ([`Orders::macs`]).
pub const MACS_MAX: usize = 32;
/// Strangers that are remembered by their ARP ([`Facts::callers`]); a power of two.
pub const CALLERS_MAX: usize = 16;
