//! Clusters of one to five nodes in virtual time: every node is a real [`crate::Cluster`] over real reflex tables, and
//! the harness ([`net`], [`node`]) plays the driver, the network, the scripts and the operator. These
//! are scenarios with names; random schedules of faults are the simulator's (`tests/src/sim`).

mod commands;
mod company;
mod conflict;
mod failback;
mod failure;
mod handover;
mod lease;
mod leave;
mod many;
mod net;
mod node;
mod resume;
mod sight;
mod start;
mod steps;
mod tables;
mod takeover;
