//! The election of xbeat: who serves which resource group.
//!
//! Sans-IO: [`Cluster::handle`] takes one input and never fails or blocks, [`Cluster::poll_action`] is drained
//! after it, [`Cluster::poll_timeout`] says until when to sleep. No clock, no socket, no randomness: time is an
//! argument, and the same inputs give the same actions.
//!
//! Everything is level-triggered. A node's word about a group (its *claim*) is in every frame, so the election
//! never waits for a message: it looks at what the nodes say now and at what its own kernel does, and moves one
//! step towards what ought to be. The steps, for one group:
//!
//! ```text
//!            nobody holds it, it is our turn: grant
//!   (idle) ------------------------------------------> (open) --+ start resources
//!     |  ^                                              ^   |   |
//!     |  |   another holds it, we are next: arm         |   |   v  failed: yield
//!     |  +--> (armed) ---- kernel takes over -----------+   |
//!     |                                                     | home is back, operator, going down
//!     +<-- resources stopped <-- fenced by the kernel <-----+--> prepare -> stop resources -> resign
//! ```
//!
//! Two rules and why they are safe. (1) A node grants itself a group only when it has heard every node, or has
//! waited initdead, and no living node claims it; the epoch is above everything it ever heard of, so whoever
//! is wrong is fenced by the first frame. (2) A planned move names its heir, waits until the heir's kernel and no
//! other is armed, stops the resources and only then resigns. Addresses that kernel gates guard on both sides stay up on the
//! holder until it has resigned, and are up on the heir before: who serves is what the gates say, and they say one.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod action;
mod cluster;
mod election;
mod group;
mod input;
mod sight;
mod view;

pub use action::{Action, Done, Note, Refusal};
pub use cluster::Cluster;
pub use group::{Phase, Why};
pub use input::{Command, GateView, Input, NodeView, Operation, Set};
pub use view::{Config, GroupConfig, GroupReport, Held};

/// A moment on the monotonic clock, ns.
pub type Instant = u64;
/// Index of a node: its place in the `node` lines.
pub type NodeId = u8;
/// Index of a group: its place in haresources.
pub type GroupId = u32;
/// A number that grows with every change of a group's owner.
pub type Epoch = u32;

#[cfg(test)]
mod tests;
