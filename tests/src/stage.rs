//! A stage: nodes with real agents, watched from outside by a client under way and a witness.
//!
//! [`play`] is for tests: it sets the stage, plays an act, and then looks at every round of the witness. Rounds that two
//! nodes answered fail the test, except in a partition ([`Stage::partition`]), where both serve by design.

use std::net::SocketAddrV4;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::client::{Client, Record};
use crate::files::Files;
use crate::host::Host;
use crate::lan::{Lan, VIP, Wiring};
use crate::require::root_or_skip;
use crate::responder::PORT;
use crate::wait::{eventually, pause};
use crate::witness::{Round, Sightings, TWO_OWNERS, Witness};
use crate::{clock, host};

/// The nodes of how-to 001. The first is preferred.
pub const NODES: [&str; 2] = ["server1", "server2"];

/// Far more than anything takes on a busy machine: only so that what never happens ends a test.
pub const LIMIT: Duration = Duration::from_secs(40);

/// Between two looks through `xbeat status`, each of which starts a process.
const LOOK_EVERY: Duration = Duration::from_millis(40);

/// How often the witness asks: often enough to see what a node that starts or ends does for a moment.
const ASK_EVERY: Duration = Duration::from_millis(1);

/// How much of each agent's log a failed test shows.
const LOG_LINES: usize = 80;

/// The nodes, the network, and who watches them.
#[derive(Debug)]
pub struct Stage {
    /// The nodes, in the order of [`NODES`].
    pub hosts: Vec<Host>,
    /// The client that asks for the service all the time.
    pub client: Client,
    witness: Witness,
    /// The network.
    pub lan: Lan,
    partitions: Vec<Range<u64>>,
    heals: Vec<u64>,
}

/// What client and witness saw of a whole act.
#[derive(Debug, Default)]
pub struct Seen {
    /// Every request of the client.
    pub record: Record,
    /// Every round of the witness.
    pub sightings: Sightings,
    /// When nodes could not hear each other, up to where one of them had yielded.
    pub partitions: Vec<Range<u64>>,
    /// When a port was healed ([`Stage::heal`]), in the order of time.
    pub heals: Vec<u64>,
}

/// Plays `act` with the agent of the tests and a client that asks each `period`; `None` without root. Whatever the act
/// returns comes back with what was seen.
///
/// # Panics
/// When the act fails, or two nodes answered one round outside of a partition.
pub fn play<T>(
    files: &Files,
    period: Duration,
    act: impl FnOnce(&mut Stage) -> Result<T>,
) -> Option<(T, Seen)> {
    let thread = std::thread::current();
    if !root_or_skip(thread.name().unwrap_or("test")) {
        return None;
    }
    let played = host::binary().and_then(|binary| Stage::new(binary, files, period)).and_then(|mut stage| {
        let logs = |stage: &Stage| stage.logs();
        let done = act(&mut stage).with_context(|| logs(&stage));
        let told = logs(&stage);
        let seen = stage.finish()?;
        let twice = seen.two_owners();
        // First of all: an act that failed is no excuse for two owners.
        ensure!(twice.is_empty(), "{TWO_OWNERS} {} rounds: {twice:02x?}\n{told}", twice.len());
        Ok((done?, seen))
    });
    match played {
        Ok(done) => Some(done),
        Err(error) => panic!("{error:?}"),
    }
}

impl Stage {
    /// Builds the network and the nodes; nothing runs on them yet.
    pub fn new(binary: PathBuf, files: &Files, period: Duration) -> Result<Self> {
        Self::on(Lan::new(&NODES, Wiring::One).context("building the network")?, binary, files, period)
    }

    /// The same on a network that is there; its nodes are [`NODES`].
    pub fn on(lan: Lan, binary: PathBuf, files: &Files, period: Duration) -> Result<Self> {
        let host = |node| Host::with_binary(&lan, node, files, binary.clone());
        let hosts = (0..NODES.len()).map(host).collect::<Result<_>>()?;
        let client = Client::start(&lan, SocketAddrV4::new(VIP, PORT), period)?;
        let witness = Witness::start(&lan, VIP, ASK_EVERY)?;
        Ok(Self { hosts, client, witness, lan, partitions: Vec::new(), heals: Vec::new() })
    }

    /// Starts service and agent of `node`.
    pub fn start(&mut self, node: usize) -> Result<()> {
        self.hosts[node].start_responder()?;
        self.hosts[node].start_agent()
    }

    /// Starts everything and waits until `owner` serves and both agree on it.
    pub fn start_all(&mut self, owner: usize) -> Result<()> {
        (0..NODES.len()).try_for_each(|node| self.start(node))?;
        self.settles_on(owner)
    }

    /// Waits until node `by` answers the client.
    pub fn serves(&self, by: usize) -> Result<()> {
        let what = format!("{} answers the client", NODES[by]);
        eventually(LIMIT, &what, || self.client.answerer() == Some(by))
    }

    /// Waits until `owner` serves, and every agent is active, names it the owner, has its resources in the state that
    /// follows from it, and is armed or has an heir: the next fault finds the cluster at rest.
    pub fn settles_on(&self, owner: usize) -> Result<()> {
        self.serves(owner)?;
        let what = format!("both agents are active and agree on {}", NODES[owner]);
        self.until(&what, |stage| (0..NODES.len()).all(|node| stage.is_settled(node, owner)))
    }

    /// Whether the status of `node` says that `owner` has the address and the other is ready to take it.
    pub fn is_settled(&self, node: usize, owner: usize) -> bool {
        let Ok(status) = self.status(node) else { return false };
        let all_active = status["nodes"]
            .as_array()
            .is_some_and(|nodes| nodes.iter().all(|other| other["status"] == "active"));
        let group = &status["groups"][0];
        let resources = if node == owner { "started" } else { "stopped" };
        let other = NODES[1 - owner];
        all_active
            && group["owner"] == NODES[owner]
            && group["state"] == resources
            && group["heir"] == other
            && group["armed"] == (node != owner)
    }

