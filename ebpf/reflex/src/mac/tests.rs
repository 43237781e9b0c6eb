use std::vec;
use std::vec::Vec;

use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use sha1::Sha1;
use sha2::Sha256;

use super::*;
use crate::frame::FRAME_LEN;

const METHODS: [u32; 2] = [SHA1, SHA256];

/// What the well-known crates make of it, with zeros up to [`MAC_LEN`].
fn reference(method: u32, secret: &[u8], message: &[u8]) -> [u8; MAC_LEN] {
    let mut mac = [0; MAC_LEN];
    if method == SHA1 {
        let digest = Hmac::<Sha1>::new_from_slice(secret).unwrap().chain_update(message).finalize();
        mac[..20].copy_from_slice(&digest.into_bytes());
    } else {
        let digest = Hmac::<Sha256>::new_from_slice(secret).unwrap().chain_update(message).finalize();
        mac.copy_from_slice(&digest.into_bytes());
    }
    mac
}

fn signed(method: u32, secret: &[u8], message: &[u8]) -> Frame {
    let mut frame = Frame::default();
    frame.bytes[..SIGNED_LEN].copy_from_slice(message);
    // What lay there before must not matter.
    frame.bytes[SIGNED_LEN..].fill(0xa5);
    sign(&Key::new(method, secret).unwrap(), &mut frame, &mut Scratch::default());
    frame
}

fn holds(method: u32, secret: &[u8], frame: &Frame) -> bool {
    verify(&Key::new(method, secret).unwrap(), frame, &mut Scratch::default())
}

/// The digest of one block that is padded already, by the block function alone.
fn digest_of_block(method: u32, message: &[u8]) -> Vec<u8> {
    let mut block = [0u8; BLOCK_LEN];
    block[..message.len()].copy_from_slice(message);
    block[message.len()] = 0x80;
    block[60..].copy_from_slice(&(message.len() as u32 * 8).to_be_bytes());
    let mut scratch =
        Scratch { h: if method == SHA1 { SHA1_START } else { SHA256_START }, ..Scratch::default() };
    for (word, bytes) in scratch.w.iter_mut().zip(block.chunks_exact(4)) {
        *word = u32::from_be_bytes(bytes.try_into().unwrap());
    }
    compress(method, &mut scratch);
    let words = if method == SHA1 { 5 } else { 8 };
    scratch.h[..words].iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// FIPS 180-4's own examples ("abc", and the empty message).
#[test]
fn the_block_functions_give_the_standards_digests() {
    for (method, message, digest) in [
        (SHA1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (SHA1, "", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        (SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ] {
        assert_eq!(digest_of_block(method, message.as_bytes()), hex(digest), "{method} of {message:?}");
    }
}

/// The key states are those of RFC 2202 and RFC 4231, case 2 (key "Jefe"): one block after each, that of the
/// message and that of the digest, gives the RFCs' results.
#[test]
fn the_key_states_give_the_rfcs_results() {
    let message = b"what do ya want for nothing?";
    for (method, words, result) in [
        (SHA1, 5, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (SHA256, 8, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    ] {
        let key = Key::new(method, b"Jefe").unwrap();
        let finish = |state: [u32; 8], message: &[u8]| {
            let mut block = [0u8; BLOCK_LEN];
            block[..message.len()].copy_from_slice(message);
            block[message.len()] = 0x80;
            block[60..].copy_from_slice(&((BLOCK_LEN + message.len()) as u32 * 8).to_be_bytes());
            let mut scratch = Scratch { h: state, ..Scratch::default() };
            for (word, bytes) in scratch.w.iter_mut().zip(block.chunks_exact(4)) {
                *word = u32::from_be_bytes(bytes.try_into().unwrap());
            }
            compress(method, &mut scratch);
            scratch.h[..words].iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>()
        };
        let inner = finish(key.inner, message);
        assert_eq!(finish(key.outer, &inner), hex(result), "method {method}");
    }
}

#[test]
fn keys_of_every_length_make_the_reference_mac() {
    let message: Vec<u8> = (0..SIGNED_LEN as u8).collect();
    for method in METHODS {
        for len in 0..=BLOCK_LEN {
            let secret = vec![0x5a; len];
            let frame = signed(method, &secret, &message);
            assert_eq!(frame.bytes[SIGNED_LEN..], reference(method, &secret, &message), "{method}, {len}");
            assert_eq!(frame.bytes[..SIGNED_LEN], message[..], "signing changes nothing else");
        }
    }
}

#[test]
fn a_key_longer_than_a_block_is_an_error() {
    for method in METHODS {
        assert_eq!(Key::new(method, &[1; BLOCK_LEN + 1]), Err(KeyTooLong));
    }
}

#[test]
fn the_zeros_after_a_sha1_mac_are_required() {
    let good = signed(SHA1, b"secret", &[7; SIGNED_LEN]);
    for at in SIGNED_LEN + 20..FRAME_LEN {
        let mut frame = good;
        frame.bytes[at] = 1;
        assert!(!holds(SHA1, b"secret", &frame), "byte {at}");
    }
    assert!(holds(SHA1, b"secret", &good));
}

#[test]
fn every_flipped_bit_is_found() {
    for method in METHODS {
        let good = signed(method, b"secret", &[0x3c; SIGNED_LEN]);
        for bit in 0..FRAME_LEN * 8 {
            let mut frame = good;
            frame.bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!holds(method, b"secret", &frame), "method {method}, bit {bit}");
        }
    }
}

#[test]
fn a_mac_of_the_other_method_or_another_key_does_not_fit() {
    let message = [1; SIGNED_LEN];
    for (method, other) in [(SHA1, SHA256), (SHA256, SHA1)] {
        assert!(!holds(other, b"secret", &signed(method, b"secret", &message)));
        assert!(!holds(method, b"Secret", &signed(method, b"secret", &message)));
        assert!(!holds(method, b"secre", &signed(method, b"secret", &message)));
    }
}

proptest! {
    #[test]
    fn any_frame_and_key_make_the_reference_mac(
        secret in prop::collection::vec(any::<u8>(), 0..=BLOCK_LEN),
        message in prop::collection::vec(any::<u8>(), SIGNED_LEN),
        (noise_w, noise_h) in any::<([u32; 16], [u32; 8])>(),
    ) {
        for method in METHODS {
            let key = Key::new(method, &secret).unwrap();
            // The scratch is one that was used before: nothing in it may shine through.
            let mut scratch = Scratch { w: noise_w, h: noise_h };
            let mut frame = Frame::default();
            frame.bytes[..SIGNED_LEN].copy_from_slice(&message);
            sign(&key, &mut frame, &mut scratch);
            prop_assert_eq!(&frame.bytes[SIGNED_LEN..], &reference(method, &secret, &message)[..]);
            scratch = Scratch { w: noise_w, h: noise_h };
            prop_assert!(verify(&key, &frame, &mut scratch));
        }
    }

    #[test]
    fn any_change_is_found(
        secret in prop::collection::vec(any::<u8>(), 1..=BLOCK_LEN),
        message in prop::collection::vec(any::<u8>(), SIGNED_LEN),
        changes in prop::collection::vec((0..FRAME_LEN, 1..=u8::MAX), 1..4),
    ) {
        for method in METHODS {
            let good = signed(method, &secret, &message);
            let mut frame = good;
            for &(at, mask) in &changes {
                frame.bytes[at] ^= mask;
            }
            prop_assert_eq!(holds(method, &secret, &frame), frame == good);
        }
    }
}
