//! Access to a packet: every pointer into it comes from one checked function.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::bpf_xdp_load_bytes;
use aya_ebpf::programs::{TcContext, XdpContext};
use reflex::arp::Arp;
use reflex::checksum;
use reflex::frame::{FRAME_LEN, Frame};
use reflex::layout::{HELD_MAX, Held, Orders};
use reflex::nd::{self, ND_LEN, ND_SHORT_LEN, Nd};
use reflex::node::Desk;
use reflex::path::{self, Arrival, Ip, Path};
use reflex::strangers::mac_word;
use reflex::verdict::Verdict;

/// Offset of the IP header, behind an untagged Ethernet header.
const IP: usize = 14;
/// Offset of the UDP header, behind an IPv4 header without options.
const UDP: usize = 34;
/// Offset of the UDP payload over IPv4.
pub(crate) const PAYLOAD: usize = 42;
/// Offset of the UDP header, behind an IPv6 header without extensions.
const UDP6: usize = 54;
/// Offset of the UDP payload over IPv6.
pub(crate) const PAYLOAD6: usize = 62;

/// EtherType of IPv4.
pub(crate) const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub(crate) const IPV6: u16 = 0x86dd;
/// EtherType of ARP.
pub(crate) const ARP: u16 = 0x0806;

const UDP_PROTOCOL: u8 = 17;
const ICMP_V6: u8 = 58;
/// Offset of the ICMP header, behind an IPv6 header without extensions.
const ICMP6: usize = 54;
const TTL: u8 = 64;
/// First word of an IPv6 header of network control traffic: version 6, class CS6 (RFC 4594), no flow.
const IPV6_CS6: u32 = 0x6c00_0000;

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

/// Hardware address that a frame comes from, as [`reflex::strangers::mac_word`] has it.
#[inline(always)]
pub(crate) fn mac(ctx: &XdpContext) -> Option<u64> {
    read::<[u8; 6]>(ctx, 6).map(mac_word)
}

/// Sends a frame that came to the hardware address `own` on from there to `next`. None: it did not come to that.
#[inline(always)]
pub(crate) fn readdress(ctx: &XdpContext, own: [u8; 6], next: [u8; 6]) -> Option<()> {
    let addresses = at::<[[u8; 6]; 2]>(ctx, 0)?;
    // SAFETY: inside the packet; an array of bytes has no alignment.
    unsafe {
        if mac_word((*addresses)[0]) != mac_word(own) {
            return None;
        }
        *addresses = [next, own];
    }
    Some(())
}

/// Length of the packet, if it can be held back.
#[inline(always)]
pub(crate) fn length(ctx: &XdpContext) -> Option<usize> {
    let len = ctx.data_end() - ctx.data();
    (len != 0 && len <= HELD_MAX).then_some(len)
}

/// Copies the whole packet, which is `len` bytes long.
#[inline(always)]
pub(crate) fn store(ctx: &XdpContext, len: usize, held: &mut MaybeUninit<Held>) {
    let held = held.as_mut_ptr();
    // SAFETY: fields of a place that is ours; the helper writes at most the bytes that there are.
    unsafe {
        (&raw mut (*held).ifindex).write(ctx.ingress_ifindex() as u32);
        (&raw mut (*held).len).write_volatile(len as u32);
        // The verifier has to be told once more what was checked, and the compiler must not know that it was.
        let len = ((&raw const (*held).len).read_volatile().wrapping_sub(1) & (HELD_MAX as u32 - 1)) + 1;
        bpf_xdp_load_bytes(ctx.ctx, 0, (&raw mut (*held).bytes).cast(), len);
    }
}

/// What the headers of a packet say.
pub(crate) enum Datagram {
    /// Not to one of our ports and addresses, not UDP, with IPv4 options or IPv6 extensions.
    Unrelated,
    /// To us, and no frame.
    Bad(Verdict),
    /// To us, as long as a frame.
    Frame(Arrival),
}

/// Looks at an IPv4 packet: is it a datagram for us?
#[inline(always)]
pub(crate) fn datagram(ctx: &XdpContext, orders: &Orders) -> Datagram {
    parse(ctx, orders).unwrap_or(Datagram::Unrelated)
}

