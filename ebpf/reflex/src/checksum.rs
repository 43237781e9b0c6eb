//! The Internet checksum (RFC 1071), where hardware does not compute it.

use crate::frame::{FRAME_LEN, Frame};
use crate::path::Ip;

const UDP: u16 = 17;
/// Length of a UDP datagram with a frame in it.
pub const UDP_LEN: u16 = 8 + FRAME_LEN as u16;

/// UDP checksum of a frame over IPv6 (RFC 8200 8.1), ready to be written; never 0, which would say that there is none.
///
/// Addresses and `ports` (source, then destination) as they lie in a packet. So are all words that are added: a sum in ones'
/// complement does not mind the order of bytes.
#[inline(always)]
#[must_use]
pub fn udp6(from: Ip, to: Ip, ports: u32, frame: &Frame) -> u16 {
    // The length stands in the pseudo-header and in the header.
    let mut sum = u64::from(ports) + 2 * u64::from(UDP_LEN.to_be()) + u64::from(UDP.to_be());
    for word in [from[0], from[1], to[0], to[1]] {
        sum += halves(word);
    }
    for i in 0..FRAME_LEN / 8 {
        let b = &frame.bytes;
        let at = i * 8;
        sum += halves(u64::from_ne_bytes([
            b[at],
            b[at + 1],
            b[at + 2],
            b[at + 3],
            b[at + 4],
            b[at + 5],
            b[at + 6],
            b[at + 7],
        ]));
    }
    // 40 bits at most; then 33, 17 or so, 16 and a carry.
    sum = halves(sum);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    match !(sum as u16) {
        0 => 0xffff,
        sum => sum,
    }
}

#[inline(always)]
fn halves(word: u64) -> u64 {
    (word & 0xffff_ffff) + (word >> 32)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::path::{bytes, ipv6};

    /// The sum as RFC 1071 writes it, over the pseudo-header of RFC 8200 and the datagram; `checksum` in its place.
    fn sum(from: Ip, to: Ip, ports: u32, checksum: u16, frame: &Frame) -> u16 {
        let mut all: Vec<u8> = [bytes(from), bytes(to)].concat();
        all.extend([0, 0, 0, 152, 0, 0, 0, 17]);
        all.extend(ports.to_ne_bytes());
        all.extend([0, 152]);
        all.extend(checksum.to_ne_bytes());
        all.extend(frame.bytes);
        let mut sum = 0u32;
        for pair in all.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    #[test]
    fn a_right_checksum_makes_the_sum_ones() {
        let mut state = 7u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 8
        };
        for _ in 0..2000 {
            let mut frame = Frame::default();
            frame.bytes.iter_mut().for_each(|byte| *byte = random() as u8);
            let (from, to, ports) = ([random(), random() << 8], [random() << 8, random()], random() as u32);
            let checksum = udp6(from, to, ports, &frame);
            assert_eq!(sum(from, to, ports, checksum, &frame), 0xffff);
        }
        let ones = Frame { bytes: [0xff; FRAME_LEN] };
        let (from, to) = (ipv6([0xff; 16]), ipv6([0xff; 16]));
        assert_eq!(sum(from, to, u32::MAX, udp6(from, to, u32::MAX, &ones), &ones), 0xffff);
    }

    #[test]
    fn a_sum_that_comes_out_as_none_is_sent_as_ones() {
        let (from, to, mut frame) = (ipv6([1; 16]), ipv6([2; 16]), Frame::default());
        // What is missing to ones, put into the frame: the complement is 0.
        let missing = udp6(from, to, 5, &frame);
        frame.bytes[100..102].copy_from_slice(&missing.to_ne_bytes());
        assert_eq!(udp6(from, to, 5, &frame), 0xffff);
        assert_eq!(sum(from, to, 5, 0xffff, &frame), 0xffff);
    }
}
