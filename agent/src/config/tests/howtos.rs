//! The files of the classic how-tos, unchanged.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use super::super::{LinkSpec, Method, VipSpec};
use super::{Files, warnings};

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn ucast(interface: &str, peer: [u8; 4]) -> LinkSpec {
    LinkSpec::Ucast { interface: interface.into(), peer: Ipv4Addr::from(peer) }
}

#[test]
fn active_passive_pair_in_one_script() {
    let ha_cf = "keepalive 2\ndeadtime 10\nudpport        694\nucast eth1 198.51.100.12\nudp     eth0\n\
                 logfacility     local0\nauto_failback on\nnode    ser0\nnode    ser0b\n";
    let config = Files::new(ha_cf, "ser0 ha.sh\n", "auth 1\n1 md5 somethingrandom\n").load("ser0b").unwrap();
    assert_eq!(config.nodes, ["ser0", "ser0b"]);
    assert_eq!(config.own, 1);
    assert_eq!(config.warntime, seconds(5.0));
    assert_eq!(config.initdead, seconds(20.0));
    let bcast = LinkSpec::Bcast { interface: "eth0".into() };
    assert_eq!(config.links, [ucast("eth1", [198, 51, 100, 12]), bcast]);
    assert_eq!(config.logfacility.unwrap().name, "local0");
    assert_eq!(config.groups[0].key(), "ha.sh");
    assert_eq!(config.keys.current_key().unwrap().method, Method::Md5);
    assert_eq!(
        warnings(&config),
        [
            "5:9: found `udp eth0`, expected `bcast eth0`, which it is taken for",
            "2:3: found `md5`, which is weak by now, expected `sha1` or `sha256`",
        ]
    );
}

const HA_CF_001: &str = "\
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
const AUTHKEYS_001: &str = "auth 1\n1 sha1 PutYourSuperSecretKeyHere\n";

#[test]
fn one_vip_with_a_hook_script() {
    let haresources = "server1 IPaddr::192.0.2.100 failback.sh\n";
    let files = Files::new(HA_CF_001, haresources, AUTHKEYS_001);
    let config = files.load("SERVER2").unwrap();
    assert_eq!(warnings(&config), [""; 0]);
    assert_eq!(config.nodes, ["server1", "server2"]);
    assert_eq!(config.own, 1);
    assert_eq!(config.keepalive, seconds(1.0));
    assert_eq!(config.warntime, seconds(3.0));
    assert_eq!(config.deadtime, seconds(5.0));
    assert_eq!(config.initdead, seconds(10.0));
    assert_eq!(config.lease, seconds(5.0));
    assert_eq!(config.udpport, 694);
    assert!(config.auto_failback);
    assert_eq!(config.links, [ucast("eth0", [192, 0, 2, 11]), ucast("eth0", [192, 0, 2, 12])]);
    assert_eq!(config.logfile, Some(PathBuf::from("/var/log/ha-log")));
    assert_eq!(config.debugfile, Some(PathBuf::from("/var/log/ha-debug")));
    assert_eq!(config.logfacility, None);

    let [group] = config.groups.as_slice() else { panic!("one group: {:?}", config.groups) };
    assert_eq!((group.home, group.key()), (0, "IPaddr::192.0.2.100"));
    let [address, script] = group.resources.as_slice() else { panic!("two resources: {group:?}") };
    assert_eq!(
        (address.name.as_str(), address.args.as_slice()),
        ("IPaddr", ["192.0.2.100".to_owned()].as_slice())
    );
    let vip = VipSpec {
        address: Ipv4Addr::new(192, 0, 2, 100),
        prefix: None,
        interface: None,
        broadcast: None,
        label: None,
    };
    assert_eq!(address.vip(), Some(&vip));
    assert_eq!((script.name.as_str(), script.args.len(), script.vip()), ("failback.sh", 0, None));

    let key = config.keys.current_key().unwrap();
    assert_eq!((config.keys.current, key.method), (1, Method::Sha1));
    assert_eq!(key.secret, b"PutYourSuperSecretKeyHere");
    for (name, value) in [
        ("HA_deadtime", "5"),
        ("HA_deadping", "5000ms"),
        ("HA_lease", "5000ms"),
        ("HA_ucast", "eth0 server2"),
        ("HA_auto_failback", "on"),
        ("HA_logfile", "/var/log/ha-log"),
        ("HA_realtime", "true"),
    ] {
        let found: Vec<&str> =
            config.env.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect();
        assert_eq!(found, [value], "{name}");
    }
    assert!(!config.env.iter().any(|(name, _)| name == "HA_debug"));
}

