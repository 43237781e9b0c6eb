//! Waiting for descriptors with tokio.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use aya::maps::{MapData, RingBuf};
use aya_log::EbpfLogger;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What owns its descriptor for as long as it lives, and always names the same one.
///
/// Sealed: each type here was looked at.
pub trait OwnsDescriptor: AsRawFd + sealed::Sealed {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for std::os::fd::OwnedFd {}
    impl Sealed for aya::maps::RingBuf<aya::maps::MapData> {}
    impl Sealed for aya_log::EbpfLogger<&'static dyn log::Log> {}
}

impl OwnsDescriptor for OwnedFd {}
impl OwnsDescriptor for RingBuf<MapData> {}
impl OwnsDescriptor for EbpfLogger<&'static dyn log::Log> {}

/// Lets tokio wait until `inner` is readable.
///
/// # Errors
/// When the runtime has no IO, or the descriptor cannot be waited for.
pub fn readable<T: OwnsDescriptor>(inner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: the descriptor is valid and the same while `inner` lives, which AsyncFd owns: the trait is sealed to
    // types of which that is true.
    unsafe { AsyncFd::register_with_interest(inner, Interest::READABLE) }.map_err(io::Error::from)
}
