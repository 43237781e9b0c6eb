//! Every directive of ha.cf, in one table: how its line is cut, what scripts see when it is absent, what it does.

use super::ha_cf::Reader;
use super::scanner::Word;
use super::{media, programs, settings};

/// One directive.
pub(super) struct Directive {
    pub(super) name: &'static str,
    /// What `HA_<name>` holds when no line sets it; none: the variable is absent, or derived in `environment.rs`.
    pub(super) default: Option<&'static str>,
    /// A second value is an error instead of replacing the first.
    pub(super) is_single: bool,
    pub(super) apply: Apply,
}

/// What a directive does with the rest of its line.
pub(super) enum Apply {
    /// Once per value; values are separated by blanks and commas. Without a value nothing happens.
    Each(fn(&mut Reader<'_>, &Word)),
    /// Once, with the blank-separated words of the whole line.
    Whole(fn(&mut Reader<'_>, &Word, &[Word])),
    /// Each value is checked, and means nothing here.
    Ignored { check: fn(&str) -> bool, expected: &'static str, why: &'static str },
    /// Only "off" is accepted.
    Refused { why: &'static str },
}

const fn each(name: &'static str, apply: fn(&mut Reader<'_>, &Word)) -> Directive {
    Directive { name, default: None, is_single: false, apply: Apply::Each(apply) }
}

const fn whole(name: &'static str, apply: fn(&mut Reader<'_>, &Word, &[Word])) -> Directive {
    Directive { name, default: None, is_single: false, apply: Apply::Whole(apply) }
}

const fn ignored(
    name: &'static str,
    check: fn(&str) -> bool,
    expected: &'static str,
    why: &'static str,
) -> Directive {
    Directive { name, default: None, is_single: false, apply: Apply::Ignored { check, expected, why } }
}

const fn refused(name: &'static str, why: &'static str) -> Directive {
    Directive { name, default: None, is_single: false, apply: Apply::Refused { why } }
}

impl Directive {
    const fn by_default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    const fn single(self) -> Self {
        Self { is_single: true, ..self }
    }
}

const OWN_LOGGING: &str = "xbeat writes its logs itself";
const OWN_FORMAT: &str = "xbeat has one frame format";
const NO_GENERATIONS: &str =
    "a node that starts proves itself by answering a challenge, not by a number that grows";
const NO_COMPRESSION: &str = "frames are never compressed";
const NO_CORES: &str = "core files are the business of the system";
const BOOLEAN: &str = "a boolean: `true`, `on`, `yes`, `y`, `1` or `false`, `off`, `no`, `n`, `0`";
const POSITIVE: &str = "a number above 0";
const NO_PACEMAKER: &str = "xbeat runs haresources itself, without Pacemaker";
const NO_MEDIUM: &str = "heartbeats over it are not supported, use `ucast`, `bcast`, `mcast` or `serial`";

fn anything(_: &str) -> bool {
    true
}

fn is_boolean(value: &str) -> bool {
    settings::boolean(value).is_some()
}

fn is_positive(value: &str) -> bool {
    value.parse::<u64>().is_ok_and(|number| number > 0)
}

fn is_time(value: &str) -> bool {
    super::time::parse(value).is_some()
}

/// In alphabetical order.
pub(super) static DIRECTIVES: &[Directive] = &[
    whole("apiauth", programs::apiauth),
    each("auto_failback", settings::auto_failback).by_default("legacy"),
    each("autojoin", settings::autojoin).by_default("none"),
    each("baud", media::baud).by_default("19200").single(),
    each("bcast", media::bcast),
    ignored("cluster", anything, "a name", "the name of a cluster means nothing to xbeat")
        .by_default("linux-ha"),
    ignored("compression", |v| matches!(v, "zlib" | "bz2"), "`zlib` or `bz2`", NO_COMPRESSION),
    ignored("compression_threshold", is_positive, POSITIVE, NO_COMPRESSION).by_default("2"),
    ignored("conn_logd_time", is_time, super::time::EXPECTED, OWN_LOGGING).by_default("60"),
    ignored("coredumps", is_boolean, BOOLEAN, NO_CORES).by_default("true"),
    ignored("coreroot", anything, "a directory", NO_CORES),
    refused("crm", NO_PACEMAKER).by_default("no").single(),
    refused("crm_daemon_dir", NO_PACEMAKER),
    refused("crmd_spawns_pengine", NO_PACEMAKER),
    each("deadping", |reader, value| reader.set_time(value, |draft| &mut draft.deadping)),
    each("deadtime", |reader, value| reader.set_time(value, |draft| &mut draft.deadtime)),
    each("debug", settings::debug).by_default("0"),
    each("debugfile", |reader, value| reader.draft.debugfile = Some(value.text.clone().into())),
    each("egress", settings::egress).by_default("auto"),
    refused("enable_config_writes", NO_PACEMAKER),
    each("env", settings::env),
    whole("failfast", programs::failfast),
    whole("fence", programs::fence),
    refused("hbaping", NO_MEDIUM),
    ignored("hbgenmethod", |v| matches!(v, "file" | "time"), "`file` or `time`", NO_GENERATIONS)
        .by_default("file"),
    ignored("hopfudge", |v| v.parse::<u8>().is_ok(), "a number from 0 to 255", OWN_FORMAT).by_default("1"),
    each("initdead", |reader, value| reader.set_time(value, |draft| &mut draft.initdead)),
    each("keepalive", |reader, value| reader.set_time(value, |draft| &mut draft.keepalive)),
    each("lease", |reader, value| reader.set_time(value, |draft| &mut draft.lease)),
    whole("linkdead", media::linkdead),
    ignored("log_badpack", is_boolean, BOOLEAN, "bad frames are counted, not logged").by_default("true"),
    each("logfacility", settings::logfacility),
    each("logfile", |reader, value| reader.draft.logfile = Some(value.text.clone().into())),
    each("mailer", programs::mailer),
    each("mailfrom", programs::mailfrom),
    ignored("max_rexmit_delay", is_positive, POSITIVE, "no frame of xbeat's is ever asked for again")
        .by_default("250"),
    whole("mcast", media::mcast),
    whole("mcast6", media::mcast6),
    ignored("memreserve", is_positive, POSITIVE, "xbeat locks the memory it needs").by_default("6500"),
    whole("monitor", programs::monitor),
    ignored("msgfmt", |v| matches!(v, "classic" | "netstring"), "`classic` or `netstring`", OWN_FORMAT)
        .by_default("classic"),
    each("nice_failback", settings::nice_failback),
    each("node", settings::node),
    refused("normalpoll", "it is an option of how Heartbeat was compiled"),
    refused("openais", NO_MEDIUM),
    refused("pacemaker", NO_PACEMAKER).single(),
    each("ping", media::ping),
    each("ping6", media::ping6),
    whole("ping_group", media::ping_group),
    refused("quorum_server", NO_PACEMAKER),
    refused("rds", NO_MEDIUM),
    each("realtime", settings::realtime).by_default("true"),
    refused("record_config_changes", NO_PACEMAKER),
    refused("record_pengine_inputs", NO_PACEMAKER),
    whole("respawn", programs::respawn),
    each("rtprio", settings::rtprio),
    each("serial", media::serial),
    each("starttime", |reader, value| reader.set_time(value, |draft| &mut draft.starttime)),
    whole("stonith", programs::stonith),
    whole("stonith_host", programs::stonith_host),
    each("stoptime", |reader, value| reader.set_time(value, |draft| &mut draft.stoptime)),
    ignored("syslogmsgfmt", is_boolean, BOOLEAN, OWN_LOGGING).by_default("true"),
    refused("tipc", NO_MEDIUM),
    ignored("traditional_compression", is_boolean, BOOLEAN, NO_COMPRESSION).by_default("no"),
    whole("ucast", media::ucast),
    whole("ucast6", media::ucast6),
    each("udp", media::udp),
    each("udpport", settings::udpport),
    ignored("use_apphbd", is_boolean, BOOLEAN, "there is no application heartbeat daemon"),
    ignored("use_logd", is_boolean, BOOLEAN, OWN_LOGGING),
    ignored("uuidfrom", |v| matches!(v, "file" | "nodename"), "`file` or `nodename`", "nodes have no UUID")
        .by_default("file"),
    each("warntime", |reader, value| reader.set_time(value, |draft| &mut draft.warntime)),
    each("watchdog", programs::watchdog).single(),
    each("xdp", settings::xdp).by_default("auto"),
];

/// The directive of that name; names are case-sensitive.
pub(super) fn find(name: &str) -> Option<&'static Directive> {
    DIRECTIVES.iter().find(|directive| directive.name == name)
}

/// The directive that was probably meant: the nearest one, at most two slips of the finger away.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    DIRECTIVES
        .iter()
        .map(|directive| (distance(&name, directive.name), directive.name))
        .filter(|&(distance, candidate)| distance <= 2 && distance < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits that turn one word into the other (Levenshtein). Far longer words are not worth the work.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
