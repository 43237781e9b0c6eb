//! ha.cf: cutting lines, every directive, and messages.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::super::{LinkSpec, PingSpec, Severity, Stonith, XdpMode, directives, load, render};
use super::{AUTHKEYS, Files, HA_CF, HARESOURCES, assert_error, errors, texts, warnings, with};
use crate::resources::{Device, Via};

#[test]
fn an_error_is_shown_like_a_compilers() {
    let files = with("\nwarntime 1x # late\n");
    let text = render(&files.load("server1").unwrap_err());
    let file = files.path("ha.cf");
    let expected = format!(
        "{}:7:10: error: found `1x`, expected a time such as `2`, `0.5`, `200ms`, `500us`\n \
         7 | warntime 1x # late\n   |          ^\n",
        file.display()
    );
    assert_eq!(text, expected);
}

#[test]
fn the_caret_stands_under_its_character_behind_tabs_and_umlauts() {
    let text = render(&with("node\tgr\u{fc}n\tserver1\n").load("server1").unwrap_err());
    assert!(text.contains("6:11: error: found `server1`"), "{text}");
    assert!(text.ends_with(" 6 | node\tgr\u{fc}n\tserver1\n   |     \t    \t^\n"), "{text}");
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let text = render(&with("\u{1b}[31mnode x\nlogfile a\u{7}b\n").load("server1").unwrap_err());
    assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
}

#[test]
fn errors_of_all_files_are_told_in_one_run() {
    let files = Files::new("keepalive 1x\nnode a\n", "b 192.0.2.300\n", "1 sha1\n");
    let errors = errors(files.load("c"));
    let expected = [
        "1:11: found `1x`",
        "1:2: found no secret",
        "1:1: found no `auth` line",
        "1:1: found no link",
        "2:6: found no `node` line for this machine, `c`",
        "1:1: found `b`",
        "1:3: found `192.0.2.300`",
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.starts_with(expected) || error.contains(&expected[5..]), "{error} {expected}");
    }
}