    /// What `xbeat status --json` says on `node`.
    pub fn status(&self, node: usize) -> Result<serde_json::Value> {
        let output = self.hosts[node].command(&["status", "--json"])?;
        serde_json::from_str(&output.stdout)
            .with_context(|| format!("status of {}: {}{}", NODES[node], output.stdout, output.stderr))
    }

    /// Waits until the status of `node` is as `wanted`.
    pub fn shows(&self, node: usize, what: &str, wanted: impl Fn(&serde_json::Value) -> bool) -> Result<()> {
        let what = format!("the status of {} shows {what}", NODES[node]);
        self.until(&what, |stage| stage.status(node).is_ok_and(|status| wanted(&status)))
    }

    /// Waits until `condition` holds, which may ask for a status.
    pub fn until(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) -> Result<()> {
        let mut first = true;
        eventually(LIMIT, what, || {
            let paused = if std::mem::take(&mut first) { Ok(()) } else { pause(LOOK_EVERY) };
            // An interruption ends the wait itself.
            paused.is_ok() && condition(self)
        })
    }

    /// Waits until the log of `node` says `text` after its first `from` bytes.
    pub fn logs_after(&self, node: usize, from: usize, text: &str) -> Result<()> {
        let what = format!("the log of {} says {text:?}", NODES[node]);
        eventually(LIMIT, &what, || self.hosts[node].log().get(from..).is_some_and(|log| log.contains(text)))
    }

    /// The node is cut off, both directions, at its switch port. Rounds that two nodes answer do not count until
    /// [`Stage::reunited`].
    pub fn partition(&mut self, node: usize) -> Result<()> {
        self.parted();
        self.lan.silence(node)
    }

    /// From now on the nodes may not hear each other, in whatever way the caller parts them.
    pub fn parted(&mut self) {
        self.partitions.push(clock::now()..u64::MAX);
    }

    /// The node's switch port works again, whatever was done to it.
    pub fn heal(&mut self, node: usize) -> Result<()> {
        self.heals.push(clock::now());
        self.lan.heal(node)
    }

    /// The partition is over: it was healed, and one of the two has yielded.
    pub fn reunited(&mut self) {
        if let Some(partition) = self.partitions.last_mut() {
            partition.end = clock::now();
        }
    }

    /// Stops watching; the nodes go down.
    pub fn finish(self) -> Result<Seen> {
        let Self { hosts, client, witness, lan, partitions, heals } = self;
        let (record, sightings) = (client.finish()?, witness.finish()?);
        // One that was not ended ends here: it excuses nothing that is seen of another pair.
        let ended = clock::now();
        let partitions = partitions.into_iter().map(|parted| parted.start..parted.end.min(ended)).collect();
        let seen = Seen { record, sightings, partitions, heals };
        drop(hosts);
        drop(lan);
        Ok(seen)
    }

    /// The end of each agent's log.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for host in &self.hosts {
            text += &format!("--- the end of {}'s log\n", host.name());
            let log = host.log();
            let lines: Vec<_> = log.lines().collect();
            for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
                text += line;
                text += "\n";
            }
        }
        text
    }
}

impl Seen {
    /// What was seen later, of another pair by another client.
    pub fn append(&mut self, later: Self) {
        self.record.requests.extend(later.record.requests);
        self.record.answered_twice += later.record.answered_twice;
        self.sightings.rounds.extend(later.sightings.rounds);
        self.partitions.extend(later.partitions);
        self.heals.extend(later.heals);
    }

    /// The rounds that two nodes answered outside of partitions.
    pub fn two_owners(&self) -> Vec<&Round> {
        let divided = |asked: u64| self.partitions.iter().any(|partition| partition.contains(&asked));
        self.sightings
            .rounds
            .iter()
            .filter(|round| round.answers.len() > 1 && !divided(round.asked))
            .collect()
    }

    /// Requests sent from `from` to before `to` that were lost, and those that another node than `by` answered.
    pub fn missed(&self, by: usize, from: u64, to: u64) -> (usize, usize) {
        let sent = self.record.requests.iter().filter(|request| (from..to).contains(&request.sent));
        sent.fold((0, 0), |(lost, others), request| match request.answer {
            None => (lost + 1, others),
            Some(answer) => (lost, others + usize::from(answer.by != by)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outage::{Answer, Request};

    #[test]
    fn two_answers_count_outside_of_partitions_only() {
        let round = |asked, nodes: u8| Round {
            asked,
            answers: (0..nodes).map(|node| [node; 6]).collect(),
            replies: usize::from(nodes),
        };
        let sightings = Sightings { rounds: vec![round(10, 2), round(20, 2), round(30, 1), round(40, 2)] };
        let seen = Seen { sightings, partitions: Vec::from([15..18, 20..40]), ..Seen::default() };
        let asked: Vec<_> = seen.two_owners().iter().map(|round| round.asked).collect();
        assert_eq!(asked, [10, 40]);
    }

    #[test]
    fn requests_are_lost_or_answered_by_somebody() {
        let request =
            |sent, by: Option<usize>| Request { sent, answer: by.map(|by| Answer { at: sent, by }) };
        let requests = vec![request(1, Some(1)), request(2, None), request(3, Some(0)), request(4, Some(1))];
        let record = Record { requests, ..Record::default() };
        let seen = Seen { record, ..Seen::default() };
        assert_eq!((seen.missed(1, 0, 9), seen.missed(0, 2, 4)), ((1, 1), (1, 0)));
    }
}
