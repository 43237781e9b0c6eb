//! Message authentication: HMAC-SHA1, HMAC-SHA256 and, for old keys, HMAC-MD5 (RFC 2104, FIPS 180-4, RFC 1321) over the
//! signed part of a frame.
//!
//! Own code because the kernel needs it: the usual crates' 80-word schedule breaks the 512 bytes of stack
//! that a BPF program has. The schedule here is 16 words that roll, and all state lies in a [`Scratch`]
//! that is a per-CPU map value there. The tests compare it with the `sha1`, `sha2`, `md-5` and `hmac` crates.
//!
//! MD5 counts bytes from the other end. Blocks and states are kept as for the others, in the order in which the bytes stand, and
//! its block function alone turns them round.

use crate::frame::{Frame, SIGNED_LEN};
use crate::layout::Key;
use crate::word::Word;

/// [`Key::method`]: HMAC-SHA1, 20 bytes.
pub const SHA1: u32 = 1;
/// [`Key::method`]: HMAC-SHA256, 32 bytes.
pub const SHA256: u32 = 2;
/// [`Key::method`]: HMAC-MD5, 16 bytes.
pub const MD5: u32 = 3;

/// Bytes of the longest MAC.
pub const MAC_LEN: usize = 32;
const BLOCK_LEN: usize = 64;

/// Work space of one computation.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Scratch {
    /// The message schedule: 16 words that roll.
    w: [u32; 16],
    /// The running state, in the end the digest.
    h: [u32; 8],
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTooLong;

impl Key {
    /// Prepares a key for use. `secret` is at most one block (64 bytes); a longer one is to be hashed by
    /// the caller first, as RFC 2104 says.
    ///
    /// # Errors
    /// When `secret` is longer.
    pub fn new(method: u32, secret: &[u8]) -> Result<Self, KeyTooLong> {
        if secret.len() > BLOCK_LEN {
            return Err(KeyTooLong);
        }
        let mut block = [0u8; BLOCK_LEN];
        block[..secret.len()].copy_from_slice(secret);
        let mut scratch = Scratch::default();
        let mut state = |pad: u8| {
            for (word, bytes) in scratch.w.iter_mut().zip(block.chunks_exact(4)) {
                *word = u32::from_be_bytes([bytes[0] ^ pad, bytes[1] ^ pad, bytes[2] ^ pad, bytes[3] ^ pad]);
            }
            scratch.h = start(method);
            compress(method, &mut scratch);
            scratch.h
        };
        Ok(Self {
            method: Word::new(u64::from(method)),
            inner: packed(state(0x36)),
            outer: packed(state(0x5c)),
        })
    }
}

#[cfg(not(target_arch = "bpf"))]
impl Key {
    fn words(&self) -> impl Iterator<Item = &Word> {
        core::iter::once(&self.method).chain(&self.inner).chain(&self.outer)
    }

    /// Takes over another key's content. Nobody may use this one meanwhile.
    pub(crate) fn copy_from(&self, other: &Self) {
        self.words().zip(other.words()).for_each(|(word, other)| word.set(other.get()));
    }
}

#[cfg(not(target_arch = "bpf"))]
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.words().zip(other.words()).all(|(word, other)| word.get() == other.get())
    }
}

/// Whether the frame carries the MAC that `key` makes.
#[inline(always)]
pub fn verify(key: &Key, frame: &Frame, scratch: &mut Scratch) -> bool {
    let method = compute(key, frame, scratch);
    let mut difference = 0u32;
    for i in 0..MAC_LEN / 4 {
        difference |= mac_word(frame, i) ^ digest_word(method, scratch, i);
    }
    difference == 0
}

/// Writes the MAC that `key` makes into the frame.
#[inline(always)]
pub fn sign(key: &Key, frame: &mut Frame, scratch: &mut Scratch) {
    let method = compute(key, frame, scratch);
    for i in 0..MAC_LEN / 4 {
        let bytes = digest_word(method, scratch, i).to_be_bytes();
        frame.bytes[SIGNED_LEN + i * 4..SIGNED_LEN + i * 4 + 4].copy_from_slice(&bytes);
    }
}

