//! The real kernel programs, fed packet by packet through `BPF_PROG_TEST_RUN`: what they answer, drop and pass, what
//! they believe, and what nobody can make them do.
//!
//! Every test loads an object of its own (the embedded one, or that of `XBEAT_BPF_OBJECT`), attached to nothing, so the
//! tests disturb neither each other nor the machine. The other nodes are [`peer::Peer`]s: they sign what they like.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "xdp/arp.rs"]
mod arp;
#[path = "xdp/claims.rs"]
mod claims;
#[path = "xdp/concurrency.rs"]
mod concurrency;
#[path = "xdp/fixture.rs"]
mod fixture;
#[path = "xdp/frames.rs"]
mod frames;
#[path = "xdp/groups.rs"]
mod groups;
#[path = "xdp/handover.rs"]
mod handover;
#[path = "xdp/ipv6.rs"]
mod ipv6;
#[path = "xdp/letters.rs"]
mod letters;
#[path = "xdp/neighbours.rs"]
mod neighbours;
#[path = "xdp/packets.rs"]
mod packets;
#[path = "xdp/passing.rs"]
mod passing;
#[path = "xdp/peer.rs"]
mod peer;
#[path = "xdp/random.rs"]
mod random;
#[path = "xdp/refused.rs"]
mod refused;
#[path = "xdp/strangers.rs"]
mod strangers;
#[path = "xdp/watch.rs"]
mod watch;
