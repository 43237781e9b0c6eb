//! Letters: taken once, answered each time, kept in the ring for the agent.

use reflex::letter::number_of;
use reflex::mac::{self, Scratch};
use reflex::{EventKind, Frame, Kind, Verdict};

use crate::fixture::{DROP, KEY_MD5, KEY_SHA1, KEY_SHA256, Node, SESSION, TX, key, need_root};
use crate::frames::pong_in;
use crate::packets::{GROUP, GROUP_PORT, OWN_MAC, built, carrying, udp_to};
use crate::peer::{Peer, sign};

const TEXT: &[u8] = b"t=backup_done\ninfo=tonight\n";

/// The answer to a letter, after a look at all that it says.
#[track_caller]
fn answer(node: &mut Node, letter: &Frame, verdict: Verdict) -> Frame {
    let ran = node.run(&carrying(letter));
    assert_eq!((ran.action, ran.verdict), (TX, verdict));
    let answer = pong_in(&ran.bytes);
    assert_eq!(
        (answer.kind(), answer.seq(), answer.link()),
        (Some(Kind::Taken), letter.seq(), letter.link())
    );
    assert_eq!((answer.source(), answer.destination()), (0, letter.source()));
    assert_eq!((answer.session(), answer.peer_session()), (SESSION, letter.session()));
    assert!(answer.bytes[40..112].iter().all(|&byte| byte == 0), "it says nothing else");
    assert!(mac::verify(&key(answer.key()), &answer, &mut Scratch::default()), "the answer is signed");
    answer
}

#[test]
fn a_letter_is_answered_and_comes_out_of_the_ring_once() {
    need_root!("a_letter_is_answered_and_comes_out_of_the_ring_once");
    for number in [KEY_SHA1, KEY_SHA256, KEY_MD5] {
        let mut node = Node::new();
        let mut peer = Peer { key: number, ..Peer::new(2) };
        node.admit(&mut peer);
        node.event_kinds();
        let heard_at = node.facts.nodes[2].heard_at.get();
        let (one, two) = (peer.letter(1, TEXT), peer.letter(2, TEXT));
        answer(&mut node, &one, Verdict::LetterTaken);
        answer(&mut node, &one, Verdict::LetterAgain);
        answer(&mut node, &two, Verdict::LetterTaken);
        answer(&mut node, &one, Verdict::LetterAgain);
        assert_eq!(node.letters(), [one, two]);
        assert_eq!(one.piece().unwrap().text, TEXT);
        assert_eq!(node.facts.nodes[2].heard_at.get(), heard_at, "it is no keepalive");
        assert_eq!(node.event_kinds(), [], "the ring wakes the agent");
    }
}

#[test]
fn a_letter_that_is_forged_or_of_another_life_is_not_taken() {
    need_root!("a_letter_that_is_forged_or_of_another_life_is_not_taken");
    let mut node = Node::new();
    let mut peer = Peer::new(1);
    let letter = peer.letter(1, TEXT);
    node.refuses(&carrying(&letter), Verdict::Stale, "not admitted yet");
    node.admit(&mut peer);
    let mut forged = letter;
    forged.bytes[50] ^= 1;
    assert_eq!(node.run(&carrying(&forged)).verdict, Verdict::BadMac);
    let mut other = letter;
    other.set_peer_session(SESSION + 1);
    sign(&mut other, KEY_SHA1);
    node.refuses(&carrying(&other), Verdict::Stale, "for another life of ours");
    assert!(node.letters().is_empty());
    answer(&mut node, &letter, Verdict::LetterTaken);
    let mut next = Peer { session: peer.session + 1, ..peer.clone() };
    node.admit(&mut next);
    node.refuses(&carrying(&letter), Verdict::Stale, "of the life before");
    let first = next.letter(1, TEXT);
    answer(&mut node, &first, Verdict::LetterTaken);
    assert_eq!(node.letters(), [letter, first]);
}

#[test]
fn a_letter_to_a_group_is_answered_to_its_sender() {
    need_root!("a_letter_to_a_group_is_answered_to_its_sender");
    let mut node = Node::new();
    let mut peer = Peer::new(1);
    node.admit(&mut peer);
    let to_group = |frame: &Frame| {
        let mut packet = built(udp_to(GROUP, GROUP_PORT), &frame.bytes);
        packet[..6].copy_from_slice(&[0x01, 0, 0x5e, 0, 0, 1]);
        packet
    };
    let letter = peer.letter(1, TEXT);
    let ran = node.run(&to_group(&letter));
    assert_eq!((ran.action, ran.verdict), (TX, Verdict::LetterTaken));
    assert_eq!(ran.bytes[6..12], OWN_MAC);
    assert_eq!(node.letters(), [letter]);
    node.refuses(&to_group(&Peer { to: 2, ..peer }.letter(2, TEXT)), Verdict::ForOther, "for node 2");
}

#[test]
fn a_full_ring_takes_no_more_and_what_was_taken_is_in_it() {
    need_root!("a_full_ring_takes_no_more_and_what_was_taken_is_in_it");
    let mut node = Node::new();
    let mut peer = Peer::new(1);
    node.admit(&mut peer);
    let mut taken = Vec::new();
    let refused = loop {
        let letter = peer.letter(taken.len() as u64 + 1, TEXT);
        let ran = node.run(&carrying(&letter));
        if ran.verdict == Verdict::LetterRefused {
            assert_eq!(ran.action, DROP, "it is not answered");
            break letter;
        }
        assert_eq!(ran.verdict, Verdict::LetterTaken);
        taken.push(letter);
        assert!(taken.len() < 10_000, "the ring has an end");
    };
    assert!(taken.len() > 300, "{} letters", taken.len());
    assert_eq!(node.letters(), taken);
    answer(&mut node, &refused, Verdict::LetterTaken);
    assert_eq!(node.letters(), [refused]);
}

#[test]
fn nothing_is_taken_for_an_agent_that_is_not_there() {
    need_root!("nothing_is_taken_for_an_agent_that_is_not_there");
    let mut node = Node::new();
    let mut peer = Peer::new(1);
    node.admit(&mut peer);
    node.orders.lease_until.set(1);
    node.refuses(&carrying(&peer.letter(1, TEXT)), Verdict::LetterRefused, "no lease");
    assert!(node.letters().is_empty());
}

#[test]
fn an_answer_wakes_the_agent_once() {
    need_root!("an_answer_wakes_the_agent_once");
    let mut node = Node::new();
    let mut peer = Peer::new(1);
    node.admit(&mut peer);
    node.event_kinds();
    node.orders.letters.set(5);
    let taken = |peer: &mut Peer, number| carrying(&peer.frame(Kind::Taken, number, SESSION));
    node.refuses(&taken(&mut peer, 6), Verdict::Replayed, "never sent");
    for number in [4, 4, 3, 5] {
        let packet = taken(&mut peer, number);
        node.acts(&packet, DROP, Verdict::LetterAnswered, "an answer");
    }
    assert_eq!(number_of(node.facts.nodes[1].letter_taken.get(), peer.session), 5);
    assert_eq!(node.event_kinds(), [EventKind::LetterAnswered; 2]);
}
