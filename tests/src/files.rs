//! The configuration files of the how-tos, unchanged, and what tests change in them.

use std::net::Ipv4Addr;
use std::path::Path;

/// What goes into a node's configuration directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// `ha.cf`.
    pub ha_cf: String,
    /// `haresources`.
    pub haresources: String,
    /// `authkeys`.
    pub authkeys: String,
    /// The access mode of `authkeys`.
    pub authkeys_mode: u32,
    /// Scripts in `resource.d`: name and text. `@RUN@` in the text becomes the node's run directory (empty after
    /// power was off), `@STATE@` its state directory (which stays).
    pub scripts: Vec<(String, String)>,
}

/// A resource that keeps Heartbeat's contract, remembers whether it runs until power is off, and notes every call
/// in the file `calls` of the state directory.
pub const RECORDING_SCRIPT: &str = r#"#!/bin/sh
echo "${0##*/} $*" >> "@STATE@/calls"
flag="@RUN@/${0##*/}.started"
case "$1" in
  start) : > "$flag" ;;
  stop) rm -f "$flag" ;;
  status) if [ -e "$flag" ]; then echo running; else echo stopped; fi ;;
esac
"#;

const HOWTO_000_HA_CF: &str = "\
keepalive 2
deadtime 10
udpport        694
ucast eth1 @PEER@
udp     eth0
logfacility     local0
auto_failback on
node    ser0
node    ser0b
";

const HOWTO_001_HA_CF: &str = "\
logfile /var/log/ha-log
debugfile /var/log/ha-debug
autojoin none
ucast eth0 server1
ucast eth0 server2
udpport 694
warntime 3
deadtime 5
initdead 10
keepalive 1
node server1 server2
auto_failback on
";

const HOWTO_003_HA_CF: &str = "\
serial  /dev/ttyS0
auto_failback off
node julius
node caesar
keepalive 5
deadtime 15
warntime 10
initdead 30
";

const HOWTO_004_HA_CF: &str = "\
node www1 www2
udpport 694
ucast eth0 192.0.2.11
ucast eth0 192.0.2.12
deadtime 5
deadping 5
debug 0
debugfile /var/log/ha-debug.log
logfile /var/log/ha.log
auto_failback on
";

const AUTHKEYS: &str = "auth 1\n1 sha1 PutYourSuperSecretKeyHere\n";

impl Files {
    /// How-to 000: ser0 and ser0b, everything in one script, which the test has to give. `peer` is the other node's
    /// address on eth1.
    pub fn howto_000(peer: &str) -> Self {
        Self {
            ha_cf: HOWTO_000_HA_CF.replace("@PEER@", peer),
            haresources: "ser0 ha.sh\n".into(),
            authkeys: "auth 1\n1 md5 somethingrandom\n".into(),
            authkeys_mode: 0o600,
            scripts: Vec::new(),
        }
    }

    /// How-to 001: server1 and server2, one address and a script, automatic return.
    pub fn howto_001() -> Self {
        Self {
            ha_cf: HOWTO_001_HA_CF.into(),
            haresources: "server1 IPaddr::192.0.2.100 failback.sh\n".into(),
            authkeys: AUTHKEYS.into(),
            authkeys_mode: 0o600,
            scripts: vec![("failback.sh".into(), RECORDING_SCRIPT.into())],
        }
    }

    /// How-to 004: www1 and www2 with two addresses. (It leaves `authkeys` to the reader.)
    pub fn howto_004() -> Self {
        Self {
            ha_cf: HOWTO_004_HA_CF.into(),
            haresources: "www1 192.0.2.3 192.0.2.4\n".into(),
            authkeys: AUTHKEYS.into(),
            authkeys_mode: 0o600,
            scripts: Vec::new(),
        }
    }

    /// How-to 003: julius and caesar, joined by a cable at `device` and by nothing else, no return. One address of the
    /// harness's network instead of two, and no mail.
    pub fn howto_003(device: &Path) -> Self {
        Self {
            ha_cf: HOWTO_003_HA_CF.replace("/dev/ttyS0", &device.display().to_string()),
            haresources: "julius IPaddr::192.0.2.100\n".into(),
            authkeys: AUTHKEYS.into(),
            authkeys_mode: 0o600,
            scripts: Vec::new(),
        }
    }

    /// The same with the demo's times: keepalive 1 ms, deadtime 3 ms, initdead 1 s. A `warntime` between them
    /// would be longer than deadtime and becomes 2 ms.
    #[must_use]
    pub fn fast(self) -> Self {
        let fast =
            self.directive("keepalive", "1ms").directive("deadtime", "3ms").directive("initdead", "1s");
        if fast.has("warntime") { fast.directive("warntime", "2ms") } else { fast }
    }

