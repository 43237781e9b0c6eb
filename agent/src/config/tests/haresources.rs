//! haresources: comments, continuation, resources and addresses.

use std::net::Ipv4Addr;

use super::super::{Config, Resource, VipSpec};
use super::{AUTHKEYS, Files, HA_CF, assert_error, warnings};

fn files(haresources: &str) -> Files {
    Files::new(HA_CF, haresources, AUTHKEYS)
}

fn words(config: &Config) -> Vec<(usize, Vec<&str>)> {
    let groups = config.groups.iter();
    groups.map(|group| (group.home, group.resources.iter().map(Resource::word).collect())).collect()
}

#[test]
fn comments_are_cut_from_every_physical_line() {
    let text = "# groups\nserver1 a \\ # first\n   b\\\n\t c # last \\\nSERVER2 d\\\ne # glued\n";
    let config = files(text).load("server1").unwrap();
    assert_eq!(words(&config), [(0, vec!["a", "b", "c"]), (1, vec!["de"])]);
}

#[test]
fn a_comment_line_ends_a_continued_group_loudly() {
    assert_error(&files("server1 a \\\n# note\nb\n"), &["3:1: found `b`", "`server1` or `server2`"]);
}

#[test]
fn errors_on_continued_lines_have_their_own_place() {
    assert_error(
        &files("server1 192.0.2.1 \\\n  \\\n   IPaddr::192.0.2.300\n"),
        &["3:12: found `192.0.2.300`"],
    );
}

#[test]
fn a_word_carried_over_a_line_end_has_its_mistake_where_it_stands() {
    assert_error(&files("server1 a IPaddr::192.0.2.1/24\\\n/eth0/\\\n4t0h0\n"), &["3:1: found `4t0h0`"]);
    assert_error(&files("server1 a IPaddr::192.0.2.1/24/e\\\nth0/4t\\\n0h0\n"), &["2:5: found `4t0h0`"]);
    assert_error(&files("server1 IPaddr::192.0.2\\\n.300\n"), &["1:17: found `192.0.2.300`"]);
}

#[test]
fn a_file_may_end_within_a_group() {
    assert_eq!(words(&files("server1 a \\").load("server1").unwrap()), [(0, vec!["a"])]);
}

#[test]
fn several_groups_may_have_the_same_home() {
    let config = files("server1 a\nserver2 b\nserver1 c a\n").load("server1").unwrap();
    assert_eq!(words(&config), [(0, vec!["a"]), (1, vec!["b"]), (0, vec!["c", "a"])]);
}

#[test]
fn homes_are_configured_nodes_and_keys_and_addresses_are_unique() {
    assert_error(&files("stranger a\n"), &["1:1: found `stranger`", "`server1` or `server2`"]);
    assert_error(&files("server1 a\nserver2 a\n"), &["2:9: found `a`", "line 1 begins with it"]);
    assert_error(
        &files("server1 192.0.2.1\nserver2 IPaddr::192.0.2.1\n"),
        &["2:9:", "line 1 begins with it"],
    );
    assert_error(
        &files("server1 192.0.2.1\nserver2 a IPaddr2::192.0.2.1/24\n"),
        &["2:11:", "each address once"],
    );
}

#[test]
fn lines_without_resources_and_empty_files_are_warned_of() {
    let config = files("server1\nserver2 a\n").load("server1").unwrap();
    assert_eq!(warnings(&config), ["1:1: `server1` has no resource here: the line is ignored"]);
    let config = files("# nothing\n").load("server1").unwrap();
    assert_eq!(warnings(&config), ["1:1: no resource group: there is nothing to serve"]);
}

#[test]
fn words_are_split_into_script_and_arguments() {
    for (word, name, args) in [
        ("apache", "apache", vec![]),
        ("Filesystem::/dev/sda1::/data::ext4", "Filesystem", vec!["/dev/sda1", "/data", "ext4"]),
        ("x::::a::", "x", vec!["a"]),
        ("x::a:b", "x", vec!["a:b"]),
        ("192.0.2.3/24/eth0", "IPaddr", vec!["192.0.2.3/24/eth0"]),
        ("IPv6addr::2001:db8::1/64", "IPv6addr", vec!["2001:db8::1/64"]),
    ] {
        let resource: Resource = word.parse().unwrap();
        assert_eq!((resource.name.as_str(), resource.word()), (name, word));
        assert_eq!(resource.args, args, "{word}");
    }
}

fn vip(
    prefix: Option<u8>,
    interface: Option<&str>,
    label: Option<&str>,
    broadcast: Option<[u8; 4]>,
) -> VipSpec {
    VipSpec {
        address: Ipv4Addr::new(192, 0, 2, 3),
        prefix,
        interface: interface.map(str::to_owned),
        broadcast: broadcast.map(Ipv4Addr::from),
        label: label.map(str::to_owned),
    }
}

