//! Bytes from a serial line: what is a frame in them, and what is not.

use reflex::frame::{FRAME_LEN, Frame};
use xbeat::links::serial::framing::{Decoder, ENCODED_MAX, encode};

/// Between two delimiters, at most.
const PIECE_MAX: usize = ENCODED_MAX - 2;

const _: () = assert!(size_of::<Decoder>() <= 2 * FRAME_LEN, "its memory is one frame");

/// The same bytes three times: as they came off the line; as a frame that is sent; as what a sender packed, with the right
/// check, so that what is behind it is reached.
pub fn check(bytes: &[u8]) {
    heard(bytes);
    sent(bytes);
    let mut line = vec![0];
    for packed in bytes.chunks(PIECE_MAX - 8) {
        line.extend(stuffed(&[packed, &crc(packed).to_be_bytes()].concat()));
        line.push(0);
    }
    heard(&line);
}

fn heard(line: &[u8]) {
    let (frames, broken) = in_pieces(line, line.len().max(1));
    // However it is cut.
    let some = usize::from(line.first().copied().unwrap_or(0) % 64) + 1;
    for size in [1, some] {
        assert_eq!(in_pieces(line, size), (frames.clone(), broken), "in pieces of {size}");
    }
    // Every piece that ended is a frame or counted, and a frame has its check.
    let mut pieces: Vec<&[u8]> = line.split(|&byte| byte == 0).collect();
    pieces.pop();
    pieces.retain(|piece| !piece.is_empty());
    assert_eq!(frames.len() as u64 + broken, pieces.len() as u64);
    let sound = pieces.iter().filter(|piece| is_sound(piece)).count();
    assert!(frames.len() <= sound, "{} frames in {sound} pieces whose check holds", frames.len());
    for frame in frames {
        sent(&frame.bytes);
    }
    // Whatever it was, the next frame is heard.
    let good = Frame { bytes: [0x5a; FRAME_LEN] };
    let after = [line, encode(&good).bytes()].concat();
    assert_eq!(in_pieces(&after, after.len()).0.last(), Some(&good));
}

/// What is sent comes back, in one piece and no longer than is said.
fn sent(bytes: &[u8]) {
    let mut frame = Frame::default();
    let len = bytes.len().min(FRAME_LEN);
    frame.bytes[..len].copy_from_slice(&bytes[..len]);
    let encoded = encode(&frame);
    let line = encoded.bytes();
    assert!(line.len() <= ENCODED_MAX);
    assert!(
        line[1..line.len() - 1].iter().all(|&byte| byte != 0) && (line[0], line[line.len() - 1]) == (0, 0)
    );
    assert_eq!(in_pieces(line, line.len()), (vec![frame], 0));
}

fn in_pieces(line: &[u8], size: usize) -> (Vec<Frame>, u64) {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    for piece in line.chunks(size) {
        frames.extend(decoder.push(piece));
    }
    (frames, decoder.broken)
}

/// Whether a piece is COBS of something that ends with its CRC: written anew, not with the crates that the agent uses.
fn is_sound(piece: &[u8]) -> bool {
    let (mut body, mut rest) = (Vec::new(), piece);
    while let Some((&code, after)) = rest.split_first() {
        let Some((run, next)) = after.split_at_checked(usize::from(code) - 1) else { return false };
        body.extend(run);
        if code != 0xff && !next.is_empty() {
            body.push(0);
        }
        rest = next;
    }
    let check = body.split_last_chunk::<4>();
    check.is_some_and(|(packed, check)| crc(packed).to_be_bytes() == *check)
}

/// COBS (Cheshire, Baker 1999), without delimiters.
fn stuffed(body: &[u8]) -> Vec<u8> {
    let mut line = Vec::new();
    for run in body.split(|&byte| byte == 0) {
        let mut blocks = run.chunks(254).peekable();
        if blocks.peek().is_none() {
            line.push(1);
        }
        while let Some(block) = blocks.next() {
            line.push(block.len() as u8 + 1);
            line.extend(block);
            if blocks.peek().is_none() && block.len() == 254 {
                // A full block stands for no zero.
                line.push(1);
            }
        }
    }
    line
}

/// CRC-32C (RFC 3720, B.4), bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0x82f6_3b78 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}
