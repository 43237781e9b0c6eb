//! Bad frames: each is dropped, counted under its reason, and believed in nothing.

use reflex::frame::FRAME_LEN;
use reflex::{EventKind, Frame, Kind, Verdict};

use crate::fixture::{KEY_MD5, KEY_SHA1, KEY_SHA256, Node, SESSION, need_root};
use crate::packets::{FRAME_AT, IP_AT, OWN, PORT, UDP_AT, built, carrying, put, udp_to};
use crate::peer::{Peer, sign};

/// A node, and a peer that it believes.
fn pair() -> (Node, Peer) {
    let mut node = Node::new();
    let mut peer = Peer::new(1);
    node.admit(&mut peer);
    node.run(&peer.probe());
    node.events();
    (node, peer)
}

/// Every single byte of the frame is protected: with any of them changed, it is refused. What is checked before the
/// MAC (magic, version, names, key number) has its own verdicts; behind that it is the MAC's.
#[test]
fn a_frame_with_any_byte_changed_is_refused() {
    need_root!("a_frame_with_any_byte_changed_is_refused");
    let (mut node, mut peer) = pair();
    for key in [KEY_SHA1, KEY_SHA256, KEY_MD5] {
        peer.key = key;
        for at in 0..FRAME_LEN {
            for flip in [0x01u8, 0x03, 0x80] {
                let mut frame = peer.probe_frame();
                frame.bytes[at] ^= flip;
                let verdict = match at {
                    3 if frame.bytes[3] == 2 => Verdict::BadMac,
                    0..=3 => Verdict::BadFormat,
                    4 if [KEY_SHA1, KEY_SHA256, KEY_MD5].contains(&frame.bytes[4]) => Verdict::BadMac,
                    4 => Verdict::UnknownKey,
                    // 1 ^ 3: the third node, whose name is as good, and whose MAC is as wrong.
                    5 if frame.bytes[5] == 2 => Verdict::BadMac,
                    5 | 6 => Verdict::BadNode,
                    _ => Verdict::BadMac,
                };
                node.refuses(&carrying(&frame), verdict, &format!("key {key}, byte {at} ^ {flip:#x}"));
            }
        }
    }
}

/// A SHA-1 MAC is 20 bytes; the 12 behind it are zero, or the frame is refused: there is one way to sign a frame.
#[test]
fn the_bytes_behind_a_short_mac_must_be_zero() {
    need_root!("the_bytes_behind_a_short_mac_must_be_zero");
    let (mut node, mut peer) = pair();
    for at in 132..FRAME_LEN {
        let mut frame = peer.probe_frame();
        assert_eq!(frame.bytes[at], 0);
        frame.bytes[at] = 1;
        node.refuses(&carrying(&frame), Verdict::BadMac, &format!("byte {at}"));
    }
}

/// No MAC, a MAC of ones, the MAC of another frame, that of the other key: all the same.
#[test]
fn a_forged_mac_is_refused() {
    need_root!("a_forged_mac_is_refused");
    let (mut node, mut peer) = pair();
    let genuine = peer.probe_frame();
    let other = peer.probe_frame();
    for (what, mac) in
        [("none", &[0; 32][..]), ("ones", &[0xff; 32]), ("another frame's", &other.bytes[112..])]
    {
        let mut forged = genuine;
        forged.bytes[112..].copy_from_slice(mac);
        node.refuses(&carrying(&forged), Verdict::BadMac, what);
    }
    let mut forged = genuine;
    sign(&mut forged, KEY_SHA256);
    forged.set_key(KEY_SHA1);
    node.refuses(&carrying(&forged), Verdict::BadMac, "another key's");
}

/// A key number that the file does not have, one beyond the table, and number 0, which is no key here.
#[test]
fn an_unknown_key_is_refused() {
    need_root!("an_unknown_key_is_refused");
    let (mut node, mut peer) = pair();
    for number in [0, 4, 15, 16, 17, 18, 255] {
        let mut frame = peer.probe_frame();
        frame.set_key(number);
        node.refuses(&carrying(&frame), Verdict::UnknownKey, &format!("key {number}"));
    }
}

