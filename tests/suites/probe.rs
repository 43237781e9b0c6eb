//! `xbeat probe`, the real command, on a client beside two nodes: what it says of outages that the test makes.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, bind, sendto, socket,
};
use tests::arp::Mac;
use tests::host;
use tests::lan::{CLIENT, Lan, Network, VIP, Wiring};
use tests::process::Process;
use tests::require::{root_or_skip, skip};
use tests::responder::{PORT, Responder};
use tests::wait::{eventually, pause};
use xbeat::probe::{Answerer, Ending, MacSource, Report};

const LIMIT: Duration = Duration::from_secs(60);
/// Long enough that some requests are answered, or some are not, at 1000 a second.
const WHILE: Duration = Duration::from_millis(300);

/// The client and two nodes; the first one has the address.
fn lan() -> Lan {
    let lan = Lan::new(&["server1", "server2"], Wiring::One).unwrap();
    lan.add_address(0, VIP).unwrap();
    lan
}

/// Moves the address, as a planned hand-over does.
fn hand_over(lan: &Lan) {
    lan.delete_address(0, VIP).unwrap();
    lan.add_address(1, VIP).unwrap();
    lan.announce(1, VIP).unwrap();
}

fn text(mac: Mac) -> Option<String> {
    Some(mac.map(|byte| format!("{byte:02x}")).join(":"))
}

/// A running probe on the client, and what it writes.
struct Probe {
    process: Process,
    dir: tempfile::TempDir,
}

struct Result {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Probe {
    fn start(lan: &Lan, arguments: &[&str]) -> Self {
        let mut command = Command::new(host::binary().unwrap());
        command.arg("probe").args(arguments);
        Self::start_command(lan, command)
    }

    fn start_command(lan: &Lan, mut command: Command) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = |name| File::create(dir.path().join(name)).unwrap();
        command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
        Self { process: lan.client().spawn(command).unwrap(), dir }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    /// Lets it ask for a while, from when it does.
    fn asks(&self) {
        eventually(LIMIT, "the probe says that it asks", || self.read("err").contains("asking")).unwrap();
        pause(WHILE).unwrap();
    }

    fn ends(mut self) -> Result {
        eventually(LIMIT, "the probe ends", || self.process.exit_status().is_some()).unwrap();
        let code = self.process.exit_status().unwrap().code().expect("it ended by itself");
        Result { code, stdout: self.read("out"), stderr: self.read("err") }
    }

    /// Ctrl-C, as a terminal sends it.
    fn interrupt(mut self) -> Result {
        pause(WHILE).unwrap();
        self.process.signal(Signal::SIGINT).unwrap();
        self.ends()
    }
}

impl Result {
    fn report(&self) -> Report {
        let report: Report = serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}{}", self.stdout, self.stderr);
        });
        assert_eq!(report.sent, report.answered + report.lost, "{report:#?}");
        assert_eq!(i32::from(report.exit), self.code);
        report
    }
}

#[test]
fn a_silent_owner_is_one_outage_as_long_as_the_silence() {
    if !root_or_skip("a_silent_owner_is_one_outage_as_long_as_the_silence") {
        return;
    }
    let lan = lan();
    let probe = Probe::start(&lan, &["192.0.2.100", "--json", "--max-outage", "1h"]);
    probe.asks();
    lan.silence(0).unwrap();
    let silent = Instant::now();
    pause(WHILE).unwrap();
    let silent = silent.elapsed();
    lan.heal(0).unwrap();
    let result = probe.interrupt();
    let report = result.report();
    let outage = report.outages.iter().max_by_key(|outage| outage.length_ns).expect("an outage");
    assert!(u128::from(outage.length_ns) >= silent.as_nanos(), "{outage:?}");
    assert_eq!(report.longest_outage_ns, outage.length_ns);
    assert!(outage.lost > 0 && outage.lost <= report.lost, "{report:#?}");
    let owner = Answerer { mac: text(lan.mac(0, Network::Eth0)), name: None };
    assert_eq!((&outage.before, &outage.after), (&owner, &owner));
    assert_eq!((report.mac_source, report.ending), (MacSource::Frames, Ending::Interrupted));
    assert_eq!((report.exit, report.doubled, report.unfinished), (0, 0, None));
    assert!(result.stderr.contains("outage"), "told while it ran: {}", result.stderr);
}

