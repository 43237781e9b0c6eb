//! What is answered, what is believed, and what the answer says.

use etherparse::{PacketHeaders, TransportHeader};
use reflex::mac::{self, Scratch};
use reflex::node::{self, Desk, Probe};
use reflex::verdict::VERDICTS;
use reflex::{Claim, ClaimState, EventKind, Facts, Frame, Kind, Orders, Status, Verdict};

use crate::fixture::{
    DROP, HOUR, INTERFACE, KEY_MD5, KEY_SHA1, KEY_SHA256, MS, Node, PASS, SESSION, TX, UCAST, key, need_root,
    run,
};
use crate::packets::{
    FRAME_AT, FROM_PORT, OTHER, OTHER_MAC, OWN, OWN_MAC, PACKET_LEN, PORT, UDP_AT, carrying, put,
};
use crate::peer::Peer;

/// The answer in a packet that the program sent back, after checking everything around it.
#[track_caller]
pub(crate) fn pong_in(bytes: &[u8]) -> Frame {
    let parsed = PacketHeaders::from_ethernet_slice(bytes).unwrap();
    let ethernet = parsed.link.unwrap().ethernet2().unwrap();
    assert_eq!((ethernet.source, ethernet.destination), (OWN_MAC, OTHER_MAC), "MAC addresses are swapped");
    let (ip, _) = parsed.net.unwrap().ipv4_ref().map(|(ip, rest)| (ip.clone(), rest.clone())).unwrap();
    assert_eq!((ip.source, ip.destination), (OWN.octets(), OTHER.octets()), "IP addresses are swapped");
    assert_eq!(ip.time_to_live, 64);
    assert_eq!(ip.header_checksum, ip.calc_header_checksum(), "the header's checksum is right");
    let Some(TransportHeader::Udp(udp)) = parsed.transport else { panic!("no UDP") };
    assert_eq!((udp.source_port, udp.destination_port), (PORT, FROM_PORT), "ports are swapped");
    assert_eq!(udp.checksum, 0, "no UDP checksum: RFC 768 allows that over IPv4");
    Frame { bytes: parsed.payload.slice().try_into().expect("the payload is a frame") }
}

/// A probe comes back as a pong: addresses and ports swapped, time to live 64, checksums right, signed with our key,
/// about the probe's number, link and page; whichever of the MACs the probe and the answer carry.
#[test]
fn a_probe_is_answered_from_the_kernel() {
    need_root!("a_probe_is_answered_from_the_kernel");
    let keys = [KEY_SHA1, KEY_SHA256, KEY_MD5];
    for (theirs, ours) in keys.into_iter().flat_map(|theirs| keys.map(|ours| (theirs, ours))) {
        let mut node = Node::with(|orders| orders.key_current.set(u64::from(ours)));
        node.orders.status.set(u64::from(Status::ACTIVE));
        let mut peer = Peer { key: theirs, link: UCAST, page: 1, seq: 41, ..Peer::new(2) };
        node.admit(&mut peer);
        // It counts its links otherwise.
        peer.link = 3;
        let before = xbeat::sys::clock::now();
        let ran = node.run(&peer.probe());
        assert_eq!((ran.action, ran.verdict), (TX, Verdict::ProbeAnswered));

        let pong = pong_in(&ran.bytes);
        assert_eq!(pong.kind(), Some(Kind::Pong));
        assert_eq!(pong.key(), ours);
        assert!(mac::verify(&key(ours), &pong, &mut Scratch::default()), "the pong is signed");
        assert_eq!((pong.source(), pong.destination()), (0, 2));
        assert_eq!((pong.link(), pong.seq(), pong.page()), (3, 42, 1), "it names what it answers");
        assert_eq!((pong.session(), pong.peer_session()), (SESSION, peer.session));
        assert_eq!(pong.config(), 0xc0ff_ee00);
        assert_eq!(pong.hears(), 1 << 2, "node 2 was just heard");
        assert_eq!(pong.status(), Status::ACTIVE | Status::LEASE | Status::PONG_HEARD);
        assert!(pong.at() >= before && pong.at() <= xbeat::sys::clock::now(), "it says when");
        let heard = |link: u8| node.facts.nodes[2].links[usize::from(link)].heard_at.get();
        assert!(heard(UCAST) >= before && heard(3) == 0, "stamped for the link that it came by");
    }
}

