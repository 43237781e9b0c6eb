//! What the fuzz targets do with their bytes, and what must hold whatever these are. A target is one line; a panic
//! here is a finding.
//!
//! | module | bytes become | what must hold |
//! | --- | --- | --- |
//! | [`frames`] | frames and ARP packets, over real tables | the rules of the gate (docs/ownership.md) |
//! | [`files`] | one of the three configuration files | every message has its place; what is accepted keeps docs/configuration.md |
//! | [`control`] | both directions of the control socket | an answer or a reason; what was read is written as it was read |
//! | [`serial`] | what comes in by a serial line | a frame has its check, and the next good one is always heard |
//! | [`recording`] | a recording | it is replayed, or refused with its line |

pub mod acts;
pub mod control;
pub mod files;
pub mod frames;
pub mod recording;
pub mod serial;
mod stage;

pub use stage::Stage;
