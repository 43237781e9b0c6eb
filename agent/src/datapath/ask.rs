//! Asks the neighbours whether somebody serves an address, without claiming anything: an ARP probe (RFC 5227), or over IPv6
//! the question of duplicate address detection (RFC 4862 5.4).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, MsgFlags, bind, recv, send};
use reflex::arp::{ARP_LEN, Arp, Operation};
use reflex::nd::{self, Kind, ND_LEN, Nd};
use reflex::path;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

use super::beside::Beside;
use crate::sys::readiness;

/// EtherType of ARP.
const ARP: u16 = 0x0806;
/// EtherType of IPv6.
const IPV6: u16 = 0x86dd;
/// How often is asked.
const PROBES: u32 = 3;
/// How long each probe waits for its answer.
const WAIT: Duration = Duration::from_millis(100);

/// Whether somebody on `interface` answers for `address`.
///
/// # Errors
/// When the interface is gone or the socket refused.
pub async fn is_answered(interface: &str, address: IpAddr) -> io::Result<bool> {
    // Listing interfaces waits for the kernel's network lock, which may be held for long: not in the decision loop.
    let name = interface.to_owned();
    let ether_type = if address.is_ipv4() { ARP } else { IPV6 };
    let opened = tokio::task::spawn_blocking(move || open(&name, ether_type)).await;
    let (socket, mac) = opened.map_err(io::Error::other)??;
    let socket = Beside::new(readiness::readable(socket)?);
    for _ in 0..PROBES {
        match address {
            IpAddr::V4(address) => send(socket.as_raw_fd(), &probe(mac, address), MsgFlags::MSG_DONTWAIT)?,
            IpAddr::V6(address) => {
                let [nonce @ .., _, _] = getrandom::u64().map_err(io::Error::other)?.to_ne_bytes();
                let question = nd::question(mac, address.octets(), nonce);
                send(socket.as_raw_fd(), &question.bytes, MsgFlags::MSG_DONTWAIT)?
            }
        };
        let until = Instant::now() + WAIT;
        while Instant::now() < until
            && let Ok(frame) = timeout_at(until, receive(&socket)).await
        {
            let frame = frame?;
            let claims = match address {
                IpAddr::V4(address) => claims4(&frame, address, mac),
                IpAddr::V6(address) => claims6(&frame, address, mac),
            };
            if claims {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether the frame is ARP of somebody else who has the address.
fn claims4(frame: &Frame, address: Ipv4Addr, mac: [u8; 6]) -> bool {
    let Some(bytes) = frame.of_type(ARP).first_chunk::<ARP_LEN>() else { return false };
    let arp = Arp { bytes: *bytes };
    let claims = arp
        .operation()
        .is_some_and(|operation| operation == Operation::Reply || arp.target() == address.octets());
    claims && arp.sender() == address.octets() && arp.sender_mac() != mac
}

/// Whether the frame is an advertisement of somebody else who has the address.
fn claims6(frame: &Frame, address: Ipv6Addr, mac: [u8; 6]) -> bool {
    let Some(bytes) = frame.of_type(IPV6).first_chunk::<ND_LEN>() else { return false };
    let nd = Nd::of(*bytes);
    nd.kind() == Some(Kind::Advertisement)
        && nd.is_sound()
        && nd.target() == path::ipv6(address.octets())
        && nd.sender_mac() != mac
}

/// The beginning of a frame.
struct Frame {
    bytes: [u8; ND_LEN],
    length: usize,
}

impl Frame {
    /// What there is of it, if it is of that type.
    fn of_type(&self, ether_type: u16) -> &[u8] {
        let is_it = self.bytes[12..14] == ether_type.to_be_bytes();
        if is_it { &self.bytes[..self.length.min(ND_LEN)] } else { &[] }
    }
}

fn open(interface: &str, ether_type: u16) -> io::Result<(OwnedFd, [u8; 6])> {
    let gone = || io::Error::new(io::ErrorKind::NotFound, format!("{interface} is not there"));
    let link: LinkAddr = getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .ok_or_else(gone)?;
    let mac = link.addr().ok_or_else(gone)?;
    // No other frames: a busy network's would keep the loop busy.
    let protocol = Protocol::from(i32::from(ether_type.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    let socket: OwnedFd = socket.into();
    bind(socket.as_raw_fd(), &link)?;
    Ok((socket, mac))
}

/// An ARP probe: a request whose sender address is empty.
fn probe(mac: [u8; 6], address: Ipv4Addr) -> [u8; ARP_LEN] {
    let mut bytes = [0u8; ARP_LEN];
    bytes[0..6].fill(0xff);
    bytes[6..12].copy_from_slice(&mac);
    bytes[12..22].copy_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    bytes[22..28].copy_from_slice(&mac);
    bytes[38..42].copy_from_slice(&address.octets());
    bytes
}

/// The next frame.
async fn receive(socket: &AsyncFd<OwnedFd>) -> io::Result<Frame> {
    loop {
        let mut guard = socket.readable().await?;
        let mut bytes = [0u8; ND_LEN];
        let received = guard.try_io(|socket| Ok(recv(socket.as_raw_fd(), &mut bytes, MsgFlags::empty())?));
        match received {
            Ok(Ok(length)) => return Ok(Frame { bytes, length }),
            Err(_) => {}
            Ok(Err(error)) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_is_a_request_that_claims_nothing() {
        let arp = Arp { bytes: probe([2, 0, 0, 0, 0, 1], Ipv4Addr::new(192, 0, 2, 100)) };
        assert_eq!(arp.operation(), Some(Operation::Request));
        assert_eq!(arp.sender(), [0; 4]);
        assert_eq!(arp.target(), [192, 0, 2, 100]);
        assert_eq!(arp.sender_mac(), [2, 0, 0, 0, 0, 1]);
    }

    fn frame(bytes: &[u8]) -> Frame {
        let mut frame = Frame { bytes: [0; ND_LEN], length: bytes.len() };
        frame.bytes[..bytes.len()].copy_from_slice(bytes);
        frame
    }

    #[test]
    fn who_else_has_the_address_is_told_from_us_and_from_who_asks() {
        let (us, other) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let four = Ipv4Addr::new(192, 0, 2, 100);
        let mut arp = Arp { bytes: probe(other, four) };
        assert!(!claims4(&frame(&arp.bytes), four, us), "he asks, too");
        arp.answer(other);
        assert!(claims4(&frame(&arp.bytes), four, us));
        assert!(!claims4(&frame(&arp.bytes), four, other), "ourselves");
        assert!(!claims4(&frame(&arp.bytes[..41]), four, us), "cut off");
        let six: Ipv6Addr = "2001:db8::100".parse().unwrap();
        let claim = |mac| frame(&nd::advertisement(mac, six.octets(), false).bytes);
        assert!(claims6(&claim(other), six, us));
        assert!(!claims6(&claim(us), six, us), "ourselves");
        assert!(!claims6(&claim(other), "2001:db8::101".parse().unwrap(), us), "another address");
        assert!(!claims6(&frame(&nd::question(other, six.octets(), [0; 6]).bytes), six, us), "he asks, too");
        assert!(!claims6(&frame(&arp.bytes), six, us));
    }
}