    /// A cluster of `nodes`, a `ucast` line for each on eth0, with times that many clusters on one machine can keep
    /// ([`Files::brisk`]).
    pub fn cluster(nodes: &[&str], haresources: &str) -> Self {
        let links: String = nodes.iter().map(|node| format!("ucast eth0 {node}\n")).collect();
        let ha_cf = format!("node {}\n{links}auto_failback on\n", nodes.join(" "));
        let scripts = Vec::new();
        let (haresources, authkeys) = (haresources.into(), AUTHKEYS.into());
        Self { ha_cf, haresources, authkeys, authkeys_mode: 0o600, scripts }.brisk()
    }

    /// The same with times that are short for the one who waits and long for a machine that runs many clusters:
    /// keepalive 20 ms, warntime 60 ms, deadtime 100 ms, initdead 3 s, lease 1 s.
    #[must_use]
    pub fn brisk(self) -> Self {
        let brisk = self.directive("keepalive", "20ms").directive("deadtime", "100ms");
        brisk.directive("initdead", "3s").directive("warntime", "60ms").directive("lease", "1s")
    }

    /// The same with these lines in the place of all links.
    #[must_use]
    pub fn links(mut self, lines: &str) -> Self {
        let is_link = |line: &str| {
            ["ucast", "bcast", "udp", "mcast", "ucast6", "mcast6", "serial"]
                .iter()
                .any(|kind| names(line, kind))
        };
        self.ha_cf =
            self.ha_cf.lines().filter(|line| !is_link(line)).map(|line| format!("{line}\n")).collect();
        self.ha_cf.push_str(lines);
        self
    }

    /// The same with `text` as script `name` in `resource.d`.
    #[must_use]
    pub fn script(mut self, name: &str, text: &str) -> Self {
        self.scripts.retain(|(known, _)| known != name);
        self.scripts.push((name.into(), text.into()));
        self
    }

    /// The same with other `haresources`.
    #[must_use]
    pub fn haresources(self, haresources: &str) -> Self {
        Self { haresources: haresources.into(), ..self }
    }

    /// The same with `line` at the end of `ha.cf`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.ha_cf.push_str(line);
        self.ha_cf.push('\n');
        self
    }

    /// The same with `name value` in `ha.cf`: in the place of the directive if there is one, else at the top
    /// (before any link, where every directive is allowed).
    #[must_use]
    pub fn directive(mut self, name: &str, value: &str) -> Self {
        let line = format!("{name} {value}\n");
        if self.has(name) {
            let replaced = |old: &str| if names(old, name) { line.clone() } else { format!("{old}\n") };
            self.ha_cf = self.ha_cf.lines().map(replaced).collect();
        } else {
            self.ha_cf.insert_str(0, &line);
        }
        self
    }

    /// The virtual addresses that `haresources` names.
    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        let words = self.haresources.lines().flat_map(|line| line.split_whitespace().skip(1));
        let bare = words.map(|word| word.trim_start_matches("IPaddr2::").trim_start_matches("IPaddr::"));
        bare.filter_map(|word| word.split('/').next()?.parse().ok()).collect()
    }

    fn has(&self, name: &str) -> bool {
        self.ha_cf.lines().any(|line| names(line, name))
    }
}

fn names(line: &str, directive: &str) -> bool {
    line.split_whitespace().next() == Some(directive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_changes_nothing_but_times() {
        let (before, after) = (Files::howto_001(), Files::howto_001().fast());
        let changed: Vec<_> = before.ha_cf.lines().zip(after.ha_cf.lines()).filter(|(a, b)| a != b).collect();
        let expected = [
            ("warntime 3", "warntime 2ms"),
            ("deadtime 5", "deadtime 3ms"),
            ("initdead 10", "initdead 1s"),
            ("keepalive 1", "keepalive 1ms"),
        ];
        assert_eq!(changed, expected);
        assert_eq!(before.ha_cf.lines().count(), after.ha_cf.lines().count());
        assert_eq!((before.haresources, before.authkeys), (after.haresources, after.authkeys));
    }

    #[test]
    fn addresses_are_found_in_every_form() {
        let files = Files::howto_001()
            .haresources("a 192.0.2.3 IPaddr::192.0.2.4/24/eth0 web\nb IPaddr2::192.0.2.5\n");
        let expected = [3, 4, 5].map(|host| Ipv4Addr::new(192, 0, 2, host));
        assert_eq!(files.addresses(), expected);
    }

    #[test]
    fn a_directive_is_replaced_in_its_place_or_put_at_the_top() {
        let files = Files::howto_004().directive("auto_failback", "off").directive("xdp", "generic");
        assert_eq!(files.ha_cf.lines().next(), Some("xdp generic"));
        assert_eq!(files.ha_cf.lines().last(), Some("auto_failback off"));
        assert_eq!(files.ha_cf.lines().count(), HOWTO_004_HA_CF.lines().count() + 1);
    }
}
