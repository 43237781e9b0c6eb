//! Two nodes of one system, the network between them, and those who watch from outside.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::seen::Seen;
use super::{Node, System};
use crate::client::{self, Client};
use crate::lan::{Lan, VIP, Wiring};
use crate::responder::{PORT, Responder};
use crate::stage::NODES;
use crate::wait::pause;
use crate::witness::Witness;

/// How often the witness asks.
pub const ASK_EVERY: Duration = Duration::from_millis(1);

/// Between two looks at the nodes, some of which start a process.
const LOOK_EVERY: Duration = Duration::from_millis(40);

/// How much of each node's log is shown.
const LOG_LINES: usize = 60;

/// The pair. Both nodes answer the client as a service does that does not know where the address is.
#[derive(Debug)]
pub struct Pair<'a> {
    // In the order of dropping: what runs inside the network first.
    responders: [Option<Responder>; 2],
    nodes: Vec<Box<dyn Node>>,
    /// The client that asks for the service all the time.
    pub client: Client,
    witness: Witness,
    /// The network.
    pub lan: Lan,
    system: &'a dyn System,
}

impl<'a> Pair<'a> {
    /// Builds the network and the nodes; client and witness are under way, no daemon runs.
    pub fn new(system: &'a dyn System) -> Result<Self> {
        Self::on(Lan::new(&NODES, Wiring::One).context("building the network")?, system)
    }

    /// The same on a network that is there; its nodes are [`NODES`].
    pub fn on(lan: Lan, system: &'a dyn System) -> Result<Self> {
        let nodes = (0..NODES.len()).map(|node| system.node(&lan, node)).collect::<Result<_>>();
        let nodes: Vec<_> = nodes.with_context(|| format!("furnishing the nodes of {}", system.name()))?;
        let client = Client::start(&lan, SocketAddrV4::new(VIP, PORT), client::PERIOD)?;
        let witness = Witness::start(&lan, VIP, ASK_EVERY)?;
        Ok(Self { responders: [None, None], nodes, client, witness, lan, system })
    }

    /// The system they run.
    pub fn system(&self) -> &'a dyn System {
        self.system
    }

    /// The daemon of `node`.
    pub fn node(&mut self, node: usize) -> &mut dyn Node {
        self.nodes[node].as_mut()
    }

    /// Starts service and daemon of `node`.
    pub fn start(&mut self, node: usize) -> Result<()> {
        if self.responders[node].is_none() {
            self.responders[node] = Some(Responder::start(self.lan.node(node), NODES[node])?);
        }
        self.nodes[node]
            .start()
            .with_context(|| format!("starting {} on {}", self.system.name(), NODES[node]))
    }

    /// Starts both and waits until the first one serves and all is at rest.
    pub fn start_all(&mut self, limit: Duration) -> Result<()> {
        (0..NODES.len()).try_for_each(|node| self.start(node))?;
        self.settles_on(0, limit)
    }

    /// When the newest question was asked that two nodes answered, in nanoseconds of [`crate::clock::now`]; 0 if there was
    /// none.
    pub fn doubled_at(&self) -> u64 {
        self.witness.doubled_at(self.system.shares_mac())
    }

    /// Waits until `owner` serves, the nodes say that they are at rest, and it stayed so for [`System::rest`].
    pub fn settles_on(&mut self, owner: usize, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        let mut since: Option<Instant> = None;
        while Instant::now() < end {
            let moved = self.client.changes().count() > 0;
            let good = self.client.answerer() == Some(owner)
                && self.nodes.iter_mut().all(|node| node.is_settled(owner));
            if moved || !good {
                since = None;
            } else if since.get_or_insert_with(Instant::now).elapsed() >= self.system.rest() {
                return Ok(());
            }
            pause(LOOK_EVERY)?;
        }
        let what = format!("{} serves and {} is at rest", NODES[owner], self.system.name());
        bail!("waited {limit:?} in vain: {what}")
    }

    /// Waits until `node` has served for [`System::rest`], whatever the other says.
    pub fn serves(&mut self, node: usize, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        let mut since = Instant::now();
        while Instant::now() < end {
            if self.client.changes().count() > 0 || self.client.answerer() != Some(node) {
                since = Instant::now();
            } else if since.elapsed() >= self.system.rest() {
                return Ok(());
            }
            pause(LOOK_EVERY)?;
        }
        bail!("waited {limit:?} in vain: {} serves", NODES[node])
    }

    /// `node` falls silent as a dead machine does: its switch port drops everything, its carrier stays, and all on it ends.
    pub fn power_off(&mut self, node: usize) -> Result<()> {
        self.lan.silence(node)?;
        self.responders[node] = None;
        self.nodes[node].power_off()
    }

    /// `node` has power again, and its service and daemon are started.
    pub fn power_on(&mut self, node: usize) -> Result<()> {
        self.nodes[node].boot(&mut self.lan)?;
        self.start(node)
    }

    /// Stops watching and returns what was seen; the nodes go down.
    pub fn finish(self) -> Result<Seen> {
        let Self { responders, nodes, client, witness, lan, system } = self;
        let seen = Seen {
            record: client.finish()?,
            sightings: witness.finish()?,
            shared_mac: system.shares_mac(),
            period: ASK_EVERY,
        };
        drop((responders, nodes, lan));
        Ok(seen)
    }

    /// The end of each node's log.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for (node, name) in self.nodes.iter().zip(NODES) {
            let log = node.log();
            let lines: Vec<_> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
            text += &format!("--- the end of {name}'s log ({})\n{end}\n", self.system.name());
        }
        text
    }
}