#[inline(always)]
fn parse(ctx: &XdpContext, orders: &Orders) -> Option<Datagram> {
    let version_ihl = read::<u8>(ctx, IP)?;
    let protocol = read::<u8>(ctx, IP + 9)?;
    if version_ihl != 0x45 || protocol != UDP_PROTOCOL {
        return None;
    }
    let fragment = u16::from_be(read(ctx, IP + 6)?);
    let port = u16::from_be(read(ctx, UDP + 2)?);
    // Behind the first fragment there is no UDP header to look at; without the first it leads nowhere.
    if fragment & 0x1fff != 0 || orders.ports4.get() & path::port_bit(port) == 0 {
        return None;
    }
    let arrival = path::arrival(orders, ifindex(ctx), port, ipv4_at(ctx, IP + 16)?)?;
    if arrival == Arrival::Own && is_to_group(ctx)? {
        return None;
    }
    const MORE_FRAGMENTS: u16 = 0x2000;
    let ip_length = u16::from_be(read(ctx, IP + 2)?) as usize;
    let length = u16::from_be(read(ctx, UDP + 4)?) as usize;
    let is_long_enough = at::<Frame>(ctx, PAYLOAD).is_some();
    if fragment & MORE_FRAGMENTS != 0 || ip_length != 20 + UDP_LEN || length != UDP_LEN || !is_long_enough {
        return Some(Datagram::Bad(Verdict::BadLength));
    }
    Some(Datagram::Frame(arrival))
}

const UDP_LEN: usize = checksum::UDP_LEN as usize;

/// Looks at an IPv6 packet: is it a datagram for us? Fragments have an extension header, so they are none.
#[inline(always)]
pub(crate) fn datagram6(ctx: &XdpContext, orders: &Orders) -> Datagram {
    parse6(ctx, orders).unwrap_or(Datagram::Unrelated)
}

#[inline(always)]
fn parse6(ctx: &XdpContext, orders: &Orders) -> Option<Datagram> {
    let ports = orders.ports6.get();
    if ports == 0 || read::<u8>(ctx, IP)? >> 4 != 6 || read::<u8>(ctx, IP + 6)? != UDP_PROTOCOL {
        return None;
    }
    let port = u16::from_be(read(ctx, UDP6 + 2)?);
    if ports & path::port_bit(port) == 0 {
        return None;
    }
    let to = ipv6_at(ctx, IP + 24)?;
    // The unspecified address, loopback, and IPv4 addresses in IPv6's clothes: no packet may carry these to us.
    if to[0] == 0 {
        return None;
    }
    let arrival = path::arrival(orders, ifindex(ctx), port, to)?;
    if arrival == Arrival::Own && is_to_group(ctx)? {
        return None;
    }
    let ip_length = u16::from_be(read(ctx, IP + 4)?) as usize;
    let length = u16::from_be(read(ctx, UDP6 + 4)?) as usize;
    if ip_length != UDP_LEN || length != UDP_LEN || at::<Frame>(ctx, PAYLOAD6).is_none() {
        return Some(Datagram::Bad(Verdict::BadLength));
    }
    // Over IPv6 a datagram without a checksum is not to be taken (RFC 8200 8.1). A checksum that is there is the
    // sender's hardware's business: it may not be filled in yet, and the frame has a better one.
    if read::<u16>(ctx, UDP6 + 6)? == 0 {
        return Some(Datagram::Bad(Verdict::BadFormat));
    }
    Some(Datagram::Frame(arrival))
}

#[inline(always)]
fn ifindex(ctx: &XdpContext) -> u64 {
    ctx.ingress_ifindex() as u64
}

#[inline(always)]
fn ipv4_at(ctx: &XdpContext, offset: usize) -> Option<Ip> {
    read(ctx, offset).map(path::ipv4)
}

#[inline(always)]
fn ipv6_at(ctx: &XdpContext, offset: usize) -> Option<Ip> {
    read(ctx, offset)
}

/// Whether the packet is for a group of stations, although its IP address is that of one: none of ours is sent so.
#[inline(always)]
fn is_to_group(ctx: &XdpContext) -> Option<bool> {
    read::<u8>(ctx, 0).map(|first| first & 1 != 0)
}

/// Address that an IPv4 datagram comes from.
#[inline(always)]
pub(crate) fn source(ctx: &XdpContext) -> Option<Ip> {
    ipv4_at(ctx, IP + 12)
}

