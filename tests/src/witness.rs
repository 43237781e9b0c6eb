//! The witness: asks by ARP for a virtual address again and again, from the client's port, and notes every node
//! that answers. Two answers to one question are two owners.
//!
//! It speaks with hardware and protocol addresses of its own, so the client's kernel ignores the answers and its
//! ARP cache learns only what it would without a witness. The last byte of the hardware address counts the
//! rounds: a late answer is booked to the question it answers, not to the next.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use crate::arp::{self, Mac, Reply};
use crate::lan::{Lan, Network, WITNESS};
use crate::{clock, netlink, sys};

/// What a test's failure says, and only then, when there were two owners: it is never excused by a busy machine.
pub const TWO_OWNERS: &str = "two nodes answered";

/// One question every 10 ms.
pub const PERIOD: Duration = Duration::from_millis(10);

const PRIORITY: i32 = 20;

/// Locally administered, and no station of the [`Lan`]. The last byte is the round's.
const MAC: Mac = [0x02, 0x78, 0x62, 0xff, 0, 0];

/// One question and everybody who answered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// When it was asked, in nanoseconds of [`clock::now`].
    pub asked: u64,
    /// The hardware addresses that answered, each once, in the order of their first answer.
    pub answers: Vec<Mac>,
    /// How many answers came in all. More than `answers` has, where two nodes share a hardware address (the virtual
    /// one of a VRRP router) or one answers twice.
    pub replies: usize,
}

/// When the newest question was asked that was answered twice, in nanoseconds of [`clock::now`].
#[derive(Debug, Default)]
struct Doubled {
    /// By two hardware addresses.
    by_two: AtomicU64,
    /// By any.
    by_any: AtomicU64,
}

/// A running witness. Stops when dropped; [`Witness::finish`] returns what it saw.
#[derive(Debug)]
pub struct Witness {
    stop: Arc<AtomicBool>,
    newest: Arc<Mutex<Vec<Mac>>>,
    doubled: Arc<Doubled>,
    thread: Option<JoinHandle<Result<Vec<Round>>>>,
}

impl Witness {
    /// Starts asking for `vip` every `period`.
    pub fn start(lan: &Lan, vip: Ipv4Addr, period: Duration) -> Result<Self> {
        let interface = netlink::index(lan.client(), Network::Eth0.interface())?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let socket = lan.client().run(|| sys::arp_socket(interface))?.context("the witness's socket")?;
        let newest = Arc::new(Mutex::new(Vec::new()));
        let doubled = Arc::new(Doubled::default());
        let asking =
            Asking { socket, vip, period, stop: stopped, newest: newest.clone(), doubled: doubled.clone() };
        let thread = std::thread::Builder::new().name("witness".into()).spawn(move || asking.run())?;
        Ok(Self { stop, newest, doubled, thread: Some(thread) })
    }

    /// Who answered the newest question whose time is over.
    pub fn answers(&self) -> Vec<Mac> {
        self.newest.lock().map(|newest| newest.clone()).unwrap_or_default()
    }

    /// When the newest question was asked that two hardware addresses answered, or that was answered twice where
    /// `shared_mac` says that two nodes have one; in nanoseconds of [`clock::now`], 0 if there was none.
    pub fn doubled_at(&self, shared_mac: bool) -> u64 {
        let doubled = if shared_mac { &self.doubled.by_any } else { &self.doubled.by_two };
        doubled.load(Ordering::Acquire)
    }

