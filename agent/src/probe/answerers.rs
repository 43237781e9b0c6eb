//! Who answered: by hardware address, and by the name that an echo service gives itself.

use std::net::IpAddr;

use super::packet::Mac;
use super::report::Answerer;
use super::tracker::Who;

/// More are booked as the last one: nobody may make this grow.
const ANSWERERS_MAX: usize = 64;
/// Characters of a name.
const NAME_MAX: usize = 32;
/// The kernel's table of IPv4 neighbours.
const NEIGHBOURS: &str = "/proc/net/arp";

/// Gives out the indices by which the tracker knows them.
#[derive(Debug, Default)]
pub(super) struct Answerers {
    known: Vec<(Option<Mac>, String)>,
}

impl Answerers {
    /// The index of whoever answered with this address and name.
    pub(super) fn who(&mut self, mac: Option<Mac>, name: &[u8]) -> Who {
        let name = readable(name);
        if let Some(found) = self.known.iter().position(|known| known.0 == mac && known.1 == name) {
            return found;
        }
        if self.known.len() < ANSWERERS_MAX {
            self.known.push((mac, name));
        }
        self.known.len() - 1
    }

    /// How it is shown.
    pub(super) fn shown(&self, who: Who) -> Answerer {
        let (mac, name) = self.known.get(who).cloned().unwrap_or_default();
        Answerer { mac: mac.map(show_mac), name: Some(name).filter(|name| !name.is_empty()) }
    }
}

/// Printable characters, and not many: it came from the network and goes to a terminal.
fn readable(name: &[u8]) -> String {
    let shown =
        name.iter().take(NAME_MAX).map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' });
    shown.collect()
}

pub(super) fn show_mac(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// What the kernel's neighbour table said at which time: for those who may not see frames.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Changes, in order, in ns.
    changes: Vec<(u64, Option<Mac>)>,
}

impl History {
    /// Looks again.
    pub(super) fn look(&mut self, now: u64, target: IpAddr, interface: &str) {
        let table = std::fs::read_to_string(NEIGHBOURS).unwrap_or_default();
        self.note(now, in_table(&table, target, interface));
    }

    fn note(&mut self, now: u64, mac: Option<Mac>) {
        // An entry that is being asked for anew says nothing of who has the address.
        if mac.is_some() && self.changes.last().is_none_or(|(_, before)| *before != mac) {
            self.changes.push((now, mac));
        }
    }

    /// What was known at a time.
    pub(super) fn at(&self, time: u64) -> Option<Mac> {
        let known = self.changes.partition_point(|(at, _)| *at <= time);
        self.changes.get(known.saturating_sub(1)).and_then(|(_, mac)| *mac)
    }
}

/// The hardware address of a target in the text of `/proc/net/arp`; none while it is incomplete.
fn in_table(table: &str, target: IpAddr, interface: &str) -> Option<Mac> {
    let target = target.to_string();
    let row = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = row.into_iter().find(|row| row.first() == Some(&&*target) && row.get(5) == Some(&interface))?;
    let mut mac = [0; 6];
    let mut bytes = row.get(3)?.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(bytes.next()?, 16).ok()?;
    }
    Some(mac).filter(|mac| *mac != [0; 6])
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Mac = [2, 0, 0, 0, 0, 1];
    const B: Mac = [2, 0, 0, 0, 0, 2];

    #[test]
    fn the_same_address_and_name_are_the_same_answerer() {
        let mut answerers = Answerers::default();
        let first = answerers.who(Some(A), b"server1");
        assert_ne!(answerers.who(Some(B), b"server1"), first);
        assert_ne!(answerers.who(Some(A), b"server2"), first);
        assert_eq!(answerers.who(Some(A), b"server1"), first);
        let shown = answerers.shown(first);
        assert_eq!(shown, Answerer { mac: Some("02:00:00:00:00:01".into()), name: Some("server1".into()) });
    }

    #[test]
    fn names_from_the_network_are_harmless_and_few() {
        let mut answerers = Answerers::default();
        let who = answerers.who(None, b"\x1b[2Jserver\xff");
        assert_eq!(answerers.shown(who).name.as_deref(), Some(".[2Jserver."));
        for number in 0..1000u32 {
            assert!(answerers.who(None, &number.to_be_bytes()) < ANSWERERS_MAX);
        }
        assert!(readable(&[b'x'; 500]).len() == NAME_MAX);
    }

    #[test]
    fn the_neighbour_table_is_read() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
                     192.0.2.100      0x1         0x2         02:00:00:00:00:01     *        eth1\n\
                     192.0.2.10       0x1         0x2         02:00:00:00:00:03     *        eth0\n\
                     192.0.2.100      0x1         0x2         02:00:00:00:00:02     *        eth0\n\
                     192.0.2.101      0x1         0x0         00:00:00:00:00:00     *        eth0\n\
                     192.0.2.102 broken\n";
        let target = |last| IpAddr::from([192, 0, 2, last]);
        assert_eq!(in_table(table, target(100), "eth0"), Some(B));
        assert_eq!(in_table(table, target(100), "eth1"), Some(A));
        for last in [1, 101, 102] {
            assert_eq!(in_table(table, target(last), "eth0"), None);
        }
    }

    #[test]
    fn history_knows_who_was_there_when() {
        let mut history = History::default();
        assert_eq!(history.at(5), None);
        for (now, mac) in [(10, Some(A)), (20, Some(A)), (30, None), (40, Some(B))] {
            history.note(now, mac);
        }
        assert_eq!([5, 10, 39, 40, 99].map(|time| history.at(time)), [A, A, A, B, B].map(Some));
    }
}
