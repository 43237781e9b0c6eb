//! Load: threads that do nothing but take the processor.

use std::hint;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::sys;

/// Above everything ordinary, below the agents' threads and those of the harness that measure.
const REAL_TIME: i32 = 10;

/// How long a hog that rests works, and how long it rests then.
const WORK: Duration = Duration::from_millis(9);
const REST: Duration = Duration::from_millis(1);

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
        match kind {
            Kind::Ordinary => Self::number(kind, 2 * processors(), false),
            Kind::RealTime => Self::number(kind, 1, false),
        }
    }

    /// A real-time hog on every processor, which rests for one millisecond in ten. Without a rest the kernel would take the
    /// share that it keeps for ordinary programs (50 ms in a second) by holding up everything that is real-time, those who
    /// measure among it. The thread that ends them should [`outrank`] them.
    pub fn on_every_processor() -> Result<Self> {
        Self::number(Kind::RealTime, processors(), true)
    }

    fn number(kind: Kind, number: usize, rests: bool) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, ready) = channel();
        let start = |_| {
            let (stopped, told) = (stop.clone(), told.clone());
            thread::Builder::new().name("hog".into()).spawn(move || {
                // Said in both cases: a thread inherits the priority of the one that starts it.
                let done = match kind {
                    Kind::Ordinary => sys::ordinary(),
                    Kind::RealTime => sys::real_time(REAL_TIME),
                };
                // The starter waits for it.
                let _ = told.send(done);
                let mut rested = Instant::now();
                while done && !stopped.load(Ordering::Relaxed) {
                    hint::spin_loop();
                    if rests && rested.elapsed() >= WORK {
                        thread::sleep(REST);
                        rested = Instant::now();
                    }
                }
            })
        };
        let threads: Vec<_> = (0..number).map(start).collect::<Result<_, _>>()?;
        let hogs = Self { stop, threads };
        ensure!(
            ready.iter().take(number).all(|done| done),
            "the machine refuses the priority of {kind:?} hogs"
        );
        Ok(hogs)
    }
}

/// The calling thread, and those it starts from now on, go before every hog. False where the machine refuses.
pub fn outrank() -> bool {
    sys::real_time(REAL_TIME + 5)
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
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