#[test]
fn missing_files_are_told_once_each() {
    let dir = tempfile::tempdir().unwrap();
    let diagnostics = load(dir.path(), Some("server1")).unwrap_err();
    let files: Vec<String> =
        diagnostics.iter().map(|d| d.file.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(files, ["ha.cf", "authkeys", "haresources"]);
    assert!(diagnostics.iter().all(|diagnostic| diagnostic.is_error() && diagnostic.found == "no such file"));
}

#[test]
fn commas_comments_and_returns_are_cut_as_heartbeat_does() {
    let ha_cf = "# all\r\n  keepalive\t1#x\r\nnode a,B , c\r\n\r\nucast,eth0 192.0.2.12\r\nauto_failback on";
    let config = Files::new(ha_cf, "a x\n", AUTHKEYS).load("b").unwrap();
    assert_eq!(config.nodes, ["a", "b", "c"]);
    assert_eq!(config.own, 1);
}

#[test]
fn comments_may_be_in_any_encoding_and_words_may_not() {
    let files = Files::new([HA_CF.as_bytes(), b"# gr\xfcn\n"].concat(), HARESOURCES, AUTHKEYS);
    files.load("server1").unwrap();
    let files = Files::new([HA_CF.as_bytes(), b"logfile /gr\xfcn\n"].concat(), HARESOURCES, AUTHKEYS);
    assert_error(&files, &["6:9:", "UTF-8"]);
}

#[test]
fn the_last_of_several_values_wins_and_no_value_changes_nothing() {
    let config = with("keepalive 1 2\nkeepalive\n").load("server1").unwrap();
    assert_eq!(config.keepalive, Duration::from_secs(2));
    assert_eq!(warnings(&config), ["7:1: `keepalive` has no value: the line is ignored"]);
    let config = with("keepalive 2\nkeepalive 1\n").load("server1").unwrap();
    assert_eq!(config.keepalive, Duration::from_secs(1));
}

#[test]
fn unknown_directives_name_the_nearest_one() {
    assert_error(&with("keepalve 1\n"), &["6:1: found `keepalve`", "did you mean `keepalive`?"]);
    assert_error(&with("Node x\n"), &["found `Node`", "did you mean `node`?"]);
    assert_error(&with("; a comment\n"), &["found `;`", "comments begin with `#`"]);
    assert_error(&with("something else\n"), &["found `something`, expected a directive"]);
}

#[test]
fn nodes_are_named_once_include_us_and_are_few() {
    assert_error(&with("node SERVER2\n"), &["6:6: found `SERVER2`", "line 5 already"]);
    let found = errors(with("").load("server3"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("5:6: found no `node` line for this machine, `server3`"), "{found:?}");
    let many: String = (3..=17).map(|n| format!("node server{n}\n")).collect();
    assert_error(&with(&many), &["20:6:", "node number 17", "at most 16 nodes"]);
    let many: String = (3..=16).map(|n| format!("node server{n}\n")).collect();
    assert_eq!(with(&many).load("server16").unwrap().own, 15);
    assert_error(&Files::new("ucast eth0 server2\n", "", AUTHKEYS), &["no `node` line"]);
}

#[test]
fn nodeinfo_names_this_node() {
    let files = Files::new(HA_CF.replace("server2\nauto", "192.0.2.12\nauto"), HARESOURCES, AUTHKEYS);
    files.write("nodeinfo", "Server2\nand more\n");
    assert_eq!(load(files.dir.path(), None).unwrap().own, 1);
    files.write("nodeinfo", "\n");
    let text = render(&load(files.dir.path(), None).unwrap_err());
    assert!(text.contains("nodeinfo:1:1: error: found an empty first line"), "{text}");
}

#[test]
fn udpport_counts_from_where_it_stands() {
    let config = with("udpport 700\n").load("server1").unwrap();
    assert_eq!(config.udpport, 694);
    assert!(warnings(&config)[0].starts_with("6:9: found `700` behind a link"), "{:?}", config.warnings);
    let files = Files::new(format!("udpport 700\n{HA_CF}"), HARESOURCES, AUTHKEYS);
    assert_eq!(files.load("server1").unwrap().udpport, 700);
    for bad in ["0", "65536", "x", "-1"] {
        assert_error(&with(&format!("udpport {bad}\n")), &["6:9:", "a number from 1 to 65535"]);
    }
}

#[test]
fn ucast_lines_name_an_interface_and_a_peer() {
    assert_error(&with("ucast eth1\n"), &["6:11: found nothing behind `eth1`", "`ucast INTERFACE PEER`"]);
    assert_error(&with("ucast\n"), &["6:6: found nothing behind `ucast`"]);
    assert_error(
        &with("ucast eth1 nowhere\n"),
        &["6:12: found `nowhere`, which does not resolve", "IPv4 address"],
    );
    assert_error(&with("ucast eth1 192.0.2\n"), &["6:12: found `192.0.2`, which is no IPv4 address"]);
    assert_error(&with("ucast eth1 224.0.0.1\n"), &["no address of one machine"]);
    assert_error(&with("ucast eth0:0 server2\n"), &["6:7: found `eth0:0`", "name of a network interface"]);
    assert_error(&with("ucast interface-of-16ch server2\n"), &["6:7:", "at most 15 characters"]);
    let config = with("ucast eth1 192.0.2.13 more\n").load("server1").unwrap();
    assert_eq!(config.links.len(), 2);
    assert_eq!(warnings(&config), ["6:23: `more` is surplus: it is ignored"]);
}

#[test]
fn a_configuration_without_links_is_refused() {
    assert_error(&Files::new("node server1\nauto_failback on\n", "", AUTHKEYS), &["no link"]);
}

#[test]
fn other_links_and_ping_nodes_become_values() {
    let lines = "bcast eth1 eth2\nmcast eth1 239.0.0.1 694 1 0\nbaud 9600\nserial /dev/ttyS0 /dev/ttyS1\n\
                 ucast6 eth1 fe80::1%eth1\nucast6 eth1 server2\nmcast6 eth1 ff02::1 694 4 1\n\
                 ping 192.0.2.1\nping6 2001:db8::1\nping_group routers 192.0.2.1 server2\n";
    let config = with(lines).load("server1").unwrap();
    let interface = || "eth1".to_owned();
    let peer = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 12);
    assert_eq!(
        config.links[1..],
        [
            LinkSpec::Bcast { interface: interface() },
            LinkSpec::Bcast { interface: "eth2".into() },
            LinkSpec::Mcast {
                interface: interface(),
                group: Ipv4Addr::new(239, 0, 0, 1),
                port: 694,
                ttl: 1,
                loopback: false
            },
            LinkSpec::Serial { device: "/dev/ttyS0".into(), baud: 9600 },
            LinkSpec::Serial { device: "/dev/ttyS1".into(), baud: 9600 },
            LinkSpec::Ucast6 {
                interface: interface(),
                peer: "fe80::1".parse().unwrap(),
                scope: Some(interface())
            },
            LinkSpec::Ucast6 { interface: interface(), peer, scope: None },
            LinkSpec::Mcast6 {
                interface: interface(),
                group: "ff02::1".parse().unwrap(),
                port: 694,
                hops: 4,
                loopback: true
            },
        ]
    );
    let router = Ipv4Addr::new(192, 0, 2, 1);
    assert_eq!(
        config.pings,
        [
            PingSpec::Host { name: "192.0.2.1".into(), address: IpAddr::V4(router) },
            PingSpec::Host { name: "2001:db8::1".into(), address: "2001:db8::1".parse().unwrap() },
            PingSpec::Group { name: "routers".into(), hosts: vec![router, Ipv4Addr::new(192, 0, 2, 12)] },
        ]
    );
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn bad_links_and_ping_nodes_are_told_with_their_columns() {
    for (line, parts) in [
        ("mcast eth1 239.0.0.1 694 1", ["6:27:", "`mcast INTERFACE GROUP PORT TTL LOOP`"]),
        ("mcast eth1 192.0.2.1 694 1 0", ["6:12:", "a multicast address"]),
        ("mcast eth1 239.0.0.1 694 5 0", ["6:26:", "a number from 0 to 4"]),
        ("mcast eth1 239.0.0.1 694 1 2", ["6:28:", "a number from 0 to 1"]),
        ("mcast6 eth1 2001:db8::1 694 1 0", ["6:13:", "IPv6 multicast"]),
        ("ucast6 eth1 nowhere", ["6:13:", "IPv6 address"]),
        ("ucast6 eth1 fe80::1%eth/1", ["6:21: found `eth/1`", "network interface"]),
        ("ucast6 eth1 fe80::1%eth0", ["6:21: found `eth0`", "`%eth1`"]),
        ("serial ttyS0", ["6:8:", "full path"]),
        ("serial /dev/null", ["6:8:", "no terminal"]),
        ("baud 300", ["6:6:", "9600, 19200"]),
        ("baud 9600 19200", ["6:11:", "a second value for `baud`"]),
        ("bcast eth/0", ["6:7:", "network interface"]),
        ("udp eth/0", ["6:5:", "network interface"]),
        ("ping nowhere", ["6:6:", "does not resolve"]),
        ("ping6 nowhere", ["6:7:", "does not resolve"]),
        ("ping_group routers", ["6:19:", "`ping_group NAME HOST...`"]),
        ("ping_group routers 192.0.2.1,192.0.2.2", ["6:20:", "does not resolve"]),
        ("linkdead eth0", ["6:14:", "`linkdead LINK TIME`"]),
    ] {
        assert_error(&with(line), &parts);
    }
    let config = with("serial /dev/ttyS0\nbaud 9600\n").load("server1").unwrap();
    assert!(
        texts(&config.warnings, Severity::Warning)[0].contains("behind a `serial` line"),
        "{:?}",
        config.warnings
    );
}

#[test]
fn what_looks_after_resources_becomes_values() {
    let lines = "fence /usr/bin/end-it now\nmonitor apache 10\nmonitor * 1m\nmailer relay:2525\n\
                 mailfrom ha@example.org\nstonith_host * null server1\n";
    let config = with(lines).load("server1").unwrap();
    assert_eq!(config.fence, Some(("/usr/bin/end-it".into(), vec!["now".into()])));
    let monitors =
        [("apache".to_owned(), Duration::from_secs(10)), ("*".to_owned(), Duration::from_secs(60))];
    assert_eq!(config.monitors, monitors);
    assert_eq!(config.mailer, Via::Smtp { host: "relay".into(), port: 2525 });
    assert_eq!(config.mailfrom.as_deref(), Some("ha@example.org"));
    assert_eq!(config.devices, [(0, Device::Null), (1, Device::Null)].into());
    let config = with("mailer /usr/bin/sendmail\n").load("server1").unwrap();
    assert_eq!(config.mailer, Via::Sendmail("/usr/bin/sendmail".into()));
    for (line, parts) in [
        ("fence end-it", ["6:7:", "full path"]),
        ("monitor apache", ["6:15:", "`monitor RESOURCE INTERVAL`"]),
        ("monitor apache often", ["6:16:", "a time such as"]),
        ("mailer relay:port", ["6:8:", "`HOST:PORT`"]),
        ("mailfrom nobody", ["6:10:", "`ha@example.org`"]),
    ] {
        assert_error(&with(line), &parts);
    }
}

#[test]
fn a_serial_line_that_cannot_be_opened_now_is_warned_of() {
    for (device, why) in [("/dev/ttyUSB0", "there is no /dev/ttyUSB0 now"), ("/dev/ttyS7", "no permission")] {
        let config = with(&format!("baud 921600\nserial {device}\n")).load("server1").unwrap();
        assert_eq!(config.links[1], LinkSpec::Serial { device: device.into(), baud: 921_600 });
        let warnings = warnings(&config);
        assert!(
            warnings.len() == 1 && warnings[0].starts_with("7:8:") && warnings[0].contains(why),
            "{warnings:?}"
        );
    }
    for baud in ["9600", "250000", "4000000"] {
        with(&format!("baud {baud}\n")).load("server1").unwrap();
    }
    for baud in ["9599", "4000001", "fast", "-1"] {
        assert_error(&with(&format!("baud {baud}\n")), &["6:6:", "up to 4000000"]);
    }
}

#[test]
fn a_line_is_not_dead_before_it_was_asked_twice() {
    let line = |linkdead| {
        let fast = HA_CF.replace("keepalive 1\ndeadtime 5", "keepalive 1ms\ndeadtime 3ms");
        let lines = format!("{fast}serial /dev/ttyS0\nlinkdead /dev/ttyS0 {linkdead}\n");
        Files::new(lines, HARESOURCES, AUTHKEYS)
    };
    assert_error(&line("400ms"), &["7:21:", "asked every 202"]);
    // 200 ms of lease, a probe every 202.9 ms, an answer takes as long.
    let config = line("500ms").load("server1").unwrap();
    assert!(warnings(&config)[0].starts_with("7:21:"), "{:?}", config.warnings);
    assert!(warnings(&config)[0].contains("at least 606ms"), "{:?}", config.warnings);
    assert!(line("606ms").load("server1").unwrap().warnings.is_empty());
}

#[test]
fn programs_and_devices_become_values() {
    let lines = "respawn hacluster /usr/lib/heartbeat/ipfail\nrespawn root /usr/bin/mon -f x,y\n\
                 respawn gone /usr/libexec/heartbeat/ipfail\n\
                 stonith_host server2 null server1\nstonith_host * ssh secret\nstonith_host other ssh x\n\
                 watchdog /dev/watchdog\n";
    let config = with(lines).load("server1").unwrap();
    let [ipfail, mon, again] = config.respawn.as_slice() else { panic!("{:?}", config.respawn) };
    assert!(
        ipfail.is_ipfail() && !mon.is_ipfail() && again.is_ipfail(),
        "built in, whoever runs it and wherever"
    );
    assert_eq!(
        (mon.user.as_str(), mon.args.as_slice()),
        ("root", ["-f", "x,y"].map(String::from).as_slice())
    );
    assert_eq!(config.stonith, Some(Stonith::Host { kind: "ssh".into(), params: vec!["secret".into()] }));
    assert_eq!(config.watchdog, Some("/dev/watchdog".into()));
    let shown = format!("{config:?}{}", render(&config.warnings));
    assert!(!shown.contains("secret") && !shown.contains("PutYour"), "{shown}");
    let config = with("stonith ssh /etc/ha.d/ssh.conf\n").load("server1").unwrap();
    assert_eq!(config.stonith, Some(Stonith::File { kind: "ssh".into(), path: "/etc/ha.d/ssh.conf".into() }));
}

#[test]
fn bad_programs_and_devices_are_told() {
    for (line, parts) in [
        ("respawn nobody-here /usr/bin/mon", ["6:9:", "no user"]),
        ("respawn root mon", ["6:14:", "full path"]),
        ("respawn root /usr/sbin/absent", ["6:14:", "which is none here"]),
        ("respawn root", ["6:13:", "`respawn USER /PATH ARGUMENTS...`"]),
        ("failfast root /usr/bin/mon", ["6:1: found `failfast`", "`respawn`"]),
        ("apiauth ipfail", ["6:15:", "at least one of the two lists"]),
        ("apiauth ipfail root", ["6:16:", "`uid=USER,...`"]),
        ("stonith ssh", ["6:12:", "`stonith TYPE FILE`"]),
        ("stonith_host * ", ["6:15:", "`stonith_host HOST TYPE PARAMETERS...`"]),
        ("watchdog /dev/a /dev/b", ["6:17:", "a second value"]),
    ] {
        assert_error(&with(line), &parts);
    }
    assert_error(&with("apiauth a uid=root\napiauth a uid=root\n"), &["7:9:", "each client once"]);
}

#[test]
fn plain_settings_become_values() {
    let lines =
        "debug 3\nrtprio 50\nrealtime off\nxdp tc\nlogfacility none\nenv A=1 B=x=y\nenv keepalive=mine\n";
    let config = with(lines).load("server1").unwrap();
    assert_eq!((config.debug, config.rtprio, config.realtime), (3, Some(50), false));
    assert_eq!(config.xdp, XdpMode::Tc);
    assert_eq!(config.logfacility, None);
    for (name, value) in [("HA_A", "1"), ("HA_B", "x=y"), ("HA_keepalive", "mine"), ("HA_debug", "3")] {
        let found: Vec<&(String, String)> = config.env.iter().filter(|(other, _)| other == name).collect();
        assert_eq!(found, [&(name.to_owned(), value.to_owned())]);
    }
}

#[test]
fn bad_values_of_plain_settings_are_told() {
    for (line, parts) in [
        ("debug 256", ["6:7:", "0 to 255"]),
        ("hopfudge -1", ["6:10:", "0 to 255"]),
        ("rtprio 100", ["6:8:", "1 to 99"]),
        ("realtime maybe", ["6:10:", "`on` or `off`"]),
        ("max_rexmit_delay 0", ["6:18:", "above 0"]),
        ("hbgenmethod x", ["6:13:", "`file` or `time`"]),
        ("egress off", ["6:8:", "`auto`, `tcx` or `clsact`"]),
        ("xdp yes", ["6:5:", "`auto`, `native`, `generic`, `tc` or `off`"]),
        ("logfacility local8", ["6:13:", "syslog facility"]),
        ("env =x", ["6:5:", "`NAME=VALUE`"]),
        ("env x", ["6:5:", "`NAME=VALUE`"]),
        ("auto_failback maybe", ["6:15:", "`on`, `off` or `legacy`"]),
        ("nice_failback maybe", ["6:15:", "`on` or `off`"]),
        ("autojoin any", ["6:10:", "`autojoin none`"]),
        ("msgfmt binary", ["6:8:", "`classic` or `netstring`"]),
        ("compression lzma", ["6:13:", "`zlib` or `bz2`"]),
        ("memreserve 0", ["6:12:", "above 0"]),
        ("use_logd maybe", ["6:10:", "a boolean"]),
        ("conn_logd_time x", ["6:16:", "a time"]),
        ("crm yes", ["6:5: found `crm yes`", "without Pacemaker"]),
        ("pacemaker respawn", ["6:11:", "without Pacemaker"]),
        ("tipc x", ["6:6:", "not supported"]),
    ] {
        assert_error(&with(line), &parts);
    }
}

#[test]
fn failback_has_three_old_spellings() {
    for (line, expected, warned) in [
        ("auto_failback off", false, false),
        ("auto_failback Yes", true, false),
        ("auto_failback legacy", true, true),
        ("nice_failback on", false, true),
        ("nice_failback off", true, true),
    ] {
        let config = with(line).load("server1").unwrap();
        assert_eq!((config.auto_failback, !config.warnings.is_empty()), (expected, warned), "{line}");
    }
    let config =
        Files::new("node server1\nucast eth0 server2\n", HARESOURCES, AUTHKEYS).load("server1").unwrap();
    assert!(config.auto_failback);
    assert!(warnings(&config)[0].contains("no `auto_failback` line"), "{:?}", config.warnings);
}

#[test]
fn switched_off_pacemaker_is_fine_and_meaningless_directives_are_warned_of() {
    let config = with("crm off\npacemaker no\nrecord_config_changes false\n").load("server1").unwrap();
    assert_eq!(warnings(&config), [""; 0]);
    let config = with("use_logd yes\nmsgfmt netstring\n").load("server1").unwrap();
    assert_eq!(
        warnings(&config),
        [
            "6:1: `use_logd` is accepted and ignored: xbeat writes its logs itself",
            "7:1: `msgfmt` is accepted and ignored: xbeat has one frame format",
        ]
    );
}

#[test]
fn the_table_is_sorted() {
    let names: Vec<&str> = directives::DIRECTIVES.iter().map(|directive| directive.name).collect();
    assert!(names.is_sorted(), "{names:?}");
}

#[test]
fn the_digest_covers_what_must_be_equal_and_nothing_else() {
    let digest = |files: &Files| files.load("server1").unwrap().digest;
    let base = digest(&with(""));
    // Nodes of different builds compare it: a change needs a new DIGEST_VERSION.
    assert_eq!(base, 399_662_022);
    assert_eq!(base, with("").load("server2").unwrap().digest);
    let is_same = |other| super::super::same_cluster(base, other);
    for same in
        ["ucast eth1 192.0.2.13", "logfile /x", "debug 1", "warntime 2", "env A=1", "xdp off", "lease 5"]
    {
        assert_eq!(base, digest(&with(same)), "{same}");
    }
    for other in ["keepalive 2", "deadtime 6", "lease 4", "initdead 20", "auto_failback off"] {
        assert_ne!(base, digest(&with(other)), "{other}");
        assert!(
            is_same(digest(&with(other))),
            "{other}: nodes differ in it while one after the other reloads"
        );
    }
    assert!(!is_same(digest(&with("node server3"))));
    assert_eq!(base, digest(&Files::new(HA_CF, "server1 192.0.2.100 failback.sh\n", "auth 2\n2 sha256 x\n")));
    for other in
        ["server2 192.0.2.100 failback.sh\n", "server1 192.0.2.100\n", "server1 192.0.2.101 failback.sh\n"]
    {
        assert!(!is_same(digest(&Files::new(HA_CF, other, AUTHKEYS))), "{other}");
    }
}
