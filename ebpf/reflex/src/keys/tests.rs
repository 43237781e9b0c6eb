use std::boxed::Box;
use std::format;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::vec::Vec;

use crate::frame::{Frame, Kind};
use crate::layout::{Key, Orders};
use crate::mac::{self, Scratch};
use crate::{KEYS_MAX, keys::KEY_PLACES};

fn keys(secrets: &[(u8, &str)]) -> [Key; KEYS_MAX] {
    std::array::from_fn(|number| {
        let secret = secrets.iter().find(|(known, _)| usize::from(*known) == number);
        secret.map_or_else(Key::default, |(_, secret)| Key::new(mac::SHA1, secret.as_bytes()).unwrap())
    })
}

fn place(orders: &Orders, number: u8) -> *const Key {
    orders.accepted_key(number).unwrap()
}

#[test]
fn no_key_is_accepted_before_one_is_set() {
    let orders = Box::new(Orders::new());
    assert!((0..=u8::MAX).all(|number| orders.accepted_key(number).is_none()));
}

#[test]
fn keys_are_added_changed_and_removed() {
    let orders = Box::new(Orders::new());
    orders.set_keys(&keys(&[(1, "one"), (2, "two")]), 1);
    assert_eq!(orders.key_current.get(), 1);
    orders.set_keys(&keys(&[(2, "other")]), 2);
    assert_eq!(orders.key_current.get(), 2);
    assert!(orders.accepted_key(1).is_none());
    assert_eq!(*orders.accepted_key(2).unwrap(), Key::new(mac::SHA1, b"other").unwrap());
    // Who signs with the number of a moment ago still finds the key of a moment ago.
    assert_eq!(*orders.signing_key(1), Key::new(mac::SHA1, b"one").unwrap());
    orders.set_keys(&keys(&[(1, "one"), (2, "other")]), 2);
    assert!(orders.accepted_key(1).is_some());
}

#[test]
fn a_key_that_stays_keeps_its_place_and_a_changed_one_gets_another() {
    let orders = Box::new(Orders::new());
    orders.set_keys(&keys(&[(1, "one"), (2, "two")]), 1);
    let (one, two) = (place(&orders, 1), place(&orders, 2));
    orders.set_keys(&keys(&[(1, "one"), (2, "changed")]), 1);
    assert_eq!(place(&orders, 1), one);
    assert_ne!(place(&orders, 2), two);
}

#[test]
fn all_keys_can_change_again_and_again_and_no_place_in_use_is_written() {
    let orders = Box::new(Orders::new());
    let numbers: Vec<u8> = (0..KEYS_MAX as u8).collect();
    for round in 0..3 * KEY_PLACES {
        for &number in &numbers {
            let used: Vec<_> = numbers
                .iter()
                .filter_map(|&other| orders.accepted_key(other).map(|key| key as *const Key))
                .collect();
            orders.set_key(number, &Key::new(mac::SHA256, format!("{round} {number}").as_bytes()).unwrap());
            assert!(!used.contains(&place(&orders, number)));
        }
    }
}

/// Signs one frame with the number's key; whether it fits one of these secrets.
fn fits(orders: &Orders, number: u64, secrets: &[&str]) -> bool {
    let (mut frame, mut scratch) = (Frame::default(), Scratch::default());
    frame.set_kind(Kind::Probe);
    frame.set_key(number as u8);
    mac::sign(orders.signing_key(number), &mut frame, &mut scratch);
    secrets.iter().any(|secret| {
        let key = Key::new(mac::SHA1, secret.as_bytes()).unwrap();
        mac::verify(&key, &frame, &mut scratch)
    })
}

/// Signers on other threads, as the kernel's programs are on other CPUs: while the keys roll over again and again, every
/// frame that one of them signs fits.
#[test]
fn no_frame_is_lost_while_keys_roll_over() {
    let orders: Arc<Orders> = Box::new(Orders::new()).into();
    let end = Arc::new(AtomicBool::new(false));
    // Number 3 means another key each time: the old one or the new one, whole.
    let steps = [
        (keys(&[(1, "a"), (3, "x")]), 1),
        (keys(&[(1, "a"), (2, "b"), (3, "y")]), 1),
        (keys(&[(1, "a"), (2, "b"), (3, "x")]), 2),
        (keys(&[(2, "b"), (3, "y")]), 2),
        (keys(&[(1, "a"), (2, "b"), (3, "x")]), 2),
        (keys(&[(1, "a"), (2, "b"), (3, "y")]), 1),
    ];
    orders.set_keys(&steps[0].0, steps[0].1);
    let signers: Vec<_> = (0..2)
        .map(|_| {
            let signed = Arc::new(AtomicU64::new(0));
            let (orders, end, count) = (Arc::clone(&orders), Arc::clone(&end), Arc::clone(&signed));
            let signer = thread::spawn(move || {
                while !end.load(Ordering::Relaxed) {
                    let number = orders.key_current.get();
                    assert!(fits(&orders, number, if number == 1 { &["a"] } else { &["b"] }));
                    assert!(fits(&orders, 3, &["x", "y"]));
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
            (signer, signed)
        })
        .collect();
    for (keys, current) in steps.iter().cycle().take(300) {
        let before: Vec<_> = signers.iter().map(|(_, signed)| signed.load(Ordering::Relaxed)).collect();
        orders.set_keys(keys, *current);
        // A place is written again after many changes: nobody may sleep over all of them with a key in his hand.
        let moved = |(index, (signer, signed)): (usize, &(JoinHandle<()>, Arc<AtomicU64>))| {
            signer.is_finished() || signed.load(Ordering::Relaxed) > before[index]
        };
        while !signers.iter().enumerate().all(moved) {
            thread::yield_now();
        }
    }
    end.store(true, Ordering::Relaxed);
    signers.into_iter().for_each(|(signer, _)| signer.join().unwrap());
}
