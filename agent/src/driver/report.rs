//! The status, from the tables and the election.

use cluster::{GroupReport, Phase};
use reflex::node::Said;
use reflex::{NODES_MAX, Status as Bits, Verdict, gate};

use super::notes::Names;
use super::observe::gate_view;
use super::turn::Driver;
use crate::datapath::Mode;
use crate::datapath::interfaces::Interface;
use crate::links::{Link, Target, prober};
use crate::status;
use crate::sys::clock;

/// What the agent without kernel programs cannot do.
pub(super) const LOST: &str = "a starved, stopped or killed agent is not fenced: its address stays up until it runs \
                               again; it does not answer keepalives meanwhile, and detection waits for the scheduler";

impl Driver<'_> {
    /// How everything stands now.
    pub(super) fn report(&self) -> status::Status {
        let now = clock::now();
        let (config, names) = (&self.config, Names(&self.config));
        let lease = super::setup::nanos(config.lease);
        status::Status {
            node: names.node(config.own as u64).to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: match (self.cluster.is_leaving(), self.cluster.is_active()) {
                (true, _) => status::State::Stopping,
                (false, true) => status::State::Active,
                (false, false) => status::State::Starting,
            },
            since_ms: now.saturating_sub(self.started) / 1_000_000,
            alone: self.is_alone(),
            config_digest: format!("{:08x}", config.digest),
            keepalive_us: micros(super::setup::nanos(config.keepalive)),
            deadtime_us: micros(super::setup::nanos(config.deadtime)),
            lease: status::Lease {
                length_us: micros(lease),
                age_us: micros(now.saturating_sub(self.renewed_at)),
                valid: gate::lease_valid(&self.orders, &self.facts, now),
            },
            realtime: status::Realtime {
                probe: match self.prober.scheduling() {
                    prober::Scheduling::Deadline => status::Scheduling::Deadline,
                    prober::Scheduling::Fifo => status::Scheduling::Fifo,
                    prober::Scheduling::Normal => status::Scheduling::Normal,
                },
                decision_loop: if self.realtime.fifo {
                    status::Scheduling::Fifo
                } else {
                    status::Scheduling::Normal
                },
                memory_locked: self.realtime.memory_locked,
            },
            nodes: (0..config.nodes.len()).map(|index| self.report_node(index, now)).collect(),
            links: self.links.iter().map(|link| self.report_link(link, now)).collect(),
            groups: self.cluster.report().into_iter().map(|group| self.report_group(group, now)).collect(),
            counters: self.report_counters(),
            lost: self.without_kernel.iter().map(|why| format!("no eBPF ({why}): {LOST}")).collect(),
            warnings: config.warnings.iter().map(ToString::to_string).collect(),
        }
    }

    fn is_alive(&self, index: usize) -> bool {
        let node = &self.facts.nodes[index];
        node.session.get() != 0 && node.dead_at.get() == 0
    }

    /// Nobody else is heard.
    fn is_alone(&self) -> bool {
        (0..self.config.nodes.len())
            .filter(|&index| index != self.config.own)
            .all(|index| !self.is_alive(index))
    }

    fn report_node(&self, index: usize, now: u64) -> status::Node {
        let own = index == self.config.own;
        let node = &self.facts.nodes[index];
        let said = Said::unpack(node.said.get());
        let heard = node.said.get() != 0;
        let refused_at = node.refused_at.get();
        let refused =
            !self.is_alive(index) && refused_at != 0 && now.saturating_sub(refused_at) < 5_000_000_000;
        let config_matches = own || !heard || u64::from(said.config) == self.orders.config.get();
        let hears_us = own || said.hears & (1 << self.config.own) != 0;
        let active = if own { self.cluster.is_active() } else { said.status & Bits::ACTIVE != 0 };
        let node_status = if own || self.is_alive(index) {
            if active { status::NodeStatus::Active } else { status::NodeStatus::Up }
        } else if refused {
            status::NodeStatus::Refused
        } else if node.session.get() == 0 {
            status::NodeStatus::Init
        } else {
            status::NodeStatus::Dead
        };
        let note = if refused {
            Some("frames in its name fail authentication: its key is not ours".to_owned())
        } else if !config_matches {
            Some("its configuration differs from ours: nodes, groups and times must be equal".to_owned())
        } else if !own && self.is_alive(index) && !hears_us {
            Some("one-way: we hear it, it does not hear us".to_owned())
        } else {
            None
        };
        let session = if own { self.orders.session.get() } else { node.session.get() };
        status::Node {
            name: self.config.nodes[index].clone(),
            index: index as u32,
            own,
            status: node_status,
            session: (session != 0).then(|| format!("{session:016x}")),
            config_matches,
            hears_us,
            last_heard_us: ago(node.heard_at.get(), now),
            note,
        }
    }

    fn report_link(&self, link: &Link, now: u64) -> status::Link {
        let attached = self.interfaces.iter().find(|interface| interface.index == link.ifindex);
        let targets = link.targets.lock().map(|targets| targets.clone()).unwrap_or_default();
        status::Link {
            name: link.name.clone(),
            kind: status::LinkKind::Ucast,
            interface: Some(link.name.clone()),
            up: self.link_up.get(&link.ifindex).copied().unwrap_or(false),
            datapath: attached.map_or(status::Datapath::None, datapath),
            why: self.without_kernel.clone().or_else(|| attached?.why.clone()),
            tx_tested: attached.is_some_and(|interface| interface.tested),
            peers: targets.into_iter().filter_map(|target| self.report_peer(link, target, now)).collect(),
        }
    }

    fn report_peer(&self, link: &Link, target: Target, now: u64) -> Option<status::LinkPeer> {
        let node = usize::from(target.node?);
        let facts = &self.facts.nodes[node % NODES_MAX].links[usize::from(link.id)];
        let sent = self.orders.nodes[node % NODES_MAX].links[usize::from(link.id)].sent.get();
        let answered = facts.answered_count.get();
        // Before its present life nobody was there to answer; the last probe may be on its way.
        let asked = sent.saturating_sub(facts.sent_when_admitted.get()).saturating_sub(1);
        Some(status::LinkPeer {
            node: self.config.nodes[node].clone(),
            address: Some(target.address.to_string()),
            up: facts.heard_at.get() != 0
                && now.saturating_sub(facts.heard_at.get()) < self.orders.deadtime.get(),
            last_heard_us: ago(facts.heard_at.get(), now),
            probes_sent: sent,
            answered,
            rtt_us: (facts.rtt.get() != 0).then(|| micros(facts.rtt.get())),
            loss_ppm: asked
                .saturating_sub(answered)
                .saturating_mul(1_000_000)
                .checked_div(asked)
                .unwrap_or(0),
            interarrival_us: status::Histogram {
                buckets: (0u32..)
                    .zip(&facts.gaps)
                    .filter(|(_, count)| count.get() != 0)
                    .map(|(bucket, count)| ((1024u64 << bucket) / 1000, count.get()))
                    .collect(),
            },
        })
    }

    fn report_group(&self, report: GroupReport, now: u64) -> status::Group {
        let names = Names(&self.config);
        let gate = gate_view(&self.orders, &self.facts, report.group, now);
        let mut vips = Vec::new();
        self.vips.each(|entry| {
            if entry.group == report.group {
                vips.push(status::Vip {
                    address: format!("{}/{}", entry.placed.address, entry.placed.prefix),
                    interface: Some(entry.placed.interface.clone()),
                    label: entry.placed.label.clone(),
                    up: entry.held,
                });
            }
        });
        let home = self.config.groups[report.group as usize].home;
        status::Group {
            key: names.group(report.group).to_owned(),
            home: names.node(home as u64).to_owned(),
            owner: report.owner.map(|node| names.node(node).to_owned()),
            open: gate.open,
            epoch: u64::from(report.epoch),
            state: match report.phase {
                _ if report.failure.is_some() => status::GroupState::Failed,
                Phase::Stopped => status::GroupState::Stopped,
                Phase::Starting => status::GroupState::Starting,
                Phase::Started => status::GroupState::Started,
                Phase::Stopping => status::GroupState::Stopping,
            },
            fenced: gate.fenced.map(fence),
            heir: report.heir.map(|node| names.node(node).to_owned()),
            armed: self.orders.gates[report.group as usize].armed.get() != 0,
            vips,
        }
    }

    fn report_counters(&self) -> std::collections::BTreeMap<String, u64> {
        let kernel = self.kernel.borrow();
        let in_kernel = kernel.as_ref().and_then(|kernel| kernel.counters().ok()).unwrap_or_default();
        let in_agent = self.plain.counters();
        Verdict::ALL
            .iter()
            .zip(in_kernel.iter().zip(in_agent))
            .map(|(verdict, (kernel, agent))| (verdict.name().to_owned(), kernel + agent))
            .collect()
    }
}

const fn datapath(interface: &Interface) -> status::Datapath {
    match interface.mode {
        Mode::Native => status::Datapath::Native,
        Mode::Generic => status::Datapath::Generic,
        Mode::None => status::Datapath::None,
    }
}

const fn fence(reason: reflex::Reason) -> status::Fence {
    match reason {
        reflex::Reason::Lease => status::Fence::Lease,
        reflex::Reason::Exit => status::Fence::Exit,
        reflex::Reason::HigherEpoch => status::Fence::HigherEpoch,
        reflex::Reason::Operator => status::Fence::Operator,
    }
}

const fn micros(ns: u64) -> u64 {
    ns / 1000
}

fn ago(at: u64, now: u64) -> Option<u64> {
    (at != 0).then(|| micros(now.saturating_sub(at)))
}
