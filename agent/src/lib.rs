//! The agent of xbeat: keeps virtual IP addresses alive on a group of nodes.
//!
//! One room per concern: `config` reads the files, `datapath` holds the kernel programs and the addresses, `links` the
//! heartbeat paths, `letters` programs' messages on their way over them, `voices` what is asked outside of the cluster,
//! `resources` the scripts, `control` the socket for commands, `compat` the commands of old, `probe` measures addresses from
//! outside; they do not know one another. The `driver` connects them with the election (crate `cluster`) and is the only reader of the clock. `sys` and `icmp`, what an
//! echo request looks like, are for whoever needs them.

pub mod cli;
pub mod compat;
pub mod config;
pub mod control;
pub mod datapath;
pub mod driver;
pub mod icmp;
pub mod letters;
pub mod links;
pub mod logging;
pub mod probe;
pub mod record;
pub mod resources;
pub mod status;
pub mod sys;
pub mod voices;
