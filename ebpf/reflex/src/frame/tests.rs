use proptest::prelude::*;

use super::*;

fn any_claim() -> impl Strategy<Value = Claim> {
    (any::<(u32, u8, u8, u8)>(), 0u8..16, 0u8..16).prop_map(|((epoch, flags, heir, sight), state, reason)| {
        Claim { epoch, state, flags, heir, reason, sight: Sight(sight) }
    })
}

/// The drawing in the module's comment and in docs/protocol.md, byte by byte.
#[test]
fn every_field_lies_where_the_drawing_says() {
    let mut frame = Frame::default();
    frame.set_kind(Kind::Probe);
    frame.set_key(0x04);
    frame.set_source(0x05);
    frame.set_destination(0x06);
    frame.set_link(0x07);
    frame.set_session(0x0809_0a0b_0c0d_0e0f);
    frame.set_peer_session(0x1011_1213_1415_1617);
    frame.set_seq(0x1819_1a1b_1c1d_1e1f);
    frame.set_at(0x2021_2223_2425_2627);
    frame.set_config(0x2829_2a2b);
    frame.set_hears(0x2c2d);
    frame.set_status(0x2e);
    frame.set_page(0x2f);
    for slot in 0..CLAIMS_PER_FRAME {
        let at = 0x30 + 8 * slot as u8;
        let epoch = u32::from_be_bytes([at, at + 1, at + 2, at + 3]);
        let (state, reason) = ((at + 4) & 15, (at + 4) >> 4);
        let (flags, heir, sight) = (at + 5, at + 6, Sight(at + 7));
        frame.set_claim(slot, Claim { epoch, state, flags, heir, reason, sight });
    }

    assert_eq!(frame.bytes[..4], [b'x', b'b', 2, 1]);
    for (at, byte) in frame.bytes.iter().enumerate().take(SIGNED_LEN).skip(4) {
        assert_eq!(usize::from(*byte), at, "byte {at}");
    }
    assert!(frame.bytes[SIGNED_LEN..].iter().all(|&byte| byte == 0), "no field reaches into the MAC");
}

#[test]
fn a_frame_of_another_magic_version_or_kind_has_no_kind() {
    for (at, found, kind) in [
        (3, 1, Some(Kind::Probe)),
        (3, 2, Some(Kind::Pong)),
        (3, 0, None),
        (3, 3, Some(Kind::Letter)),
        (3, 4, Some(Kind::Taken)),
        (3, 5, None),
        (0, b'X', None),
        (1, b'B', None),
        (2, 1, None),
        (2, 3, None),
    ] {
        let mut frame = Frame::default();
        frame.set_kind(Kind::Probe);
        frame.bytes[at] = found;
        assert_eq!(frame.kind(), kind, "byte {at} is {found}");
    }
}

#[test]
fn an_unknown_state_reads_as_fenced() {
    for (number, state) in
        [(0, ClaimState::None), (1, ClaimState::Open), (2, ClaimState::Resigned), (3, ClaimState::Fenced)]
    {
        assert_eq!(Claim { state: number, ..Claim::default() }.state(), state);
        assert_eq!(state as u8, number);
    }
    assert_eq!(Claim { state: 4, ..Claim::default() }.state(), ClaimState::Fenced);
    assert_eq!(Claim { state: 15, ..Claim::default() }.state(), ClaimState::Fenced);
}

proptest! {
    #[test]
    fn fields_come_back_and_touch_no_other(
        bytes in prop::collection::vec(any::<u8>(), FRAME_LEN),
        (session, peer, seq, at) in any::<(u64, u64, u64, u64)>(),
        (config, hears) in any::<(u32, u16)>(),
    ) {
        let mut frame = Frame { bytes: bytes.try_into().unwrap() };
        let before = frame;
        frame.set_session(session);
        frame.set_peer_session(peer);
        frame.set_seq(seq);
        frame.set_at(at);
        frame.set_config(config);
        frame.set_hears(hears);
        prop_assert_eq!((frame.session(), frame.peer_session()), (session, peer));
        prop_assert_eq!((frame.seq(), frame.at()), (seq, at));
        prop_assert_eq!((frame.config(), frame.hears()), (config, hears));
        prop_assert_eq!(&frame.bytes[..8], &before.bytes[..8]);
        prop_assert_eq!(&frame.bytes[46..], &before.bytes[46..]);
    }

    #[test]
    fn claims_come_back_from_slot_and_word(slot in 0..CLAIMS_PER_FRAME, claim in any_claim()) {
        let mut frame = Frame::default();
        frame.set_claim(slot, claim);
        prop_assert_eq!(frame.claim(slot), claim);
        prop_assert_eq!(Claim::unpack(claim.pack()), claim);
        for other in (0..CLAIMS_PER_FRAME).filter(|&other| other != slot) {
            prop_assert_eq!(frame.claim(other), Claim::default());
        }
    }
}
