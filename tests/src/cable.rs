//! A null-modem cable between two nodes: two pseudo terminals, and a thread that carries bytes between them as fast as the baud
//! rate allows and never faster. It can be pulled, lose bytes, make noise, be held by the far side, and its ends can vanish and come back.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use tempfile::TempDir;

use crate::{process, sys};

/// Below the agents, above ordinary work.
const PRIORITY: i32 = 20;
/// Start bit, eight bits, stop bit.
const BITS_PER_BYTE: f64 = 10.0;
/// How often bytes are moved.
const TICK: Duration = Duration::from_micros(500);

/// The cable. Gone, with its devices, when dropped.
#[derive(Debug)]
pub struct Cable {
    dir: TempDir,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ends: [End; 2],
    /// Nothing passes.
    pulled: bool,
    /// One of so many bytes is lost.
    loses: Option<u64>,
}

/// One end, and the direction away from it.
#[derive(Debug)]
struct End {
    /// None: the device is gone.
    master: Option<PtyMaster>,
    /// What waits to be delivered here: noise.
    noise: VecDeque<u8>,
    /// What this end says is not taken: its CTS is low.
    held: bool,
    /// Since when bytes wait here that have not passed: up to then the line has carried what it can. None: it is idle, and
    /// nobody knows when the next byte is written, so what it could have carried is lost.
    busy_since: Option<Instant>,
    /// Bytes that were taken from here.
    carried: u64,
}

impl Cable {
    /// A cable of `baud` bits per second.
    pub fn new(baud: u32) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("xbeat-cable-").tempdir().context("temporary directory")?;
        process::keep_directory(dir.path());
        let end = || End { master: None, noise: VecDeque::new(), held: false, busy_since: None, carried: 0 };
        let state = State { ends: [end(), end()], pulled: false, loses: None };
        let shared = Arc::new(Shared { stop: AtomicBool::new(false), state: Mutex::new(state) });
        let carried_by = Arc::clone(&shared);
        let thread =
            thread::Builder::new().name("cable".into()).spawn(move || carry(&carried_by, f64::from(baud)))?;
        let cable = Self { dir, shared, thread: Some(thread) };
        cable.restore(0)?;
        cable.restore(1)?;
        Ok(cable)
    }

    /// The path of the device at `end`: a link to the pseudo terminal.
    pub fn device(&self, end: usize) -> PathBuf {
        self.dir.path().join(format!("tty{end}"))
    }

    /// Nothing passes any more, in either direction.
    pub fn pull(&self) {
        self.state().pulled = true;
    }

    /// Everything passes again. What was said meanwhile is lost.
    pub fn plug(&self) {
        self.state().pulled = false;
    }

    /// The device at `end` is unplugged: whoever has it open is hung up, and its path is gone.
    pub fn remove(&self, end: usize) -> Result<()> {
        fs::remove_file(self.device(end)).context("removing the device")?;
        self.state().ends[end].master = None;
        Ok(())
    }

    /// The device at `end` is there (again).
    pub fn restore(&self, end: usize) -> Result<()> {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let device = ptsname_r(&master)?;
        self.state().ends[end].master = Some(master);
        symlink(device, self.device(end)).context("naming the device")
    }

    /// `bytes` arrive at `end` as noise, between others or in the middle of a frame.
    pub fn noise(&self, end: usize, bytes: &[u8]) {
        self.state().ends[end].noise.extend(bytes);
    }

    /// From now on one of `every` bytes is lost; none: all arrive.
    pub fn lose(&self, every: Option<u64>) {
        self.state().loses = every;
    }

    /// What `end` says is not taken any more, as if the other side's handshake line were low, or is again.
    pub fn hold(&self, end: usize, held: bool) {
        self.state().ends[end].held = held;
    }

    /// Bytes that either end has said and the cable has taken.
    pub fn carried(&self) -> [u64; 2] {
        let state = self.state();
        [state.ends[0].carried, state.ends[1].carried]
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn carry(shared: &Shared, baud: f64) {
    // A wire does not wait for a processor.
    sys::real_time(PRIORITY);
    let rate = baud / BITS_PER_BYTE;
    while !shared.stop.load(Ordering::Relaxed) {
        thread::sleep(TICK);
        let mut state = lock(shared);
        for end in 0..2 {
            state.step(end, rate);
        }
    }
}

/// Whether somebody has written what the terminal has not passed on yet.
fn waits(master: &PtyMaster) -> bool {
    let mut look = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
    let found = poll(&mut look, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
    found && look[0].revents().is_some_and(|events| events.contains(PollFlags::POLLIN))
}

impl State {
    /// Carries away from `end` what a line of so many bytes per second has had the time for.
    fn step(&mut self, end: usize, rate: f64) {
        let far = 1 - end;
        let noise: Vec<u8> = self.ends[far].noise.drain(..).collect();
        self.deliver(far, &noise);
        let from = &mut self.ends[end];
        let master = match &from.master {
            Some(master) if !from.held && waits(master) => master,
            _ => return from.busy_since = None,
        };
        // Read after it was seen that something waits: the time before does not count.
        let now = Instant::now();
        let since = *from.busy_since.get_or_insert(now);
        let mut buffer = [0; 4096];
        // Truncated: a part of a byte is carried when it is whole.
        let allowed = ((now.duration_since(since).as_secs_f64() * rate) as usize).min(buffer.len());
        // An error: nothing was said, or nobody has the device open.
        let taken = nix::unistd::read(master.as_fd(), &mut buffer[..allowed]).unwrap_or_default();
        from.busy_since = Some(since + Duration::from_secs_f64(taken as f64 / rate));
        if taken < allowed || !waits(master) {
            from.busy_since = None;
        }
        let before = from.carried;
        from.carried += taken as u64;
        if !self.pulled {
            let kept = |at: &u64| self.loses.is_none_or(|every| !at.is_multiple_of(every));
            let arrived: Vec<u8> = (before + 1..)
                .zip(&buffer[..taken])
                .filter(|(at, _)| kept(at))
                .map(|(_, byte)| *byte)
                .collect();
            self.deliver(far, &arrived);
        }
    }

    /// A full or closed terminal loses what arrives, as a real one does.
    fn deliver(&self, end: usize, bytes: &[u8]) {
        if let (Some(master), false) = (&self.ends[end].master, bytes.is_empty()) {
            let _: Result<usize, io::Error> = nix::unistd::write(master, bytes).map_err(Into::into);
        }
    }
}
