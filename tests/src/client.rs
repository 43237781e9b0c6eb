//! The client: sends numbered UDP requests to a virtual address at a fixed rate and records who answers which.
//!
//! A request carries the run's number, its own number and its send time; the answer repeats them and adds the
//! name of the node ([`crate::responder`]). One socket serves a whole run, and the kernel's ARP cache decides
//! where the requests go, as with any client.

use std::io;
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::lan::{CLIENT, Lan};
use crate::netns::Netns;
use crate::outage::{Answer, Outage, Request};
use crate::{clock, sys, wait};

/// The length of what a request says. What is longer is filled up; an answer is the request and the node's name.
pub(crate) const REQUEST_LENGTH: usize = 24;

/// The length of a request at most: an RTP packet of 20 ms of G.711 has 172 bytes.
pub(crate) const LENGTH_MAX: usize = 256;

/// 5 kHz, as the demo and the peers' measurements send.
pub const PERIOD: Duration = Duration::from_micros(200);

/// Above the agents' own threads: in a network the client is another machine, which no node can hold up.
const PRIORITY_SENDER: i32 = 60;
const PRIORITY_RECEIVER: i32 = 61;

/// How long answers to the last requests are waited for. A path through a queue of unresolved addresses may take
/// that long; after it a request counts as lost.
const DRAIN: Duration = Duration::from_millis(300);

const NOBODY: usize = usize::MAX;

/// Another node began to answer.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// The index of the node that answers now.
    pub by: usize,
    /// When the request it answered was sent.
    pub sent: u64,
    /// When its answer came.
    pub at: u64,
    /// The send time of the newest request that the node before it had answered, if there was one.
    pub last_before: Option<u64>,
}

/// A running client. Stops when dropped; [`Client::finish`] returns its record.
#[derive(Debug)]
pub struct Client {
    stop_sending: Arc<AtomicBool>,
    stop_receiving: Arc<AtomicBool>,
    answerer: Arc<AtomicUsize>,
    answered: Arc<AtomicU64>,
    changes: Receiver<Change>,
    sender: Option<JoinHandle<Vec<u64>>>,
    receiver: Option<JoinHandle<Vec<(u64, Answer)>>>,
}

impl Client {
    /// Starts sending to `target` from the client's namespace, one request each `period`.
    pub fn start(lan: &Lan, target: SocketAddrV4, period: Duration) -> Result<Self> {
        let names = (0..lan.size()).map(|index| lan.name(index).to_owned()).collect();
        Self::start_in(lan.client(), names, target, period, REQUEST_LENGTH)
    }

    /// The same from the client's namespace `netns`, with requests of `length` bytes; those who may answer are called `names`.
    pub fn start_in(
        netns: &Netns,
        names: Vec<String>,
        target: SocketAddrV4,
        period: Duration,
        length: usize,
    ) -> Result<Self> {
        ensure!((REQUEST_LENGTH..=LENGTH_MAX).contains(&length), "a request of {length} bytes");
        let socket = netns.run(|| UdpSocket::bind((CLIENT, 0)))?.context("the client's socket")?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let (stop_sending, stop_receiving) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let answerer = Arc::new(AtomicUsize::new(NOBODY));
        let answered = Arc::new(AtomicU64::new(0));
        let (change, changes) = channel();
        let run = clock::now();
        let sender =
            Sending { socket: socket.try_clone()?, target, period, length, run, stop: stop_sending.clone() };
        let receiver = Receiving {
            socket,
            run,
            length,
            names,
            stop: stop_receiving.clone(),
            answerer: answerer.clone(),
            answered: answered.clone(),
            change,
        };
        let receiver = thread::Builder::new().name("client-rx".into()).spawn(move || receiver.run())?;
        let sender = thread::Builder::new().name("client-tx".into()).spawn(move || sender.run())?;
        let (sender, receiver) = (Some(sender), Some(receiver));
        Ok(Self { stop_sending, stop_receiving, answerer, answered, changes, sender, receiver })
    }

    /// The index of the node that gave the newest answer.
    pub fn answerer(&self) -> Option<usize> {
        Some(self.answerer.load(Ordering::Acquire)).filter(|&by| by != NOBODY)
    }

    /// When the newest answer came, in nanoseconds of [`clock::now`]; 0 if there was none.
    pub fn answered_at(&self) -> u64 {
        self.answered.load(Ordering::Acquire)
    }

    /// Waits until node `by` begins to answer. Changes to other nodes on the way go to `seen`, which gets this
    /// last one as well.
    pub fn wait_for(&self, by: usize, limit: Duration, mut seen: impl FnMut(&Change)) -> Result<Change> {
        let what = format!("node {by} answers the client");
        wait::eventually_some(limit, &what, || {
            self.changes().find(|change| {
                seen(change);
                change.by == by
            })
        })
    }

    /// The changes that [`Client::wait_for`] has not consumed, up to now.
    pub fn changes(&self) -> impl Iterator<Item = Change> {
        self.changes.try_iter()
    }

    /// Stops sending, waits for the last answers and returns the record of the run.
    pub fn finish(mut self) -> Result<Record> {
        let ended = |what| move |_| anyhow!("the client's {what} panicked");
        let (Some(sender), Some(receiver)) = (self.sender.take(), self.receiver.take()) else {
            unreachable!("only finish takes them, and it takes the client")
        };
        self.stop_sending.store(true, Ordering::Release);
        let sent = sender.join().map_err(ended("sender"))?;
        thread::sleep(DRAIN);
        self.stop_receiving.store(true, Ordering::Release);
        Ok(Record::new(&sent, &receiver.join().map_err(ended("receiver"))?))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop_sending.store(true, Ordering::Release);
        self.stop_receiving.store(true, Ordering::Release);
    }
}

