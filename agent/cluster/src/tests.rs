//! Clusters of one to five nodes in virtual time: every node is a real [`crate::Cluster`] over real reflex tables, and
//! the harness ([`net`], [`node`]) plays the driver, the network, the scripts and the operator. These
//! are scenarios with names; random schedules of faults are the simulator's (`tests/src/sim`).

mod commands;
mod conflict;
mod failback;
mod failure;
mod lease;
mod leave;
mod many;
mod net;
mod node;
mod resume;
mod start;
mod steps;
mod tables;
mod takeover;