#[inline(always)]
fn mac_word(frame: &Frame, i: usize) -> u32 {
    let at = SIGNED_LEN + i * 4;
    let b = &frame.bytes;
    u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

/// Word `i` of the MAC: the digest, then zeros up to [`MAC_LEN`].
#[inline(always)]
fn digest_word(method: u32, scratch: &Scratch, i: usize) -> u32 {
    if i >= digest_words(method) { 0 } else { scratch.h[i] }
}

/// Words of a digest.
#[inline(always)]
fn digest_words(method: u32) -> usize {
    match method {
        MD5 => 4,
        SHA1 => 5,
        _ => 8,
    }
}

/// The state that every digest begins with.
fn start(method: u32) -> [u32; 8] {
    match method {
        MD5 => MD5_START,
        SHA1 => SHA1_START,
        _ => SHA256_START,
    }
}

/// Ends the last block with the length of all, in bits.
#[inline(always)]
fn end(method: u32, scratch: &mut Scratch, bytes: usize) {
    let bits = (bytes * 8) as u32;
    (scratch.w[14], scratch.w[15]) = if method == MD5 { (bits.swap_bytes(), 0) } else { (0, bits) };
}

/// HMAC over the signed part: two inner blocks, one outer. The digest is left in `scratch.h`. Returns the method.
///
/// The method is read anew for every step: a verifier that knew it from one step to the next would follow each method by
/// itself through all that comes after, and with three of them it gives up.
#[inline(never)]
fn compute(key: &Key, frame: &Frame, scratch: &mut Scratch) -> u32 {
    let method = || key.method.get() as u32;
    unpack(&key.inner, scratch);
    load(frame, 0, scratch);
    compress(method(), scratch);

    // The second block: 48 bytes of the frame, the end mark, and the length with the key block, in bits.
    load(frame, BLOCK_LEN, scratch);
    scratch.w[12] = 0x8000_0000;
    scratch.w[13] = 0;
    end(method(), scratch, BLOCK_LEN + SIGNED_LEN);
    compress(method(), scratch);

    let words = digest_words(method());
    for i in 0..16 {
        scratch.w[i] = if i < words { scratch.h[i & 7] } else { 0 };
    }
    scratch.w[words] = 0x8000_0000;
    end(method(), scratch, BLOCK_LEN + words * 4);
    unpack(&key.outer, scratch);
    compress(method(), scratch);
    method()
}

/// A state as a key holds it.
fn packed(state: [u32; 8]) -> [Word; 4] {
    core::array::from_fn(|i| Word::new(u64::from(state[2 * i]) | u64::from(state[2 * i + 1]) << 32))
}

/// Begins with a key's state.
#[inline(always)]
fn unpack(state: &[Word; 4], scratch: &mut Scratch) {
    for (i, word) in state.iter().enumerate() {
        let word = word.get();
        scratch.h[2 * i] = word as u32;
        scratch.h[2 * i + 1] = (word >> 32) as u32;
    }
}

/// Loads up to a block of the signed part, from byte `from`, into the schedule.
#[inline(always)]
fn load(frame: &Frame, from: usize, scratch: &mut Scratch) {
    let words = if from == 0 { 16 } else { (SIGNED_LEN - BLOCK_LEN) / 4 };
    for i in 0..words {
        let at = from + i * 4;
        let b = &frame.bytes;
        scratch.w[i] = u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
    }
}

#[inline(always)]
fn compress(method: u32, scratch: &mut Scratch) {
    match method {
        MD5 => md5_block(scratch),
        SHA1 => sha1_block(scratch),
        _ => sha256_block(scratch),
    }
}

const SHA1_START: [u32; 8] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0, 0, 0, 0];
/// RFC 1321, 3.3; as the bytes of the digest stand.
const MD5_START: [u32; 8] = [0x0123_4567, 0x89ab_cdef, 0xfedc_ba98, 0x7654_3210, 0, 0, 0, 0];
const SHA256_START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// One block of SHA-1 (FIPS 180-4, 6.1.3, the variant with a 16-word schedule).
#[inline(never)]
fn sha1_block(scratch: &mut Scratch) {
    let [a, b, c, d, e, ..] = scratch.h;
    let s = [a, b, c, d, e];
    let w = &mut scratch.w;
    let s = sha1_rounds(w, s, 0, 0x5a82_7999, |b, c, d| d ^ (b & (c ^ d)));
    let s = sha1_rounds(w, s, 20, 0x6ed9_eba1, |b, c, d| b ^ c ^ d);
    let s = sha1_rounds(w, s, 40, 0x8f1b_bcdc, |b, c, d| (b & c) | (d & (b | c)));
    let s = sha1_rounds(w, s, 60, 0xca62_c1d6, |b, c, d| b ^ c ^ d);
    for (word, add) in scratch.h.iter_mut().zip(s) {
        *word = word.wrapping_add(add);
    }
}

/// Twenty rounds of SHA-1 with the same function and constant, from round `from`. Five at a time, after which every
/// variable is back in its place: in between they change roles instead of being moved.
#[inline(always)]
fn sha1_rounds(
    w: &mut [u32; 16],
    [mut a, mut b, mut c, mut d, mut e]: [u32; 5],
    from: usize,
    k: u32,
    f: impl Fn(u32, u32, u32) -> u32,
) -> [u32; 5] {
    let round = |w: &mut [u32; 16], t: usize, a: u32, b: &mut u32, c: u32, d: u32, e: &mut u32| {
        if t >= 16 {
            let mixed = w[(t + 13) & 15] ^ w[(t + 8) & 15] ^ w[(t + 2) & 15] ^ w[t & 15];
            w[t & 15] = mixed.rotate_left(1);
        }
        *e = e
            .wrapping_add(a.rotate_left(5))
            .wrapping_add(f(*b, c, d))
            .wrapping_add(k)
            .wrapping_add(w[t & 15]);
        *b = b.rotate_left(30);
    };
    for i in 0..4 {
        let t = from + i * 5;
        round(w, t, a, &mut b, c, d, &mut e);
        round(w, t + 1, e, &mut a, b, c, &mut d);
        round(w, t + 2, d, &mut e, a, b, &mut c);
        round(w, t + 3, c, &mut d, e, a, &mut b);
        round(w, t + 4, b, &mut c, d, e, &mut a);
    }
    [a, b, c, d, e]
}

