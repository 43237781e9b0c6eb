//! The one call of a watchdog device that is no read and no write.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

mod call {
    #![allow(missing_docs, reason = "the macro makes the function")]
    nix::ioctl_readwrite!(set_timeout, b'W', 6, libc::c_int);
}

/// Sets the time without a feed after which the device resets the machine, in seconds (`WDIOC_SETTIMEOUT`, the kernel's
/// `watchdog-api.rst`), and returns the one that it took: some devices know a few alone.
///
/// # Errors
/// When the file is no watchdog, or one whose time cannot be set.
pub fn set_timeout(device: &File, seconds: i32) -> io::Result<i32> {
    let mut seconds = seconds;
    // SAFETY: WDIOC_SETTIMEOUT reads and writes one int, which outlives the call; on a file of another kind it is refused.
    unsafe { call::set_timeout(device.as_raw_fd(), &raw mut seconds) }?;
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_watchdog_is_refused() {
        assert!(set_timeout(&tempfile::tempfile().unwrap(), 2).is_err());
    }
}
