//! Messages of programs on their way between nodes, in pieces that a frame carries. No IO and no clock here.
//!
//! An [`Outbox`] sends to each node one piece at a time: the next one when that node's kernel has taken the one before. An
//! [`Inbox`] puts the pieces of each node together again. What the frames look like: `reflex::letter`.

mod inbox;
mod outbox;

pub use inbox::{Inbox, Incomplete};
pub use outbox::{Act, NodeView, Outbox, PATIENCE, Refused, Why};

/// Bytes of a message's lines, at most. Heartbeat's own have a few hundred.
pub const MESSAGE_MAX: usize = 4096;

/// Messages that wait for one node, at most.
pub const WAITING_MAX: usize = 64;

/// A piece with its number.
pub type Numbered<'a> = (u64, reflex::letter::Piece<'a>);

#[cfg(test)]
mod tests;