/// Refusals are counted for the name that they use, and told at most once a second, however many there are.
#[test]
fn refusals_are_counted_and_told_once() {
    need_root!("refusals_are_counted_and_told_once");
    let (mut node, mut peer) = pair();
    for _ in 0..100 {
        let mut frame = peer.probe_frame();
        frame.bytes[143] ^= 1;
        node.refuses(&carrying(&frame), Verdict::BadMac, "forged");
    }
    assert_eq!(node.facts.nodes[1].refused.get(), 100);
    let kinds = node.event_kinds();
    assert!(kinds.iter().all(|kind| *kind == EventKind::NodeRefused), "{kinds:?}");
    // One, or a second passed meanwhile on a busy machine.
    let seconds = kinds.len();
    assert!((1..=10).contains(&seconds), "{seconds} alarms");
}

/// The same probe again, an older one, and one from before the sender was admitted.
#[test]
fn a_replayed_or_reordered_probe_is_refused() {
    need_root!("a_replayed_or_reordered_probe_is_refused");
    let mut node = Node::new();
    let mut peer = Peer::new(1);
    let before_admission = peer.probe();
    node.admit(&mut peer);
    node.refuses(&before_admission, Verdict::Replayed, "from before the admission");
    let probes: Vec<Vec<u8>> = (0..3).map(|_| peer.probe()).collect();
    assert_eq!(node.run(&probes[2]).verdict, Verdict::ProbeAnswered);
    node.refuses(&probes[2], Verdict::Replayed, "the same again");
    node.refuses(&probes[1], Verdict::Replayed, "overtaken by a later one");
    node.refuses(&probes[0], Verdict::Replayed, "overtaken by two");
}

/// A pong counts once, only for a probe that was sent, and only for this life.
#[test]
fn a_replayed_or_unasked_pong_is_refused() {
    need_root!("a_replayed_or_unasked_pong_is_refused");
    let mut node = Node::new();
    let mut peer = Peer::new(1);
    let unasked = peer.pong(1);
    node.refuses(&unasked, Verdict::Replayed, "to a probe that was never sent");
    let seq = node.ask(1, 0);
    let other_life = carrying(&peer.frame(Kind::Pong, seq, SESSION + 1));
    node.refuses(&other_life, Verdict::Stale, "to another life of ours");
    let no_life = carrying(&Peer { session: 0, ..peer.clone() }.frame(Kind::Pong, seq, SESSION));
    node.refuses(&no_life, Verdict::Stale, "of an agent that has not begun");
    let other_link = Peer { link: 1, ..peer.clone() }.pong(seq);
    node.refuses(&other_link, Verdict::Replayed, "on a link that nothing was sent on");
    let pong = peer.pong(seq);
    assert_eq!(node.run(&pong).verdict, Verdict::PongTaken);
    node.refuses(&pong, Verdict::Replayed, "the same again");
    node.refuses(&peer.pong(seq), Verdict::Replayed, "a second answer to the same probe");
    node.refuses(&peer.pong(seq + 1), Verdict::Replayed, "to a probe of the future");
}

/// Recorded in an earlier life of the sender: authentic, and good for nothing but an answer.
#[test]
fn a_frame_of_an_earlier_life_is_not_believed() {
    need_root!("a_frame_of_an_earlier_life_is_not_believed");
    let (mut node, peer) = pair();
    let mut earlier = Peer { session: 1, at: u64::MAX - 1, seq: u64::MAX - 1, ..peer };
    earlier.claim(0, reflex::ClaimState::Open, u32::MAX);
    let recorded = earlier.probe();
    for _ in 0..3 {
        let before = node.believed();
        assert_eq!(node.run(&recorded).verdict, Verdict::ProbeUnproven);
        assert_eq!(node.believed(), before);
    }
}

/// For another node, from ourselves, from nodes that are not configured.
#[test]
fn a_wrong_name_is_refused() {
    need_root!("a_wrong_name_is_refused");
    let (mut node, peer) = pair();
    for to in [1, 2, 3, 15, 16, 255] {
        node.refuses(&Peer { to, ..peer.clone() }.probe(), Verdict::BadNode, &format!("to node {to}"));
    }
    for index in [0, 3, 15, 16, 17, 255] {
        node.refuses(
            &Peer { index, ..peer.clone() }.probe(),
            Verdict::BadNode,
            &format!("from node {index}"),
        );
    }
}

