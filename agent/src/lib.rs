//! The agent.

pub mod datapath;
pub mod resources;
pub mod sys;
