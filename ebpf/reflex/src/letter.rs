//! Letters: what programs write to one another, carried in pieces by frames of their own.
//!
//! A letter has a piece of text where other frames have claims, and says what it is of its message where those have status and
//! page. Its sender repeats it until the receiving kernel says *taken*, and sends the next one only then; so the kernel knows a
//! letter that it has taken by its number.
//!
//! Letters say nothing of a node: neither that it lives nor what it holds. Nothing here touches what the watch, the
//! challenges and the gates go by.

use crate::frame::{Frame, Kind};
use crate::layout::{Facts, Orders, at};
use crate::mac;
use crate::node::{Desk, event};
use crate::verdict::{EventKind, Sink, Verdict};
use crate::{CLAIMS_PER_FRAME, Claim, gate};

/// Bytes of text in a letter, at most: all the room that claims have.
pub const PIECE_MAX: usize = CLAIMS_PER_FRAME * 8;

/// Highest number of a letter: it shares a word of the facts with the life that it is of.
pub const NUMBER_MAX: u64 = u32::MAX as u64;

const TEXT_AT: usize = 48;
const FIRST: u8 = 1;
const LAST: u8 = 2;

/// A piece of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Its text, at most [`PIECE_MAX`] bytes.
    pub text: &'a [u8],
    /// The message begins with it.
    pub first: bool,
    /// The message ends with it.
    pub last: bool,
}

impl Frame {
    /// The piece in a letter; none where its length cannot be.
    #[must_use]
    pub fn piece(&self) -> Option<Piece<'_>> {
        let text = self.bytes[TEXT_AT..TEXT_AT + PIECE_MAX].get(..usize::from(self.page()))?;
        let flags = self.status();
        Some(Piece { text, first: flags & FIRST != 0, last: flags & LAST != 0 })
    }

    /// Writes a piece; what is longer than [`PIECE_MAX`] is cut.
    pub fn set_piece(&mut self, piece: Piece<'_>) {
        let room = &mut self.bytes[TEXT_AT..TEXT_AT + PIECE_MAX];
        room.fill(0);
        let mut len = 0;
        for (to, from) in room.iter_mut().zip(piece.text) {
            *to = *from;
            len += 1;
        }
        self.set_page(len);
        self.set_status(if piece.first { FIRST } else { 0 } | if piece.last { LAST } else { 0 });
    }
}

/// What is particular to one letter.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// Node that it goes to.
    pub to: u8,
    /// Link that it goes by.
    pub link: u8,
    /// Its number: of all letters of this life, to whomever, from 1 to [`NUMBER_MAX`]. A node gets them in rising order.
    pub number: u64,
    /// What it carries.
    pub piece: Piece<'a>,
    /// Now (monotonic clock, ns).
    pub now: u64,
}

/// Writes a letter onto the desk, signed.
pub fn make_letter(orders: &Orders, facts: &Facts, desk: &mut Desk, letter: &Letter<'_>) {
    desk.now = letter.now;
    desk.frame = Frame::default();
    desk.frame.set_destination(letter.to);
    desk.frame.set_link(letter.link);
    desk.frame.set_seq(letter.number);
    desk.frame.set_peer_session(at!(facts.nodes, letter.to).session.get());
    desk.frame.set_piece(letter.piece);
    finish(orders, desk, Kind::Letter);
}

/// A letter: taken if it is of the life that we know, for this life of ours, and newer than the last one; answered then, and
/// whenever it comes again.
///
/// Two CPUs may take the same one at the same moment, or store their numbers in the wrong order. So a letter may be handed over
/// twice, and the agent looks at the number, too; none is ever answered that was not handed over.
#[inline(never)]
pub(crate) fn on_letter<S: Sink>(orders: &Orders, facts: &Facts, desk: &mut Desk, sink: &mut S) -> Verdict {
    let seen = &at!(facts.nodes, desk.frame.source()).letter_seen;
    if !is_of_these_lives(orders, facts, desk) {
        return Verdict::Stale;
    }
    let (life, number) = (desk.frame.session(), desk.frame.seq());
    if number == 0 || number > NUMBER_MAX {
        return Verdict::Replayed;
    }
    // Nobody would read it.
    if !gate::lease_valid(orders, facts, desk.now) {
        return Verdict::LetterRefused;
    }
    let is_new = number > number_of(seen.get(), life);
    if is_new {
        if !sink.letter(&desk.frame) {
            return Verdict::LetterRefused;
        }
        seen.set(word(life, number));
    }
    make_taken(orders, desk);
    if is_new { Verdict::LetterTaken } else { Verdict::LetterAgain }
}

/// An answer to a letter of ours.
#[inline(always)]
pub(crate) fn on_taken<S: Sink>(orders: &Orders, facts: &Facts, desk: &Desk, sink: &mut S) -> Verdict {
    let source = desk.frame.source();
    let taken = &at!(facts.nodes, source).letter_taken;
    if !is_of_these_lives(orders, facts, desk) {
        return Verdict::Stale;
    }
    let (life, number) = (desk.frame.session(), desk.frame.seq());
    if number == 0 || number > orders.letters.get() || number > NUMBER_MAX {
        return Verdict::Replayed;
    }
    // By each link there may be one: the others are no news.
    if number > number_of(taken.get(), life) {
        taken.set(word(life, number));
        sink.emit(event(EventKind::LetterAnswered, source, desk.now));
    }
    Verdict::LetterAnswered
}

/// Whether the frame is from the admitted life of its source and for this life of ours: no recording of an earlier one is.
#[inline(always)]
fn is_of_these_lives(orders: &Orders, facts: &Facts, desk: &Desk) -> bool {
    at!(facts.nodes, desk.frame.source()).session.get() == desk.frame.session()
        && desk.frame.peer_session() == orders.session.get()
}

/// Turns the letter on the desk into its answer, signed. Number and link stay.
#[inline(always)]
fn make_taken(orders: &Orders, desk: &mut Desk) {
    let (to, life) = (desk.frame.source(), desk.frame.session());
    desk.frame.set_destination(to);
    desk.frame.set_peer_session(life);
    desk.frame.set_status(0);
    desk.frame.set_page(0);
    for i in 0..CLAIMS_PER_FRAME {
        desk.frame.set_claim(i, Claim::default());
    }
    finish(orders, desk, Kind::Taken);
}

/// Writes what both have, and signs it.
#[inline(always)]
fn finish(orders: &Orders, desk: &mut Desk, kind: Kind) {
    let now = desk.now;
    desk.frame.set_kind(kind);
    desk.frame.set_source(orders.own.get() as u8);
    desk.frame.set_session(orders.session.get());
    desk.frame.set_at(now);
    desk.frame.set_config(0);
    desk.frame.set_hears(0);
    let number = orders.key_current.get();
    desk.frame.set_key(number as u8);
    mac::sign(orders.signing_key(number), &mut desk.frame, &mut desk.scratch);
}

/// A number with the life that it is of, as one word: what is left of an earlier life counts for nothing without being cleared.
#[inline(always)]
const fn word(life: u64, number: u64) -> u64 {
    life << 32 | number & NUMBER_MAX
}

/// The number in such a word, if it is of that life; else 0.
#[inline(always)]
#[must_use]
pub const fn number_of(word: u64, life: u64) -> u64 {
    if (word ^ life << 32) >> 32 == 0 { word & NUMBER_MAX } else { 0 }
}

#[cfg(test)]
mod tests;
