//! The page as a person sees it, the names as programs see them, and what counts as wrong.

use std::path::Path;

use super::*;

/// How-to 001 in its best hour, seen from server1.
pub(crate) fn healthy() -> Status {
    Status {
        node: "server1".to_owned(),
        version: "0.1.0".to_owned(),
        state: State::Active,
        since_ms: 93_000,
        alone: false,
        unheard: Vec::new(),
        unfenced: Vec::new(),
        config_digest: "89abcdef".to_owned(),
        keepalive_us: 1_000,
        deadtime_us: 3_000,
        lease: Lease { length_us: 200_000, age_us: 120, valid: true },
        turns: Turns { longest_us: 800, longest_of: "a command".to_owned(), latest_us: 1_200 },
        realtime: Realtime {
            probe: Scheduling::Deadline,
            decision_loop: Scheduling::Fifo,
            memory_locked: true,
        },
        nodes: vec![
            Node { own: true, session: None, last_heard_us: None, ..node("server1", 0) },
            node("server2", 1),
        ],
        links: vec![link("eth0", Datapath::Native, None), link("eth1", Datapath::Generic, Some(WHY))],
        groups: vec![Group {
            key: "IPaddr::192.0.2.100".to_owned(),
            home: "server1".to_owned(),
            owner: Some("server1".to_owned()),
            open: true,
            epoch: 3,
            state: GroupState::Started,
            fenced: None,
            better: None,
            heir: Some("server2".to_owned()),
            armed: false,
            vips: vec![Vip {
                address: "192.0.2.100/24".to_owned(),
                interface: Some("eth0".to_owned()),
                label: Some("eth0:0".to_owned()),
                up: true,
            }],
        }],
        pings: Vec::new(),
        ipfail: false,
        networks: Vec::new(),
        counters: [("pong", 93_000), ("forged", 0), ("arp-answered", 12)]
            .map(|(name, count)| (name.to_owned(), count))
            .into(),
        egress: vec![EgressGate { interface: "eth0".to_owned(), how: Some("tcx".to_owned()), why: None }],
        lost: Vec::new(),
        warnings: Vec::new(),
        reloads: Reloads::default(),
    }
}

const WHY: &str =
    "native refused: the driver of eth1 has no XDP (EOPNOTSUPP); generic costs about 10 us per frame";

fn node(name: &str, index: u32) -> Node {
    Node {
        name: name.to_owned(),
        index,
        own: false,
        status: NodeStatus::Active,
        session: Some("5f3a".to_owned()),
        config_matches: true,
        hears_us: true,
        last_heard_us: Some(412),
        note: None,
    }
}

fn link(name: &str, datapath: Datapath, why: Option<&str>) -> Link {
    Link {
        name: name.to_owned(),
        kind: LinkKind::Ucast,
        interface: Some(name.to_owned()),
        up: true,
        datapath,
        why: why.map(str::to_owned),
        tx_tested: true,
        deadtime_us: 3000,
        line: None,
        group: None,
        trouble: None,
        peers: vec![LinkPeer {
            node: "server2".to_owned(),
            address: Some("192.0.2.12".to_owned()),
            up: true,
            last_heard_us: Some(412),
            probes_sent: 93_000,
            answered: 92_990,
            rtt_us: Some(14),
            jitter_us: Some(2),
            loss_ppm: 107,
            recent: Recent { asked: 9_346, answered: 9_345, over_ms: 10_000 },
            interarrival_us: Histogram { buckets: vec![(1_024, 92_000), (2_048, 990)] },
        }],
    }
}

