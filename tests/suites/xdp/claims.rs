//! What other nodes claim, and what it does to our gates: in the kernel, before any agent is awake.

use reflex::{ClaimState, EventKind, Reason, Status, Verdict};
use xbeat::sys::clock;

use crate::fixture::{DROP, HOUR, MS, Node, TX, UCAST, need_root};
use crate::packets::{carrying, who_has};
use crate::peer::Peer;

const VIP: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 9, 0, 100);
/// Group of the VIP: on the second page, so that pages are counted right as well.
const GROUP: usize = 10;
const SLOT: usize = GROUP % 8;

/// A node with a VIP, and a peer that holds it with `epoch`.
fn held_by_peer(epoch: u32) -> (Node, Peer) {
    let mut node = Node::new();
    node.vip(VIP, GROUP as u32);
    let mut peer = Peer { page: 1, ..Peer::new(1) };
    peer.claim(SLOT, ClaimState::Open, epoch);
    node.admit(&mut peer);
    node.events();
    (node, peer)
}

fn serves(node: &mut Node) -> bool {
    let ran = node.run(&who_has(VIP));
    assert!(matches!((ran.action, ran.verdict), (TX, Verdict::ArpAnswered) | (DROP, Verdict::ArpClosed)));
    ran.action == TX
}

/// The holder says that it resigned, or that it is fenced: the armed gate opens in the kernel, the first request for
/// the address is answered, and the agent is told.
#[test]
fn a_gate_opens_when_its_holder_gives_up() {
    need_root!("a_gate_opens_when_its_holder_gives_up");
    for state in [ClaimState::Resigned, ClaimState::Fenced] {
        let (mut node, mut peer) = held_by_peer(4);
        node.arm(GROUP, 1, 5);
        assert!(!serves(&mut node), "armed is not open");
        node.run(&peer.probe());
        assert!(!serves(&mut node), "the holder still holds it");

        peer.claim(SLOT, state, 4);
        assert_eq!(node.run(&peer.probe()).verdict, Verdict::ProbeAnswered);
        assert!(serves(&mut node), "{state:?}");
        let events = node.events();
        let gate = &node.facts.gates[GROUP];
        assert_eq!(gate.taken.get(), 5);
        assert!(gate.first_arp_at.get() >= gate.taken_at.get() && gate.taken_at.get() > 0);
        let opened =
            events.iter().find(|e| e.kind == EventKind::GateOpened as u32).expect("the agent is told");
        assert_eq!((opened.group as usize, opened.epoch, opened.node), (GROUP, 5, 1));
        assert_eq!(opened.at, gate.taken_at.get());
    }
}

/// A pong tells it as well as a probe: the holder's kernel speaks while its agent cannot.
#[test]
fn a_pong_opens_a_gate_too() {
    need_root!("a_pong_opens_a_gate_too");
    let (mut node, mut peer) = held_by_peer(4);
    node.arm(GROUP, 1, 5);
    peer.claim(SLOT, ClaimState::Fenced, 4);
    let seq = node.ask(1, 0);
    assert_eq!(node.run(&peer.pong(seq)).verdict, Verdict::PongTaken);
    assert!(serves(&mut node));
}

/// A frame without the LEASE bit says that all its sender's gates are fenced, also those it does not list.
#[test]
fn a_frame_without_lease_opens_what_is_armed_against_its_sender() {
    need_root!("a_frame_without_lease_opens_what_is_armed_against_its_sender");
    let (mut node, mut peer) = held_by_peer(4);
    node.arm(GROUP, 1, 5);
    peer.page = 0;
    peer.claims = Default::default();
    peer.status &= !Status::LEASE;
    node.run(&peer.probe());
    assert!(serves(&mut node));
}

/// None of this opens a gate: another node's word, a word about an older epoch than the one armed against, an unproven
/// word, a word while our own lease is over.
#[test]
fn nothing_else_opens_a_gate() {
    need_root!("nothing_else_opens_a_gate");
    let (mut node, mut peer) = held_by_peer(4);
    node.arm(GROUP, 1, 5);
    let mut third = Peer { page: 1, ..Peer::new(2) };
    node.admit(&mut third);
    third.claim(SLOT, ClaimState::Resigned, 4);
    node.run(&third.probe());
    assert!(!serves(&mut node), "node 2 does not hold it");

    peer.claim(SLOT, ClaimState::Resigned, 3);
    node.run(&peer.probe());
    assert!(!serves(&mut node), "epoch 3 is not the one that it holds");

    let mut unproven = Peer { session: 99, ..peer.clone() };
    unproven.claim(SLOT, ClaimState::Resigned, 4);
    assert_eq!(node.run(&unproven.probe()).verdict, Verdict::ProbeUnproven);
    assert!(!serves(&mut node), "that life did not answer our challenge");

    let lease = node.orders.lease_until.get();
    node.orders.lease_until.set(clock::now());
    peer.claim(SLOT, ClaimState::Resigned, 4);
    node.run(&peer.probe());
    node.orders.lease_until.set(lease);
    assert!(!serves(&mut node), "our own agent may be dead");
    assert_eq!(node.facts.gates[GROUP].taken.get(), 0);
}

