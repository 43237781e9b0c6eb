//! ICMP echo (RFC 792, RFC 4443 section 4), as ping nodes and `xbeat probe` are asked: how a request is written, and which
//! reply is one to it.
//!
//! ```text
//!   0        1        2        3        4        5        6        7        8 ... 23
//!  +--------+--------+-----------------+-----------------+-----------------+----------+
//!  |  type  | code 0 |    checksum     |   identifier    |     number      | payload  |
//!  +--------+--------+-----------------+-----------------+-----------------+----------+
//! ```
//!
//! The identifier is drawn at random for each start and the payload for each request, so that nobody who does not see
//! the requests can answer them.

use std::net::IpAddr;

/// Bytes of a payload: more than anybody guesses.
pub const PAYLOAD_LEN: usize = 16;
/// Bytes of a request.
pub const REQUEST_LEN: usize = 8 + PAYLOAD_LEN;

/// What a request carries and its answer brings back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Whose request it is.
    pub ident: u16,
    /// Its number.
    pub number: u16,
    /// What nobody can guess.
    pub payload: [u8; PAYLOAD_LEN],
}

const REQUEST_V4: u8 = 8;
const REPLY_V4: u8 = 0;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;

/// What came in by an ICMP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Something else than an echo reply.
    Other,
    /// An echo reply to somebody else's request, by its identifier.
    Foreign,
    /// An echo reply with our identifier that does not look like a request of ours.
    Wrong,
    /// An echo reply that may be the answer to a request of ours.
    Echo(Echo),
}

impl Echo {
    /// The request for a host at such an address. The checksum of IPv6 is the kernel's business: it covers addresses.
    #[must_use]
    pub fn request(&self, to: IpAddr) -> [u8; REQUEST_LEN] {
        let mut bytes = [0; REQUEST_LEN];
        bytes[4..6].copy_from_slice(&self.ident.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.number.to_be_bytes());
        bytes[8..].copy_from_slice(&self.payload);
        if to.is_ipv6() {
            bytes[0] = REQUEST_V6;
        } else {
            bytes[0] = REQUEST_V4;
            let sum = checksum(&bytes);
            bytes[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        bytes
    }
}

/// Reads what a raw socket for the protocol of `from` received. IPv4 comes with its header, whose checksum the kernel has
/// looked at, IPv6 without.
#[must_use]
pub fn read(bytes: &[u8], from: IpAddr, ident: u16) -> Answer {
    let message = if from.is_ipv6() {
        Some(bytes)
    } else {
        let header = bytes.first().map_or(0, |first| usize::from(first & 15) * 4);
        bytes.get(header..).filter(|_| header >= 20)
    };
    message.map_or(Answer::Other, |message| read_message(message, from.is_ipv6(), ident))
}

/// Reads an ICMP message, which has no IP header before it any more.
#[must_use]
pub fn read_message(message: &[u8], v6: bool, ident: u16) -> Answer {
    let reply = if v6 { REPLY_V6 } else { REPLY_V4 };
    let [kind, code, _, _, i0, i1, n0, n1, payload @ ..] = message else { return Answer::Other };
    if (*kind, *code) != (reply, 0) {
        return Answer::Other;
    }
    if u16::from_be_bytes([*i0, *i1]) != ident {
        return Answer::Foreign;
    }
    // Linux checks the checksum of ICMPv6 only.
    let whole = v6 || checksum(message) == 0;
    match payload.try_into() {
        Ok(payload) if whole => Answer::Echo(Echo { ident, number: u16::from_be_bytes([*n0, *n1]), payload }),
        _ => Answer::Wrong,
    }
}

/// The checksum of the internet (RFC 1071), which over a message that carries it is 0.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        // A message is at most 64 KiB long, which cannot overflow; folded all the same.
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
    const ECHO: Echo = Echo { ident: 0x1234, number: 7, payload: *b"0123456789abcdef" };

    /// What a host makes of a request.
    fn reply(request: &[u8], to: IpAddr) -> Vec<u8> {
        let mut message = request.to_vec();
        if to.is_ipv6() {
            message[0] = REPLY_V6;
            return message;
        }
        message[0] = REPLY_V4;
        message[2..4].fill(0);
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let mut packet = vec![0x45; 20];
        packet.extend(message);
        packet
    }

    #[test]
    fn a_request_is_as_the_standard_says() {
        let bytes = ECHO.request(V4);
        assert_eq!(bytes[..2], [8, 0]);
        assert_eq!(bytes[4..8], [0x12, 0x34, 0, 7]);
        assert_eq!(bytes[8..], ECHO.payload);
        assert_eq!(checksum(&bytes), 0);
        assert_eq!(ECHO.request(V6)[..4], [128, 0, 0, 0], "the kernel fills the checksum in");
    }

    #[test]
    fn a_reply_brings_back_what_was_asked() {
        for to in [V4, V6] {
            assert_eq!(read(&reply(&ECHO.request(to), to), to, ECHO.ident), Answer::Echo(ECHO));
            assert_eq!(read(&reply(&ECHO.request(to), to), to, 1), Answer::Foreign);
        }
    }

    #[test]
    fn what_is_not_a_reply_of_ours_is_told_apart() {
        let good = reply(&ECHO.request(V4), V4);
        // Our own request, as the loopback interface shows it.
        let mut request = vec![0x45; 20];
        request.extend(ECHO.request(V4));
        assert_eq!(read(&request, V4, ECHO.ident), Answer::Other);
        for length in 0..good.len() {
            let expected = if length < 28 { Answer::Other } else { Answer::Wrong };
            assert_eq!(read(&good[..length], V4, ECHO.ident), expected, "{length} bytes");
        }
        let mut long = good.clone();
        long.push(0);
        assert_eq!(read(&long, V4, ECHO.ident), Answer::Wrong);
        let mut damaged = good.clone();
        damaged[40] ^= 1;
        assert_eq!(read(&damaged, V4, ECHO.ident), Answer::Wrong, "its checksum");
        let mut short_header = good;
        short_header[0] = 0x44;
        assert_eq!(read(&short_header, V4, ECHO.ident), Answer::Other);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>, v6: bool, ident: u16) {
            let _ = read(&bytes, if v6 { V6 } else { V4 }, ident);
        }
    }
}