/// The same cluster after server2 died and came back with another key, without eBPF.
fn troubled() -> Status {
    let mut status = healthy();
    status.alone = true;
    status.realtime =
        Realtime { probe: Scheduling::Normal, decision_loop: Scheduling::Normal, memory_locked: false };
    status.nodes[1].status = NodeStatus::Refused;
    status.nodes[1].note = Some("its key is not ours".to_owned());
    status.nodes[1].session = None;
    status.egress.clear();
    status.links = vec![link("eth0", Datapath::None, Some("no permission for bpf() (EPERM)"))];
    status.links[0].peers[0].up = false;
    status.links[0].peers[0].loss_ppm = 1_000_000;
    status.links[0].group = Some("239.0.0.1:694".to_owned());
    status.links[0].kind = LinkKind::Mcast;
    status.links[0].trouble =
        Some("frames to server2 are refused: nobody listens on the port there".to_owned());
    let group = &mut status.groups[0];
    group.owner = None;
    group.open = false;
    group.fenced = Some(Fence::Lease);
    group.state = GroupState::Stopped;
    group.heir = None;
    group.vips[0].up = false;
    status.lost = vec![
        "no eBPF: without root or CAP_BPF frames are read by the agent, so that a busy machine answers late and a killed agent is noticed after deadtime only".to_owned(),
    ];
    status.warnings = vec!["auto_failback is not set; assuming on".to_owned()];
    status
}

/// How-to 003: a cable and nothing else, that loses a byte now and then.
fn with_a_cable() -> Status {
    let mut status = healthy();
    let mut cable = link("/dev/ttyS0", Datapath::None, None);
    (cable.kind, cable.interface, cable.deadtime_us) = (LinkKind::Serial, None, 15_000_000);
    cable.line = Some(Line {
        baud: 19_200,
        keepalive_us: 5_000_000,
        bytes_out: 93_412,
        bytes_in: 9_512,
        frames_out: 1_245,
        frames_in: 127,
        garbage: 2,
        dropped: 1,
        opened: 3,
        refused: vec![
            "no hardware flow control (CRTSCTS): what the other side cannot take is lost".to_owned(),
        ],
    });
    let peer = &mut cable.peers[0];
    (peer.address, peer.rtt_us, peer.jitter_us) = (None, Some(81_000), Some(4_000));
    status.links = vec![cable];
    status
}

#[test]
fn of_a_cable_it_is_said_what_passed_over_it() {
    assert_golden("cable.txt", &render(&with_a_cable(), Style::Plain));
}

/// Compares with a file beside this one; `UPDATE_GOLDEN=1` rewrites it, and the difference is reviewed.
fn assert_golden(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/status/tests").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    assert_eq!(page, std::fs::read_to_string(&path).unwrap(), "{name} differs; UPDATE_GOLDEN=1 rewrites it");
}

#[test]
fn a_healthy_cluster_is_said_in_one_line_and_fits_the_screen() {
    let page = render(&healthy(), Style::Plain);
    assert_golden("healthy.txt", &page);
    assert!(page.lines().all(|line| line.chars().count() <= 80), "wider than a terminal:\n{page}");
    assert!(page.lines().count() <= 24, "longer than a terminal:\n{page}");
}

#[test]
fn trouble_comes_first() {
    let page = render(&troubled(), Style::Plain);
    assert_golden("troubled.txt", &page);
    assert!(page.lines().all(|line| line.chars().count() <= 80), "wider than a terminal:\n{page}");
}

#[test]
fn colour_only_adds_colour() {
    let plain = render(&troubled(), Style::Plain);
    let coloured = render(&troubled(), Style::Colour);
    let mut stripped = String::new();
    let mut parts = coloured.split('\u{1b}');
    stripped += parts.next().unwrap();
    for part in parts {
        stripped += part.split_once('m').unwrap().1;
    }
    assert_ne!(plain, coloured);
    assert_eq!(plain, stripped);
}

#[test]
fn of_many_nodes_only_the_unwell_are_named() {
    let mut status = healthy();
    status.nodes.extend((2..7).map(|index| node(&format!("server{}", index + 1), index)));
    status.nodes[4].status = NodeStatus::Dead;
    let page = render(&status, Style::Plain);
    let first = page.lines().next().unwrap();
    assert_eq!(
        first,
        "server1 is active and serves 1 of 1 groups; 5 of 6 other nodes are up; server5 is dead."
    );
}