#[test]
fn a_hand_over_names_who_answered_before_and_after() {
    if !root_or_skip("a_hand_over_names_who_answered_before_and_after") {
        return;
    }
    for mode in [&["--arp"][..], &[], &["--udp", "5000"]] {
        assert_eq!(PORT, 5000);
        let lan = lan();
        let names = ["server1", "server2"];
        let _services = [0, 1].map(|index| Responder::start(lan.node(index), names[index]).unwrap());
        let probe = Probe::start(&lan, &[mode, &["192.0.2.100", "--json"]].concat());
        probe.asks();
        hand_over(&lan);
        let report = probe.interrupt().report();
        let who = |index: usize| Answerer {
            mac: text(lan.mac(index, Network::Eth0)),
            name: (mode.len() == 2).then(|| names[index].to_owned()),
        };
        let changes: Vec<_> = report.outages.iter().filter(|outage| outage.before != outage.after).collect();
        assert_eq!(changes.len(), 1, "{mode:?}: {report:#?}");
        assert_eq!((&changes[0].before, &changes[0].after), (&who(0), &who(1)), "{mode:?}");
        let answerers: Vec<_> = report.answerers.iter().map(|share| share.who.clone()).collect();
        assert_eq!(answerers, [who(0), who(1)], "{mode:?}");
        assert!(report.rtt_ns.is_some_and(|rtt| rtt.min <= rtt.median && rtt.p99 <= rtt.max), "{mode:?}");
    }
}

#[test]
fn two_answerers_are_a_window_and_exit_code_1() {
    if !root_or_skip("two_answerers_are_a_window_and_exit_code_1") {
        return;
    }
    let lan = lan();
    let probe =
        Probe::start(&lan, &["192.0.2.100", "--arp", "--rate", "200", "--json", "--max-outage", "1h"]);
    probe.asks();
    lan.add_address(1, VIP).unwrap();
    pause(WHILE).unwrap();
    lan.delete_address(1, VIP).unwrap();
    let result = probe.interrupt();
    let report = result.report();
    assert_eq!(result.code, 1, "{report:#?}");
    assert!(result.stderr.contains("two answered"), "{}", result.stderr);
    let window = report.double_windows.iter().max_by_key(|window| window.requests).expect("a window");
    let mut both: Vec<_> = window.answerers.iter().map(|answerer| answerer.mac.clone()).collect();
    both.sort();
    assert_eq!(both, [0, 1].map(|index| text(lan.mac(index, Network::Eth0))));
    assert!(window.requests > 1 && window.length_ns > 0 && window.requests <= report.doubled, "{report:#?}");
}

#[test]
fn an_owner_that_does_not_come_back_is_an_outage_without_end() {
    if !root_or_skip("an_owner_that_does_not_come_back_is_an_outage_without_end") {
        return;
    }
    let lan = lan();
    let probe = Probe::start(&lan, &["192.0.2.100", "--json", "--wait", "200ms", "--max-outage", "1ms"]);
    probe.asks();
    lan.silence(0).unwrap();
    let result = probe.interrupt();
    let open = result.report().unfinished.expect("an outage without end");
    assert!(open.lost > 0 && open.so_far_ns > 1_000_000, "{open:?}");
    assert_eq!(result.code, 1);
}

#[test]
fn replies_that_nobody_asked_for_are_counted_and_ignored() {
    if !root_or_skip("replies_that_nobody_asked_for_are_counted_and_ignored") {
        return;
    }
    let lan = lan();
    let probe = Probe::start(&lan, &["192.0.2.100", "--json"]);
    probe.asks();
    lan.node(0)
        .run(|| {
            let raw =
                socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), SockProtocol::Icmp).unwrap();
            bind(raw.as_raw_fd(), &SockaddrIn::from(std::net::SocketAddrV4::new(VIP, 0))).unwrap();
            let client = SockaddrIn::from(std::net::SocketAddrV4::new(CLIENT, 0));
            for ident in 0..=u16::MAX {
                // An echo reply of every identifier, number 0 and 16 wrong bytes; its checksum covers all that.
                let [high, low] = ident.to_be_bytes();
                let [c0, c1] = (!ident).to_be_bytes();
                let reply = [&[0, 0, c0, c1, high, low, 0, 0][..], &[0; 16]].concat();
                sendto(raw.as_raw_fd(), &reply, &client, MsgFlags::empty()).unwrap();
            }
        })
        .unwrap();
    let report = probe.interrupt().report();
    assert!(report.ignored.identifier > 0, "{report:#?}");
    assert_eq!((report.doubled, report.late), (0, 0), "{report:#?}");
    assert_eq!(report.answerers.len(), 1);
}

