use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::node::tests::world::{Node, ask, key, pair};
use crate::testing::MS;

const WHOLE: Piece<'static> = Piece { text: b"t=backup_done\n", first: true, last: true };

/// Changes a frame and signs it again, as one who has the key can.
fn resigned(mut frame: Frame, change: impl FnOnce(&mut Frame)) -> Frame {
    change(&mut frame);
    mac::sign(&key(), &mut frame, &mut mac::Scratch::default());
    frame
}

fn answered(node: &Node) -> usize {
    node.tables.count(EventKind::LetterAnswered)
}

#[test]
fn a_letter_is_handed_over_once_and_answered_each_time() {
    let (mut a, mut b, _) = pair();
    let letter = a.letter(1, 0, 7, WHOLE, 2 * MS);
    let (verdict, answer) = b.receive(&letter, 2 * MS);
    assert_eq!((verdict, &b.letters[..]), (Verdict::LetterTaken, &[letter][..]));
    let answer = answer.unwrap();
    assert_eq!((answer.kind(), answer.seq()), (Some(Kind::Taken), 7));
    assert_eq!((answer.source(), answer.destination()), (1, 0));
    assert_eq!((answer.session(), answer.peer_session()), (0xb1, 0xa1));
    assert!(answer.bytes[40..112].iter().all(|&byte| byte == 0), "it says nothing else");

    let (verdict, again) = b.receive(&letter, 3 * MS);
    assert_eq!((verdict, b.letters.len()), (Verdict::LetterAgain, 1), "its answer was lost");
    assert_eq!(a.receive(&answer, 4 * MS), (Verdict::LetterAnswered, None));
    assert_eq!(a.receive(&again.unwrap(), 4 * MS), (Verdict::LetterAnswered, None));
    assert_eq!(number_of(a.facts_of(1).letter_taken.get(), 0xb1), 7);
    assert_eq!(answered(&a), 1, "the agent is woken for what is new");
}

#[test]
fn an_older_letter_is_answered_and_not_handed_over() {
    let (mut a, mut b, _) = pair();
    let [one, two] = [1, 2].map(|number| a.letter(1, 0, number, WHOLE, 2 * MS));
    for (letter, verdict) in
        [(one, Verdict::LetterTaken), (two, Verdict::LetterTaken), (one, Verdict::LetterAgain)]
    {
        let (found, answer) = b.receive(&letter, 3 * MS);
        assert_eq!(found, verdict);
        assert_eq!(a.receive(&answer.unwrap(), 3 * MS).0, Verdict::LetterAnswered);
    }
    assert_eq!(b.letters, [one, two]);
    assert_eq!(number_of(a.facts_of(1).letter_taken.get(), 0xb1), 2, "it never falls");
}

#[test]
fn without_room_it_is_not_taken_and_the_next_try_is() {
    let (mut a, mut b, _) = pair();
    b.room = 0;
    let letter = a.letter(1, 0, 1, WHOLE, 2 * MS);
    b.refuses(&letter, 2 * MS, Verdict::LetterRefused);
    b.room = 1;
    assert_eq!(b.receive(&letter, 3 * MS).0, Verdict::LetterTaken);
}

#[test]
fn nothing_is_taken_for_an_agent_that_is_not_there() {
    let (mut a, mut b, _) = pair();
    let letter = a.letter(1, 0, 1, WHOLE, 2 * MS);
    b.tables.orders.lease_until.set(MS);
    b.refuses(&letter, 2 * MS, Verdict::LetterRefused);
    b.tables.orders.lease_until.set(u64::MAX);
    assert_eq!(b.receive(&letter, 2 * MS).0, Verdict::LetterTaken);
}

#[test]
fn letters_of_other_lives_are_stale() {
    let (mut a, mut b, _) = pair();
    let letter = a.letter(1, 0, 1, WHOLE, 2 * MS);
    for change in [|f: &mut Frame| f.set_session(0xa2), |f: &mut Frame| f.set_peer_session(0xb2)] {
        b.refuses(&resigned(letter, change), 2 * MS, Verdict::Stale);
    }
    let mut stranger = Node::new(2, 0xc1);
    let early = stranger.letter(1, 0, 1, WHOLE, 2 * MS);
    b.refuses(&early, 2 * MS, Verdict::Stale);

    // A new life counts from the beginning, and what was recorded of the one before is worthless.
    assert_eq!(b.receive(&letter, 2 * MS).0, Verdict::LetterTaken);
    let mut a = Node::new(0, 0xa2);
    ask(&mut b, &mut a, 0, 3 * MS);
    ask(&mut a, &mut b, 0, 3 * MS);
    let next = a.letter(1, 0, 1, WHOLE, 4 * MS);
    assert_eq!(b.receive(&next, 4 * MS).0, Verdict::LetterTaken);
    b.refuses(&letter, 4 * MS, Verdict::Stale);
}

