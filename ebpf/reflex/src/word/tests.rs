use std::sync::Barrier;
use std::thread;
use std::vec::Vec;

use proptest::prelude::*;

use super::Word;

proptest! {
    #[test]
    fn raise_never_lowers_and_says_when_it_raised(values in prop::collection::vec(any::<u64>(), 1..50)) {
        let word = Word::new(0);
        let mut max = 0;
        for value in values {
            prop_assert_eq!(word.raise(value), value > max);
            max = max.max(value);
            prop_assert_eq!(word.get(), max);
        }
    }
}

#[test]
fn threads_that_raise_at_once_end_at_the_maximum() {
    let (word, start) = (Word::new(0), Barrier::new(4));
    thread::scope(|scope| {
        for thread in 0..4u64 {
            let (word, start) = (&word, &start);
            scope.spawn(move || {
                start.wait();
                let mut seen = 0;
                // Each thread raises with holes of its own, and sees the word grow only.
                for i in 0..20_000u64 {
                    word.raise(i * 4 + thread);
                    let now = word.get();
                    assert!(now >= seen && now >= i * 4 + thread);
                    seen = now;
                }
            });
        }
    });
    assert_eq!(word.get(), 19_999 * 4 + 3);
}

#[test]
fn of_two_threads_that_raise_to_the_same_value_one_is_told_so() {
    const ROUNDS: u64 = 20_000;
    let (word, start) = (Word::new(0), Barrier::new(2));
    let raise = || {
        start.wait();
        (1..=ROUNDS).filter(|&value| word.raise(value)).collect::<Vec<_>>()
    };
    let (mut one, other) = thread::scope(|scope| {
        let other = scope.spawn(raise);
        (raise(), other.join().unwrap())
    });
    // A thread that runs ahead makes the other's values old: no value is won twice, the last one is won.
    one.extend(&other);
    one.sort_unstable();
    assert!(one.windows(2).all(|pair| pair[0] < pair[1]), "a value was won twice");
    assert_eq!(one.last(), Some(&ROUNDS));
}

#[test]
fn the_last_resort_of_raise_never_lowers() {
    let word = Word::new(0b1010);
    word.or(0b0110);
    assert_eq!(word.get(), 0b1110);
}

#[test]
fn adds_of_several_threads_all_count() {
    let word = Word::default();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10_000).for_each(|_| word.add(2)));
        }
    });
    assert_eq!(word.get(), 80_000);
}
