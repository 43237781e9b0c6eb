//! What changed between two configurations.

use super::super::{Change, Config, How, difference};
use super::{AUTHKEYS, Files, HA_CF, HARESOURCES, with};

fn lines(old: &Files, new: &Files) -> Vec<String> {
    changes(old, new).iter().map(ToString::to_string).collect()
}

fn changes(old: &Files, new: &Files) -> Vec<Change> {
    let load = |files: &Files| -> Config { files.load("server1").unwrap() };
    difference(&load(old), &load(new))
}

/// The whole of one change, and what it takes.
#[track_caller]
fn assert_takes(line: &str, how: How, expected: &str) {
    let changes = changes(&with(""), &with(line));
    assert_eq!(changes.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected], "{line}");
    assert_eq!(changes[0].how(), how, "{line}");
}

fn authkeys(text: &str) -> Files {
    Files::new(HA_CF, HARESOURCES, text)
}

#[test]
fn the_same_files_differ_in_nothing() {
    assert_eq!(lines(&with(""), &with("# a comment\n")), [""; 0]);
}

#[test]
fn what_is_taken_over_in_service() {
    for (line, expected) in [
        ("warntime 2", "warntime: 2500ms -> 2000ms"),
        ("initdead 20", "initdead: 12000ms -> 20000ms"),
        ("lease 4", "lease: 5000ms -> 4000ms"),
        ("starttime 5", "starttime: 90000ms -> 5000ms"),
        ("stoptime 7", "stoptime: 90000ms -> 7000ms"),
        ("auto_failback off", "auto_failback: on -> off"),
        ("logfile /x", "logfile: none -> /x"),
        ("debugfile /y", "debugfile: none -> /y"),
        ("logfacility local3", "logfacility: none -> local3"),
        ("debug 1", "debug: 0 -> 1"),
        ("env MODE=fast", "environment of scripts: HA_MODE=fast"),
        ("env MODE=", "environment of scripts: HA_MODE="),
    ] {
        assert_takes(line, How::InService, expected);
    }
}

#[test]
fn times_that_follow_from_others_change_with_them() {
    let changed = lines(&with(""), &with("deadtime 10"));
    assert!(changed.contains(&"deadtime: 5000ms -> 10000ms".to_owned()), "{changed:?}");
    assert!(changed.contains(&"lease: 5000ms -> 10000ms".to_owned()), "{changed:?}");
    assert!(changes(&with(""), &with("deadtime 10")).iter().all(|change| change.how() == How::InService));
}

#[test]
fn what_takes_a_restart() {
    assert_takes("xdp off", How::Restart, "xdp: auto -> off");
    assert_takes("realtime off", How::Restart, "realtime: true -> false");
    let links = changes(&with(""), &with("ucast eth9 192.0.2.99"));
    assert_eq!(links.len(), 1, "{links:?}");
    assert_eq!(links[0].how(), How::Restart);
    assert!(links[0].to_string().ends_with("ucast eth9"), "{}", links[0]);
}

#[test]
fn what_takes_new_files_everywhere() {
    // Before the links, which take the port as it is.
    let port = changes(&with(""), &Files::new(format!("udpport 700\n{HA_CF}"), HARESOURCES, AUTHKEYS));
    assert_eq!((port.len(), port[0].how()), (1, How::AllNodes));
    assert_eq!(port[0].to_string(), "udpport: 694 -> 700");
    assert_takes("node server3", How::AllNodes, "node: server1 server2 -> server1 server2 server3");
    let groups = |text: &str| Files::new(HA_CF, text, AUTHKEYS);
    let old = groups("server1 192.0.2.100 a\nserver2 192.0.2.101 b\n");
    for (new, expected) in [
        ("server1 192.0.2.100 a\n", "group 192.0.2.101 removed"),
        ("server1 192.0.2.100 a\nserver2 192.0.2.101 b\nserver1 192.0.2.102\n", "group 192.0.2.102 added"),
        ("server2 192.0.2.100 a\nserver2 192.0.2.101 b\n", "group 192.0.2.100 changed"),
        ("server1 192.0.2.100 c\nserver2 192.0.2.101 b\n", "group 192.0.2.100 changed"),
    ] {
        let found = changes(&old, &groups(new));
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected], "{new}");
        assert_eq!(found[0].how(), How::AllNodes);
    }
    let swapped = lines(&old, &groups("server2 192.0.2.101 b\nserver1 192.0.2.100 a\n"));
    assert_eq!(swapped, ["group 192.0.2.100 changed", "group 192.0.2.101 changed"]);
}

#[test]
fn a_rollover_of_keys_step_by_step() {
    let one = authkeys("auth 1\n1 sha1 old\n");
    let both = authkeys("auth 1\n1 sha1 old\n2 sha1 new\n");
    let switched = authkeys("auth 2\n1 sha1 old\n2 sha1 new\n");
    let two = authkeys("auth 2\n2 sha1 new\n");
    assert_eq!(lines(&one, &both), ["key 2 added"]);
    assert_eq!(lines(&both, &switched), ["signs with key 2 instead of 1"]);
    assert_eq!(lines(&switched, &two), ["key 1 removed"]);
    assert_eq!(lines(&one, &authkeys("auth 1\n1 sha256 old\n")), ["key 1 is another one"]);
    assert!(changes(&one, &two).iter().all(|change| change.how() == How::InService));
}

#[test]
fn no_secret_is_told() {
    let told = lines(&authkeys("auth 1\n1 sha1 verysecret\n"), &authkeys("auth 3\n3 sha1 othersecret\n"));
    assert!(!told.concat().contains("secret"), "{told:?}");
}