#[test]
fn one_vip_in_the_form_of_wheezy() {
    let haresources = "server1 IPaddr::192.0.2.100/24/eth0 failback.sh\n";
    let config = Files::new(HA_CF_001, haresources, AUTHKEYS_001).load("server1").unwrap();
    let vip = config.groups[0].resources[0].vip().unwrap();
    assert_eq!(vip.address, Ipv4Addr::new(192, 0, 2, 100));
    assert_eq!((vip.prefix, vip.interface.as_deref(), vip.label.as_deref()), (Some(24), Some("eth0"), None));
}

#[test]
fn router_pair_over_a_serial_cable() {
    let ha_cf = "serial  /dev/ttyS0\nauto_failback off\nnode julius\nnode caesar\nkeepalive 5\ndeadtime 15\n\
                 warntime 10\ninitdead 30\n";
    let haresources =
        "julius IPaddr::192.0.2.1 IPaddr::198.51.100.1 MailTo::alerts@example.org::JuliusCaesar\n";
    let config = Files::new(ha_cf, haresources, "auth 1\n1 sha1 cable\n").load("caesar").unwrap();
    assert!(!config.auto_failback);
    assert_eq!(config.warntime, seconds(10.0));
    assert_eq!(config.links, [LinkSpec::Serial { device: "/dev/ttyS0".into(), baud: 19_200 }]);
    assert_eq!(config.lease, seconds(7.5), "over before the line's deadtime is");
    let mail = &config.groups[0].resources[2];
    assert_eq!(
        (mail.name.as_str(), mail.args.as_slice()),
        ("MailTo", ["alerts@example.org", "JuliusCaesar"].map(String::from).as_slice())
    );
    assert_eq!(config.groups[0].resources.iter().filter_map(|resource| resource.vip()).count(), 2);
}

#[test]
fn two_web_front_ends_with_two_addresses() {
    let ha_cf = "node www1 www2\nudpport 694\nucast eth0 192.0.2.11\nucast eth0 192.0.2.12\ndeadtime 5\n\
                 deadping 5\ndebug 0\ndebugfile /var/log/ha-debug.log\nlogfile /var/log/ha.log\nauto_failback on\n";
    let config =
        Files::new(ha_cf, "www1 192.0.2.3 192.0.2.4\n", "auth 1\n1 sha1 web\n").load("www1").unwrap();
    assert_eq!(config.own, 0);
    assert_eq!(config.links, [ucast("eth0", [192, 0, 2, 11]), ucast("eth0", [192, 0, 2, 12])]);
    assert_eq!(config.keepalive, seconds(1.0));
    assert_eq!(config.warntime, seconds(2.5));
    assert_eq!(config.initdead, seconds(12.0));
    assert_eq!(config.deadping, seconds(5.0));
    assert_eq!(config.debug, 0);
    assert_eq!(config.logfile, Some(PathBuf::from("/var/log/ha.log")));
    assert_eq!(config.debugfile, Some(PathBuf::from("/var/log/ha-debug.log")));
    assert!(config.auto_failback);
    let [group] = config.groups.as_slice() else { panic!("one group: {:?}", config.groups) };
    assert_eq!((group.home, group.key()), (0, "192.0.2.3"));
    let addresses: Vec<Ipv4Addr> =
        group.resources.iter().map(|resource| resource.vip().unwrap().address).collect();
    assert_eq!(addresses, [Ipv4Addr::new(192, 0, 2, 3), Ipv4Addr::new(192, 0, 2, 4)]);
    assert!(group.resources.iter().all(|resource| resource.name == "IPaddr"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}
