//! Tables in shared memory: the agent's view of a BPF map, or plain memory where there is no map.

use std::io;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use reflex::{Facts, Orders};

/// What may lie in a [`Table`]: words and integers only, for which all zeros is a value.
///
/// Sealed: each type here was looked at.
pub trait Zeroable: sealed::Sealed {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for reflex::Orders {}
    impl Sealed for reflex::Facts {}
}

impl Zeroable for Orders {}
impl Zeroable for Facts {}

/// One `T` in memory that somebody else may read and write too. Every shared field of `T` is a
/// [`reflex::word::Word`].
#[derive(Debug)]
pub struct Table<T> {
    at: NonNull<T>,
    len: NonZeroUsize,
}

// SAFETY: the fields that change under a shared reference are atomics; the rest is written before the table is shared.
unsafe impl<T: Zeroable> Sync for Table<T> {}
// SAFETY: the mapping belongs to the process, not to a thread.
unsafe impl<T: Zeroable> Send for Table<T> {}

impl<T: Zeroable> Table<T> {
    /// Maps the first element of a BPF array map that was made with `BPF_F_MMAPABLE`.
    ///
    /// # Errors
    /// When the kernel refuses the mapping.
    pub fn of_map(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let len = Self::len();
        // SAFETY: a new mapping, of a map whose value is a T: both sides are built from the same crate.
        let at = unsafe {
            mmap(
                None,
                len,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED,
                fd.as_fd(),
                0,
            )?
        };
        Ok(Self { at: at.cast(), len })
    }

    /// A table of zeros that nobody else sees.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn private() -> io::Result<Self> {
        let len = Self::len();
        // SAFETY: a new mapping.
        let at = unsafe {
            mmap_anonymous(
                None,
                len,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_PRIVATE | MapFlags::MAP_POPULATE,
            )?
        };
        Ok(Self { at: at.cast(), len })
    }

    fn len() -> NonZeroUsize {
        NonZeroUsize::new(size_of::<T>()).unwrap_or(NonZeroUsize::MIN)
    }

    /// Changes fields that are not words, before the table is shared with a program.
    ///
    /// Needs the only handle: a program that reads meanwhile may see a half-written field, so the words that
    /// make it look (lengths, key numbers) are set afterwards.
    pub fn edit(&mut self) -> &mut T {
        // SAFETY: the pointer is valid as long as self; &mut self keeps this process's other handles away.
        unsafe { self.at.as_mut() }
    }
}

impl<T: Zeroable> Deref for Table<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the mapping is as long as a T, page-aligned, starts as zeros or as another T, and lives as long as
        // self.
        unsafe { self.at.as_ref() }
    }
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        // SAFETY: our own mapping; no reference outlives self. A failure leaves it mapped, which harms nobody.
        let _ = unsafe { munmap(self.at.cast(), self.len.get()) };
    }
}
