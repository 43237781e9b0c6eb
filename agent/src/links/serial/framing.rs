//! Frames on a line that carries bytes, loses some and adds others. Pure: no device, no clock, no allocation.
//!
//! ```text
//!   0 | COBS( packed frame | CRC-32C of it, big-endian ) | 0
//! ```
//!
//! - **COBS** leaves no zero byte between the delimiters, so the next one always ends what was broken. There is one on
//!   either side: noise between two frames spoils neither.
//! - **CRC** tells garbage, which a cable makes by itself, from forgery, which only somebody makes: what passes it is
//!   a frame, and the reflex judges it.
//! - **Packed**: of each word of eight bytes a tag, whose bits say which bytes are not zero, then those bytes. A tag of zero
//!   is followed by the number of further zero words; zero words at the end are left out. The receiver has all 144 bytes
//!   again before the MAC is looked at. With one group and SHA-1 about 75 bytes are left.

use crc::{CRC_32_ISCSI, Crc};
use reflex::frame::{FRAME_LEN, Frame};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
const CRC_LEN: usize = 4;

const WORD: usize = 8;
const WORDS: usize = FRAME_LEN / WORD;

/// Bytes of a packed frame without a zero byte in it: a tag per word.
const PACKED_MAX: usize = WORDS * (1 + WORD);
/// Bytes between two delimiters, at most. One byte of COBS is enough up to 254.
const STUFFED_MAX: usize = PACKED_MAX + CRC_LEN + 1;
/// Bytes of a frame on the line, at most.
pub const ENCODED_MAX: usize = STUFFED_MAX + 2;

const _: () = assert!(PACKED_MAX + CRC_LEN <= 254 && FRAME_LEN.is_multiple_of(WORD));

/// A frame as it goes over the line.
#[derive(Clone, Copy, Debug)]
pub struct Encoded {
    bytes: [u8; ENCODED_MAX],
    len: usize,
}

impl Encoded {
    /// The bytes, delimiters included.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The bytes of a frame for the line.
#[must_use]
pub fn encode(frame: &Frame) -> Encoded {
    let mut body = [0; PACKED_MAX + CRC_LEN];
    let packed = pack(frame, &mut body);
    let crc = CRC.checksum(&body[..packed]).to_be_bytes();
    body[packed..packed + CRC_LEN].copy_from_slice(&crc);
    // The delimiters are there already: everything is zero.
    let mut bytes = [0; ENCODED_MAX];
    let stuffed = cobs::encode(&body[..packed + CRC_LEN], &mut bytes[1..=STUFFED_MAX]);
    Encoded { bytes, len: stuffed + 2 }
}

/// Writes the packed frame to the beginning of `out`; its length.
fn pack(frame: &Frame, out: &mut [u8; PACKED_MAX + CRC_LEN]) -> usize {
    let end = frame.bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last / WORD + 1);
    let mut len = 0;
    let mut push = |byte: u8| {
        out[len] = byte;
        len += 1;
    };
    let mut words = frame.bytes.chunks_exact(WORD).take(end).peekable();
    while let Some(word) = words.next() {
        let tag = word.iter().rev().fold(0, |tag, &byte| tag << 1 | u8::from(byte != 0));
        push(tag);
        word.iter().filter(|&&byte| byte != 0).for_each(|&byte| push(byte));
        if tag == 0 {
            let mut more = 0;
            while words.next_if(|word| word.iter().all(|&byte| byte == 0)).is_some() {
                more += 1;
            }
            push(more);
        }
    }
    len
}

/// The frame that was packed; none if these bytes are no packed frame.
fn unpack(mut packed: &[u8]) -> Option<Frame> {
    let mut frame = Frame::default();
    let mut words = frame.bytes.chunks_exact_mut(WORD);
    while let Some((&tag, rest)) = packed.split_first() {
        packed = rest;
        let word = words.next()?;
        for (i, byte) in word.iter_mut().enumerate() {
            if tag & 1 << i != 0 {
                (*byte, packed) = packed.split_first().map(|(&byte, rest)| (byte, rest))?;
            }
        }
        if tag == 0 {
            let (&more, rest) = packed.split_first()?;
            packed = rest;
            for _ in 0..more {
                words.next()?;
            }
        }
    }
    Some(frame)
}

/// Finds the frames in what arrives, in pieces of any size. Its memory is one frame.
#[derive(Debug)]
pub struct Decoder {
    /// What came since the last delimiter.
    piece: [u8; STUFFED_MAX],
    /// Its length; more than there is room for: it is no frame, the rest of it is not kept.
    len: usize,
    /// Pieces between two delimiters that are no frame: noise, or a frame that lost or gained something.
    pub broken: u64,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { piece: [0; STUFFED_MAX], len: 0, broken: 0 }
    }
}

impl Decoder {
    /// Takes `bytes` as they came, and gives the frames that they complete. What is not asked of the iterator is not
    /// taken.
    pub fn push<'a>(&'a mut self, bytes: &'a [u8]) -> impl Iterator<Item = Frame> + 'a {
        bytes.iter().filter_map(|&byte| self.push_byte(byte))
    }

    /// Takes one byte; the frame that it completes.
    fn push_byte(&mut self, byte: u8) -> Option<Frame> {
        if byte != 0 {
            if let Some(place) = self.piece.get_mut(self.len) {
                *place = byte;
            }
            self.len = self.len.saturating_add(1);
            return None;
        }
        let len = std::mem::take(&mut self.len);
        if len == 0 {
            return None;
        }
        let frame = self.piece.get(..len).and_then(decode);
        if frame.is_none() {
            self.broken = self.broken.saturating_add(1);
        }
        frame
    }

    /// Forgets what has come of a frame: the line was opened anew.
    pub fn restart(&mut self) {
        self.len = 0;
    }
}

/// The frame between two delimiters.
fn decode(stuffed: &[u8]) -> Option<Frame> {
    let mut body = [0; STUFFED_MAX];
    let len = cobs::decode(stuffed, &mut body).ok()?.frame_size();
    let (packed, crc) = body.get(..len)?.split_last_chunk::<CRC_LEN>()?;
    if CRC.checksum(packed).to_be_bytes() != *crc {
        return None;
    }
    unpack(packed)
}

/// Bytes on the line, at most, of a frame about `groups` groups whose MAC has `mac_len` bytes: what the line must carry.
#[must_use]
pub fn encoded_bound(groups: usize, mac_len: usize) -> usize {
    use reflex::CLAIMS_PER_FRAME;
    use reflex::frame::SIGNED_LEN;
    let head = SIGNED_LEN / WORD - CLAIMS_PER_FRAME;
    let claims = groups.min(CLAIMS_PER_FRAME);
    // A run of zero words takes two bytes, whatever its length.
    let zero_claims = if claims < CLAIMS_PER_FRAME { 2 } else { 0 };
    let mac = mac_len.div_ceil(WORD) + mac_len;
    ((head + claims) * (1 + WORD) + zero_claims + mac + CRC_LEN + 1 + 2).min(ENCODED_MAX)
}

#[cfg(test)]
mod tests;