/// Address that an IPv6 datagram comes from.
#[inline(always)]
pub(crate) fn source6(ctx: &XdpContext) -> Option<Ip> {
    ipv6_at(ctx, IP + 8)
}

/// Address that an IPv4 packet goes to.
#[inline(always)]
pub(crate) fn destination(ctx: &XdpContext) -> Option<Ip> {
    ipv4_at(ctx, IP + 16)
}

/// Address that an IPv6 packet goes to.
#[inline(always)]
pub(crate) fn destination6(ctx: &XdpContext) -> Option<Ip> {
    ipv6_at(ctx, IP + 24)
}

/// What a packet leaves as.
pub(crate) enum Leaving {
    /// In this address's name: its source, or ARP's sender.
    From(Ip),
    /// The same over IPv6, where it may speak of a second one.
    From6(Ip),
}

/// In whose name a packet leaves.
///
/// Loaded by helper: what leaves may not lie in one piece.
#[inline(always)]
pub(crate) fn leaving(ctx: &TcContext) -> Option<Leaving> {
    const ARP_SENDER: usize = 28;
    let offset = match u16::from_be(ctx.load::<u16>(12).ok()?) {
        IPV4 => IP + 12,
        ARP => ARP_SENDER,
        IPV6 => return ctx.load(IP + 8).ok().map(Leaving::From6),
        _ => return None,
    };
    ctx.load(offset).ok().map(path::ipv4).map(Leaving::From)
}

/// The address that a neighbour advertisement which leaves says to be here, from whatever address it is sent.
#[inline(always)]
pub(crate) fn advertised(ctx: &TcContext) -> Option<Ip> {
    let is_icmp = ctx.load::<u8>(IP + 6).ok()? == ICMP_V6;
    if !is_icmp || ctx.load::<u8>(ICMP6).ok()? != nd::ADVERTISEMENT {
        return None;
    }
    ctx.load(ICMP6 + 8).ok()
}

const FRAME_WORDS: usize = FRAME_LEN / 8;

/// Copies the frame at offset `AT` out of the packet.
#[inline(always)]
pub(crate) fn copy_frame<const AT: usize>(ctx: &XdpContext, frame: &mut Frame) -> Option<()> {
    let from = at::<[u64; FRAME_WORDS]>(ctx, AT)?.cast::<u64>();
    let to = (&raw mut frame.bytes).cast::<u64>();
    for i in 0..FRAME_WORDS {
        // SAFETY: both sides have FRAME_LEN bytes; unaligned loads as in `read`.
        unsafe { to.add(i).write(from.add(i).read_volatile()) };
    }
    Some(())
}

#[inline(always)]
fn write_frame<const AT: usize>(ctx: &XdpContext, frame: &Frame) -> Option<()> {
    let to = at::<[u64; FRAME_WORDS]>(ctx, AT)?.cast::<u64>();
    let from = (&raw const frame.bytes).cast::<u64>();
    for i in 0..FRAME_WORDS {
        // SAFETY: as in `copy_frame`.
        unsafe { to.add(i).write_volatile(from.add(i).read()) };
    }
    Some(())
}

/// Makes the packet the answer to itself, with `frame` in it: back to its sender, from where it went to, or from `own`
/// where that was a group.
#[inline(always)]
pub(crate) fn reply(ctx: &XdpContext, frame: &Frame, own: Option<&Path>) -> Option<()> {
    write_frame::<PAYLOAD>(ctx, frame)?;
    turn_mac(ctx, own)?;
    swap::<u32>(ctx, IP + 12, IP + 16)?;
    if let Some(own) = own {
        write::<u32>(ctx, IP + 12, (own.own.get()[1] >> 32) as u32)?;
    }
    swap::<u16>(ctx, UDP, UDP + 2)?;
    // No UDP checksum (RFC 768 allows it over IPv4): the frame has a better one.
    write::<u16>(ctx, UDP + 6, 0)?;
    write::<u8>(ctx, IP + 8, TTL)?;
    write::<u16>(ctx, IP + 10, 0)?;
    write::<u16>(ctx, IP + 10, ip_checksum(ctx)?)
}

