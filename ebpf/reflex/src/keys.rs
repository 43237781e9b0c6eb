//! Keys that change under running programs.
//!
//! A key lies in a place that no program reads while it is written: numbers name places, there are twice as many places
//! as numbers, and a number changes its place in one store. So whoever signs or checks meanwhile uses the old key or the
//! new one, whole. A key that is removed is no longer accepted, but its place stays as it is: who read
//! [`Orders::key_current`] a moment before it changed still signs with the key that the number meant.

use crate::KEYS_MAX;
use crate::layout::{Key, Orders, at};

/// Places for keys: as many as all numbers hold, and as many to write new ones to.
pub const KEY_PLACES: usize = 2 * KEYS_MAX;

/// A number's word: it has a place.
#[cfg_attr(target_arch = "bpf", allow(dead_code, reason = "the kernel places no keys"))]
const PLACED: u64 = 1 << 9;
/// A number's word: frames signed with it are believed.
const ACCEPTED: u64 = 1 << 8;
/// A number's word: which place.
const PLACE: u64 = ACCEPTED - 1;

impl Orders {
    /// The key that frames with this number are checked with, if there is one.
    #[inline(always)]
    pub fn accepted_key(&self, number: u8) -> Option<&Key> {
        if number as usize >= KEYS_MAX {
            return None;
        }
        let word = at!(self.key_places, number).get();
        acquire();
        if word & ACCEPTED == 0 { None } else { Some(at!(self.keys, word & PLACE)) }
    }

    /// The key that frames with this number are signed with.
    #[inline(always)]
    pub fn signing_key(&self, number: u64) -> &Key {
        let word = at!(self.key_places, number).get();
        acquire();
        at!(self.keys, word & PLACE)
    }
}

#[cfg(not(target_arch = "bpf"))]
impl Orders {
    /// Makes `keys` (by number; method 0: none) the keys, and `current` the one that signs, while others go on signing and
    /// checking: first what is new is accepted, then `current` signs, then what is gone is refused.
    pub fn set_keys(&self, keys: &[Key; KEYS_MAX], current: u8) {
        for (number, key) in (0u8..).zip(keys).filter(|(_, key)| key.method.get() != 0) {
            self.set_key(number, key);
        }
        release();
        self.key_current.set(u64::from(current));
        for (word, _) in self.key_places.iter().zip(keys).filter(|(_, key)| key.method.get() == 0) {
            word.set(word.get() & !ACCEPTED);
        }
    }

    /// Gives `number` this key.
    pub fn set_key(&self, number: u8, key: &Key) {
        let word = at!(self.key_places, number);
        let old = word.get();
        if old & PLACED != 0 && *at!(self.keys, old & PLACE) == *key {
            word.set(old | ACCEPTED);
            return;
        }
        let place = self.spare_place();
        at!(self.keys, place).copy_from(key);
        release();
        word.set(PLACED | ACCEPTED | place);
    }

    /// A place that no number names: the one left longest, so that who is slow with the old key still finds it.
    fn spare_place(&self) -> u64 {
        let is_used = |place: u64| {
            self.key_places.iter().any(|word| word.get() & PLACED != 0 && word.get() & PLACE == place)
        };
        let after = self.key_placed.get();
        let places = (1..=KEY_PLACES as u64).map(|step| (after + step) % KEY_PLACES as u64);
        // There are more places than numbers: one is always free.
        let place = places.into_iter().find(|&place| !is_used(place)).unwrap_or(0);
        self.key_placed.set(place);
        place
    }
}

/// What was found behind a number is read after the number. In the kernel the address depends on it, which orders.
#[inline(always)]
fn acquire() {
    #[cfg(not(target_arch = "bpf"))]
    core::sync::atomic::fence(core::sync::atomic::Ordering::Acquire);
}

/// What lies in a place is written before a number names it, and a number before it is the current one.
#[cfg(not(target_arch = "bpf"))]
fn release() {
    core::sync::atomic::fence(core::sync::atomic::Ordering::Release);
}

#[cfg(test)]
mod tests;
