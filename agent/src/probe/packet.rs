//! The requests and what their answers look like. Nothing that comes in is believed unless it brings back the nonce of
//! this run from the address that was asked; the rest is counted and ignored.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reflex::arp::{ARP_LEN, Arp, Operation};

use crate::icmp::{self, Echo, PAYLOAD_LEN};

/// A hardware address.
pub(super) type Mac = [u8; 6];

/// What a request for an IP address is recognised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    pub target: IpAddr,
    pub transport: Transport,
    /// Drawn for this run: who does not see the requests cannot answer them.
    pub nonce: [u8; 8],
}

/// What carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Icmp {
        ident: u16,
    },
    Udp {
        /// Ours.
        port: u16,
        /// That was asked.
        to: u16,
    },
}

/// Why something that came in is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// An echo reply to somebody else's request.
    Identifier,
    /// Not what was sent.
    Payload,
    /// Not from the address that was asked.
    Source,
}

/// What something that came in is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen<'a> {
    /// An answer to request `number`, with the name that an echo service added.
    Answer {
        number: u64,
        name: &'a [u8],
    },
    Ignored(Wrong),
    /// Nothing of ours.
    Nothing,
}

impl Question {
    /// The ICMP message or UDP payload of request `number`.
    pub(super) fn request(&self, number: u64) -> Vec<u8> {
        let payload = self.payload(number);
        match self.transport {
            Transport::Icmp { ident } => {
                Echo { ident, number: number as u16, payload }.request(self.target).to_vec()
            }
            Transport::Udp { .. } => payload.to_vec(),
        }
    }

    /// Reads an ICMP message or UDP payload from `source` (and its UDP port).
    pub(super) fn read_message<'a>(&self, source: IpAddr, port: u16, bytes: &'a [u8]) -> Seen<'a> {
        let (number, payload, name) = match self.transport {
            Transport::Icmp { ident } => match icmp::read_message(bytes, source.is_ipv6(), ident) {
                icmp::Answer::Other => return Seen::Nothing,
                // From elsewhere it is another program's business; from the target it is worth counting.
                icmp::Answer::Foreign if source != self.target => return Seen::Nothing,
                icmp::Answer::Foreign => return Seen::Ignored(Wrong::Identifier),
                icmp::Answer::Wrong => return Seen::Ignored(Wrong::Payload),
                icmp::Answer::Echo(echo) => (Some(echo.number), echo.payload, &[][..]),
            },
            Transport::Udp { .. } => match bytes.split_first_chunk::<PAYLOAD_LEN>() {
                Some((payload, name)) => (None, *payload, name),
                None => return Seen::Ignored(Wrong::Payload),
            },
        };
        let elsewhere = matches!(self.transport, Transport::Udp { to, .. } if to != port);
        if source != self.target || elsewhere {
            return Seen::Ignored(Wrong::Source);
        }
        let (nonce, rest) = payload.split_at(8);
        let of_run = rest.try_into().map(u64::from_be_bytes).ok().filter(|_| nonce == self.nonce);
        // An echo carries its number twice.
        match of_run.filter(|of_run| number.is_none_or(|number| number == *of_run as u16)) {
            Some(number) => Seen::Answer { number, name },
            None => Seen::Ignored(Wrong::Payload),
        }
    }

    /// Reads a whole IP packet.
    pub(super) fn read_packet<'a>(&self, bytes: &'a [u8]) -> Seen<'a> {
        let Some((source, protocol, inner)) = ip(bytes) else { return Seen::Nothing };
        match (self.transport, protocol) {
            (Transport::Icmp { .. }, ICMP | ICMP6) => self.read_message(source, 0, inner),
            (Transport::Udp { port, .. }, UDP) => {
                let Some(([s0, s1, d0, d1, l0, l1, _, _], payload)) = inner.split_first_chunk::<8>() else {
                    return Seen::Nothing;
                };
                let length = usize::from(u16::from_be_bytes([*l0, *l1]));
                let payload = length.checked_sub(8).and_then(|length| payload.get(..length));
                match payload {
                    _ if u16::from_be_bytes([*d0, *d1]) != port => Seen::Nothing,
                    Some(payload) => self.read_message(source, u16::from_be_bytes([*s0, *s1]), payload),
                    None => Seen::Ignored(Wrong::Payload),
                }
            }
            _ => Seen::Nothing,
        }
    }

    fn payload(&self, number: u64) -> [u8; PAYLOAD_LEN] {
        let mut payload = [0; PAYLOAD_LEN];
        payload[..8].copy_from_slice(&self.nonce);
        payload[8..].copy_from_slice(&number.to_be_bytes());
        payload
    }
}

