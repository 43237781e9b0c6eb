//! Ping nodes: what is known of them. No clock, no socket: the task in `pinger` has both.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use crate::config::{Config, PingSpec};
use crate::icmp::{Answer, Echo, PAYLOAD_LEN, REQUEST_LEN, read};

/// Least time between two requests to one host: nobody's router is to notice.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Requests that must have had time to be answered before a ping node is dead, at the shortest.
const UNANSWERED: u32 = 3;
/// Requests of which an answer is still taken.
const PENDING_MAX: usize = 8;
/// What two nodes that ask the same host may differ by beyond their intervals: a busy machine.
const JITTER: Duration = Duration::from_millis(100);

/// How often is asked, and what follows when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Time between two requests to one host.
    pub interval: Duration,
    /// Silence after which a host is dead.
    pub deadping: Duration,
}

impl Times {
    /// As the configuration says: one request per keepalive, but not more than ten a second.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let interval = config.keepalive.max(INTERVAL_MIN);
        Self { interval, deadping: config.deadping.max(interval * UNANSWERED) }
    }

    /// How long one node must see more ping nodes than another before that means something. Both notice the same loss
    /// at most one interval apart, because their last answers are.
    #[must_use]
    pub fn damping(&self) -> Duration {
        self.interval * 2 + JITTER
    }
}

/// The state of a ping node, in Heartbeat's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No answer yet, and not long enough for a verdict.
    Init,
    /// It answers.
    Ping,
    /// It does not.
    Dead,
}

/// One host.
#[derive(Clone, Debug)]
pub struct Host {
    /// Where it is.
    pub address: IpAddr,
    /// Requests sent.
    pub sent: u64,
    /// Requests answered.
    pub answered: u64,
    /// When it last answered (monotonic clock, ns).
    pub answered_at: Option<u64>,
    /// Round trip of the last answer, ns.
    pub rtt: Option<u64>,
    pending: VecDeque<(Echo, u64)>,
}

/// One ping node: a host, or a group of which one must answer.
#[derive(Clone, Debug)]
pub struct Node {
    /// As it stands in `ha.cf`.
    pub name: String,
    /// It is a `ping_group`.
    pub is_group: bool,
    /// Its hosts.
    pub hosts: Vec<Host>,
    /// How it is.
    pub state: State,
    /// Since when (monotonic clock, ns).
    since: u64,
}

/// All ping nodes of this node.
#[derive(Clone, Debug)]
pub struct Pings {
    /// How often is asked.
    pub times: Times,
    /// By the order of their lines.
    pub nodes: Vec<Node>,
    /// There is a host that cannot be asked from here, whoever is there: then nothing is said of any.
    pub is_mute: bool,
    /// Echo replies that were no answer to a request of ours, although they looked like one.
    pub ignored: u64,
    ident: u16,
    number: u16,
    /// Silence before this does not count: nobody was asked, or not at this pace, ns.
    counted_from: u64,
    /// When was asked last, ns.
    asked_at: u64,
}

impl Pings {
    /// Nothing was asked yet. `ident`: drawn at random.
    #[must_use]
    pub fn new(config: &Config, ident: u16, now: u64) -> Self {
        let host = |address| Host {
            address,
            sent: 0,
            answered: 0,
            answered_at: None,
            rtt: None,
            pending: VecDeque::new(),
        };
        let node = |spec: &PingSpec| match spec {
            PingSpec::Host { name, address } => Node {
                name: name.clone(),
                is_group: false,
                hosts: vec![host(*address)],
                state: State::Init,
                since: now,
            },
            PingSpec::Group { name, hosts } => Node {
                name: name.clone(),
                is_group: true,
                hosts: hosts.iter().map(|address| host((*address).into())).collect(),
                state: State::Init,
                since: now,
            },
        };
        let nodes = config.pings.iter().map(node).collect();
        let times = Times::of(config);
        Self { times, nodes, is_mute: false, ignored: 0, ident, number: 0, counted_from: now, asked_at: now }
    }

    /// Other times count from now on. Nobody changes his state for that: who was alive has the new time to answer, who was
    /// dead has to answer.
    pub fn set_times(&mut self, times: Times, now: u64) {
        if times != self.times {
            (self.times, self.counted_from) = (times, now);
        }
    }

