use proptest::prelude::*;

use super::*;

const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100));
const TARGET6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));
const PING: Question =
    Question { target: TARGET, transport: Transport::Icmp { ident: 7 }, nonce: *b"12345678" };
const UDP_ECHO: Question =
    Question { target: TARGET, transport: Transport::Udp { port: 4000, to: 5000 }, nonce: *b"12345678" };
const ARP: ArpQuestion = ArpQuestion {
    mac: [2, 0, 0, 0, 0, 9],
    own: Ipv4Addr::new(192, 0, 2, 50),
    target: Ipv4Addr::new(192, 0, 2, 100),
};

/// What a host makes of an ICMPv4 request: type 0 instead of 8, and the checksum of that.
fn echoed(question: &Question, number: u64) -> Vec<u8> {
    let mut message = question.request(number);
    message[0] = 0;
    // The sum has 0x0800 less in it, its complement that much more (RFC 1624).
    let sum = u32::from(u16::from_be_bytes([message[2], message[3]])) + 0x0800;
    message[2..4].copy_from_slice(&((sum + (sum >> 16)) as u16).to_be_bytes());
    message
}

/// An IPv4 packet from `source` with `inner` in it, and padding behind, as a short frame has it.
fn packet(source: [u8; 4], protocol: u8, inner: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 20];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&(20 + inner.len() as u16).to_be_bytes());
    packet[9] = protocol;
    packet[12..16].copy_from_slice(&source);
    packet.extend(inner);
    packet.extend([0; 6]);
    packet
}

fn datagram(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = 8 + payload.len() as u16;
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload].concat()
}

#[test]
fn an_echo_reply_is_read_back_from_a_message_and_from_a_packet() {
    for number in [0, 65_535, 65_536, 1 << 40] {
        let message = echoed(&PING, number);
        assert_eq!(PING.read_message(TARGET, 0, &message), Seen::Answer { number, name: &[] });
        let whole = packet([192, 0, 2, 100], ICMP, &message);
        assert_eq!(PING.read_packet(&whole), Seen::Answer { number, name: &[] });
    }
    let ping6 = Question { target: TARGET6, ..PING };
    let mut message = ping6.request(5);
    message[0] = 129;
    assert_eq!(ping6.read_message(TARGET6, 0, &message), Seen::Answer { number: 5, name: &[] });
    let mut whole = vec![0x60, 0, 0, 0, 0, message.len() as u8, ICMP6, 64];
    whole.extend(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).octets());
    whole.extend([0; 16]);
    whole.extend(message);
    assert_eq!(ping6.read_packet(&whole), Seen::Answer { number: 5, name: &[] });
}

#[test]
fn what_an_echo_service_adds_is_its_name() {
    let payload = [UDP_ECHO.request(3), b"server1".to_vec()].concat();
    let expected = Seen::Answer { number: 3, name: b"server1" };
    assert_eq!(UDP_ECHO.read_message(TARGET, 5000, &payload), expected);
    let whole = packet([192, 0, 2, 100], UDP, &datagram(5000, 4000, &payload));
    assert_eq!(UDP_ECHO.read_packet(&whole), expected);
}

#[test]
fn echo_replies_that_are_none_of_ours_are_told_apart() {
    let good = echoed(&PING, 1);
    assert_eq!(PING.read_message(TARGET, 0, &PING.request(1)), Seen::Nothing, "our own request");
    assert_eq!(PING.read_message(ELSEWHERE, 0, &good), Seen::Ignored(Wrong::Source));
    let other = Question { transport: Transport::Icmp { ident: 8 }, ..PING };
    assert_eq!(other.read_message(TARGET, 0, &good), Seen::Ignored(Wrong::Identifier));
    assert_eq!(other.read_message(ELSEWHERE, 0, &good), Seen::Nothing, "somebody else's ping");
    let other = Question { nonce: *b"87654321", ..PING };
    assert_eq!(other.read_message(TARGET, 0, &good), Seen::Ignored(Wrong::Payload));
    // The right payload under the wrong number, its checksum mended.
    let mut moved = good;
    moved[7] ^= 2;
    let sum = u16::from_be_bytes([moved[2], moved[3]]);
    let mended = if moved[7] & 2 == 2 { sum.wrapping_sub(2) } else { sum.wrapping_add(2) };
    moved[2..4].copy_from_slice(&mended.to_be_bytes());
    assert_eq!(PING.read_message(TARGET, 0, &moved), Seen::Ignored(Wrong::Payload));
}

#[test]
fn datagrams_that_are_none_of_ours_are_told_apart() {
    let good = UDP_ECHO.request(1);
    let seen = |source, from, to, payload: &[u8]| match UDP_ECHO.read_packet(&packet(
        source,
        UDP,
        &datagram(from, to, payload),
    )) {
        Seen::Ignored(wrong) => Some(wrong),
        Seen::Nothing => None,
        Seen::Answer { .. } => panic!("that is an answer"),
    };
    assert_eq!(seen([192, 0, 2, 9], 5000, 4000, &good), Some(Wrong::Source));
    assert_eq!(seen([192, 0, 2, 100], 5001, 4000, &good), Some(Wrong::Source));
    assert_eq!(seen([192, 0, 2, 100], 5000, 4001, &good), None, "to another program");
    assert_eq!(seen([192, 0, 2, 100], 5000, 4000, &good[..15]), Some(Wrong::Payload));
    assert_eq!(seen([192, 0, 2, 100], 5000, 4000, &[0; 16]), Some(Wrong::Payload));
    assert_eq!(UDP_ECHO.read_packet(&packet([192, 0, 2, 100], ICMP, &echoed(&PING, 1))), Seen::Nothing);
}

#[test]
fn an_arp_answer_names_a_station() {
    let mut arp = Arp { bytes: ARP.request() };
    assert_eq!(
        (arp.operation(), arp.sender(), arp.target()),
        (Some(Operation::Request), ARP.own.octets(), ARP.target.octets())
    );
    assert_eq!(ARP.read(&arp.bytes), Err(None), "a request is no answer");
    arp.answer([2, 0, 0, 0, 0, 1]);
    assert_eq!(ARP.read(&arp.bytes), Ok([2, 0, 0, 0, 0, 1]));
    assert_eq!(ARP.read(&[&arp.bytes[..], &[0; 18]].concat()), Ok([2, 0, 0, 0, 0, 1]), "padded");
    assert_eq!(ARP.read(&arp.bytes[..41]), Err(None));
    for (at, what) in
        [(31, "another's address"), (32, "to another station"), (41, "to another address"), (13, "no ARP")]
    {
        let mut bytes = arp.bytes;
        bytes[at] ^= 1;
        assert_eq!(ARP.read(&bytes), Err(None), "{what}");
    }
    let mut group = arp.bytes;
    group[22] |= 1;
    assert_eq!(ARP.read(&group), Err(Some(Wrong::Source)));
}

proptest! {
    #[test]
    fn any_bytes_are_read_and_none_is_an_answer(bytes: Vec<u8>, v6: bool, first in 0usize..3) {
        let mut bytes = bytes;
        // Half of the way into the parser.
        if let Some(byte) = bytes.first_mut() && first > 0 {
            *byte = [0, 0x45, 0x60][first];
        }
        for question in [PING, UDP_ECHO] {
            let source = if v6 { TARGET6 } else { TARGET };
            let read = [question.read_packet(&bytes), question.read_message(source, 5000, &bytes)];
            let answered = read.iter().any(|seen| matches!(seen, Seen::Answer { .. }));
            prop_assert!(!answered);
        }
        prop_assert!(ARP.read(&bytes).is_err());
    }
}
