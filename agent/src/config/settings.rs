//! The plain directives of ha.cf: one value, one meaning.

use std::ops::RangeInclusive;

use super::NODES_MAX;
use super::diagnostic::quoted;
use super::ha_cf::{Reader, Setting};
use super::model::{EgressMode, Facility, XdpMode};
use super::scanner::Word;

/// Port of heartbeats (`ha-cluster` in the services list of IANA).
pub(super) const UDPPORT: u16 = 694;

/// Speed of serial links in bits per second.
pub(super) const BAUD: u32 = 19_200;

/// A boolean as Heartbeat reads it, in any case.
pub(super) fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "y" | "1" => Some(true),
        "false" | "off" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// A number in a range; anything else is an error.
pub(super) fn number<T>(reader: &mut Reader<'_>, value: &Word, range: RangeInclusive<u32>) -> Option<T>
where
    T: TryFrom<u32>,
{
    let number = value.text.parse().ok().filter(|number| range.contains(number));
    let number = number.and_then(|number| T::try_from(number).ok());
    if number.is_none() {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        reader.error(value.place, quoted(&value.text), expected);
    }
    number
}

fn on_or_off(reader: &mut Reader<'_>, value: &Word) -> Option<bool> {
    let on = boolean(&value.text);
    if on.is_none() {
        reader.error(value.place, quoted(&value.text), "`on` or `off`");
    }
    on
}

pub(super) fn node(reader: &mut Reader<'_>, value: &Word) {
    let name = value.text.to_ascii_lowercase();
    if let Some(first) = reader.draft.nodes.iter().find(|node| node.text == name) {
        let expected = format!("each node once; it stands in line {} already", first.place.line);
        return reader.error(value.place, quoted(&value.text), expected);
    }
    if reader.draft.nodes.len() == NODES_MAX {
        let found = format!("{}, node number {}", quoted(&value.text), NODES_MAX + 1);
        reader.error(value.place, found, format!("at most {NODES_MAX} nodes"));
    }
    reader.draft.nodes.push(Word { text: name, ..value.clone() });
}

pub(super) fn auto_failback(reader: &mut Reader<'_>, value: &Word) {
    let on = if value.text.eq_ignore_ascii_case("legacy") {
        let expected =
            "`on` or `off`; it is taken for `on`, because the home node gets its groups back either way";
        reader.warning(value.place, quoted(&value.text), expected);
        Some(true)
    } else {
        let on = boolean(&value.text);
        if on.is_none() {
            reader.error(value.place, quoted(&value.text), "`on`, `off` or `legacy`");
        }
        on
    };
    reader.draft.auto_failback = on.map_or(Setting::Bad, |on| Setting::Given(on, value.place));
}

/// Obsolete, and the other way round: nice was not to fail back.
pub(super) fn nice_failback(reader: &mut Reader<'_>, value: &Word) {
    let Some(nice) = on_or_off(reader, value) else {
        reader.draft.auto_failback = Setting::Bad;
        return;
    };
    let meant = if nice { "off" } else { "on" };
    let found = quoted(&format!("nice_failback {}", value.text));
    reader.warning(value.place, found, format!("`auto_failback {meant}`, which it is taken for"));
    reader.draft.auto_failback = Setting::Given(!nice, value.place);
}

pub(super) fn autojoin(reader: &mut Reader<'_>, value: &Word) {
    if value.text != "none" {
        let expected = "`autojoin none`: with haresources every node must be named by a `node` line";
        reader.error(value.place, quoted(&value.text), expected);
    }
}

pub(super) fn udpport(reader: &mut Reader<'_>, value: &Word) {
    let Some(port) = number(reader, value, 1..=u32::from(u16::MAX)) else { return };
    if !reader.draft.is_udpport_taken {
        reader.draft.udpport = port;
    } else if port != reader.draft.udpport {
        let found =
            format!("{} behind a link, which uses port {}", quoted(&value.text), reader.draft.udpport);
        reader.warning(value.place, found, "`udpport` above the first link; the line is ignored");
    }
}

pub(super) fn debug(reader: &mut Reader<'_>, value: &Word) {
    if let Some(level) = number(reader, value, 0..=255) {
        reader.draft.debug = level;
    }
}

pub(super) fn rtprio(reader: &mut Reader<'_>, value: &Word) {
    // The range of SCHED_FIFO on Linux, sched(7).
    if let Some(priority) = number(reader, value, 1..=99) {
        reader.draft.rtprio = Some(priority);
    }
}

pub(super) fn realtime(reader: &mut Reader<'_>, value: &Word) {
    if let Some(on) = on_or_off(reader, value) {
        reader.draft.realtime = on;
    }
}

pub(super) fn xdp(reader: &mut Reader<'_>, value: &Word) {
    reader.draft.xdp = match value.text.as_str() {
        "auto" => XdpMode::Auto,
        "native" => XdpMode::Native,
        "generic" => XdpMode::Generic,
        "tc" => XdpMode::Tc,
        "off" => XdpMode::Off,
        _ => {
            let expected = "`auto`, `native`, `generic`, `tc` or `off`";
            return reader.error(value.place, quoted(&value.text), expected);
        }
    };
}

pub(super) fn egress(reader: &mut Reader<'_>, value: &Word) {
    reader.draft.egress = match value.text.as_str() {
        "auto" => EgressMode::Auto,
        "tcx" => EgressMode::Tcx,
        "clsact" => EgressMode::Clsact,
        _ => return reader.error(value.place, quoted(&value.text), "`auto`, `tcx` or `clsact`"),
    };
}

pub(super) fn logfacility(reader: &mut Reader<'_>, value: &Word) {
    let facility = Facility::ALL.into_iter().find(|facility| facility.name == value.text);
    if facility.is_none() && value.text != "none" {
        let expected = "a syslog facility such as `daemon` or `local0`, or `none`";
        return reader.error(value.place, quoted(&value.text), expected);
    }
    reader.draft.logfacility = facility;
}

pub(super) fn env(reader: &mut Reader<'_>, value: &Word) {
    match value.text.split_once('=') {
        Some((name, content)) if !name.is_empty() => {
            reader.draft.env.push((name.to_owned(), content.to_owned()));
        }
        _ => reader.error(value.place, quoted(&value.text), "`NAME=VALUE`"),
    }
}
