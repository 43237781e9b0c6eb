//! Access to a packet: every pointer into it comes from one checked function.

use aya_ebpf::programs::{TcContext, XdpContext};
use reflex::arp::Arp;
use reflex::frame::{FRAME_LEN, Frame};

/// Offset of the IPv4 header, behind an untagged Ethernet header.
const IP: usize = 14;
/// Offset of the UDP header, behind an IPv4 header without options.
const UDP: usize = 34;
/// Offset of the UDP payload.
const PAYLOAD: usize = 42;

/// EtherType of IPv4.
pub(crate) const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub(crate) const ARP: u16 = 0x0806;

const TTL: u8 = 64;

/// A pointer to `T` at `offset`, if the packet is that long.
#[inline(always)]
fn at<T>(ctx: &XdpContext, offset: usize) -> Option<*mut T> {
    let start = ctx.data() + offset;
    if start + size_of::<T>() > ctx.data_end() { None } else { Some(start as *mut T) }
}

/// Reads a value at `offset`. The load is as wide as `T` whatever the address: packets are aligned to two
/// bytes at best, and the machines that BPF programs run on do not mind.
#[inline(always)]
fn read<T: Copy>(ctx: &XdpContext, offset: usize) -> Option<T> {
    // SAFETY: the pointer is inside the packet.
    at::<T>(ctx, offset).map(|p| unsafe { p.read_volatile() })
}

/// Type of the Ethernet frame.
#[inline(always)]
pub(crate) fn ether_type(ctx: &XdpContext) -> Option<u16> {
    read::<u16>(ctx, 12).map(u16::from_be)
}

/// What the headers of a datagram say.
pub(crate) enum Datagram {
    /// Not to the port, not UDP, not IPv4 without options, or not for this host alone.
    Unrelated,
    /// To the port, but in fragments.
    Fragment,
    /// To the port, but not as long as a frame.
    OtherLength,
    /// To the port, as long as a frame.
    Frame,
}

/// Looks at an IPv4 packet: is it a datagram to `port` of this host?
#[inline(always)]
pub(crate) fn datagram(ctx: &XdpContext, port: u16, is_own: impl Fn(u32) -> bool) -> Datagram {
    parse(ctx, port, is_own).unwrap_or(Datagram::Unrelated)
}

#[inline(always)]
fn parse(ctx: &XdpContext, port: u16, is_own: impl Fn(u32) -> bool) -> Option<Datagram> {
    const UDP_PROTOCOL: u8 = 17;
    let version_ihl = read::<u8>(ctx, IP)?;
    let protocol = read::<u8>(ctx, IP + 9)?;
    if version_ihl != 0x45 || protocol != UDP_PROTOCOL {
        return None;
    }
    let fragment = u16::from_be(read(ctx, IP + 6)?);
    let to = u16::from_be(read(ctx, UDP + 2)?);
    // Behind the first fragment there is no UDP header to look at; without the first it leads nowhere.
    if fragment & 0x1fff != 0 || to != port || !is_own(read(ctx, IP + 16)?) || is_to_group(ctx)? {
        return None;
    }
    const MORE_FRAGMENTS: u16 = 0x2000;
    if fragment & MORE_FRAGMENTS != 0 {
        return Some(Datagram::Fragment);
    }
    let ip_length = u16::from_be(read(ctx, IP + 2)?) as usize;
    let length = u16::from_be(read(ctx, UDP + 4)?) as usize;
    if ip_length != 20 + 8 + FRAME_LEN || length != 8 + FRAME_LEN || at::<Frame>(ctx, PAYLOAD).is_none() {
        return Some(Datagram::OtherLength);
    }
    Some(Datagram::Frame)
}

/// Whether the packet is for a group of stations. Its answer would come from a group address, which no station may use.
#[inline(always)]
fn is_to_group(ctx: &XdpContext) -> Option<bool> {
    read::<u8>(ctx, 0).map(|first| first & 1 != 0)
}

/// IPv4 address that a datagram comes from.
#[inline(always)]
pub(crate) fn source(ctx: &XdpContext) -> Option<u64> {
    read::<u32>(ctx, IP + 12).map(u64::from)
}

/// IPv4 address that a packet goes to.
#[inline(always)]
pub(crate) fn destination(ctx: &XdpContext) -> Option<[u8; 4]> {
    read(ctx, IP + 16)
}

