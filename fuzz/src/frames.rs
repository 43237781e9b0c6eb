//! Frames, ARP packets and messages of neighbour discovery over one node's real tables.

use reflex::arp::{ARP_LEN, Arp, Operation};
use reflex::frame::{FRAME_LEN, Frame};
use reflex::nd::{Answer, Kind, ND_LEN, Nd};
use reflex::path::NO_IP;

use crate::Stage;
use crate::acts::Acts;

/// Acts of a story, at most: longer ones only cost time.
const ACTS_MAX: usize = 96;

/// Bytes as they come off the wire, one frame after the other; what is too short for a frame never gets to the reflex.
pub fn raw(bytes: &[u8]) {
    let mut stage = Stage::new(1);
    stage.admit(0);
    for chunk in bytes.chunks_exact(FRAME_LEN).take(ACTS_MAX) {
        let mut frame = Frame::default();
        frame.bytes.copy_from_slice(chunk);
        stage.take(frame);
        stage.pass(100_000);
    }
    stage.end();
}

/// Everything that can happen, with frames that get behind the MAC.
pub fn signed(story: &Acts) {
    let mut stage = Stage::new(story.own);
    for node in (0..8).filter(|node| story.admitted >> node & 1 != 0) {
        stage.admit(node);
    }
    story.acts.iter().take(ACTS_MAX).for_each(|act| stage.act(act));
    stage.end();
}

/// The MAC address that our answers give.
const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// ARP packets: what is an answer, and to whom.
pub fn arp(bytes: &[u8]) {
    for chunk in bytes.chunks_exact(ARP_LEN) {
        let mut packet = Arp { bytes: [0; ARP_LEN] };
        packet.bytes.copy_from_slice(chunk);
        let asked = packet;
        let operation = packet.operation();
        let is_arp = chunk[14..20] == [0, 1, 8, 0, 6, 4];
        assert_eq!(operation.is_some(), is_arp && matches!(chunk[20..22], [0, 1 | 2]));
        if operation != Some(Operation::Request) {
            continue;
        }
        packet.answer(OURS);
        assert_eq!(packet.operation(), Some(Operation::Reply));
        assert_eq!((packet.sender(), packet.sender_mac()), (asked.target(), OURS));
        assert_eq!((packet.target(), &packet.bytes[32..38]), (asked.sender(), &asked.sender_mac()[..]));
        // To the asker alone, and from us.
        assert_eq!((&packet.bytes[..6], &packet.bytes[6..12]), (&asked.sender_mac()[..], &OURS[..]));
        assert_eq!(packet.bytes[12..20], asked.bytes[12..20]);
    }
}

/// Messages of neighbour discovery: what is an answer, and to whom. The checksum of each is tried as it is, and put right: the search
/// for new paths would hardly find one.
pub fn nd(bytes: &[u8]) {
    for chunk in bytes.chunks_exact(ND_LEN) {
        let mut packet = [0; ND_LEN];
        packet.copy_from_slice(chunk);
        solicited(packet);
        let length = if packet[18..20] == [0, 24] { 24 } else { 32 };
        packet[56..58].fill(0);
        let sum = !sum(&packet, length);
        packet[56..58].copy_from_slice(&sum.to_be_bytes());
        solicited(packet);
    }
}

fn solicited(packet: [u8; ND_LEN]) {
    let asked = Nd::of(packet);
    let Some(kind) = asked.kind() else { return };
    assert_eq!((packet[20], packet[55]), (58, 0));
    let _ = (asked.sender_mac(), asked.is_sound());
    let Some(to) = asked.answer_to().filter(|_| kind == Kind::Solicitation) else { return };
    // Valid, from this link, to the target or its group.
    assert_eq!(packet[21], 255);
    let length = usize::from(packet[19]);
    assert_eq!(sum(&packet, length), 0xffff);
    assert!(packet[38..54] == packet[62..78] || packet[38] == 0xff && packet[51..54] == packet[75..78]);
    let mut answer = asked;
    answer.answer(to, OURS, false);
    assert_eq!((answer.kind(), answer.is_sound()), (Some(Kind::Advertisement), true));
    assert_eq!((answer.source(), answer.target()), (asked.target(), asked.target()));
    assert_eq!((sum(&answer.bytes, length), &answer.bytes[6..12]), (0xffff, &OURS[..]));
    match to {
        Answer::To(mac) => {
            assert_eq!((&answer.bytes[..6], mac[0] & 1), (&mac[..], 0));
            assert_eq!(answer.bytes[38..54], asked.bytes[22..38]);
            assert_ne!(asked.source(), NO_IP);
        }
        Answer::ToAll => {
            assert_eq!((asked.source(), &answer.bytes[..6]), (NO_IP, &[0x33, 0x33, 0, 0, 0, 1][..]))
        }
    }
}

/// RFC 8200 8.1, over pseudo-header and `length` bytes.
fn sum(packet: &[u8; ND_LEN], length: usize) -> u16 {
    let words =
        packet[22..54 + length].chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum = words.sum::<u32>() + u32::from(u16::from_be_bytes([packet[18], packet[19]])) + 58;
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}
