//! Times: how they are written, their defaults, and what must hold between them.

use std::time::Duration;

use super::super::time;
use super::{AUTHKEYS, Files, HARESOURCES, assert_error, errors, warnings, with};

#[test]
fn times_are_read_as_heartbeat_reads_them_and_in_our_units() {
    let good = [
        ("2", 2_000_000),
        ("0.5", 500_000),
        (".5", 500_000),
        ("5.", 5_000_000),
        ("200ms", 200_000),
        ("200MSEC", 200_000),
        ("1.5ms", 1_500),
        ("500us", 500),
        ("500usec", 500),
        ("0.4us", 0),
        ("0.5us", 1),
        ("2s", 2_000_000),
        ("1m", 60_000_000),
        ("1.5m", 90_000_000),
        ("0", 0),
        ("31536000", 31_536_000_000_000),
    ];
    for (word, micros) in good {
        assert_eq!(time::parse(word), Some(Duration::from_micros(micros)), "{word}");
    }
    for word in [
        "",
        ".",
        "1x",
        "1.2.3",
        "-1",
        "+1",
        "1sec",
        "1min",
        "ms",
        "1 ms",
        "31536001",
        "1e3",
        "99999999999999999999",
    ] {
        assert_eq!(time::parse(word), None, "{word}");
    }
}

fn times(lines: &str) -> Files {
    let ha_cf = format!("ucast eth0 server2\nauto_failback on\nnode server1 server2\n{lines}");
    Files::new(ha_cf, HARESOURCES, AUTHKEYS)
}

#[test]
fn defaults_follow_from_deadtime() {
    let second = Duration::from_secs(1);
    for (lines, deadtime, initdead, lease) in [
        ("", 30 * second, 30 * second, 30 * second),
        ("deadtime 11", 11 * second, 11 * second, 11 * second),
        ("deadtime 10", 10 * second, 20 * second, 10 * second),
        ("deadtime 6", 6 * second, 12 * second, 6 * second),
        ("deadtime 5", 5 * second, 12 * second, 5 * second),
        ("keepalive 1ms\ndeadtime 3ms", second * 3 / 1000, 12 * second, second / 5),
    ] {
        let config = times(lines).load("server1").unwrap();
        assert_eq!((config.deadtime, config.initdead, config.lease), (deadtime, initdead, lease), "{lines}");
        assert_eq!((config.warntime, config.deadping), (deadtime / 2, deadtime), "{lines}");
        assert_eq!(warnings(&config), [""; 0]);
    }
}

#[test]
fn deadtime_must_exceed_two_keepalives() {
    assert_error(&times("keepalive 1\ndeadtime 2\n"), &["5:10:", "deadtime of 2000ms", "more than 2000ms"]);
    assert_error(&times("keepalive 15\n"), &["4:11:", "deadtime of 30000ms with a keepalive of 15000ms"]);
    times("keepalive 1\ndeadtime 2001ms\n").load("server1").unwrap();
}

#[test]
fn initdead_is_at_least_deadtime_and_usually_ten_seconds() {
    assert_error(&times("deadtime 15\ninitdead 14"), &["5:10:", "at least the deadtime, 15000ms"]);
    let config = times("deadtime 5\ninitdead 9").load("server1").unwrap();
    assert!(warnings(&config)[0].starts_with("5:10: found an initdead of 9000ms"), "{:?}", config.warnings);
    let config = times("keepalive 1ms\ndeadtime 3ms\ninitdead 1s").load("server1").unwrap();
    assert_eq!(warnings(&config), [""; 0]);
}

#[test]
fn scripts_have_ninety_seconds_unless_told_otherwise() {
    let config = times("").load("server1").unwrap();
    assert_eq!((config.starttime, config.stoptime), (Duration::from_secs(90), Duration::from_secs(90)));
    let config = times("starttime 10m\nstoptime 1500ms").load("server1").unwrap();
    assert_eq!((config.starttime, config.stoptime), (Duration::from_secs(600), Duration::from_millis(1500)));
    assert!(config.env.contains(&("HA_starttime".to_owned(), "10m".to_owned())), "{:?}", config.env);
    assert_error(&times("stoptime 0"), &["a time above 0"]);
}

#[test]
fn lease_and_deadping_and_linkdead_have_least_values() {
    assert_error(&times("lease 1999ms"), &["4:7:", "at least two keepalives, 2000ms"]);
    assert_error(&times("keepalive 1ms\ndeadtime 3ms\nlease 4ms"), &["6:7:", "at least 5ms"]);
    assert_error(&times("deadping 2"), &["4:10:", "deadping of 2000ms", "more than two keepalives"]);
    assert_error(&times("linkdead eth0 2"), &["4:15:", "linkdead of 2000ms"]);
    assert_error(&times("linkdead eth1 3"), &["4:10:", "`eth1`", "`eth0`"]);
    let config = times("lease 2\nlinkdead eth0 3").load("server1").unwrap();
    assert_eq!(config.lease, Duration::from_secs(2));
    assert_eq!(config.linkdead[0].time, Duration::from_secs(3));
}

#[test]
fn a_time_is_above_zero_and_its_unit_adjoins() {
    assert_error(&with("warntime 0"), &["6:10:", "`0`", "a time above 0"]);
    assert_error(&with("warntime 1000 ms"), &["6:15:", "`ms`", "right behind its number, such as `2ms`"]);
    assert_error(
        &with("warntime 1x"),
        &["6:10:", "found `1x`, expected a time such as `2`, `0.5`, `200ms`, `500us`"],
    );
}

#[test]
fn a_bad_time_is_told_once_and_not_again_by_its_consequences() {
    let errors = errors(times("deadtime soon\ninitdead 1ms\n").load("server1"));
    assert_eq!(errors.len(), 1, "{errors:?}");
    let errors = super::errors(times("keepalive often\ndeadtime 1ms\nlease 5ms\n").load("server1"));
    assert_eq!(errors.len(), 1, "{errors:?}");
}
