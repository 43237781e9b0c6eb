//! Load: threads that do nothing but take the processor.

use std::hint;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::Result;

use crate::sys;

/// Above everything ordinary, below the agents' threads and those of the harness that measure.
const REAL_TIME: i32 = 10;

/// Of which kind a hog is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As any program (`SCHED_OTHER`).
    Ordinary,
    /// `SCHED_FIFO`: no ordinary program runs beside it, except in the share that the kernel keeps for them.
    RealTime,
}

/// Running hogs. They end when it is dropped.
#[derive(Debug)]
pub struct Hogs {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Hogs {
    /// Two ordinary hogs per processor, or one real-time hog on the machine: one on each processor would leave nothing
    /// for the nodes' ordinary work, of which stopping a hog is a part.
    pub fn start(kind: Kind) -> Result<Self> {
        let number = match kind {
            Kind::Ordinary => 2 * thread::available_parallelism().map_or(1, NonZero::get),
            Kind::RealTime => 1,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let start = |_| {
            let stopped = stop.clone();
            thread::Builder::new().name("hog".into()).spawn(move || {
                if kind == Kind::RealTime {
                    sys::real_time(REAL_TIME);
                }
                while !stopped.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            })
        };
        let threads = (0..number).map(start).collect::<Result<_, _>>()?;
        Ok(Self { stop, threads })
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It cannot panic.
            let _ = thread.join();
        }
    }
}
