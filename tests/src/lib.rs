//! The test harness: whole networks inside one process, and nothing left of them afterwards.
//!
//! A [`lan::Lan`] is a switch (a Linux bridge), a client and some nodes, each in a network namespace of its
//! own. A [`host::Host`] is one node that runs the real `xbeat`. A [`client::Client`] and a
//! [`witness::Witness`] watch from outside what the virtual addresses do, and [`outage`] does their arithmetic.
//!
//! What the harness promises:
//!
//! - **Nothing stays behind**, not even after `kill -9`. Namespaces have no name and live only through open
//!   files; every child dies with this process; what those children started, and the temporary directory, are
//!   cleaned away by a small keeper process ([`process`]).
//! - **The machine's own network is never touched.** All interfaces are made inside the namespaces.
//! - **No tools needed**: interfaces are made through netlink, not through `ip`.
//!
//! It needs root; a test begins with [`require::root_or_skip`].
//!
//! Beside all that, [`sim`] plays whole clusters in virtual time, without a network.

pub mod arp;
pub mod cable;
pub mod client;
pub mod clock;
pub mod files;
pub mod hog;
pub mod hooks;
pub mod host;
pub mod kinds;
pub mod lan;
mod netlink;
pub mod netns;
pub mod outage;
pub mod peers;
pub mod process;
pub mod require;
pub mod responder;
pub mod scene;
pub mod sim;
pub mod stage;
pub mod status;
mod sys;
pub mod wait;
pub mod wire;
pub mod witness;