/// A pong tells of every group on the page that was asked for: held, resigned, fenced, never held, not there.
#[test]
fn a_pong_tells_our_claims() {
    need_root!("a_pong_tells_our_claims");
    let mut node = Node::new();
    node.grant(8, 5);
    node.grant(9, 6);
    node.orders.gates[9].resigned.set(6);
    node.orders.gates[10].plan.set(Claim { flags: Claim::WILLING, heir: 3, ..Claim::default() }.pack());
    node.arm(11, 1, 9);
    let mut peer = Peer { page: 1, ..Peer::new(1) };
    let claims = pong_in(&node.run(&peer.probe()).bytes);
    let state = |i: usize| (claims.claim(i).epoch, claims.claim(i).state());
    assert_eq!(state(0), (5, ClaimState::Open));
    assert_eq!(state(1), (6, ClaimState::Resigned));
    assert_eq!((claims.claim(2).flags, claims.claim(2).heir), (Claim::WILLING, 3));
    assert_eq!(claims.claim(3).flags, Claim::ARMED);
    peer.page = 2;
    let beyond = pong_in(&node.run(&peer.probe()).bytes);
    assert!((4..8).all(|i| beyond.claim(i) == Claim::default()), "there are 20 groups, not 24");
}

/// A node that did not answer our challenge yet gets its answer, so that it can admit us, and is not believed: not that
/// it lives, not that it holds anything.
#[test]
fn an_unproven_probe_is_answered_and_not_believed() {
    need_root!("an_unproven_probe_is_answered_and_not_believed");
    let mut node = Node::new();
    node.grant(0, 5);
    let mut peer = Peer::new(1);
    peer.claim(0, ClaimState::Open, 100);
    let before = node.believed();
    let ran = node.run(&peer.probe());
    assert_eq!((ran.action, ran.verdict), (TX, Verdict::ProbeUnproven));
    assert!(mac::verify(&key(KEY_SHA1), &pong_in(&ran.bytes), &mut Scratch::default()));
    assert_eq!(node.believed(), before);
    assert_eq!(node.facts.nodes[1].links[0].unconfirmed.get(), 1);
    assert_eq!(node.event_kinds(), []);
}

/// A pong to our probe admits its sender: its life, the interface and the address it came from, the round trip are
/// noted, the agent is woken; and the frame itself goes no further.
#[test]
fn a_pong_admits_its_sender() {
    need_root!("a_pong_admits_its_sender");
    let mut node = Node::new();
    let mut peer = Peer { link: 2, ..Peer::new(1) };
    let before = xbeat::sys::clock::now();
    let seq = node.ask(1, 2);
    let packet = peer.pong(seq);
    let ran = node.run(&packet);
    assert_eq!((ran.action, ran.verdict), (DROP, Verdict::PongTaken));
    assert_eq!(ran.bytes, packet);

    let facts = &node.facts.nodes[1];
    let link = &facts.links[2];
    assert_eq!(facts.session.get(), peer.session);
    assert!((before..xbeat::sys::clock::now()).contains(&facts.heard_at.get()));
    assert_eq!(link.ifindex.get(), u64::from(INTERFACE));
    assert_eq!(link.address.get(), reflex::path::ipv4(OTHER.octets()));
    assert_eq!((link.answered.get(), link.answered_count.get(), link.received.get()), (1, 1, 1));
    assert!(link.rtt.get() > 0 && link.rtt.get() <= xbeat::sys::clock::now() - before);
    assert_eq!(node.event_kinds(), [EventKind::NodeAdmitted, EventKind::NodeSaid]);
}

/// Once admitted, every probe stamps its node and link and counts in the histogram of gaps.
#[test]
fn a_believed_probe_is_stamped() {
    need_root!("a_believed_probe_is_stamped");
    let mut node = Node::new();
    let mut peer = Peer::new(1);
    node.admit(&mut peer);
    let admitted_at = node.facts.nodes[1].heard_at.get();
    for _ in 0..10 {
        assert_eq!(node.run(&peer.probe()).verdict, Verdict::ProbeAnswered);
    }
    let facts = &node.facts.nodes[1];
    let link = &facts.links[0];
    assert!(facts.heard_at.get() > admitted_at);
    assert_eq!(link.heard_at.get(), facts.heard_at.get());
    assert_eq!((link.seen.get(), link.received.get(), link.unconfirmed.get()), (10, 11, 0));
    assert_eq!(
        link.gaps.iter().map(reflex::word::Word::get).sum::<u64>(),
        10,
        "ten gaps between eleven frames"
    );
}

