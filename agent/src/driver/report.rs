//! The status, from the tables and the election.

use std::net::SocketAddr;

use cluster::{GroupReport, Phase};
use reflex::node::Said;
use reflex::{NODES_MAX, Status as Bits, Verdict, gate};

mod voices;

use super::notes::Names;
use super::observe::{gate_view, is_heard};
use super::turn::Driver;
use crate::config::same_cluster;
use crate::datapath::Mode;
use crate::datapath::interfaces::{EgressGate, Interface};
use crate::links::{Kind, Link, Target, prober, serial, unpacked};
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
            unheard: self.cluster.unheard().iter().map(|&node| names.node(node).to_owned()).collect(),
            config_digest: format!("{:08x}", config.digest),
            keepalive_us: micros(super::setup::nanos(config.keepalive)),
            deadtime_us: micros(super::setup::nanos(config.deadtime)),
            lease: status::Lease {
                length_us: micros(lease),
                age_us: micros(now.saturating_sub(self.renewed_at)),
                valid: gate::lease_valid(&self.orders, &self.facts, now),
            },
            turns: self.pace.report(),
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
            pings: voices::pings(&self.voices, now),
            ipfail: self.voices.is_ipfail,
            networks: self.report_networks(),
            groups: self.cluster.report().into_iter().map(|group| self.report_group(group, now)).collect(),
            counters: self.report_counters(),
            egress: self.egress.iter().map(report_gate).collect(),
            lost: self.report_lost(),
            unfenced: self.stonith.report(),
            warnings: self.warnings(),
            reloads: self.reload.report(),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let refused = self.reload.refusal().map(|why| format!("the files on disk are not in force: {why}"));
        self.config.warnings.iter().map(ToString::to_string).chain(refused).collect()
    }

    fn is_alive(&self, index: usize) -> bool {
        is_heard(&self.orders, &self.facts, index, clock::now())
    }

    /// Nobody else is heard.
    fn is_alone(&self) -> bool {
        (0..self.config.nodes.len())
            .filter(|&index| index != self.config.own)
            .all(|index| !self.is_alive(index))
    }

    fn report_lost(&self) -> Vec<String> {
        let without_kernel = self.without_kernel.iter().map(|why| format!("no eBPF ({why}): {LOST}"));
        without_kernel.chain(self.lost.iter().cloned()).collect()
    }

    fn report_node(&self, index: usize, now: u64) -> status::Node {
        let own = index == self.config.own;
        let node = &self.facts.nodes[index];
        let said = Said::unpack(node.said.get());
        let heard = node.said.get() != 0;
        let refused_at = node.refused_at.get();
        let refused =
            !self.is_alive(index) && refused_at != 0 && now.saturating_sub(refused_at) < 5_000_000_000;
        let ours = self.orders.config.get() as u32;
        let config_matches = own || !heard || same_cluster(said.config, ours);
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
            Some("its configuration differs from ours: nodes and groups must be equal".to_owned())
        } else if !own && heard && said.config != ours {
            Some(
                "its times or its auto_failback differ from ours: reload the one with the older ha.cf"
                    .to_owned(),
            )
        } else if !own && self.is_alive(index) && !hears_us {
            Some("one-way: we hear it, it does not hear us".to_owned())
        } else if !own && node.session.get() != 0 && node.dead_at.get() == 0 && !self.is_alive(index) {
            Some("not known whether it lives: it is not heard, and no link can send to it".to_owned())
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
        if let Some(line) = link.line() {
            return self.report_line(link, line, now);
        }
        let attached = self.interfaces.iter().find(|interface| Some(interface.index) == link.ifindex);
        let targets = link.targets.lock().map(|targets| targets.clone()).unwrap_or_default();
        status::Link {
            name: link.name.clone(),
            kind: kind(link.kind),
            interface: link.ifindex.map(|_| link.name.clone()),
            up: link.ifindex.and_then(|index| self.link_up.get(&index).copied()).unwrap_or(false),
            datapath: attached.map_or(status::Datapath::None, datapath),
            why: self.without_kernel.clone().or_else(|| attached?.why.clone()),
            tx_tested: attached.is_some_and(|interface| interface.tested),
            deadtime_us: micros(self.orders.deadtime_of(link.id)),
            line: None,
            group: link
                .udp()
                .and_then(|socket| Some(SocketAddr::new(socket.everybody()?, socket.port()).to_string())),
            trouble: self.report_trouble(link, now),
            peers: targets.into_iter().filter_map(|target| self.report_peer(link, target, now)).collect(),
        }
    }

    fn report_line(&self, link: &Link, line: &serial::Line, now: u64) -> status::Link {
        let state = line.state();
        let targets = link.targets.lock().map(|targets| targets.clone()).unwrap_or_default();
        // A cable has two ends; while nobody was heard, it may be anybody.
        let there = |target: &Target| state.peer.is_none() || target.node == state.peer;
        let peers = targets.into_iter().filter(there);
        status::Link {
            name: link.name.clone(),
            kind: kind(link.kind),
            interface: None,
            up: state.is_up(),
            datapath: status::Datapath::None,
            why: state.problem(),
            tx_tested: false,
            group: None,
            trouble: self.report_trouble(link, now),
            deadtime_us: micros(self.orders.deadtime_of(link.id)),
            line: Some(status::Line {
                baud: line.baud,
                keepalive_us: micros(super::setup::nanos(line.keepalive)),
                refused: state.refused,
                ..line.counters.report()
            }),
            peers: peers.filter_map(|target| self.report_peer(link, target, now)).collect(),
        }
    }

    fn report_trouble(&self, link: &Link, now: u64) -> Option<String> {
        let names = Names(&self.config);
        let told = link.troubles(now).into_iter().map(|trouble| {
            let to = trouble.node.map_or_else(String::new, |node| format!(" to {}", names.node(node)));
            format!("frames{to} are {trouble}")
        });
        let told: Vec<String> = told.collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    fn report_peer(&self, link: &Link, target: Target, now: u64) -> Option<status::LinkPeer> {
        let node = usize::from(target.node?);
        let facts = &self.facts.nodes[node % NODES_MAX].links[usize::from(link.id)];
        let sent = self.orders.nodes[node % NODES_MAX].links[usize::from(link.id)].sent.get();
        let recent = self.window.recent(&self.orders, &self.facts, (node, usize::from(link.id)), now);
        Some(status::LinkPeer {
            node: self.config.nodes[node].clone(),
            address: target
                .address
                .or_else(|| unpacked(facts.address.get()))
                .map(|address| address.to_string()),
            up: facts.heard_at.get() != 0
                && now.saturating_sub(facts.heard_at.get()) < self.orders.deadtime_of(link.id),
            last_heard_us: ago(facts.heard_at.get(), now),
            probes_sent: sent,
            answered: facts.answered_count.get(),
            rtt_us: (facts.rtt.get() != 0).then(|| micros(facts.rtt.get())),
            jitter_us: (facts.rtt.get() != 0).then(|| micros(facts.jitter.get())),
            loss_ppm: (recent.asked - recent.answered)
                .saturating_mul(1_000_000)
                .checked_div(recent.asked)
                .unwrap_or(0),
            recent: status::Recent {
                asked: recent.asked,
                answered: recent.answered,
                over_ms: recent.over / 1_000_000,
            },
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
        self.vips.each6(|entry| {
            if entry.group == report.group {
                vips.push(status::Vip {
                    address: format!("{}/{}", entry.placed.address, entry.placed.prefix),
                    interface: Some(entry.placed.interface.clone()),
                    label: None,
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
                Phase::Stopping | Phase::Releasing => status::GroupState::Stopping,
                // On the way out, or on the way in.
                Phase::Readying | Phase::Ready if gate.open => status::GroupState::Stopping,
                Phase::Readying | Phase::Ready => status::GroupState::Starting,
            },
            fenced: gate.fenced.map(fence),
            better: report.better.map(|node| names.node(node).to_owned()),
            heir: report.heir.map(|node| names.node(node).to_owned()),
            armed: self.orders.gates[report.group as usize].armed.get() != 0,
            vips,
        }
    }

    fn report_counters(&self) -> std::collections::BTreeMap<String, u64> {
        let kernel = self.kernel.borrow();
        let pings = self.voices.pings.borrow();
        let ignored = (!pings.nodes.is_empty()).then(|| ("ping_ignored".to_owned(), pings.ignored));
        let in_kernel = kernel.as_ref().and_then(|kernel| kernel.counters().ok()).unwrap_or_default();
        let in_agent = self.plain.counters();
        let lines: Vec<_> =
            self.links.iter().filter_map(|link| link.line()).map(|line| line.verdicts()).collect();
        Verdict::ALL
            .iter()
            .zip(in_kernel.iter().zip(in_agent))
            .map(|(verdict, (kernel, agent))| {
                let serial: u64 = lines.iter().map(|line| line[*verdict as usize]).sum();
                (verdict.name().to_owned(), kernel + agent + serial)
            })
            .chain(ignored)
            .collect()
    }
}

const fn kind(kind: Kind) -> status::LinkKind {
    match kind {
        Kind::Ucast => status::LinkKind::Ucast,
        Kind::Bcast => status::LinkKind::Bcast,
        Kind::Mcast => status::LinkKind::Mcast,
        Kind::Ucast6 => status::LinkKind::Ucast6,
        Kind::Mcast6 => status::LinkKind::Mcast6,
        Kind::Serial => status::LinkKind::Serial,
    }
}

const fn datapath(interface: &Interface) -> status::Datapath {
    match interface.mode {
        Mode::Native => status::Datapath::Native,
        Mode::Generic => status::Datapath::Generic,
        Mode::None => status::Datapath::None,
    }
}

fn report_gate(gate: &EgressGate) -> status::EgressGate {
    status::EgressGate {
        interface: gate.interface.clone(),
        how: gate.how.map(|how| how.name().to_owned()),
        why: Some(gate.why.clone()).filter(|why| !why.is_empty()),
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