#[test]
fn nothing_from_outside_moves_the_cursor() {
    let mut status = healthy();
    status.nodes[1].note = Some("\u{1b}[2Jgone\nserver1 is fine".to_owned());
    status.warnings = vec!["\u{1b}]0;title\u{7}".to_owned()];
    let page = render(&status, Style::Plain);
    assert!(!page.chars().any(|character| character.is_control() && character != '\n'), "{page:?}");
    assert!(page.contains("  \\u{1b}[2Jgone\\nserver1 is fine\n"), "{page}");
}

#[test]
fn json_has_the_documented_names() {
    let json = serde_json::to_value(troubled()).unwrap();
    for pointer in [
        "/node",
        "/version",
        "/state",
        "/since_ms",
        "/alone",
        "/config_digest",
        "/keepalive_us",
        "/deadtime_us",
        "/lease/length_us",
        "/lease/age_us",
        "/lease/valid",
        "/turns/longest_us",
        "/turns/longest_of",
        "/turns/latest_us",
        "/realtime/probe",
        "/realtime/loop",
        "/realtime/memory_locked",
        "/nodes/1/name",
        "/nodes/1/index",
        "/nodes/1/own",
        "/nodes/1/status",
        "/nodes/1/session",
        "/nodes/1/config_matches",
        "/nodes/1/hears_us",
        "/nodes/1/last_heard_us",
        "/nodes/1/note",
        "/links/0/name",
        "/links/0/kind",
        "/links/0/interface",
        "/links/0/up",
        "/links/0/datapath",
        "/links/0/why",
        "/links/0/tx_tested",
        "/links/0/group",
        "/links/0/trouble",
        "/links/0/peers/0/node",
        "/links/0/peers/0/address",
        "/links/0/peers/0/up",
        "/links/0/peers/0/last_heard_us",
        "/links/0/peers/0/probes_sent",
        "/links/0/peers/0/answered",
        "/links/0/peers/0/rtt_us",
        "/links/0/peers/0/jitter_us",
        "/links/0/peers/0/loss_ppm",
        "/links/0/peers/0/recent/asked",
        "/links/0/peers/0/recent/answered",
        "/links/0/peers/0/recent/over_ms",
        "/links/0/peers/0/interarrival_us/buckets/0/1",
        "/groups/0/key",
        "/groups/0/home",
        "/groups/0/owner",
        "/groups/0/open",
        "/groups/0/epoch",
        "/groups/0/state",
        "/groups/0/fenced",
        "/groups/0/heir",
        "/groups/0/armed",
        "/groups/0/vips/0/address",
        "/groups/0/vips/0/interface",
        "/groups/0/vips/0/label",
        "/groups/0/vips/0/up",
        "/counters/pong",
        "/lost/0",
        "/warnings/0",
        "/reloads/done",
        "/reloads/refused",
        "/reloads/last",
    ] {
        assert!(json.pointer(pointer).is_some(), "{pointer} is missing in {json:#}");
    }
    assert_eq!(json["nodes"][1]["status"], "refused");
    assert_eq!(json["groups"][0]["owner"], serde_json::Value::Null);
    let word = serde_json::to_value(Fence::HigherEpoch).unwrap();
    assert_eq!(word, "higher-epoch");
    assert_eq!(serde_json::from_value::<Status>(json).unwrap(), troubled());
}