    /// Stops after the current round and returns what was seen.
    pub fn finish(mut self) -> Result<Sightings> {
        self.stop.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { unreachable!("only finish takes it") };
        let rounds = thread.join().map_err(|_| anyhow!("the witness panicked"))??;
        Ok(Sightings { rounds })
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// All rounds of a witness.
#[derive(Debug, Default)]
pub struct Sightings {
    /// In the order of asking.
    pub rounds: Vec<Round>,
}

impl Sightings {
    /// How many questions asked from `from` to before `to` (nanoseconds of [`clock::now`]) were answered by two
    /// stations or more.
    pub fn both_answered(&self, from: u64, to: u64) -> usize {
        let asked = self.rounds.iter().filter(|round| (from..to).contains(&round.asked));
        asked.filter(|round| round.answers.len() >= 2).count()
    }

    fn ask(&mut self, asked: u64) -> Mac {
        let mac = mac_of(self.rounds.len());
        self.rounds.push(Round { asked, answers: Vec::new(), replies: 0 });
        mac
    }

    /// Books `reply` to the newest round that asked with the hardware address it answers, and returns that round.
    fn book(&mut self, reply: &Reply) -> Option<&Round> {
        let newest = self.rounds.len().saturating_sub(1);
        let number = (0..=newest).rev().take(256).find(|&number| mac_of(number) == reply.target.0);
        let round = self.rounds.get_mut(number?)?;
        round.replies += 1;
        if !round.answers.contains(&reply.sender.0) {
            round.answers.push(reply.sender.0);
        }
        Some(round)
    }
}

fn mac_of(round: usize) -> Mac {
    let mut mac = MAC;
    mac[5] = round.to_le_bytes()[0];
    mac
}

struct Asking {
    socket: OwnedFd,
    vip: Ipv4Addr,
    period: Duration,
    stop: Arc<AtomicBool>,
    newest: Arc<Mutex<Vec<Mac>>>,
    doubled: Arc<Doubled>,
}

impl Asking {
    fn run(self) -> Result<Vec<Round>> {
        sys::real_time(PRIORITY);
        let period = u64::try_from(self.period.as_nanos())?.max(1);
        let mut seen = Sightings::default();
        let mut next = clock::now();
        while !self.stop.load(Ordering::Acquire) {
            let now = clock::now();
            let mac = seen.ask(now);
            // Refused while the interface is down: then nobody answers.
            let _ = nix::unistd::write(&self.socket, &arp::request((mac, WITNESS), self.vip));
            next = (next + period).max(now);
            self.listen_until(next, &mut seen)?;
            if let (Ok(mut newest), Some(round)) = (self.newest.lock(), seen.rounds.last()) {
                newest.clone_from(&round.answers);
            }
        }
        Ok(seen.rounds)
    }

    fn listen_until(&self, end: u64, seen: &mut Sightings) -> Result<()> {
        let mut buffer = [0; 128];
        loop {
            let left = end.saturating_sub(clock::now());
            if left == 0 {
                return Ok(());
            }
            let mut sockets = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            if ppoll(&mut sockets, Some(TimeSpec::from_duration(Duration::from_nanos(left))), None)? == 0 {
                return Ok(());
            }
            // An error here means the interface went down; the next poll tells whether it is back.
            let Ok(length) = nix::unistd::read(&self.socket, &mut buffer) else { continue };
            let reply = Reply::parse(&buffer[..length]).filter(|reply| reply.sender.1 == self.vip);
            if let Some(round) = reply.and_then(|reply| seen.book(&reply)) {
                let note = |moment: &AtomicU64| moment.fetch_max(round.asked, Ordering::Release);
                if round.answers.len() >= 2 {
                    note(&self.doubled.by_two);
                }
                if round.replies >= 2 {
                    note(&self.doubled.by_any);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Mac = [2, 0, 0, 0, 0, 1];
    const B: Mac = [2, 0, 0, 0, 0, 2];
    const VIP: Ipv4Addr = crate::lan::VIP;

    fn reply(from: Mac, to: Mac) -> Reply {
        Reply { sender: (from, VIP), target: (to, WITNESS) }
    }

    #[test]
    fn two_answers_to_one_question_are_two_owners() {
        let mut seen = Sightings::default();
        let question = seen.ask(10);
        seen.book(&reply(A, question));
        seen.book(&reply(A, question));
        assert_eq!(seen.both_answered(0, 100), 0, "one node answering twice is one owner");
        assert_eq!(seen.rounds[0].replies, 2);
        seen.book(&reply(B, question));
        assert_eq!(seen.both_answered(0, 100), 1);
        assert_eq!((seen.both_answered(0, 10), seen.both_answered(11, 100)), (0, 0), "outside its time");
    }

    #[test]
    fn a_late_answer_belongs_to_the_question_it_answers() {
        let mut seen = Sightings::default();
        let first = seen.ask(10);
        let second = seen.ask(20);
        seen.book(&reply(A, first));
        seen.book(&reply(B, second));
        assert_eq!(seen.both_answered(0, 100), 0);
    }

    #[test]
    fn answers_to_somebody_else_do_not_count() {
        let mut seen = Sightings::default();
        seen.book(&reply(A, MAC));
        seen.ask(10);
        seen.book(&reply(A, B));
        assert_eq!(seen.rounds, [Round { asked: 10, answers: Vec::new(), replies: 0 }]);
    }
}