#[test]
fn an_answer_of_another_life_or_to_no_letter_of_ours_counts_for_nothing() {
    let (mut a, mut b, _) = pair();
    let letter = a.letter(1, 0, 3, WHOLE, 2 * MS);
    let (_, answer) = b.receive(&letter, 2 * MS);
    let answer = answer.unwrap();
    for change in [|f: &mut Frame| f.set_session(0xb2), |f: &mut Frame| f.set_peer_session(0xa2)] {
        a.refuses(&resigned(answer, change), 3 * MS, Verdict::Stale);
    }
    for number in [0, 4, NUMBER_MAX + 3, u64::MAX] {
        a.refuses(&resigned(answer, |f| f.set_seq(number)), 3 * MS, Verdict::Replayed);
    }
    a.refuses(&letter, 3 * MS, Verdict::BadNode);
    b.refuses(&answer, 3 * MS, Verdict::BadNode);
    assert_eq!(a.facts_of(1).letter_taken.get(), 0);
    // Of the life before, it does not count for the next one.
    assert_eq!(a.receive(&answer, 3 * MS).0, Verdict::LetterAnswered);
    let mut b = Node::new(1, 0xb2);
    ask(&mut a, &mut b, 0, 4 * MS);
    assert_eq!(number_of(a.facts_of(1).letter_taken.get(), 0xb2), 0);
}

#[test]
fn numbers_that_cannot_be_are_replays() {
    let (mut a, mut b, _) = pair();
    let letter = a.letter(1, 0, 1, WHOLE, 2 * MS);
    for number in [0, NUMBER_MAX + 1, u64::MAX] {
        b.refuses(&resigned(letter, |f| f.set_seq(number)), 2 * MS, Verdict::Replayed);
    }
    assert_eq!(b.receive(&resigned(letter, |f| f.set_seq(NUMBER_MAX)), 2 * MS).0, Verdict::LetterTaken);
}

/// Who sends letters and nothing else falls silent: they answer no challenge and no probe.
#[test]
fn letters_and_answers_do_not_count_as_keepalives() {
    let (mut a, mut b, _) = pair();
    let letter = a.letter(1, 0, 1, WHOLE, 2 * MS);
    let before = [&a, &b].map(|node| node.tables.facts_but_counters());
    let (_, answer) = b.receive(&letter, 50 * MS);
    a.receive(&answer.unwrap(), 50 * MS);
    for word in [&b.facts_of(0).letter_seen, &a.facts_of(1).letter_taken] {
        assert_ne!(word.get(), 0);
        word.set(0);
    }
    assert!([&a, &b].map(|node| node.tables.facts_but_counters()) == before, "nothing else is noted");
    let link = &a.facts_of(1).links[0];
    assert_eq!((link.answered.get(), link.answered_count.get()), (1, 1));
}

#[test]
fn pieces_of_any_length_come_back() {
    let text: Vec<u8> = (0..=PIECE_MAX as u8).collect();
    for (len, first, last) in
        [(0, false, false), (1, true, false), (63, false, true), (PIECE_MAX, true, true)]
    {
        let mut frame = Frame { bytes: [0xff; 144] };
        let piece = Piece { text: &text[..len], first, last };
        frame.set_piece(piece);
        assert_eq!(frame.piece(), Some(piece));
        assert!(frame.bytes[48 + len..112].iter().all(|&byte| byte == 0), "nothing of before is left");
    }
    let mut frame = Frame::default();
    frame.set_piece(Piece { text: &text, first: true, last: true });
    assert_eq!(frame.piece().unwrap().text, &text[..PIECE_MAX], "cut");
    frame.set_page(PIECE_MAX as u8 + 1);
    assert_eq!(frame.piece(), None);
}

proptest! {
    #[test]
    fn a_changed_letter_changes_nothing(at in 0..144usize, mask in 1..=u8::MAX, taken in any::<bool>()) {
        let (mut a, mut b, _) = pair();
        let letter = a.letter(1, 0, 1, WHOLE, 2 * MS);
        let (node, mut frame) = if taken { (&mut a, b.receive(&letter, 2 * MS).1.unwrap()) } else { (&mut b, letter) };
        frame.bytes[at] ^= mask;
        let facts = node.tables.facts_but_counters();
        let (verdict, answer) = node.receive(&frame, 3 * MS);
        let refused = matches!(
            verdict,
            Verdict::BadFormat | Verdict::BadNode | Verdict::UnknownKey | Verdict::BadMac
        );
        prop_assert!(refused && answer.is_none() && node.letters.is_empty());
        prop_assert!(node.tables.facts_but_counters() == facts);
    }

    /// However a life's number lies beside another's in the word.
    #[test]
    fn a_number_counts_for_its_own_life(life: u64, other: u64, number in 1..=NUMBER_MAX) {
        prop_assert_eq!(number_of(word(life, number), life), number);
        prop_assert_eq!(number_of(word(life, number), other) == number, life as u32 == other as u32);
    }
}
