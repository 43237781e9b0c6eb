//! Two and three simulated nodes on a wire that the test holds in its hand, in virtual time.

mod admission;
mod believed;
mod forged;
mod links;
mod moves;
mod replayed;
mod survivor;
pub(crate) mod world;

use super::*;

#[test]
fn said_comes_back_from_its_word() {
    for said in [
        Said::default(),
        Said { status: u8::MAX, hears: u16::MAX, config: u32::MAX },
        Said { status: Status::LEASE, hears: 0b101, config: 0x0102_0304 },
    ] {
        assert_eq!(Said::unpack(said.pack()), said);
        assert_ne!(said.pack(), 0);
    }
}

#[test]
fn gaps_fall_into_the_bucket_of_their_size() {
    let facts = std::boxed::Box::new(Facts::new());
    let link = &facts.nodes[1].links[0];
    for (gap_ns, bucket) in [
        (0u64, 0),
        (1_023, 0),
        (1_024, 1),
        (2_047, 1),
        (2_048, 2),
        (1_000_000, 10),
        ((1 << 32) - 1, 22),
        (1 << 32, 23),
        (u64::MAX, 23),
    ] {
        let before = link.gaps[bucket].get();
        at_bucket(link, gap_ns >> 10);
        assert_eq!(link.gaps[bucket].get(), before + 1, "{gap_ns} ns");
        assert!(bucket == BUCKETS_MAX - 1 || gap_ns < 1 << (bucket + 10));
    }
}