/// Another magic, another version, another kind, authentic or not.
#[test]
fn another_format_is_refused() {
    need_root!("another_format_is_refused");
    let (mut node, mut peer) = pair();
    for (at, values) in [(0, 0..=255u8), (1, 0..=255), (2, 0..=255), (3, 0..=255)] {
        for value in values {
            let mut frame = peer.probe_frame();
            if frame.bytes[at] == value || (at == 3 && (1..=4).contains(&value)) {
                continue;
            }
            frame.bytes[at] = value;
            sign(&mut frame, KEY_SHA1);
            node.refuses(&carrying(&frame), Verdict::BadFormat, &format!("byte {at} is {value}"));
        }
    }
}

/// Zeros, ones, and a frame whose words are the largest there are, all correctly signed where there is a key: no index
/// of a frame is trusted.
#[test]
fn extreme_frames_do_no_harm() {
    need_root!("extreme_frames_do_no_harm");
    let (mut node, mut peer) = pair();
    node.refuses(&carrying(&Frame::default()), Verdict::BadFormat, "zeros");
    node.refuses(&carrying(&Frame { bytes: [0xff; FRAME_LEN] }), Verdict::BadFormat, "ones");
    for link in [8, 127, 255] {
        peer.link = link;
        peer.page = 255;
        let packet = peer.probe();
        assert_ne!(node.run(&packet).verdict, Verdict::BadMac, "link {link} reads a link that exists");
    }
    let mut pong = peer.frame(Kind::Pong, u64::MAX, SESSION);
    pong.set_at(u64::MAX);
    sign(&mut pong, KEY_SHA1);
    node.refuses(&carrying(&pong), Verdict::Replayed, "a number that was never sent");
}

/// Cut off anywhere. Up to the UDP length there is nothing to say whose it is: it passes. From there on it is to our
/// port, and too short. Less than an Ethernet header the kernel itself never delivers.
#[test]
fn a_truncated_packet_is_never_answered() {
    need_root!("a_truncated_packet_is_never_answered");
    let (mut node, mut peer) = pair();
    let whole = peer.probe();
    for length in IP_AT..whole.len() {
        let packet = &whole[..length];
        // Also honest about it: as long as its headers say.
        let mut honest = packet.to_vec();
        if length >= UDP_AT + 6 {
            put(&mut honest, IP_AT + 2, (length - IP_AT) as u16);
            put(&mut honest, UDP_AT + 4, (length - UDP_AT) as u16);
        }
        for packet in [packet, &honest] {
            if length < UDP_AT + 6 {
                node.passes(packet, &format!("{length} bytes"));
            } else {
                node.refuses(packet, Verdict::BadLength, &format!("{length} bytes"));
            }
        }
    }
    assert_eq!(node.run(&whole).verdict, Verdict::ProbeAnswered, "all of it is fine");
}

/// Longer than a frame: by a byte, by a second frame, by all that fits.
#[test]
fn an_oversized_packet_is_refused() {
    need_root!("an_oversized_packet_is_refused");
    let (mut node, mut peer) = pair();
    for more in [1, 8, FRAME_LEN, 1000, 1472 - FRAME_LEN, 3000] {
        let mut payload = peer.probe_frame().bytes.to_vec();
        payload.resize(FRAME_LEN + more, 0);
        node.refuses(&built(udp_to(OWN, PORT), &payload), Verdict::BadLength, &format!("{more} bytes more"));
    }
}

/// The lengths in the headers must be those of a frame, whatever is there really.
#[test]
fn a_length_that_lies_is_refused() {
    need_root!("a_length_that_lies_is_refused");
    let (mut node, mut peer) = pair();
    for (what, at) in [("UDP", UDP_AT + 4), ("IP", IP_AT + 2)] {
        let honest = u16::from_be_bytes(peer.probe()[at..at + 2].try_into().unwrap());
        for lie in [0, 7, 8, 20, 28, honest - 1, honest + 1, honest + 8, u16::MAX] {
            let mut packet = peer.probe();
            put(&mut packet, at, lie);
            node.refuses(&packet, Verdict::BadLength, &format!("{what} length {lie} instead of {honest}"));
        }
    }
}

/// The first fragment of a datagram to our port: no frame is ever fragmented, so it is not put together for us.
#[test]
fn a_first_fragment_is_refused() {
    need_root!("a_first_fragment_is_refused");
    const MORE: u16 = 0x2000;
    let (mut node, mut peer) = pair();
    let mut packet = peer.probe();
    put(&mut packet, IP_AT + 6, MORE);
    node.refuses(&packet, Verdict::BadLength, "with all of the frame in it");
    node.refuses(&packet[..FRAME_AT + 8], Verdict::BadLength, "with eight bytes of it");
}
