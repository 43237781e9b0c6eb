//! The descriptor of a serial port, which the crate that opens it keeps to itself.

use std::os::fd::{FromRawFd as _, IntoRawFd as _, OwnedFd};

use serialport::TTYPort;

/// The descriptor of an open port, for reads and writes that never wait.
#[must_use]
pub fn descriptor(port: TTYPort) -> OwnedFd {
    // SAFETY: `into_raw_fd` gives up the descriptor, which is open; nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(port.into_raw_fd()) }
}
