//! What the kernel and the network say about frames that do not arrive: shown, logged, and a reason to ask sooner. Never
//! proof of anything: an ICMP message may come from anybody, and a port may be refused by a node that is starting.

use std::io;
use std::sync::PoisonError;

use super::Link;

/// What went wrong with frames of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The node that they were for, if that is known.
    pub node: Option<u8>,
    /// What became of them, as in `errno(3)`.
    pub errno: i32,
    /// When it began (monotonic clock, ns).
    pub since: u64,
    /// When it was last seen.
    pub at: u64,
}

/// How long a trouble that is not seen again lasts, ns: longer than a neighbour that is gone is asked for by ARP.
pub const MEMORY_NS: u64 = 5_000_000_000;

impl Trouble {
    /// Whether it was seen lately.
    #[must_use]
    pub const fn is_fresh(&self, now: u64) -> bool {
        now.saturating_sub(self.at) < MEMORY_NS
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.errno {
            libc::ECONNREFUSED => f.write_str("refused: nobody listens on the port there"),
            libc::EHOSTUNREACH => f.write_str("unreachable: nobody has that address, or no way leads there"),
            errno => write!(f, "lost: {}", io::Error::from_raw_os_error(errno)),
        }
    }
}

impl Link {
    /// What went wrong lately.
    #[must_use]
    pub fn troubles(&self, now: u64) -> Vec<Trouble> {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.iter().filter(|trouble| trouble.is_fresh(now)).copied().collect()
    }

    /// Notes that a frame to `node` did not leave, or came back. Logged when that begins.
    pub fn note(&self, node: Option<u8>, errno: i32, now: u64) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if note(&mut troubles, node, errno, now) {
            tracing::warn!("Link {}: frames are {}", self.name, Trouble { node, errno, since: now, at: now });
        }
    }

    /// Notes what the network said about frames that were sent before.
    pub fn note_refusals(&self, now: u64) {
        let Some(socket) = self.udp() else { return };
        for refusal in socket.refusals() {
            let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
            let target =
                targets.iter().find(|target| target.address.is_some() && target.address == refusal.to);
            let node = target.and_then(|target| target.node);
            drop(targets);
            self.note(node, refusal.errno, now);
        }
    }
}

/// Notes a trouble among the others; true if it is new.
fn note(troubles: &mut Vec<Trouble>, node: Option<u8>, errno: i32, now: u64) -> bool {
    troubles.retain(|trouble| trouble.is_fresh(now));
    match troubles.iter_mut().find(|trouble| (trouble.node, trouble.errno) == (node, errno)) {
        Some(known) => {
            known.at = now;
            false
        }
        None => {
            troubles.push(Trouble { node, errno, since: now, at: now });
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_of_several_nodes_do_not_renew_one_another() {
        let mut troubles = Vec::new();
        let mut new = 0;
        for now in (0..3 * MEMORY_NS).step_by(1_000_000_000) {
            for (node, errno) in [(1, libc::ECONNREFUSED), (2, libc::ECONNREFUSED), (2, libc::EHOSTUNREACH)] {
                new += usize::from(note(&mut troubles, Some(node), errno, now));
            }
        }
        assert_eq!((new, troubles.len()), (3, 3), "each began once");
        assert!(note(&mut troubles, None, libc::ENETDOWN, 9 * MEMORY_NS));
        assert_eq!(troubles.len(), 1, "what is over is forgotten");
    }

    #[test]
    fn a_trouble_lasts_while_it_is_seen_again_and_begins_anew_after_that() {
        let trouble = Trouble { node: Some(1), errno: libc::ECONNREFUSED, since: 10, at: 10 };
        assert!(trouble.is_fresh(10 + MEMORY_NS - 1));
        assert!(!trouble.is_fresh(10 + MEMORY_NS));
        assert!(trouble.to_string().starts_with("refused"));
        assert!(Trouble { errno: libc::ENETDOWN, ..trouble }.to_string().contains("Network is down"));
    }
}
