//! The directives of ha.cf that name heartbeat paths and ping nodes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::diagnostic::quoted;
use super::ha_cf::Reader;
use super::model::{LinkDead, LinkSpec, PingSpec};
use super::names::{INTERFACE_EXPECTED, host_v4, host_v6, is_interface};
use super::scanner::Word;
use super::settings::number;
use crate::links::serial::port::Fault;

/// Hops of a multicast link: Heartbeat takes 0 to 4 whatever its manual says.
const HOPS_MAX: u32 = 4;

/// Speeds of serial lines: from Heartbeat's lowest to the highest that Linux has a name for. Whether a device has one of
/// them, and which between, it says when it is opened.
const BAUD_RATES: RangeInclusive<u32> = 9_600..=4_000_000;

pub(super) fn ucast(reader: &mut Reader<'_>, name: &Word, words: &[Word]) {
    if !has_words(reader, name, words, 2, "`ucast INTERFACE PEER`, such as `ucast eth0 192.0.2.12`") {
        return;
    }
    let interface = interface(reader, &words[0]);
    let peer = host(reader, &words[1]);
    reader.warn_of_surplus(words, 2);
    reader.draft.is_udpport_taken = true;
    if let (Some(interface), Some(peer)) = (interface, peer) {
        reader.draft.links.push(LinkSpec::Ucast { interface, peer });
    }
}

pub(super) fn ucast6(reader: &mut Reader<'_>, name: &Word, words: &[Word]) {
    if !has_words(reader, name, words, 2, "`ucast6 INTERFACE PEER`, such as `ucast6 eth0 2001:db8::12`") {
        return;
    }
    let interface = interface(reader, &words[0]);
    let (host, scope) = match words[1].text.split_once('%') {
        Some((host, scope)) => (host.to_owned(), Some(scope.to_owned())),
        None => (words[1].text.clone(), None),
    };
    if let Some(scope) = scope.as_deref().filter(|scope| !is_interface(scope)) {
        let place = words[1].place_within(host.chars().count() + 1);
        return reader.error(place, quoted(scope), INTERFACE_EXPECTED);
    }
    if let Some(scope) = scope.as_deref().filter(|scope| *scope != words[0].text) {
        let place = words[1].place_within(host.chars().count() + 1);
        let expected = format!("`%{}`: the link is on that interface", words[0].text);
        return reader.error(place, quoted(scope), expected);
    }
    let peer = host_v6(reader.world, &host);
    reader.warn_of_surplus(words, 2);
    reader.draft.is_udpport_taken = true;
    match (interface, peer) {
        (Some(interface), Ok(peer)) => reader.draft.links.push(LinkSpec::Ucast6 { interface, peer, scope }),
        (_, Err(why)) => bad_host(reader, &words[1], &why, "IPv6"),
        (None, Ok(_)) => {}
    }
}

pub(super) fn bcast(reader: &mut Reader<'_>, value: &Word) {
    reader.draft.is_udpport_taken = true;
    if let Some(interface) = interface(reader, value) {
        reader.draft.links.push(LinkSpec::Bcast { interface });
    }
}

/// The old word for [`bcast`].
pub(super) fn udp(reader: &mut Reader<'_>, value: &Word) {
    let errors = reader.diagnostics.len();
    bcast(reader, value);
    if reader.diagnostics.len() > errors {
        return;
    }
    let found = quoted(&format!("udp {}", value.text));
    reader.warning(value.place, found, format!("`bcast {}`, which it is taken for", value.text));
    reader.draft.written.push(("bcast", value.text.clone()));
}

pub(super) fn mcast(reader: &mut Reader<'_>, name: &Word, words: &[Word]) {
    let expected = "`mcast INTERFACE GROUP PORT TTL LOOP`, such as `mcast eth0 239.0.0.1 694 1 0`";
    if !has_words(reader, name, words, 5, expected) {
        return;
    }
    let interface = interface(reader, &words[0]);
    let group = words[1].text.parse().ok().filter(Ipv4Addr::is_multicast);
    if group.is_none() {
        let expected = "a multicast address, 224.0.0.0 to 239.255.255.255";
        reader.error(words[1].place, quoted(&words[1].text), expected);
    }
    let tail = multicast_tail(reader, words);
    if let (Some(interface), Some(group), Some((port, ttl, loopback))) = (interface, group, tail) {
        reader.draft.links.push(LinkSpec::Mcast { interface, group, port, ttl, loopback });
    }
}

pub(super) fn mcast6(reader: &mut Reader<'_>, name: &Word, words: &[Word]) {
    let expected = "`mcast6 INTERFACE GROUP PORT HOPS LOOP`, such as `mcast6 eth0 ff02::694 694 1 0`";
    if !has_words(reader, name, words, 5, expected) {
        return;
    }
    let interface = interface(reader, &words[0]);
    let group = words[1].text.parse().ok().filter(Ipv6Addr::is_multicast);
    if group.is_none() {
        reader.error(words[1].place, quoted(&words[1].text), "an IPv6 multicast address such as `ff02::694`");
    }
    let tail = multicast_tail(reader, words);
    if let (Some(interface), Some(group), Some((port, hops, loopback))) = (interface, group, tail) {
        reader.draft.links.push(LinkSpec::Mcast6 { interface, group, port, hops, loopback });
    }
}

