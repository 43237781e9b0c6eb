//! No bytes make a parser panic; no error hides another.

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::super::diagnostic::{Source, render};
use super::super::directives::DIRECTIVES;
use super::super::{Resource, Severity, authkeys, check, environment, ha_cf, haresources, time};
use super::{AUTHKEYS, Files, HA_CF, HARESOURCES, MadeUp};

/// Everything that reads or judges bytes, on these bytes.
fn read_everything(bytes: &[u8]) {
    let source = Source::new(Path::new("ha.cf"), bytes);
    let (draft, mut diagnostics) = ha_cf::Reader::new(&source, &MadeUp, "server1").read(bytes);
    let (times, _, found) = check::check(&source, &draft, "server1");
    environment::variables(&draft, &times);
    diagnostics.extend(found);
    render(&diagnostics);
    let nodes = ["server1".to_owned(), "server2".to_owned()];
    render(&haresources::parse(&source, bytes, &nodes).1);
    render(&authkeys::parse(&source, bytes).1);
    let text = String::from_utf8_lossy(bytes);
    time::parse(&text);
    let _ = text.parse::<Resource>();
}

/// Words that lead deep into the parsers, and bytes between them that lead astray.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let mut words: Vec<&'static str> = DIRECTIVES.iter().map(|directive| directive.name).collect();
    words.extend([
        "1",
        "0",
        "15",
        "16",
        "0.5",
        "9.9.9",
        "1ms",
        "999999999999999999999",
        "on",
        "off",
        "none",
        "eth0",
        "eth0:1",
        "server1",
        "server2",
        "192.0.2.1",
        "192.0.2.300/24/eth0",
        "239.0.0.1",
        "fe80::1%eth0",
        "ff02::1",
        "auth",
        "sha1",
        "IPaddr::",
        "IPaddr::192.0.2.1/24/eth0:x/192.0.2.255",
        "a::b",
        "::",
        "uid=root,",
        "gid=",
        "A=B",
        "/dev/ttyS0",
        "\u{fc}",
        "#",
    ]);
    let gaps = [" ", " ", " ", "\n", "\n", "\t", ",", "\\\n", "\r\n", "\0", "", "::", "/", "\u{1b}"];
    vec((select(words), select(gaps.to_vec())), 0..60).prop_map(|parts| {
        parts.into_iter().flat_map(|(word, gap)| [word.as_bytes(), gap.as_bytes()].concat()).collect()
    })
}

/// A line with one error: in which of the files, and the column of the error.
type Fault = (&'static str, &'static str, u32);

const FAULTS: &[Fault] = &[
    ("ha.cf", "keepalve 1", 1),
    ("ha.cf", "warntime 1x", 10),
    ("ha.cf", "warntime 0", 10),
    ("ha.cf", "deadping 1", 10),
    ("ha.cf", "lease 1ms", 7),
    ("ha.cf", "initdead 1", 10),
    ("ha.cf", "auto_failback maybe", 15),
    ("ha.cf", "autojoin any", 10),
    ("ha.cf", "udpport 70000", 9),
    ("ha.cf", "logfacility local9", 13),
    ("ha.cf", "node  server1", 7),
    ("ha.cf", "ucast eth0 nowhere", 12),
    ("ha.cf", "ucast eth/0 server2", 7),
    ("ha.cf", "mcast eth0 239.0.0.1 694 9 0", 26),
    ("ha.cf", "ping nowhere", 6),
    ("ha.cf", "serial ttyS0", 8),
    ("ha.cf", "respawn root relative", 14),
    ("ha.cf", "msgfmt binary", 8),
    ("ha.cf", "pacemaker respawn", 11),
    ("ha.cf", "xdp maybe", 5),
    ("haresources", "stranger x", 1),
    ("haresources", "server1 192.0.2.300", 9),
    ("haresources", "server2 y IPaddr::192.0.2.9/33", 29),
    ("haresources", "server2 IPaddr::192.0.2.100", 9),
    ("haresources", "server1 z ../w", 11),
    ("authkeys", "2 sha7 x", 3),
    ("authkeys", "16 sha1 x", 1),
    ("authkeys", "3 md5", 3),
    ("authkeys", "4 crc key", 7),
];

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in vec(any::<u8>(), 0..400)) {
        read_everything(&bytes);
    }

    #[test]
    fn no_words_make_a_parser_panic(bytes in soup()) {
        read_everything(&bytes);
    }

    #[test]
    fn every_injected_fault_is_told_at_its_place_and_nothing_else(
        faults in subsequence(FAULTS, 1..=FAULTS.len()).prop_shuffle(),
    ) {
        let mut texts =
            [("authkeys", AUTHKEYS.to_owned()), ("ha.cf", HA_CF.to_owned()), ("haresources", HARESOURCES.to_owned())];
        let mut expected = Vec::new();
        // Of two lines for one value the last counts, so only the last can be wrong against another value.
        let mut last = std::collections::BTreeMap::new();
        for (file, line, column) in faults {
            let Some((_, text)) = texts.iter_mut().find(|(name, _)| *name == file) else { continue };
            text.push_str(line);
            text.push('\n');
            let number = u32::try_from(text.lines().count()).unwrap();
            if matches!(line, "deadping 1" | "lease 1ms" | "initdead 1") {
                last.insert(line, (file, number, column));
            } else {
                expected.push((file, number, column));
            }
        }
        expected.extend(last.into_values());
        let [(_, authkeys), (_, ha_cf), (_, haresources)] = &texts;
        let diagnostics = Files::new(ha_cf, haresources, authkeys).load("server1").unwrap_err();
        let mut found: Vec<(&str, u32, u32)> = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error)
            .map(|d| (d.file.file_name().and_then(|name| name.to_str()).unwrap(), d.line, d.column))
            .collect();
        expected.sort_unstable();
        found.sort_unstable();
        prop_assert_eq!(found, expected);
    }
}
