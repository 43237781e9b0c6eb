//! The agent of xbeat: keeps virtual IP addresses alive on a group of nodes.
//!
//! One room per concern: `config` reads the files, `datapath` holds the kernel programs and the addresses, `links` the
//! heartbeat paths, `resources` the scripts, `control` the socket for commands; they do not know one another. The
//! `driver` connects them with the election (crate `cluster`) and is the only reader of the clock.

pub mod cli;
pub mod config;
pub mod control;
pub mod datapath;
pub mod driver;
pub mod links;
pub mod logging;
pub mod record;
pub mod resources;
pub mod status;
pub mod sys;