#[test]
fn health_is_a_table() {
    type Change = fn(&mut Status);
    let cases: [(&str, Change, &[&str]); 16] = [
        ("healthy", |_| {}, &[]),
        ("slower, warned", |s| s.lost.push("no eBPF".to_owned()), &[]),
        ("starting", |s| s.state = State::Starting, &["the agent is starting and serves nothing yet"]),
        ("stopping", |s| s.state = State::Stopping, &["the agent is stopping"]),
        ("no lease", |s| s.lease.valid = false, &["the agent's lease ran out: this node's gates are closed"]),
        ("nobody", |s| s.groups[0].owner = None, &["group IPaddr::192.0.2.100 has no owner"]),
        ("failed", |s| s.groups[0].state = GroupState::Failed, &["group IPaddr::192.0.2.100 failed here"]),
        (
            "closed",
            |s| s.groups[0].open = false,
            &["group IPaddr::192.0.2.100 is ours, but its gate is closed"],
        ),
        (
            "closed elsewhere",
            |s| {
                s.groups[0].owner = Some("server2".to_owned());
                s.groups[0].open = false;
                s.groups[0].fenced = Some(Fence::HigherEpoch);
                s.groups[0].state = GroupState::Stopped;
                s.groups[0].vips[0].up = false;
            },
            &[],
        ),
        (
            "no address",
            |s| s.groups[0].vips[0].up = false,
            &["group IPaddr::192.0.2.100 is ours, but 192.0.2.100/24 is not on its interface"],
        ),
        ("dead", |s| s.nodes[1].status = NodeStatus::Dead, &["server2 is dead"]),
        (
            "other configuration",
            |s| s.nodes[1].config_matches = false,
            &["server2 has another configuration: make ha.cf and haresources equal"],
        ),
        ("deaf", |s| s.nodes[1].hears_us = false, &["server2 is heard, but does not hear this node"]),
        ("link", |s| s.links[1].up = false, &["link eth1 is down"]),
        (
            "path",
            |s| s.links[1].peers[0].up = false,
            &["server2 is not heard on link eth1", "server2 does not take over: it is alive on eth0"],
        ),
        (
            "the owner's path",
            |s| {
                s.links[1].peers[0].up = false;
                s.groups.iter_mut().for_each(|group| group.owner = Some("server2".to_owned()));
            },
            &["server2 is not heard on link eth1", "not taken over: server2 is alive on eth0"],
        ),
    ];
    for (name, change, expected) in cases {
        let mut status = healthy();
        change(&mut status);
        assert_eq!(status.problems(), expected, "{name}");
    }
}

#[test]
fn who_may_not_be_alone_says_so_on_a_line_of_its_own() {
    let mut status = healthy();
    assert!(!render(&status, Style::Plain).contains("alone"));
    status.unheard = vec!["server2".to_owned()];
    let page = render(&status, Style::Plain);
    let second = page.lines().nth(1).unwrap();
    assert_eq!(second, "server1 may not be alone: server2 may serve, too, behind a broken network.");
}

#[test]
fn an_egress_gate_that_is_missing_is_no_small_print() {
    let mut status = healthy();
    status.egress[0].how = None;
    assert!(render(&status, Style::Plain).contains("egress eth0 OPEN"));
}

#[test]
fn ping_nodes_and_networks_in_doubt_are_shown_and_what_is_wrong_with_them_is_said() {
    let mut status = healthy();
    let host = PingHost {
        address: "192.0.2.1".into(),
        sent: 9,
        answered: 8,
        last_heard_us: Some(1500),
        rtt_us: Some(120),
    };
    status.pings = vec![
        Ping { name: "gw".into(), group: false, status: PingStatus::Ping, hosts: vec![host.clone()] },
        Ping { name: "routers".into(), group: true, status: PingStatus::Dead, hosts: vec![host] },
    ];
    status.networks = vec![Network {
        interface: "eth0".into(),
        state: NetworkState::Peace,
        neighbours: 2,
        missed: Vec::new(),
        reach: None,
        text: "all is well".into(),
    }];
    let page = render(&status, Style::Plain);
    assert!(page.contains("gw         ping    192.0.2.1  1.5 ms ago  120 us  8 of 9"), "{page}");
    assert!(page.contains("shown only") && page.contains("eth0: all is well"), "{page}");
    assert_eq!(status.problems(), ["ping node routers does not answer"]);
    status.ipfail = true;
    status.networks[0].state = NetworkState::Doubt;
    status.pings.truncate(1);
    status.groups[0].better = Some("server2".into());
    assert!(render(&status, Style::Plain).contains("serves (ipfail)"));
    let problems = status.problems();
    assert!(problems.contains(&"eth0: all is well".into()), "{problems:?}");
    assert!(problems.iter().any(|problem| problem.contains("server2 sees more")), "{problems:?}");
}
