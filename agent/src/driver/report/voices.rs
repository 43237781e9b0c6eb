//! What the third voices say, for the status.

use std::collections::BTreeMap;

use reflex::Reach;

use super::{Driver, Names, ago, micros};
use crate::status;
use crate::voices::Voices;
use crate::voices::free::{Watched, in_words};
use crate::voices::pings::{Host, State};

/// The ping nodes.
pub(super) fn pings(voices: &Voices, now: u64) -> Vec<status::Ping> {
    let host = |host: &Host| status::PingHost {
        address: host.address.to_string(),
        sent: host.sent,
        answered: host.answered,
        last_heard_us: ago(host.answered_at.unwrap_or(0), now),
        rtt_us: host.rtt.map(micros),
    };
    let pings = voices.pings.borrow();
    let nodes = pings.nodes.iter().map(|node| status::Ping {
        name: node.name.clone(),
        group: node.is_group,
        status: match node.state {
            State::Init => status::PingStatus::Init,
            State::Ping => status::PingStatus::Ping,
            State::Dead => status::PingStatus::Dead,
        },
        hosts: node.hosts.iter().map(host).collect(),
    });
    nodes.collect()
}

impl Driver<'_> {
    /// The networks of the VIPs.
    pub(super) fn report_networks(&self) -> Vec<status::Network> {
        let mut interfaces: BTreeMap<u32, String> = BTreeMap::new();
        self.vips.each(|entry| drop(interfaces.insert(entry.placed.index, entry.placed.interface.clone())));
        let watched = |index| self.voices.free.watched.iter().find(|watched| watched.ground.index == index);
        let report = |(index, name): (u32, String)| match watched(index) {
            Some(watched) => self.report_network(watched),
            None => status::Network {
                text: format!("off: no heartbeat link is on {name}, so nobody can be missed there"),
                interface: name,
                state: status::NetworkState::Off,
                neighbours: 0,
                missed: Vec::new(),
                reach: None,
            },
        };
        interfaces.into_iter().map(report).collect()
    }

    fn report_network(&self, watched: &Watched) -> status::Network {
        let names = Names(&self.config);
        let neighbours = self.voices.free.neighbours(watched.ground.index);
        let asked = match neighbours {
            0 => "no neighbour is known to be asked".to_owned(),
            1 => "1 neighbour is asked".to_owned(),
            more => format!("{more} neighbours are asked"),
        };
        let missed: Vec<String> = (0..self.config.nodes.len())
            .filter(|node| watched.doubt.is_some_and(|doubt| doubt.missed >> node & 1 != 0))
            .map(|node| names.node(node as u64).to_owned())
            .collect();
        let reach = watched.doubt.map(|doubt| doubt.reach().0);
        let (state, text) = match reach {
            Some(reach) => {
                let who = match missed.as_slice() {
                    [] => "another node misses one here".to_owned(),
                    missed => format!("{} is silent here and heard elsewhere", missed.join(", ")),
                };
                (status::NetworkState::Doubt, format!("in doubt: {who}; {}; {asked}", in_words(reach)))
            }
            None if self.voices.free.has_other_path(&watched.ground) => {
                (status::NetworkState::Peace, format!("if a node falls silent here that is heard elsewhere, {asked}"))
            }
            None => (
                status::NetworkState::Off,
                "off: who is silent here is silent everywhere; a link on another network, or a serial one, would \
                 tell a dead port from a dead node"
                    .to_owned(),
            ),
        };
        status::Network {
            interface: watched.ground.name.clone(),
            state,
            neighbours: neighbours as u64,
            missed,
            reach: reach.map(|reach| match reach {
                Reach::Unknown => status::Reach::Unknown,
                Reach::Deaf => status::Reach::Deaf,
                Reach::Hears => status::Reach::Hears,
                Reach::Answered => status::Reach::Answered,
            }),
            text,
        }
    }
}