/// One block of SHA-256 (FIPS 180-4, 6.2.2). Eight rounds at a time, as in [`sha1_rounds`].
#[inline(never)]
fn sha256_block(scratch: &mut Scratch) {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = scratch.h;
    let w = &mut scratch.w;
    for i in 0..8 {
        let t = i * 8;
        sha256_round(w, t, [a, b, c, e, f, g], &mut d, &mut h);
        sha256_round(w, t + 1, [h, a, b, d, e, f], &mut c, &mut g);
        sha256_round(w, t + 2, [g, h, a, c, d, e], &mut b, &mut f);
        sha256_round(w, t + 3, [f, g, h, b, c, d], &mut a, &mut e);
        sha256_round(w, t + 4, [e, f, g, a, b, c], &mut h, &mut d);
        sha256_round(w, t + 5, [d, e, f, h, a, b], &mut g, &mut c);
        sha256_round(w, t + 6, [c, d, e, g, h, a], &mut f, &mut b);
        sha256_round(w, t + 7, [b, c, d, f, g, h], &mut e, &mut a);
    }
    for (word, add) in scratch.h.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(add);
    }
}

/// Round `t`: changes the two variables that a round changes, in place.
#[inline(always)]
fn sha256_round(w: &mut [u32; 16], t: usize, [a, b, c, e, f, g]: [u32; 6], d: &mut u32, h: &mut u32) {
    if t >= 16 {
        let (w1, w0) = (w[(t + 14) & 15], w[(t + 1) & 15]);
        let s1 = w1.rotate_right(17) ^ w1.rotate_right(19) ^ (w1 >> 10);
        let s0 = w0.rotate_right(7) ^ w0.rotate_right(18) ^ (w0 >> 3);
        w[t & 15] = w[t & 15].wrapping_add(s0).wrapping_add(w[(t + 9) & 15]).wrapping_add(s1);
    }
    let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
    let choice = g ^ (e & (f ^ g));
    let t1 =
        h.wrapping_add(s1).wrapping_add(choice).wrapping_add(SHA256_ROUNDS[t & 63]).wrapping_add(w[t & 15]);
    let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
    let majority = (a & b) | (c & (a | b));
    *d = d.wrapping_add(t1);
    *h = t1.wrapping_add(s0).wrapping_add(majority);
}

#[rustfmt::skip]
static SHA256_ROUNDS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// One block of MD5 (RFC 1321, 3.4). Four rounds at a time, as in [`sha1_rounds`].
#[inline(never)]
fn md5_block(scratch: &mut Scratch) {
    let w = &scratch.w;
    let [a, b, c, d, ..] = scratch.h;
    let s = [a.swap_bytes(), b.swap_bytes(), c.swap_bytes(), d.swap_bytes()];
    let s = md5_rounds(w, s, 0, (1, 0), [7, 12, 17, 22], |b, c, d| d ^ (b & (c ^ d)));
    let s = md5_rounds(w, s, 16, (5, 1), [5, 9, 14, 20], |b, c, d| c ^ (d & (b ^ c)));
    let s = md5_rounds(w, s, 32, (3, 5), [4, 11, 16, 23], |b, c, d| b ^ c ^ d);
    let s = md5_rounds(w, s, 48, (7, 0), [6, 10, 15, 21], |b, c, d| c ^ (b | !d));
    for (word, add) in scratch.h.iter_mut().zip(s) {
        *word = word.swap_bytes().wrapping_add(add).swap_bytes();
    }
}

/// Sixteen rounds of MD5 with the same function, from round `from`. Round `i` of them takes the word `step * i + first`.
#[inline(always)]
fn md5_rounds(
    w: &[u32; 16],
    [mut a, mut b, mut c, mut d]: [u32; 4],
    from: usize,
    (step, first): (usize, usize),
    turns: [u32; 4],
    f: impl Fn(u32, u32, u32) -> u32,
) -> [u32; 4] {
    let round = |i: usize, turn: u32, a: &mut u32, b: u32, c: u32, d: u32| {
        let sum = a
            .wrapping_add(f(b, c, d))
            .wrapping_add(MD5_ROUNDS[(from + i) & 63])
            .wrapping_add(w[(step * i + first) & 15].swap_bytes());
        *a = b.wrapping_add(sum.rotate_left(turn));
    };
    for quarter in 0..4 {
        let i = quarter * 4;
        round(i, turns[0], &mut a, b, c, d);
        round(i + 1, turns[1], &mut d, a, b, c);
        round(i + 2, turns[2], &mut c, d, a, b);
        round(i + 3, turns[3], &mut b, c, d, a);
    }
    [a, b, c, d]
}

#[rustfmt::skip]
static MD5_ROUNDS: [u32; 64] = [
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
];

#[cfg(test)]
mod tests;