/// Port, hops and loop of a multicast line of at least five words.
fn multicast_tail(reader: &mut Reader<'_>, words: &[Word]) -> Option<(u16, u8, bool)> {
    let port = number(reader, &words[2], 1..=u32::from(u16::MAX));
    let hops = number(reader, &words[3], 0..=HOPS_MAX);
    let loopback = number::<u8>(reader, &words[4], 0..=1);
    reader.warn_of_surplus(words, 5);
    Some((port?, hops?, loopback? == 1))
}

pub(super) fn serial(reader: &mut Reader<'_>, value: &Word) {
    let device = PathBuf::from(&value.text);
    if !device.is_absolute() {
        return reader.error(
            value.place,
            quoted(&value.text),
            "the full path of a terminal such as `/dev/ttyS0`",
        );
    }
    match reader.world.terminal(&device) {
        Ok(()) => {}
        Err(Fault::NoTerminal(_)) => {
            let found = format!("{}, which is no terminal", quoted(&value.text));
            return reader.error(value.place, found, "the full path of a terminal such as `/dev/ttyS0`");
        }
        // It may be there later: an adapter that is plugged in, a module that is loaded.
        Err(fault) => {
            let found = format!("{}: {fault}", quoted(&value.text));
            reader.warning(
                value.place,
                found,
                "a terminal that this machine has, and that the agent may use",
            );
        }
    }
    let baud = reader.draft.baud;
    reader.draft.links.push(LinkSpec::Serial { device, baud });
}

pub(super) fn baud(reader: &mut Reader<'_>, value: &Word) {
    let Some(baud) = value.text.parse().ok().filter(|baud| BAUD_RATES.contains(baud)) else {
        let expected = "9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600, or another rate up to 4000000 that the \
                        devices at both ends have";
        return reader.error(value.place, quoted(&value.text), expected);
    };
    reader.draft.baud = baud;
    if reader.draft.links.iter().any(|link| matches!(link, LinkSpec::Serial { .. })) {
        let found = format!("`baud {}` behind a `serial` line", value.text);
        reader.warning(value.place, found, "`baud` above it: lines above keep their speed");
    }
}

/// `linkdead LINK TIME`; whether there is such a link is known at the end of the file.
pub(super) fn linkdead(reader: &mut Reader<'_>, name: &Word, words: &[Word]) {
    if !has_words(reader, name, words, 2, "`linkdead LINK TIME`, such as `linkdead eth1 500ms`") {
        return;
    }
    reader.warn_of_surplus(words, 2);
    let link = words[0].text.clone();
    if let Some(first) = reader.draft.linkdead.iter().find(|(linkdead, ..)| linkdead.link == link) {
        let expected = format!("each link once; it stands in line {} already", first.2.line);
        return reader.error(words[0].place, quoted(&link), expected);
    }
    if let Some(time) = reader.time(&words[1]) {
        reader.draft.linkdead.push((LinkDead { link, time }, words[0].clone(), words[1].place));
    }
}

pub(super) fn ping(reader: &mut Reader<'_>, value: &Word) {
    if let Some(address) = host(reader, value) {
        reader.draft.pings.push(PingSpec::Host { name: value.text.clone(), address: IpAddr::V4(address) });
    }
}

pub(super) fn ping6(reader: &mut Reader<'_>, value: &Word) {
    match host_v6(reader.world, &value.text) {
        Ok(address) => {
            reader
                .draft
                .pings
                .push(PingSpec::Host { name: value.text.clone(), address: IpAddr::V6(address) });
        }
        Err(why) => bad_host(reader, value, &why, "IPv6"),
    }
}

pub(super) fn ping_group(reader: &mut Reader<'_>, name: &Word, words: &[Word]) {
    if !has_words(reader, name, words, 2, "`ping_group NAME HOST...`") {
        return;
    }
    let hosts: Vec<Option<Ipv4Addr>> = words[1..].iter().map(|word| host(reader, word)).collect();
    if let Some(hosts) = hosts.into_iter().collect() {
        reader.draft.pings.push(PingSpec::Group { name: words[0].text.clone(), hosts });
    }
}

/// Whether the line has at least that many words; says what it should look like otherwise.
pub(super) fn has_words(
    reader: &mut Reader<'_>,
    name: &Word,
    words: &[Word],
    count: usize,
    expected: &str,
) -> bool {
    if words.len() >= count {
        return true;
    }
    // Where the missing word would stand: behind the last one.
    let last = words.last().unwrap_or(name);
    let found = match words.len() {
        0 => format!("nothing behind {}", quoted(&name.text)),
        _ => format!("nothing behind {}", quoted(&last.text)),
    };
    reader.error(last.place_within(last.text.chars().count()), found, expected);
    false
}

fn interface(reader: &mut Reader<'_>, word: &Word) -> Option<String> {
    if !is_interface(&word.text) {
        reader.error(word.place, quoted(&word.text), INTERFACE_EXPECTED);
        return None;
    }
    Some(word.text.clone())
}

fn host(reader: &mut Reader<'_>, word: &Word) -> Option<Ipv4Addr> {
    host_v4(reader.world, &word.text).map_err(|why| bad_host(reader, word, &why, "IPv4")).ok()
}

fn bad_host(reader: &mut Reader<'_>, word: &Word, why: &str, family: &str) {
    let expected = format!("an {family} address, or a host name that has one");
    reader.error(word.place, format!("{}, which {why}", quoted(&word.text)), expected);
}
