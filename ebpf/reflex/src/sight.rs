//! Sight: what a node can see of a group's network, in one byte of every claim.
//!
//! ```text
//!    7   6   5   4     3      2      1   0
//!  +---------------+------+-------+---------+
//!  | ping nodes + 1| asked| doubt |  reach  |
//!  +---------------+------+-------+---------+
//! ```
//!
//! It decides nothing here: the kernel carries it, the election compares it.

/// How far a node's own network reaches, found out only while it is in doubt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reach {
    /// Not in doubt, or not found out yet.
    #[default]
    Unknown = 0,
    /// Others were asked; nothing of them was heard.
    Deaf = 1,
    /// Others are heard; nobody answers us.
    Hears = 2,
    /// Others answer us: both directions work.
    Answered = 3,
}

/// What a node sees of a group's network. All zeros: it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Sight(pub u8);

/// Which of the two voices tells two nodes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// How far each reaches on the group's own network.
    Reach,
    /// How many ping nodes answer each.
    Pings,
}

impl Sight {
    const REACH: u8 = 3;
    const DOUBT: u8 = 4;
    const ASKED: u8 = 8;
    const PINGS: u8 = 4;
    /// The most ping nodes that are told; more count as so many.
    pub const PINGS_MAX: u8 = 14;

    /// What is seen of the network itself, with somebody `asked` or with nobody known to ask.
    #[must_use]
    pub const fn reaches(self, reach: Reach, asked: bool) -> Self {
        let kept = self.0 & !(Self::REACH | Self::ASKED);
        Self(kept | reach as u8 | if asked { Self::ASKED } else { 0 })
    }

    /// The same, of a node that misses another one on that network, which lives. Who only looks because another is in
    /// doubt does not say so.
    #[must_use]
    pub const fn doubting(self, doubt: bool) -> Self {
        Self(self.0 & !Self::DOUBT | if doubt { Self::DOUBT } else { 0 })
    }

    /// The same, with so many ping nodes and groups that answer; `None`: that does not count here.
    #[must_use]
    pub const fn pinging(self, pings: Option<u8>) -> Self {
        let pings = match pings {
            None => 0,
            Some(pings) if pings > Self::PINGS_MAX => Self::PINGS_MAX + 1,
            Some(pings) => pings + 1,
        };
        Self(self.0 & 15 | pings << Self::PINGS)
    }

    /// How far the group's own network reaches.
    #[must_use]
    pub const fn reach(self) -> Reach {
        match self.0 & Self::REACH {
            1 => Reach::Deaf,
            2 => Reach::Hears,
            3 => Reach::Answered,
            _ => Reach::Unknown,
        }
    }

    /// Whether the node asked anybody: one that knows nobody to ask cannot be answered.
    #[must_use]
    pub const fn asked(self) -> bool {
        self.0 & Self::ASKED != 0
    }

    /// Whether the node is in doubt by itself.
    #[must_use]
    pub const fn doubt(self) -> bool {
        self.0 & Self::DOUBT != 0
    }

    /// How many ping nodes answer, if that counts there.
    #[must_use]
    pub const fn pings(self) -> Option<u8> {
        (self.0 >> Self::PINGS).checked_sub(1)
    }

    /// By which voice this one sees strictly more than `other`, if it does. The group's own network comes first: who
    /// reaches it serves, whatever else answers. What one of the two does not know tells nothing, and neither does the
    /// network to a node that misses nobody there: it reaches the other one, so that one's port is well.
    #[must_use]
    pub fn more_than(self, other: Self) -> Option<Voice> {
        let (ours, theirs) = (self.reach(), other.reach());
        let more = if ours > theirs { self } else { other };
        if ours != Reach::Unknown && theirs != Reach::Unknown && ours != theirs && more.doubt() {
            return (ours > theirs && !other.is_unasking()).then_some(Voice::Reach);
        }
        let (ours, theirs) = (self.pings()?, other.pings()?);
        (ours > theirs).then_some(Voice::Pings)
    }

    /// Hears others and knows nobody whom it could ask: more than that it cannot show.
    const fn is_unasking(self) -> bool {
        matches!(self.reach(), Reach::Hears) && !self.asked()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REACHES: [Reach; 4] = [Reach::Unknown, Reach::Deaf, Reach::Hears, Reach::Answered];

    fn sight(reach: Reach, pings: Option<u8>) -> Sight {
        Sight::default().reaches(reach, true).doubting(true).pinging(pings)
    }

    #[test]
    fn what_is_put_in_comes_out() {
        for reach in REACHES {
            for (asked, doubt) in [(false, false), (false, true), (true, false), (true, true)] {
                for pings in [None, Some(0), Some(1), Some(14)] {
                    // In any order, over anything.
                    let sight = Sight(0xff).doubting(doubt).pinging(pings).reaches(reach, asked);
                    assert_eq!((sight.reach(), sight.asked()), (reach, asked));
                    assert_eq!((sight.doubt(), sight.pings()), (doubt, pings));
                }
            }
        }
        assert_eq!(Sight::default().pinging(Some(200)).pings(), Some(14), "saturated");
    }

    #[test]
    fn the_own_network_comes_before_ping_nodes() {
        for (one, other, voice) in [
            (sight(Reach::Hears, None), sight(Reach::Deaf, None), Some(Voice::Reach)),
            (sight(Reach::Answered, None), sight(Reach::Hears, None), Some(Voice::Reach)),
            (sight(Reach::Answered, Some(0)), sight(Reach::Deaf, Some(9)), Some(Voice::Reach)),
            (sight(Reach::Deaf, Some(9)), sight(Reach::Answered, Some(0)), None),
            (sight(Reach::Deaf, Some(9)), sight(Reach::Deaf, Some(8)), Some(Voice::Pings)),
            (sight(Reach::Answered, Some(2)), sight(Reach::Unknown, Some(1)), Some(Voice::Pings)),
            (sight(Reach::Answered, None), sight(Reach::Unknown, None), None),
            (sight(Reach::Unknown, Some(2)), sight(Reach::Unknown, None), None),
            (sight(Reach::Unknown, Some(2)), sight(Reach::Unknown, Some(2)), None),
        ] {
            assert_eq!(one.more_than(other), voice, "{one:?} {other:?}");
        }
    }

    #[test]
    fn who_hears_others_and_knows_nobody_to_ask_does_not_lose() {
        let unasking = Sight::default().reaches(Reach::Hears, false).doubting(true);
        assert_eq!(sight(Reach::Answered, None).more_than(unasking), None);
        assert_eq!(unasking.more_than(sight(Reach::Deaf, None)), Some(Voice::Reach));
    }

    #[test]
    fn who_misses_nobody_here_reaches_the_other_and_gains_nothing_by_it() {
        let (deaf, hears) = (sight(Reach::Deaf, Some(1)), sight(Reach::Hears, Some(1)));
        for other in [deaf, hears] {
            let healed = sight(Reach::Answered, Some(1)).doubting(false);
            assert_eq!(healed.more_than(other), None);
            assert_eq!(other.more_than(healed), None);
            assert_eq!(healed.pinging(Some(2)).more_than(other), Some(Voice::Pings), "ping nodes still tell");
            assert_eq!(other.more_than(healed.pinging(Some(0))), Some(Voice::Pings));
        }
    }

    proptest! {
        #[test]
        fn of_two_nodes_at_most_one_sees_more(one: u8, other: u8) {
            let (one, other) = (Sight(one), Sight(other));
            prop_assert!(one.more_than(other).is_none() || other.more_than(one).is_none());
            prop_assert_eq!(one.more_than(one), None);
        }
    }
}
