//! ARP frames (RFC 826), as far as a witness needs them.
//!
//! ```text
//!  0      6      12   14        22      28      32      38      42
//!  +------+------+----+---------+-------+-------+-------+-------+
//!  | dst  | src  |0806| 1,0800, | sender| sender| target| target|
//!  | mac  | mac  |    | 6,4,op  | mac   | ip    | mac   | ip    |
//!  +------+------+----+---------+-------+-------+-------+-------+
//! ```

use std::net::Ipv4Addr;

/// A hardware address.
pub type Mac = [u8; 6];

/// The length of an ARP frame, Ethernet header included, padding not.
pub const FRAME_LENGTH: usize = 42;

const BROADCAST: Mac = [0xff; 6];
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const ETHERNET_IPV4: [u8; 9] = [0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0];

/// The question "who has `target`?", broadcast by `sender`.
pub fn request(sender: (Mac, Ipv4Addr), target: Ipv4Addr) -> [u8; FRAME_LENGTH] {
    frame(BROADCAST, REQUEST, sender, ([0; 6], target))
}

/// The gratuitous announcement "`address` is at `mac`" (RFC 5227 section 3).
pub fn announcement(mac: Mac, address: Ipv4Addr) -> [u8; FRAME_LENGTH] {
    frame(BROADCAST, REQUEST, (mac, address), ([0; 6], address))
}

/// The answer "`sender` is here", to whoever is `target`.
pub fn reply(sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> [u8; FRAME_LENGTH] {
    frame(target.0, REPLY, sender, target)
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// Who answers.
    pub sender: (Mac, Ipv4Addr),
    /// Whom it answers.
    pub target: (Mac, Ipv4Addr),
}

impl Reply {
    /// Reads an ARP answer from `frame`; anything else is `None`.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let frame: &[u8; FRAME_LENGTH] = frame.get(..FRAME_LENGTH)?.try_into().ok()?;
        let is_reply = frame[12..21] == ETHERNET_IPV4 && frame[21] == REPLY;
        let station = |at: usize| -> Option<(Mac, Ipv4Addr)> {
            let mac: Mac = frame[at..at + 6].try_into().ok()?;
            let ip: [u8; 4] = frame[at + 6..at + 10].try_into().ok()?;
            Some((mac, ip.into()))
        };
        if is_reply { Some(Self { sender: station(22)?, target: station(32)? }) } else { None }
    }
}

fn frame(
    destination: Mac,
    operation: u8,
    sender: (Mac, Ipv4Addr),
    target: (Mac, Ipv4Addr),
) -> [u8; FRAME_LENGTH] {
    let mut frame = [0; FRAME_LENGTH];
    frame[..6].copy_from_slice(&destination);
    frame[6..12].copy_from_slice(&sender.0);
    frame[12..21].copy_from_slice(&ETHERNET_IPV4);
    frame[21] = operation;
    for (at, (mac, ip)) in [(22, sender), (32, target)] {
        frame[at..at + 6].copy_from_slice(&mac);
        frame[at + 6..at + 10].copy_from_slice(&ip.octets());
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: (Mac, Ipv4Addr) = ([2, 0, 0, 0, 0, 1], Ipv4Addr::new(192, 0, 2, 100));
    const ASKER: (Mac, Ipv4Addr) = ([2, 0, 0, 0, 0, 9], Ipv4Addr::new(192, 0, 2, 51));

    #[test]
    fn a_reply_is_read_back() {
        let parsed = Reply::parse(&reply(NODE, ASKER));
        assert_eq!(parsed, Some(Reply { sender: NODE, target: ASKER }));
    }

    #[test]
    fn padding_after_a_reply_does_not_matter() {
        let mut padded = reply(NODE, ASKER).to_vec();
        padded.resize(60, 0);
        assert_eq!(Reply::parse(&padded), Some(Reply { sender: NODE, target: ASKER }));
    }

    #[test]
    fn what_is_no_reply_is_not_read_as_one() {
        assert_eq!(Reply::parse(&request(ASKER, NODE.1)), None);
        assert_eq!(Reply::parse(&announcement(NODE.0, NODE.1)), None);
        assert_eq!(Reply::parse(&reply(NODE, ASKER)[..FRAME_LENGTH - 1]), None);
        let mut other_protocol = reply(NODE, ASKER);
        other_protocol[13] = 0;
        assert_eq!(Reply::parse(&other_protocol), None);
    }
}