/// What a client sent and who answered.
#[derive(Debug, Default)]
pub struct Record {
    /// All requests in the order of sending.
    pub requests: Vec<Request>,
    /// Answers beyond the first to one request. More than 0 means that two nodes served one packet.
    pub answered_twice: usize,
}

impl Record {
    /// `sent[n]` is the send time of request `n`; `answers` name requests by that number.
    fn new(sent: &[u64], answers: &[(u64, Answer)]) -> Self {
        let mut record = Self::default();
        record.requests.extend(sent.iter().map(|&sent| Request { sent, answer: None }));
        for &(number, answer) in answers {
            let request = usize::try_from(number).ok().and_then(|number| record.requests.get_mut(number));
            match request {
                Some(Request { answer: Some(_), .. }) => record.answered_twice += 1,
                Some(unanswered) => unanswered.answer = Some(answer),
                None => {} // No number of ours.
            }
        }
        record
    }

    /// What happened in the time from `from` to before `to` (nanoseconds of [`clock::now`]).
    pub fn outage(&self, from: u64, to: u64) -> Outage {
        Outage::between(&self.requests, from, to)
    }
}

struct Sending {
    socket: UdpSocket,
    target: SocketAddrV4,
    period: Duration,
    length: usize,
    run: u64,
    stop: Arc<AtomicBool>,
}

impl Sending {
    fn run(self) -> Vec<u64> {
        sys::real_time(PRIORITY_SENDER);
        let period = u64::try_from(self.period.as_nanos()).unwrap_or(u64::MAX).max(1);
        let mut sent = Vec::new();
        let mut slot = clock::now();
        while !self.stop.load(Ordering::Acquire) {
            clock::sleep_until(slot);
            let now = clock::now();
            // A refused request (no route, full queue) is a lost one.
            let _ =
                self.socket.send_to(&request(self.run, sent.len() as u64, now)[..self.length], self.target);
            sent.push(now);
            // Slots that were slept through are left out: a burst would be another experiment.
            slot += period * ((now - slot.min(now)) / period + 1);
        }
        sent
    }
}

fn request(run: u64, number: u64, sent: u64) -> [u8; LENGTH_MAX] {
    let mut request = [0; LENGTH_MAX];
    for (field, value) in request.chunks_exact_mut(8).zip([run, number, sent]) {
        field.copy_from_slice(&value.to_be_bytes());
    }
    request
}

/// The run, the number, the send time and the answering node's name, from the answer to a request of `length` bytes.
fn parse(answer: &[u8], length: usize) -> Option<(u64, u64, u64, &[u8])> {
    let (request, name) = answer.split_at_checked(length)?;
    let field = |at: usize| Some(u64::from_be_bytes(request[at..at + 8].try_into().ok()?));
    Some((field(0)?, field(8)?, field(16)?, name))
}

struct Receiving {
    socket: UdpSocket,
    length: usize,
    run: u64,
    names: Vec<String>,
    stop: Arc<AtomicBool>,
    answerer: Arc<AtomicUsize>,
    answered: Arc<AtomicU64>,
    change: Sender<Change>,
}

impl Receiving {
    fn run(self) -> Vec<(u64, Answer)> {
        sys::real_time(PRIORITY_RECEIVER);
        let mut answers = Vec::new();
        let mut newest: Option<(usize, u64)> = None;
        while !self.stop.load(Ordering::Acquire) {
            let Some((number, sent, answer)) = self.receive() else { continue };
            answers.push((number, answer));
            self.answered.store(answer.at, Ordering::Release);
            if newest.is_none_or(|(by, _)| by != answer.by) {
                self.answerer.store(answer.by, Ordering::Release);
                let last_before = newest.map(|(_, sent)| sent);
                // Nobody has to listen.
                let _ = self.change.send(Change { by: answer.by, sent, at: answer.at, last_before });
            }
            newest = Some((answer.by, sent));
        }
        answers
    }

    fn receive(&self) -> Option<(u64, u64, Answer)> {
        let mut buffer = [0; LENGTH_MAX + 64];
        let length = match self.socket.recv(&mut buffer) {
            Ok(length) => length,
            // The read timeout, which is there to look at `stop`.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(_) => return None,
        };
        let at = clock::now();
        let (run, number, sent, name) = parse(&buffer[..length], self.length)?;
        let by = self.names.iter().position(|node| node.as_bytes() == name)?;
        (run == self.run).then_some((number, sent, Answer { at, by }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_back_from_its_answer() {
        for length in [REQUEST_LENGTH, LENGTH_MAX] {
            let mut answer = request(7, 8, 9)[..length].to_vec();
            answer.extend(b"server1");
            assert_eq!(parse(&answer, length), Some((7, 8, 9, b"server1".as_slice())));
            assert_eq!(parse(&answer[..length - 1], length), None);
        }
    }

    #[test]
    fn answers_find_their_requests_in_any_order_and_the_first_one_counts() {
        let answer = |at, by| Answer { at, by };
        let answers = [(2, answer(330, 1)), (0, answer(350, 0)), (2, answer(360, 0)), (9, answer(370, 0))];
        let record = Record::new(&[100, 200, 300], &answers);
        let seen: Vec<_> = record.requests.iter().map(|request| request.answer).collect();
        assert_eq!(seen, [Some(answer(350, 0)), None, Some(answer(330, 1))]);
        assert_eq!(record.answered_twice, 1);
    }
}
