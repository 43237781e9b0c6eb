//! The agent of xbeat: keeps virtual IP addresses alive on a group of nodes.
pub mod datapath;
pub mod sys;