/// The same over IPv6, where a checksum is due.
#[inline(always)]
pub(crate) fn reply6(ctx: &XdpContext, frame: &Frame, own: Option<&Path>) -> Option<()> {
    write_frame::<PAYLOAD6>(ctx, frame)?;
    turn_mac(ctx, own)?;
    let (from, to) = (ipv6_at(ctx, IP + 8)?, ipv6_at(ctx, IP + 24)?);
    let from_us = match own {
        Some(own) => own.own.get(),
        None => to,
    };
    write::<Ip>(ctx, IP + 8, from_us)?;
    write::<Ip>(ctx, IP + 24, from)?;
    write::<u32>(ctx, IP, IPV6_CS6.to_be())?;
    write::<u8>(ctx, IP + 7, TTL)?;
    swap::<u16>(ctx, UDP6, UDP6 + 2)?;
    let ports = read::<u32>(ctx, UDP6)?;
    write::<u16>(ctx, UDP6 + 6, checksum::udp6(from_us, from, ports, frame))
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

/// Turns the Ethernet header round; what went to a group comes from the address of `own`.
#[inline(always)]
fn turn_mac(ctx: &XdpContext, own: Option<&Path>) -> Option<()> {
    swap::<u32>(ctx, 0, 6)?;
    swap::<u16>(ctx, 4, 10)?;
    if let Some(own) = own {
        let mac = own.mac.get();
        write::<u32>(ctx, 6, mac as u32)?;
        write::<u16>(ctx, 10, (mac >> 32) as u16)?;
    }
    Some(())
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

/// The packet as a message of neighbour discovery, copied to the desk: its first bytes, if it is longer.
#[inline(always)]
pub(crate) fn neighbour<'a>(ctx: &XdpContext, desk: &'a mut Desk) -> Option<&'a mut Nd> {
    let is_icmp = read::<u8>(ctx, IP + 6)? == ICMP_V6;
    if !is_icmp || !matches!(read::<u8>(ctx, ICMP6)?, nd::SOLICITATION | nd::ADVERTISEMENT) {
        return None;
    }
    let to = (&raw mut desk.frame.bytes).cast::<u8>();
    if let Some(from) = at::<Nd>(ctx, 0) {
        // SAFETY: ND_LEN bytes of both are there; the desk's are more.
        unsafe { copy(from.cast(), to, ND_WORDS) };
    } else {
        let from = at::<[u8; ND_SHORT_LEN]>(ctx, 0)?;
        // SAFETY: as above, with ND_SHORT_LEN, and eight bytes behind them on the desk.
        unsafe {
            copy(from.cast(), to, ND_WORDS - 1);
            to.add(ND_SHORT_LEN).cast::<u64>().write_unaligned(0);
        }
    }
    // SAFETY: an array of bytes lies there, and all of it was written.
    let message = unsafe { &mut *to.cast::<Nd>() };
    message.trim();
    Some(message)
}

const _: () = assert!(size_of::<Nd>() == ND_LEN && ND_LEN <= FRAME_LEN);
/// A message is so many words of eight bytes, and six.
const ND_WORDS: usize = ND_LEN / 8;

/// Copies `words` words of eight bytes, and six bytes.
///
/// # Safety
/// Both sides must have as many.
#[inline(always)]
unsafe fn copy(from: *const u8, to: *mut u8, words: usize) {
    for i in 0..words {
        // SAFETY: the caller's promise; loads as in `read`.
        unsafe {
            to.add(i * 8).cast::<u64>().write_unaligned(from.add(i * 8).cast::<u64>().read_volatile());
        }
    }
    for i in 0..3 {
        let at = words * 8 + i * 2;
        // SAFETY: as above.
        unsafe { to.add(at).cast::<u16>().write_unaligned(from.add(at).cast::<u16>().read_volatile()) };
    }
}

/// Writes `message` over the packet, as much of it as there is room for.
#[inline(always)]
pub(crate) fn write_neighbour(ctx: &XdpContext, message: &Nd) -> Option<()> {
    let from = (&raw const message.bytes).cast::<u8>();
    if let Some(to) = at::<Nd>(ctx, 0) {
        // SAFETY: as in `neighbour`.
        unsafe { copy(from, to.cast(), ND_WORDS) };
        return Some(());
    }
    let to = at::<[u8; ND_SHORT_LEN]>(ctx, 0)?;
    // SAFETY: as in `neighbour`.
    unsafe { copy(from, to.cast(), ND_WORDS - 1) };
    Some(())
}
