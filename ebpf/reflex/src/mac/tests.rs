use std::vec;
use std::vec::Vec;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use proptest::prelude::*;
use sha1::Sha1;
use sha2::Sha256;

use super::*;
use crate::frame::FRAME_LEN;

const METHODS: [u32; 3] = [SHA1, SHA256, MD5];

/// What the well-known crates make of it, with zeros up to [`MAC_LEN`].
fn reference(method: u32, secret: &[u8], message: &[u8]) -> [u8; MAC_LEN] {
    let mut mac = [0; MAC_LEN];
    match method {
        SHA1 => {
            let digest = Hmac::<Sha1>::new_from_slice(secret).unwrap().chain_update(message).finalize();
            mac[..20].copy_from_slice(&digest.into_bytes());
        }
        MD5 => {
            let digest = Hmac::<Md5>::new_from_slice(secret).unwrap().chain_update(message).finalize();
            mac[..16].copy_from_slice(&digest.into_bytes());
        }
        _ => {
            let digest = Hmac::<Sha256>::new_from_slice(secret).unwrap().chain_update(message).finalize();
            mac.copy_from_slice(&digest.into_bytes());
        }
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

/// What the last block makes of a state: a message that fits into it, the end mark, and the length with `before`
/// bytes in front of it.
fn last_block(method: u32, state: [u32; 8], before: usize, message: &[u8]) -> Vec<u8> {
    let mut block = [0u8; BLOCK_LEN];
    block[..message.len()].copy_from_slice(message);
    block[message.len()] = 0x80;
    let bits = (before + message.len()) as u64 * 8;
    block[56..].copy_from_slice(&if method == MD5 { bits.to_le_bytes() } else { bits.to_be_bytes() });
    let mut scratch = Scratch { h: state, ..Scratch::default() };
    for (word, bytes) in scratch.w.iter_mut().zip(block.chunks_exact(4)) {
        *word = u32::from_be_bytes(bytes.try_into().unwrap());
    }
    compress(method, &mut scratch);
    scratch.h[..digest_words(method)].iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// FIPS 180-4's own examples ("abc", and the empty message), and those of RFC 1321.
#[test]
fn the_block_functions_give_the_standards_digests() {
    for (method, message, digest) in [
        (SHA1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (SHA1, "", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        (SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (MD5, "", "d41d8cd98f00b204e9800998ecf8427e"),
        (MD5, "a", "0cc175b9c0f1b6a831c399e269772661"),
        (MD5, "abc", "900150983cd24fb0d6963f7d28e17f72"),
        (MD5, "message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
        (MD5, "abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
    ] {
        let found = last_block(method, start(method), 0, message.as_bytes());
        assert_eq!(found, hex(digest), "{method} of {message:?}");
    }
}

/// The key states are those of RFC 2202 and RFC 4231: one block after each, that of the message and that of the digest,
/// gives the RFCs' results.
#[test]
fn the_key_states_give_the_rfcs_results() {
    let jefe = (b"Jefe".to_vec(), b"what do ya want for nothing?".to_vec());
    let counted = ((1..=25).collect::<Vec<u8>>(), vec![0xcd; 50]);
    for (method, (secret, message), result) in [
        (SHA1, jefe.clone(), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (SHA256, jefe.clone(), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (MD5, (vec![0x0b; 16], b"Hi There".to_vec()), "9294727a3638bb1c13f48ef8158bfc9d"),
        (MD5, jefe, "750c783e6ab0b503eaa86e310a5db738"),
        (MD5, (vec![0xaa; 16], vec![0xdd; 50]), "56be34521d144c88dbb8c733f0e8b3f6"),
        (MD5, counted, "697eaf0aca3a3aea3a75164746ffaa79"),
        (MD5, (vec![0x0c; 16], b"Test With Truncation".to_vec()), "56461ef2342edc00f9bab995690efd4c"),
    ] {
        let key = Key::new(method, &secret).unwrap();
        let finish = |state: &[Word; 4], message: &[u8]| {
            let mut scratch = Scratch::default();
            unpack(state, &mut scratch);
            last_block(method, scratch.h, BLOCK_LEN, message)
        };
        let inner = finish(&key.inner, &message);
        assert_eq!(finish(&key.outer, &inner), hex(result), "method {method}, {message:?}");
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
        assert_eq!(Key::new(method, &[1; BLOCK_LEN + 1]).err(), Some(KeyTooLong));
    }
}

#[test]
fn the_zeros_after_a_short_mac_are_required() {
    for (method, len) in [(SHA1, 20), (MD5, 16)] {
        let good = signed(method, b"secret", &[7; SIGNED_LEN]);
        for at in SIGNED_LEN + len..FRAME_LEN {
            let mut frame = good;
            frame.bytes[at] = 1;
            assert!(!holds(method, b"secret", &frame), "method {method}, byte {at}");
        }
        assert!(holds(method, b"secret", &good));
    }
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
    for (method, other) in [(SHA1, SHA256), (SHA256, SHA1), (MD5, SHA1), (SHA1, MD5), (SHA256, MD5)] {
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
