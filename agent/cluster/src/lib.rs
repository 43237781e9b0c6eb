//! The election.
#![no_std]
