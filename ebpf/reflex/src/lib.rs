//! The reflex.
#![no_std]