pub(super) const ICMP: u8 = 1;
pub(super) const UDP: u8 = 17;
pub(super) const ICMP6: u8 = 58;

/// Source, protocol and content of an IP packet without fragments and, in IPv6, without extension headers: what an
/// answer to so small a request is.
fn ip(bytes: &[u8]) -> Option<(IpAddr, u8, &[u8])> {
    match bytes.first()? >> 4 {
        4 => {
            let header = usize::from(bytes[0] & 15) * 4;
            let total = usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
            // More fragments, or an offset.
            let fragment = u16::from_be_bytes([*bytes.get(6)?, *bytes.get(7)?]) & 0x3fff != 0;
            let source: [u8; 4] = bytes.get(12..16)?.try_into().ok()?;
            let inner = bytes.get(header..total).filter(|_| header >= 20 && !fragment)?;
            Some((Ipv4Addr::from(source).into(), bytes[9], inner))
        }
        6 => {
            let length = usize::from(u16::from_be_bytes([*bytes.get(4)?, *bytes.get(5)?]));
            let source: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            Some((Ipv6Addr::from(source).into(), bytes[6], bytes.get(40..40 + length)?))
        }
        _ => None,
    }
}

/// Who asks by ARP, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ArpQuestion {
    pub mac: Mac,
    /// Unspecified where the interface has no address (an ARP probe, RFC 5227).
    pub own: Ipv4Addr,
    pub target: Ipv4Addr,
}

impl ArpQuestion {
    /// Who has the target? It goes to all and says nothing untrue of us.
    pub(super) fn request(&self) -> [u8; ARP_LEN] {
        let mut bytes = [0; ARP_LEN];
        bytes[0..6].fill(0xff);
        bytes[6..12].copy_from_slice(&self.mac);
        bytes[12..22].copy_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, 1]);
        bytes[22..28].copy_from_slice(&self.mac);
        bytes[28..32].copy_from_slice(&self.own.octets());
        bytes[38..42].copy_from_slice(&self.target.octets());
        bytes
    }

    /// Reads an Ethernet frame: the MAC that answers for the target, or why it is no answer.
    pub(super) fn read(&self, frame: &[u8]) -> Result<Mac, Option<Wrong>> {
        let bytes: [u8; ARP_LEN] =
            frame.get(..ARP_LEN).and_then(|bytes| bytes.try_into().ok()).ok_or(None)?;
        let arp = Arp { bytes };
        if bytes[12..14] != [0x08, 0x06] || arp.operation() != Some(Operation::Reply) {
            return Err(None);
        }
        // Announcements (the target asks for nothing), and answers to others that a hub lets us see.
        if bytes[32..38] != self.mac || arp.target() != self.own.octets() {
            return Err(None);
        }
        // Our kernel asks for others, too: their answers are no forgeries.
        if arp.sender() != self.target.octets() {
            return Err(None);
        }
        // A group address, or none, is nobody's.
        let mac = arp.sender_mac();
        if mac[0] & 1 == 1 || mac == [0; 6] { Err(Some(Wrong::Source)) } else { Ok(mac) }
    }
}

#[cfg(test)]
mod tests;