/// IPv4 address in whose name a packet leaves: the source, or ARP's sender.
///
/// Loaded by helper: what leaves may not lie in one piece.
#[inline(always)]
pub(crate) fn egress_source(ctx: &TcContext) -> Option<[u8; 4]> {
    const ARP_SENDER: usize = 28;
    let offset = match u16::from_be(ctx.load::<u16>(12).ok()?) {
        IPV4 => IP + 12,
        ARP => ARP_SENDER,
        _ => return None,
    };
    ctx.load(offset).ok()
}

const FRAME_WORDS: usize = FRAME_LEN / 8;

/// Copies the frame out of the packet.
#[inline(always)]
pub(crate) fn copy_frame(ctx: &XdpContext, frame: &mut Frame) -> Option<()> {
    let from = at::<[u64; FRAME_WORDS]>(ctx, PAYLOAD)?.cast::<u64>();
    let to = (&raw mut frame.bytes).cast::<u64>();
    for i in 0..FRAME_WORDS {
        // SAFETY: both sides have FRAME_LEN bytes; unaligned loads as in `read`.
        unsafe { to.add(i).write(from.add(i).read_volatile()) };
    }
    Some(())
}

/// Makes the packet the answer to itself: addresses swapped, with `frame` in it.
#[inline(always)]
pub(crate) fn reply(ctx: &XdpContext, frame: &Frame) -> Option<()> {
    let to = at::<[u64; FRAME_WORDS]>(ctx, PAYLOAD)?.cast::<u64>();
    let from = (&raw const frame.bytes).cast::<u64>();
    for i in 0..FRAME_WORDS {
        // SAFETY: as in `copy_frame`.
        unsafe { to.add(i).write_volatile(from.add(i).read()) };
    }
    swap_mac(ctx)?;
    swap::<u32>(ctx, IP + 12, IP + 16)?;
    swap::<u16>(ctx, UDP, UDP + 2)?;
    // No UDP checksum (RFC 768 allows it over IPv4): the frame has a better one.
    write::<u16>(ctx, UDP + 6, 0)?;
    write::<u8>(ctx, IP + 8, TTL)?;
    write::<u16>(ctx, IP + 10, 0)?;
    write::<u16>(ctx, IP + 10, ip_checksum(ctx)?)
}

#[inline(always)]
fn write<T>(ctx: &XdpContext, offset: usize, value: T) -> Option<()> {
    // SAFETY: the pointer is inside the packet.
    at::<T>(ctx, offset).map(|p| unsafe { p.write_volatile(value) })
}

#[inline(always)]
fn swap<T: Copy>(ctx: &XdpContext, a: usize, b: usize) -> Option<()> {
    let (x, y) = (read::<T>(ctx, a)?, read::<T>(ctx, b)?);
    write(ctx, a, y)?;
    write(ctx, b, x)
}

#[inline(always)]
fn swap_mac(ctx: &XdpContext) -> Option<()> {
    swap::<u32>(ctx, 0, 6)?;
    swap::<u16>(ctx, 4, 10)
}

/// Checksum of the 20 bytes of an IPv4 header (RFC 791), ready to be written.
#[inline(always)]
fn ip_checksum(ctx: &XdpContext) -> Option<u16> {
    let words = at::<[u16; 10]>(ctx, IP)?.cast::<u16>();
    let mut sum = 0u32;
    for i in 0..10 {
        // SAFETY: inside the header.
        sum += u32::from(unsafe { words.add(i).read_volatile() });
    }
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    Some(!(sum as u16))
}

/// The packet as ARP for IPv4, copied to the stack.
#[inline(always)]
pub(crate) fn arp(ctx: &XdpContext) -> Option<Arp> {
    let from = at::<Arp>(ctx, 0)?;
    // SAFETY: inside the packet; an array of bytes has no alignment.
    Some(unsafe { from.read() })
}

/// Writes `arp` over the packet.
#[inline(always)]
pub(crate) fn write_arp(ctx: &XdpContext, arp: &Arp) -> Option<()> {
    let to = at::<Arp>(ctx, 0)?;
    // SAFETY: as in `arp`.
    unsafe { to.write(*arp) };
    Some(())
}
