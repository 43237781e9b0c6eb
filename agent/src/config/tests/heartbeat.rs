//! Every directive of Heartbeat 3.0.6, one row each: it acts, it is accepted and ignored with a warning, or it is refused with
//! an explanation. The rows are in the order of Heartbeat's own table; a directive that is in ours and neither a row here nor
//! an extension fails the test, and so does a row that is not in ours.

use super::super::directives;
use super::{AUTHKEYS, Files, HA_CF, HARESOURCES, errors, warnings};
use crate::config::Config;

/// What a user of Heartbeat finds.
enum Fate {
    /// It means what it meant: the configuration is another one with it.
    Acts,
    /// The same, and a warning has these words.
    ActsAndWarns(&'static str),
    /// It changes nothing, and a warning has these words.
    Ignored(&'static str),
    /// It changes nothing and needs no words: it is `off`, or what is the case anyway.
    Silent,
    /// The agent does not start with it, and the error has these words.
    Refused(&'static str),
}

use Fate::{Acts, ActsAndWarns, Ignored, Refused, Silent};

/// Directive, the rest of a line with it, what becomes of it.
const TABLE: &[(&str, &str, Fate)] = &[
    // What a configuration with haresources needs.
    ("node", "server3", Acts),
    ("keepalive", "500ms", Acts),
    ("deadtime", "7", Acts),
    ("warntime", "3", Acts),
    ("initdead", "30", Acts),
    ("deadping", "11", Acts),
    ("udpport", "695", Acts),
    ("bcast", "eth1", Acts),
    ("udp", "eth1", ActsAndWarns("`bcast eth1`")),
    ("ucast", "eth1 192.0.2.13", Acts),
    ("mcast", "eth1 239.0.0.1 694 1 0", Acts),
    ("serial", "/dev/ttyS0", Acts),
    ("baud", "9600", Silent),
    ("auto_failback", "off", Acts),
    ("auto_failback", "legacy", ActsAndWarns("taken for `on`")),
    ("logfile", "/var/log/ha-log", Acts),
    ("debugfile", "/var/log/ha-debug", Acts),
    ("logfacility", "local0", Acts),
    ("ping", "192.0.2.1", Acts),
    ("ping_group", "routers 192.0.2.1 192.0.2.2", Acts),
    ("respawn", "hacluster /usr/lib/heartbeat/ipfail", Acts),
    ("respawn", "root /usr/bin/mon -f", Acts),
    ("apiauth", "ipfail uid=hacluster", Ignored("a socket that root alone may use")),
    ("stonith", "null /etc/ha.d/null.conf", Acts),
    ("stonith_host", "* null server2", Acts),
    ("watchdog", "/dev/watchdog", Acts),
    ("debug", "1", Acts),
    ("hopfudge", "2", Ignored("one frame format")),
    ("hbgenmethod", "time", Ignored("answering a challenge")),
    ("realtime", "off", Acts),
    ("rtprio", "10", Acts),
    ("autojoin", "none", Silent),
    ("autojoin", "any", Refused("every node must be named")),
    // Without a meaning beside haresources.
    ("use_logd", "yes", Ignored("writes its logs itself")),
    ("conn_logd_time", "60", Ignored("writes its logs itself")),
    ("msgfmt", "netstring", Ignored("one frame format")),
    ("compression", "bz2", Ignored("never compressed")),
    ("compression_threshold", "10", Ignored("never compressed")),
    ("traditional_compression", "on", Ignored("never compressed")),
    ("coredumps", "true", Ignored("business of the system")),
    ("coreroot", "/var/cores", Ignored("business of the system")),
    ("uuidfrom", "nodename", Ignored("no UUID")),
    ("memreserve", "6500", Ignored("locks the memory it needs")),
    ("max_rexmit_delay", "100", Ignored("asked for again")),
    ("log_badpack", "off", Ignored("counted, not logged")),
    ("syslogmsgfmt", "off", Ignored("writes its logs itself")),
    ("env", "MODE=fast", Acts),
    ("cluster", "linux-ha", Ignored("means nothing")),
    ("use_apphbd", "on", Ignored("no application heartbeat daemon")),
    ("nice_failback", "on", ActsAndWarns("`auto_failback off`")),
    ("failfast", "root /usr/bin/vital", Refused("`respawn`")),
    ("mcast6", "eth1 ff02::694 694 1 0", Acts),
    ("ucast6", "eth1 2001:db8::13", Acts),
    ("ping6", "2001:db8::1", Acts),
    // Pacemaker's, and media that were never common.
    ("crm", "off", Silent),
    ("crm", "yes", Refused("without Pacemaker")),
    ("pacemaker", "respawn", Refused("without Pacemaker")),
    ("crm_daemon_dir", "/usr/lib/crm", Refused("without Pacemaker")),
    ("crmd_spawns_pengine", "on", Refused("without Pacemaker")),
    ("record_config_changes", "on", Refused("without Pacemaker")),
    ("record_pengine_inputs", "on", Refused("without Pacemaker")),
    ("enable_config_writes", "on", Refused("without Pacemaker")),
    ("quorum_server", "192.0.2.9", Refused("without Pacemaker")),
    ("hbaping", "x", Refused("`ucast`")),
    ("tipc", "x", Refused("`ucast`")),
    ("rds", "x", Refused("`ucast`")),
    ("openais", "x", Refused("`ucast`")),
    ("normalpoll", "on", Refused("was compiled")),
];

/// Ours alone.
const EXTENSIONS: &[&str] = &[
    "egress",
    "fence",
    "lease",
    "linkdead",
    "mailer",
    "mailfrom",
    "monitor",
    "starttime",
    "stoptime",
    "xdp",
];

/// A good configuration with the line once: above the links where it is for them, else behind everything, where the last word
/// counts.
fn with(directive: &str, line: &str) -> Files {
    let text = match directive {
        "udpport" | "baud" => format!("{line}\n{HA_CF}"),
        _ => format!("{HA_CF}{line}\n"),
    };
    Files::new(text, HARESOURCES, AUTHKEYS)
}

/// All that a configuration says, but for what scripts see of it and where warnings stand.
fn meaning(config: &Config) -> String {
    let own = config.env.iter().filter(|(name, _)| directives::find(&name[3..]).is_none()).cloned();
    format!("{:?}", Config { warnings: Vec::new(), env: own.collect(), ..config.clone() })
}

#[test]
fn every_directive_of_heartbeat_acts_or_is_ignored_or_refused_with_a_word() {
    let plain = meaning(&with("", "").load("server1").unwrap());
    for (directive, rest, fate) in TABLE {
        let line = format!("{directive} {rest}");
        let loaded = with(directive, &line).load("server1");
        if let Refused(words) = fate {
            let errors = errors(loaded);
            assert!(errors.len() == 1 && errors[0].contains(words), "{line}: {errors:?}");
            continue;
        }
        let config = loaded.unwrap_or_else(|errors| panic!("{line}: {errors:?}"));
        let acts = meaning(&config) != plain;
        let warnings = warnings(&config);
        let warned = |words: &str| warnings.len() == 1 && warnings[0].contains(words);
        let good = match fate {
            // What it names need not be on this machine.
            Acts => acts && warnings.iter().all(|warning| !warning.contains("ignored")),
            ActsAndWarns("taken for `on`") => warned("taken for `on`"),
            ActsAndWarns(words) => acts && warned(words),
            Ignored(words) => !acts && warned("accepted and ignored") && warned(words),
            Silent => !acts && warnings.is_empty(),
            Refused(_) => false,
        };
        assert!(good, "{line}: {} it acts, and {warnings:?}", if acts { "" } else { "not that" });
    }
}

#[test]
fn no_directive_is_forgotten() {
    let ours: Vec<&str> = directives::DIRECTIVES.iter().map(|directive| directive.name).collect();
    for name in &ours {
        let is_old = TABLE.iter().any(|(old, ..)| old == name);
        assert!(
            is_old != EXTENSIONS.contains(name),
            "{name} is a directive of Heartbeat's or an extension, and one row tells"
        );
    }
    let told = TABLE.iter().map(|(old, ..)| old).chain(EXTENSIONS);
    for name in told {
        assert!(ours.contains(name), "{name} is told of and not there");
    }
}