/// Another node holds our group with a higher epoch: we are fenced by its first frame, for good.
#[test]
fn a_higher_epoch_fences() {
    need_root!("a_higher_epoch_fences");
    let (mut node, mut peer) = held_by_peer(4);
    node.grant(GROUP, 5);
    node.run(&peer.probe());
    assert!(serves(&mut node), "its epoch is lower");
    node.events();

    peer.claim(SLOT, ClaimState::Open, 6);
    let ran = node.run(&peer.probe());
    assert!(!serves(&mut node));
    let fenced = node.events().into_iter().find(|e| e.kind == EventKind::GateFenced as u32).expect("told");
    assert_eq!((fenced.group as usize, fenced.epoch, fenced.detail), (GROUP, 5, Reason::HigherEpoch as u32));
    // The very frame that fenced us is answered with the word that we are.
    let pong = reflex::Frame { bytes: ran.bytes[crate::packets::FRAME_AT..].try_into().unwrap() };
    let claim = pong.claim(SLOT);
    assert_eq!(
        (claim.state(), claim.epoch, claim.reason),
        (ClaimState::Fenced, 5, Reason::HigherEpoch as u8)
    );

    peer.claim(SLOT, ClaimState::Resigned, 6);
    node.run(&peer.probe());
    assert!(!serves(&mut node), "what is fenced stays fenced");
    node.grant(GROUP, 7);
    assert!(serves(&mut node), "a higher epoch is the election's word");
}

/// Two nodes with the same epoch: the one with the lower index keeps it.
#[test]
fn of_equal_epochs_the_lower_index_stays() {
    need_root!("of_equal_epochs_the_lower_index_stays");
    for (own, stays) in [(0, true), (2, false)] {
        let mut node = Node::with(|orders| orders.own.set(own));
        node.vip(VIP, GROUP as u32);
        node.grant(GROUP, 5);
        let mut peer = Peer { page: 1, to: own as u8, ..Peer::new(1) };
        node.admit(&mut peer);
        peer.claim(SLOT, ClaimState::Open, 5);
        node.run(&peer.probe());
        assert_eq!(serves(&mut node), stays, "node {own} against node 1");
    }
}

/// With the lease over, the answer to a probe says that everything is fenced, and from that moment it is: a late
/// renewal opens nothing.
#[test]
fn a_pong_after_the_lease_says_fenced_and_it_is_true() {
    need_root!("a_pong_after_the_lease_says_fenced_and_it_is_true");
    let (mut node, mut peer) = held_by_peer(4);
    node.grant(GROUP, 5);
    node.arm(3, 1, 9);
    assert!(serves(&mut node));
    node.events();
    node.orders.lease_until.set(clock::now());
    let ran = node.run(&peer.probe());
    let pong = reflex::Frame { bytes: ran.bytes[crate::packets::FRAME_AT..].try_into().unwrap() };
    assert_eq!(pong.status() & Status::LEASE, 0);
    let claim = pong.claim(SLOT);
    assert_eq!((claim.state(), claim.epoch, claim.reason), (ClaimState::Fenced, 5, Reason::Lease as u8));
    assert!(node.event_kinds().contains(&EventKind::GateFenced));
    node.orders.lease_until.set(clock::now() + HOUR);
    assert!(!serves(&mut node), "renewed too late");
    assert_eq!(node.facts.gates[3].fenced.get(), 9, "what was armed is fenced with the rest");
}

/// A node that comes back with a new life holds nothing of what the last one held: what was armed against it opens, and
/// frames of the old life are no longer believed.
#[test]
fn a_new_life_frees_what_the_last_one_held() {
    need_root!("a_new_life_frees_what_the_last_one_held");
    let (mut node, mut peer) = held_by_peer(4);
    node.arm(GROUP, 1, 5);
    let mut reborn = Peer { session: 1234, at: 5, seq: 0, claims: Default::default(), ..peer.clone() };
    node.admit(&mut reborn);
    assert!(serves(&mut node));
    assert_eq!(node.facts.nodes[1].session.get(), 1234);
    assert_eq!(node.run(&peer.probe()).verdict, Verdict::ProbeUnproven, "the life before");
    assert_eq!(node.run(&reborn.probe()).verdict, Verdict::ProbeAnswered, "the new life counts from 1 again");
}

/// A slow link delivers an old word after a newer one: the node lives, but the word is not heard again.
#[test]
fn an_older_word_on_another_link_changes_nothing() {
    need_root!("an_older_word_on_another_link_changes_nothing");
    let (mut node, mut peer) = held_by_peer(4);
    node.arm(GROUP, 1, 5);
    let mut slow = Peer { link: 1, at: peer.at, seq: 0, ..peer.clone() };
    slow.claim(SLOT, ClaimState::Resigned, 4);
    let old = carrying(&slow.probe_frame());
    peer.at += 10 * MS;
    node.run(&peer.probe());
    let received = |node: &Node| node.facts.nodes[1].links[usize::from(UCAST)].received.get();
    let before = received(&node);
    assert_eq!(node.run(&old).verdict, Verdict::ProbeAnswered);
    assert_eq!(received(&node), before + 1, "a sign of life, by the link that it came by");
    assert!(!serves(&mut node), "and no news");
}