#[test]
fn addresses_are_read_with_prefix_interface_label_and_broadcast() {
    let broadcast = Some([192, 0, 2, 255]);
    for (word, expected) in [
        ("192.0.2.3", vip(None, None, None, None)),
        ("IPaddr::192.0.2.3/24", vip(Some(24), None, None, None)),
        ("IPaddr::192.0.2.3/255.255.255.128", vip(Some(25), None, None, None)),
        ("IPaddr2::192.0.2.3/32/eth0", vip(Some(32), Some("eth0"), None, None)),
        ("IPaddr2::192.0.2.3/24/eth0:web", vip(Some(24), Some("eth0"), Some("eth0:web"), None)),
        ("IPaddr::192.0.2.3/24/192.0.2.255", vip(Some(24), None, None, broadcast)),
        ("IPaddr::192.0.2.3/24/eth0/192.0.2.255", vip(Some(24), Some("eth0"), None, broadcast)),
        ("IPaddr::192.0.2.3//eth0", vip(None, Some("eth0"), None, None)),
        ("IPaddr2::192.0.2.3/24/eth0::more", vip(Some(24), Some("eth0"), None, None)),
    ] {
        let resource: Resource = word.parse().unwrap();
        assert_eq!(resource.vip(), Some(&expected), "{word}");
    }
    assert_eq!("IPsrcaddr::192.0.2.3".parse::<Resource>().unwrap().vip(), None);
}

#[test]
fn bad_resources_are_told_with_the_column_within_the_word() {
    for (word, offset, found, expected) in [
        ("192.0.2.300", 0, "`192.0.2.300`", "an IPv4 address"),
        ("IPaddr", 6, "``", "an IPv4 address"),
        ("IPaddr::", 8, "``", "an IPv4 address"),
        ("IPaddr::::192.0.2.300", 10, "`192.0.2.300`", "an IPv4 address"),
        ("IPaddr::224.0.0.1", 8, "`224.0.0.1`", "an IPv4 address"),
        ("IPaddr::192.0.2.3/33", 18, "`33`", "a prefix length of 1 to 32"),
        ("192.0.2.3/0", 10, "`0`", "a prefix length"),
        ("192.0.2.3/255.0.255.0", 10, "`255.0.255.0`", "a prefix length"),
        ("192.0.2.3/24/eth0-is-far-too-long", 13, "`eth0-is-far-too-long`", "a network interface"),
        ("192.0.2.3/24/eth0:label-too-long", 13, "`eth0:label-too-long`", "at most 15 characters"),
        ("192.0.2.3/24/1.2.3", 13, "`1.2.3`", "a broadcast address"),
        ("192.0.2.3/24/eth0/192.0.2", 18, "`192.0.2`", "a broadcast address"),
        ("192.0.2.3/24/eth0/192.0.2.255/x", 30, "`x`", "nothing behind"),
        ("::x", 0, "``", "a script"),
        ("../x", 0, "`../x`", "a script"),
        ("/bin/x::y", 0, "`/bin/x`", "a script"),
    ] {
        let bad = word.parse::<Resource>().unwrap_err();
        assert_eq!((bad.offset, bad.found.as_str()), (offset, found), "{word}");
        assert!(bad.expected.contains(expected), "{word}: {bad}");
    }
}

#[test]
fn words_that_no_script_can_take_over_are_checked_at_once() {
    for (word, parts) in [
        ("IPsrcaddr::eth0", ["1:20:", "IPsrcaddr::192.0.2.3"]),
        ("SendArp::192.0.2.3", ["1:18:", "SendArp::192.0.2.3/eth0"]),
        ("systemd", ["1:16:", "systemd::apache2.service"]),
        ("ocf::heartbeat", ["1:14:", "an OCF agent"]),
    ] {
        assert_error(&files(&format!("server1 {word}\n")), &parts);
    }
    // A script of this name would win, so what its arguments mean is its business.
    files("server1 Delay::soon\n").load("server1").unwrap();
}

#[test]
fn ipv6_addresses_keep_their_colons() {
    let config = files("server1 IPv6addr::2001:db8::100/64/eth0 IPv6addr::2001:db8:0:0:0:0:0:101\n");
    let config = config.load("server1").unwrap();
    let [full, short] = config.groups[0].resources.as_slice() else { panic!("{:?}", config.groups) };
    let vip = full.vip6().unwrap();
    assert_eq!((vip.address, vip.prefix), ("2001:db8::100".parse().unwrap(), Some(64)));
    assert_eq!(
        (vip.interface.as_deref(), full.args.as_slice()),
        (Some("eth0"), ["2001:db8::100/64/eth0".into()].as_slice())
    );
    assert_eq!(short.vip6().unwrap().prefix, None);
    for (word, parts) in [
        ("IPv6addr::192.0.2.3", ["1:19:", "`2001:db8::3`"]),
        ("IPv6addr::ff02::1", ["1:19:", "an IPv6 address"]),
        ("IPv6addr::2001:db8::1/129", ["1:31:", "1 to 128"]),
        ("IPv6addr::2001:db8::1 web IPv6addr::2001:db8:0::1", ["1:35:", "each address once"]),
    ] {
        assert_error(&files(&format!("server1 {word}\n")), &parts);
    }
}