#[test]
fn a_run_of_a_given_length_shows_a_page_and_one_in_vain_is_exit_code_3() {
    if !root_or_skip("a_run_of_a_given_length_shows_a_page_and_one_in_vain_is_exit_code_3") {
        return;
    }
    let lan = lan();
    let result = Probe::start(&lan, &["192.0.2.100", "--count", "100", "--quiet"]).ends();
    assert_eq!((result.code, result.stderr.as_str()), (0, ""));
    assert!(result.stdout.contains("100 sent"), "{}", result.stdout);
    let nobody = ["192.0.2.99", "--count", "20", "--wait", "50ms", "--quiet"];
    let result = Probe::start(&lan, &nobody).ends();
    assert_eq!(result.code, 3);
    assert!(result.stderr.contains("never answered"), "{}", result.stderr);
    assert!(result.stdout.contains("20 lost"), "{}", result.stdout);
}

#[test]
fn what_cannot_begin_says_what_would_be_right() {
    if !root_or_skip("what_cannot_begin_says_what_would_be_right") {
        return;
    }
    let lan = lan();
    for (arguments, says) in [
        (&["203.0.113.1"][..], "no way to 203.0.113.1"),
        (&["no such name"], "neither an address nor a name"),
        (&["192.0.2.100", "--interface", "eth9"], "there are eth0, lo"),
        (&["192.0.2.100", "--arp", "--interface", "lo"], "no Ethernet address"),
        (&["fd00::1", "--arp"], "IPv4"),
    ] {
        let result = Probe::start(&lan, arguments).ends();
        assert_eq!(result.code, 2, "{arguments:?}: {}", result.stderr);
        assert!(result.stderr.contains(says), "{arguments:?}: {}", result.stderr);
    }
}

/// Which user may open ping sockets is a setting of the network namespace; nobody may at first.
#[test]
fn an_ordinary_user_measures_with_ping_sockets_where_they_are_allowed() {
    const TEST: &str = "an_ordinary_user_measures_with_ping_sockets_where_they_are_allowed";
    if !root_or_skip(TEST) {
        return;
    }
    if Command::new("setpriv").arg("--version").output().is_err() {
        return skip(TEST, "it runs a command as another user with setpriv (util-linux)");
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = dir.path().join("xbeat");
    fs::copy(host::binary().unwrap(), &binary).unwrap();
    let lan = lan();
    let as_nobody = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&binary);
        command.arg("probe").args(arguments).arg(Ipv4Addr::to_string(&VIP));
        Probe::start_command(&lan, command)
    };
    for refused in [&[][..], &["--arp"]] {
        let result = as_nobody(refused).ends();
        assert_eq!(result.code, 2, "{refused:?}: {}", result.stderr);
        assert!(result.stderr.contains("not permitted to this user: run it as root"), "{}", result.stderr);
    }
    let allow = || fs::write("/proc/sys/net/ipv4/ping_group_range", "0 65534");
    lan.client().run(allow).unwrap().unwrap();
    let probe = as_nobody(&["--json"]);
    probe.asks();
    lan.silence(0).unwrap();
    pause(WHILE).unwrap();
    lan.add_address(1, VIP).unwrap();
    lan.announce(1, VIP).unwrap();
    let report = probe.interrupt().report();
    assert_eq!((report.mac_source, report.realtime), (MacSource::NeighbourTable, false));
    let outage = report.outages.iter().max_by_key(|outage| outage.length_ns).expect("an outage");
    let [before, after] = [0, 1].map(|index| text(lan.mac(index, Network::Eth0)));
    assert_eq!((&outage.before.mac, &outage.after.mac), (&before, &after), "{report:#?}");
    assert!(report.notes.iter().any(|note| note.contains("CAP_NET_RAW")), "{:?}", report.notes);
}
