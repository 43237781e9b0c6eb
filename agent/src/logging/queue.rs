//! The queue between those who log and the thread that writes: bounded, and never a wait for those who log.
//!
//! A channel would do if its locks were never held by a thread that is not scheduled. Here they may be: the decision
//! loop runs in real time, the writer does not. So those who log only ever *try* a lock; there are several shards,
//! and with all of them held or full the record is dropped and counted. Each record carries its number, by which the
//! writer puts the shards' content in order.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::{self, Thread};
use std::time::{Duration, SystemTime};

use tracing::Level;

/// More than the threads that log, so that one is free.
const SHARDS: usize = 8;
/// 8 times 1,024 records of about 100 bytes: below a megabyte, and minutes of a busy log.
const SHARD_RECORDS_MAX: usize = 1024;
/// A wake-up that was lost (logged before the writer was known) is made good by this.
const DRAIN_INTERVAL: Duration = Duration::from_secs(1);

/// A line on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) time: SystemTime,
    pub(super) level: Level,
    pub(super) text: String,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    shards: [Mutex<Vec<(u64, Record)>>; SHARDS],
    number: AtomicU64,
    dropped: AtomicU64,
    closed: AtomicBool,
    writer: OnceLock<Thread>,
}

impl Queue {
    /// Adds a record, or drops and counts it. Never waits.
    pub(super) fn push(&self, record: Record) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let first = usize::try_from(number).unwrap_or(0);
        for offset in 0..SHARDS {
            let mut shard = match self.shards[first.wrapping_add(offset) % SHARDS].try_lock() {
                Ok(shard) => shard,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            if shard.len() < SHARD_RECORDS_MAX {
                shard.push((number, record));
                drop(shard);
                if let Some(writer) = self.writer.get() {
                    writer.unpark();
                }
                return;
            }
        }
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Names the thread that drains, to be woken.
    pub(super) fn wake_with(&self, writer: Option<Thread>) {
        if let Some(writer) = writer {
            self.writer.get_or_init(|| writer).unpark();
        }
    }

    /// Lets [`Queue::drain`] end once the queue is empty.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    /// The writer's work until [`Queue::close`]: `write` gets the records in order, and how many were dropped since
    /// it was last called.
    pub(super) fn drain(&self, mut write: impl FnMut(&[Record], u64)) {
        let mut told = 0;
        loop {
            // Read before taking, so that nothing pushed before closing stays behind.
            let closed = self.closed.load(Ordering::Acquire);
            let records = self.take();
            let dropped = self.dropped();
            if !records.is_empty() || dropped > told {
                write(&records, dropped - told);
                told = dropped;
            } else if closed {
                return;
            } else {
                thread::park_timeout(DRAIN_INTERVAL);
            }
        }
    }

    fn take(&self) -> Vec<Record> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.append(&mut mem::take(&mut *lock(shard)));
        }
        all.sort_unstable_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, record)| record).collect()
    }
}

/// Only the writer waits for a lock. What a panicking thread left is whole: records are pushed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
