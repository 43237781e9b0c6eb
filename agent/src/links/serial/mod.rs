//! A null-modem cable as a link: the frames of the reflex, one after the other, on a line of bytes.
//!
//! [`framing`] makes frames of bytes, [`pace`] knows what a line can carry, [`port`] is the device, [`mod@line`] the thread
//! that runs it. What the frames say is the reflex's business, as on every other link; see docs/links-serial.md.

pub mod framing;
pub mod line;
pub mod pace;
pub mod port;
mod runner;

pub use line::{Counters, Line, Running, State};
pub use pace::Pace;
