//! The agent: everything of xbeat that runs in userspace and does IO.
//!
//! `cluster` decides, `reflex` reacts; the modules here bring them the world and carry out what they say.

pub mod cli;
pub mod config;
pub mod control;
pub mod driver;
pub mod logging;
pub mod status;
pub mod sys;
