//! The reflex without kernel programs: the agent's own threads receive, answer and watch.
//!
//! What is lost against the kernel: a starved or stopped agent answers nobody, watches nobody and fences nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use reflex::frame::FRAME_LEN;
use reflex::node::{self, Desk};
use reflex::verdict::VERDICTS;
use reflex::{Event, Facts, Orders, Verdict, watch};
use tokio::sync::mpsc;

use crate::links::Link;
use crate::links::prober::FIFO_PRIORITY;
use crate::sys::{Table, clock, schedule};

/// How long a thread waits before it looks whether it should end.
const PATIENCE: Duration = Duration::from_millis(100);

/// The threads that stand in for the kernel.
pub struct Plain {
    orders: Arc<Table<Orders>>,
    facts: Arc<Table<Facts>>,
    events: mpsc::Sender<Event>,
    counters: Arc<[AtomicU64; VERDICTS]>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Plain {
    /// No thread yet.
    #[must_use]
    pub fn new(orders: Arc<Table<Orders>>, facts: Arc<Table<Facts>>, events: mpsc::Sender<Event>) -> Self {
        let counters = Arc::new(std::array::from_fn(|_| AtomicU64::new(0)));
        Self { orders, facts, events, counters, stop: Arc::default(), threads: Vec::new() }
    }

    /// Receives on `link` from now on.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn receive(&mut self, link: Arc<Link>) -> std::io::Result<()> {
        link.socket.set_patience(PATIENCE)?;
        let (orders, facts) = (Arc::clone(&self.orders), Arc::clone(&self.facts));
        let (events, counters, stop) =
            (self.events.clone(), Arc::clone(&self.counters), Arc::clone(&self.stop));
        let name = format!("xbeat-{}", link.name);
        self.threads.push(std::thread::Builder::new().name(name).spawn(move || {
            let _ = schedule::fifo(FIFO_PRIORITY);
            let mut receiver = Receiver { orders, facts, events, counters, desk: Desk::default() };
            while !stop.load(Ordering::Relaxed) {
                receiver.turn(&link);
            }
        })?);
        Ok(())
    }

    /// Watches all nodes from now on, in place of the kernel's timers.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn watch(&mut self) -> std::io::Result<()> {
        let (orders, facts) = (Arc::clone(&self.orders), Arc::clone(&self.facts));
        let (events, stop) = (self.events.clone(), Arc::clone(&self.stop));
        self.threads.push(std::thread::Builder::new().name("xbeat-watch".into()).spawn(move || {
            let _ = schedule::fifo(FIFO_PRIORITY);
            while !stop.load(Ordering::Relaxed) {
                let now = clock::now();
                let mut sink = |event: Event| {
                    let _ = events.try_send(event);
                };
                let nodes = orders.nodes_len.get() as u8;
                let next = (0..nodes)
                    .map(|node| watch::look(&orders, &facts, node, now, &mut sink))
                    .min()
                    .unwrap_or(u64::MAX);
                clock::sleep_until(now + next.min(PATIENCE.as_nanos() as u64));
            }
        })?);
        Ok(())
    }

    /// Frames by verdict.
    #[must_use]
    pub fn counters(&self) -> [u64; VERDICTS] {
        std::array::from_fn(|i| self.counters[i].load(Ordering::Relaxed))
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct Receiver {
    orders: Arc<Table<Orders>>,
    facts: Arc<Table<Facts>>,
    events: mpsc::Sender<Event>,
    counters: Arc<[AtomicU64; VERDICTS]>,
    desk: Desk,
}

impl Receiver {
    fn turn(&mut self, link: &Link) {
        // One byte more than a frame, so that a longer datagram is seen to be longer.
        let mut buffer = [0u8; FRAME_LEN + 1];
        let (len, from) = match link.socket.receive(&mut buffer) {
            Ok(Some(received)) => received,
            Ok(None) => return,
            Err(error) => {
                // An ICMP error or an interface that went away; neither is for ever.
                tracing::debug!(link = link.name, "cannot receive: {error}");
                std::thread::sleep(Duration::from_millis(1));
                return;
            }
        };
        let verdict = if len == FRAME_LEN {
            self.desk.frame.bytes.copy_from_slice(&buffer[..FRAME_LEN]);
            self.desk.now = clock::now();
            self.desk.ifindex = u64::from(link.ifindex);
            self.desk.address = match from {
                std::net::SocketAddr::V4(from) => u64::from(u32::from_ne_bytes(from.ip().octets())),
                std::net::SocketAddr::V6(_) => 0,
            };
            let mut sink = |event: Event| {
                let _ = self.events.try_send(event);
            };
            node::on_frame(&self.orders, &self.facts, &mut self.desk, &mut sink)
        } else {
            Verdict::BadLength
        };
        if matches!(verdict, Verdict::ProbeAnswered | Verdict::ProbeUnproven) {
            // Lost like any frame; the prober asks again.
            let _ = link.socket.answer(&self.desk.frame.bytes, from);
        }
        self.counters[verdict as usize].fetch_add(1, Ordering::Relaxed);
    }
}
