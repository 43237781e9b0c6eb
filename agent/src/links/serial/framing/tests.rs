use proptest::prelude::*;
use reflex::frame::Claim;
use reflex::layout::Key;
use reflex::mac::{self, Scratch};

use super::*;

/// A frame as one node sends it: `claims` groups, signed.
fn frame(seq: u64, claims: usize) -> Frame {
    let mut frame = Frame::default();
    frame.set_kind(reflex::Kind::Probe);
    frame.set_source(1);
    frame.set_session(0x0123_4567_89ab_cdef);
    frame.set_peer_session(0xfedc_ba98_7654_3210);
    frame.set_seq(seq);
    frame.set_at(123_456_789_012_345);
    frame.set_config(0xdead_beef);
    frame.set_hears(3);
    frame.set_status(3);
    for i in 0..claims {
        frame.set_claim(i, Claim { epoch: 7, state: 1, flags: 1, heir: 2, reason: 0, ..Claim::default() });
    }
    let key = Key::new(mac::SHA1, b"PutYourSuperSecretKeyHere").unwrap();
    mac::sign(&key, &mut frame, &mut Scratch::default());
    frame
}

fn decoded(decoder: &mut Decoder, bytes: &[u8]) -> Vec<Frame> {
    decoder.push(bytes).collect()
}

#[test]
fn a_frame_comes_back_whole_and_small() {
    for claims in 0..=8 {
        let frame = frame(4711, claims);
        let encoded = encode(&frame);
        let bytes = encoded.bytes();
        assert_eq!(decoded(&mut Decoder::default(), bytes), [frame]);
        assert!(bytes.len() <= encoded_bound(claims, 20), "{claims}: {}", bytes.len());
        let (first, last) = (bytes[0], bytes[bytes.len() - 1]);
        assert_eq!((first, last), (0, 0));
        assert!(bytes[1..bytes.len() - 1].iter().all(|&byte| byte != 0), "one piece");
    }
    assert!(encode(&frame(4711, 1)).bytes().len() < 85, "{}", encode(&frame(4711, 1)).bytes().len());
}

#[test]
fn the_emptiest_and_the_fullest_frame() {
    for byte in [0, 1, 0xff] {
        let frame = Frame { bytes: [byte; FRAME_LEN] };
        let encoded = encode(&frame);
        assert_eq!(decoded(&mut Decoder::default(), encoded.bytes()), [frame]);
    }
    assert_eq!(encode(&Frame { bytes: [0xff; FRAME_LEN] }).bytes().len(), ENCODED_MAX);
    assert_eq!(encoded_bound(8, 32), ENCODED_MAX);
}

#[test]
fn a_broken_frame_is_counted_and_the_next_one_heard() {
    let (first, second) = (frame(1, 1), frame(2, 1));
    let whole = encode(&first).bytes().to_vec();
    for i in 1..whole.len() - 1 {
        let mut lost = whole.clone();
        lost.remove(i);
        let mut changed = whole.clone();
        changed[i] = if changed[i] == 0x55 { 0xaa } else { 0x55 };
        let mut doubled = whole.clone();
        doubled.insert(i, 0x55);
        let cut = whole[..i].to_vec();
        for (name, mut line) in [("lost", lost), ("changed", changed), ("doubled", doubled), ("cut", cut)] {
            line.extend(encode(&second).bytes());
            let mut decoder = Decoder::default();
            assert_eq!(decoded(&mut decoder, &line), [second], "{name} at {i}");
            assert_eq!(decoder.broken, u64::from(name != "cut" || i > 1), "{name} at {i}");
        }
    }
}

#[test]
fn what_is_longer_than_a_frame_takes_no_room_and_no_frame() {
    let mut decoder = Decoder::default();
    let endless = vec![0x55; 1 << 20];
    assert_eq!(decoded(&mut decoder, &endless), []);
    assert_eq!(decoder.broken, 0, "it has not ended");
    assert_eq!(decoded(&mut decoder, encode(&frame(1, 1)).bytes()), [frame(1, 1)]);
    assert_eq!(decoder.broken, 1);
}

#[test]
fn a_packed_frame_that_says_more_than_a_frame_holds_is_none() {
    for packed in [&[0, 18][..], &[0, 255], &[0], &[1], &[0xff, 1, 2, 3], &[1; 2 * WORDS + 2]] {
        assert_eq!(unpack(packed), None, "{packed:?}");
    }
    assert_eq!(unpack(&[0, 17]), Some(Frame::default()));
    assert_eq!(unpack(&[]), Some(Frame::default()));
}

#[test]
fn a_line_that_is_opened_anew_forgets_what_it_heard_of_a_frame() {
    let mut decoder = Decoder::default();
    assert_eq!(decoded(&mut decoder, b"half a fra"), []);
    decoder.restart();
    assert_eq!(decoded(&mut decoder, &encode(&frame(1, 1)).bytes()[1..]), [frame(1, 1)]);
    assert_eq!(decoder.broken, 0);
}

fn any_frame() -> impl Strategy<Value = Frame> {
    // Mostly zeros, as real frames are, or anything.
    let byte = prop_oneof![3 => Just(0u8), 2 => any::<u8>()];
    prop_oneof![prop::collection::vec(byte, FRAME_LEN), prop::collection::vec(any::<u8>(), FRAME_LEN)]
        .prop_map(|bytes| Frame { bytes: bytes.try_into().unwrap() })
}

proptest! {
    /// In pieces of any size, with any noise between them, every frame arrives, in order, and nothing else.
    #[test]
    fn garbage_between_frames_loses_no_frame(
        frames in prop::collection::vec((any_frame(), prop::collection::vec(any::<u8>(), 0..300)), 1..6),
        cuts in prop::collection::vec(1usize..200, 1..40),
    ) {
        let mut line = Vec::new();
        for (frame, noise) in &frames {
            line.extend(noise);
            line.extend(encode(frame).bytes());
        }
        let mut decoder = Decoder::default();
        let (mut heard, mut rest) = (Vec::new(), &line[..]);
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            heard.extend(decoder.push(piece));
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        let sent: Vec<Frame> = frames.into_iter().map(|(frame, _)| frame).collect();
        prop_assert_eq!(heard, sent);
    }

    /// Bytes, whatever they are, panic nothing and are no frame without its CRC.
    #[test]
    fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let mut decoder = Decoder::default();
        prop_assert_eq!(decoder.push(&bytes).count(), 0);
    }

    /// The same with a CRC that is right: the unpacking meets what it likes.
    #[test]
    fn any_packed_bytes_are_taken(mut body in prop::collection::vec(any::<u8>(), 0..200)) {
        body.extend(CRC.checksum(&body).to_be_bytes());
        let mut stuffed = vec![0; cobs::max_encoding_length(body.len())];
        let len = cobs::encode(&body, &mut stuffed);
        let mut line = vec![0];
        line.extend(&stuffed[..len]);
        line.push(0);
        let mut decoder = Decoder::default();
        for frame in decoded(&mut decoder, &line) {
            prop_assert_eq!(decoded(&mut decoder, encode(&frame).bytes()), [frame]);
        }
    }
}