    /// One request to every host: what is to be sent to whom. `random`: a new payload for each.
    pub fn ask(
        &mut self,
        now: u64,
        mut random: impl FnMut() -> [u8; PAYLOAD_LEN],
    ) -> Vec<(IpAddr, [u8; REQUEST_LEN])> {
        if self.is_pausing(now) {
            self.counted_from = now;
        }
        self.asked_at = now;
        let mut requests = Vec::new();
        for host in self.nodes.iter_mut().flat_map(|node| &mut node.hosts) {
            self.number = self.number.wrapping_add(1);
            let echo = Echo { ident: self.ident, number: self.number, payload: random() };
            host.pending.truncate(PENDING_MAX - 1);
            host.pending.push_front((echo, now));
            host.sent += 1;
            requests.push((host.address, echo.request(host.address)));
        }
        requests
    }

    /// Takes what a raw ICMP socket received. Only the host that was asked can answer, only once, and only with what
    /// it was asked with.
    pub fn receive(&mut self, bytes: &[u8], from: IpAddr, now: u64) {
        let echo = match read(bytes, from, self.ident) {
            Answer::Other => return,
            // Another program asks the same host.
            Answer::Foreign if self.hosts().all(|host| host.address != from) => return,
            Answer::Foreign | Answer::Wrong => return self.ignored += 1,
            Answer::Echo(echo) => echo,
        };
        let hosts = self.nodes.iter_mut().flat_map(|node| &mut node.hosts);
        let mut found = false;
        for host in hosts.filter(|host| host.address == from) {
            if let Some(place) = host.pending.iter().position(|(asked, _)| *asked == echo)
                && let Some((_, asked_at)) = host.pending.remove(place)
            {
                host.answered += 1;
                host.answered_at = Some(now);
                host.rtt = Some(now.saturating_sub(asked_at));
                found = true;
            }
        }
        self.ignored += u64::from(!found);
    }

    /// What changed since the last look: which node, and how it is now.
    pub fn look(&mut self, now: u64) -> Vec<(usize, State)> {
        let (times, is_pausing) = (self.silence(), self.is_pausing(now));
        let mut changed = Vec::new();
        for (index, node) in self.nodes.iter_mut().enumerate() {
            let state = match (node.heard_at(), node.due(times)) {
                (Some(at), None) if at >= node.since => State::Ping,
                (_, None) => State::Dead,
                (_, Some(due)) if now >= due && !is_pausing => State::Dead,
                (Some(_), Some(_)) => State::Ping,
                (None, Some(_)) => State::Init,
            };
            if state != node.state {
                (node.state, node.since) = (state, now);
                changed.push((index, state));
            }
        }
        changed
    }

    /// When a verdict is due if nothing is heard.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        self.nodes.iter().filter_map(|node| node.due(self.silence())).min()
    }

    /// How many answer, once that is known of each.
    #[must_use]
    pub fn answering(&self) -> Option<u8> {
        let known = !self.is_mute
            && !self.nodes.is_empty()
            && self.nodes.iter().all(|node| node.state != State::Init);
        let count = self.nodes.iter().filter(|node| node.state == State::Ping).count();
        known.then(|| u8::try_from(count).unwrap_or(u8::MAX))
    }

    /// From when on silence counts, and how much of it is a verdict.
    fn silence(&self) -> (u64, u64) {
        (self.counted_from, nanos(self.times.deadping))
    }

    /// Nobody was asked for longer than it takes to ask: this machine stood still, and silence says nothing of others.
    fn is_pausing(&self, now: u64) -> bool {
        now.saturating_sub(self.asked_at) > 2 * nanos(self.times.interval)
    }

    fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.nodes.iter().flat_map(|node| &node.hosts)
    }
}

impl Node {
    fn heard_at(&self) -> Option<u64> {
        self.hosts.iter().filter_map(|host| host.answered_at).max()
    }

    /// When it is dead if it stays silent; none if it is.
    fn due(&self, (counted_from, deadping): (u64, u64)) -> Option<u64> {
        let last = self.heard_at().unwrap_or(0).max(counted_from);
        (self.state != State::Dead).then(|| last.saturating_add(deadping))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests;