/// A frame later than warntime is an event, with the gap.
#[test]
fn a_late_frame_is_told() {
    need_root!("a_late_frame_is_told");
    let mut node = Node::with(|orders| orders.warntime.set(MS));
    let mut peer = Peer::new(1);
    node.admit(&mut peer);
    node.events();
    tests::wait::pause(std::time::Duration::from_millis(2)).unwrap();
    node.run(&peer.probe());
    let events = node.events();
    let late = events.iter().find(|event| event.kind == EventKind::NodeLate as u32).expect("it is told");
    assert!(late.node == 1 && late.epoch >= 2 * MS);
}

/// The agent's own half of the reflex and the kernel's understand each other: a node in userspace and one in the kernel
/// admit each other in two exchanges, and believe each other from then on.
#[test]
fn a_node_in_userspace_and_one_in_the_kernel_admit_each_other() {
    need_root!("a_node_in_userspace_and_one_in_the_kernel_admit_each_other");
    let mut kernel = Node::new();
    let (orders, facts) = (Box::new(Orders::new()), Box::new(Facts::new()));
    for number in [KEY_SHA1, KEY_SHA256] {
        orders.set_key(number, &key(number));
    }
    orders.key_current.set(u64::from(KEY_SHA256));
    orders.own.set(1);
    orders.nodes_len.set(3);
    orders.session.set(77);
    orders.deadtime.set(HOUR);
    orders.warntime.set(HOUR);
    orders.lease_until.set(u64::MAX);
    let mut desk = Desk::default();
    let quiet = &mut |_| ();

    let mut ask_the_kernel = |kernel: &mut Node, seq: u64, verdict: Verdict| {
        let now = xbeat::sys::clock::now();
        orders.nodes[0].links[0].sent.set(seq);
        node::make_probe(&orders, &facts, &mut desk, &Probe { to: 0, link: 0, seq, page: 0, now }, quiet);
        let ran = kernel.run(&carrying(&desk.frame));
        assert_eq!((ran.action, ran.verdict), (TX, verdict));
        desk.frame = pong_in(&ran.bytes);
        desk.now = xbeat::sys::clock::now();
        assert_eq!(node::on_frame(&orders, &facts, &mut desk, quiet), Verdict::PongTaken);
    };
    ask_the_kernel(&mut kernel, 1, Verdict::ProbeUnproven);
    kernel.admit(&mut Peer { session: 77, key: KEY_SHA256, at: xbeat::sys::clock::now(), ..Peer::new(1) });
    ask_the_kernel(&mut kernel, 2, Verdict::ProbeAnswered);
    assert_eq!(kernel.facts.nodes[1].session.get(), 77);
    assert_eq!(facts.nodes[0].session.get(), SESSION);
}

/// Ethernet pads short frames, and a switch may leave more behind a packet than there was: what is behind the datagram
/// is no part of it.
#[test]
fn what_lies_behind_the_datagram_is_ignored() {
    need_root!("what_lies_behind_the_datagram_is_ignored");
    let mut node = Node::new();
    let mut packet = Peer::new(1).probe();
    packet.extend([0xa5; 100]);
    let ran = node.run(&packet);
    assert_eq!((ran.action, ran.verdict), (TX, Verdict::ProbeUnproven));
    assert_eq!(ran.bytes[PACKET_LEN..], [0xa5; 100], "and comes back as it was");
    let (ours, mut swapped) = (&ran.bytes[UDP_AT..FRAME_AT], packet[UDP_AT..FRAME_AT].to_vec());
    put(&mut swapped, 0, PORT);
    put(&mut swapped, 2, FROM_PORT);
    put(&mut swapped, 6, 0);
    assert_eq!(ours, swapped, "the length stays that of the frame");
}

/// All programs of the object load, and the two besides the real one pass what they get.
#[test]
fn all_programs_load() {
    need_root!("all_programs_load");
    let mut node = Node::new();
    let packet = Peer::new(1).probe();
    let names: Vec<String> = node.kernel.ebpf_mut().programs().map(|(name, _)| name.to_owned()).collect();
    assert!(
        ["xbeat", "xbeat_pass", "xbeat_start"].iter().all(|name| names.iter().any(|n| n == name)),
        "{names:?}"
    );
    for name in ["xbeat_start", "xbeat_pass"] {
        let program: &mut aya::programs::Xdp =
            node.kernel.ebpf_mut().program_mut(name).unwrap().try_into().unwrap();
        if name == "xbeat_pass" {
            program.load().unwrap();
        }
        assert_eq!(run(program, &packet), (PASS, packet.clone()), "{name}");
    }
    assert_eq!(node.kernel.counters().unwrap(), [0; VERDICTS], "and count nothing");
}
