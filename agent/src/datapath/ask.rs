//! Asks ARP whether somebody serves an address: an ARP probe (RFC 5227), without claiming anything.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};
use reflex::arp::{ARP_LEN, Arp, Operation};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

use crate::sys::readiness;

/// How often is asked.
const PROBES: u32 = 3;
/// How long each probe waits for its answer.
const WAIT: Duration = Duration::from_millis(100);

/// Whether somebody on `interface` answers for `address`.
///
/// # Errors
/// When the interface is gone or the socket refused.
pub async fn is_answered(interface: &str, address: Ipv4Addr) -> io::Result<bool> {
    // Listing interfaces waits for the kernel's network lock, which may be held for long: not in the decision loop.
    let name = interface.to_owned();
    let opened = tokio::task::spawn_blocking(move || open(&name)).await;
    let (socket, mac) = opened.map_err(io::Error::other)??;
    let socket = readiness::readable(socket)?;
    for _ in 0..PROBES {
        send(socket.as_raw_fd(), &probe(mac, address), MsgFlags::MSG_DONTWAIT)?;
        let until = Instant::now() + WAIT;
        while let Ok(answer) = timeout_at(until, receive(&socket)).await {
            let arp = answer?;
            let claims = arp
                .operation()
                .is_some_and(|operation| operation == Operation::Reply || arp.target() == address.octets());
            if claims && arp.sender() == address.octets() && arp.sender_mac() != mac {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn open(interface: &str) -> io::Result<(OwnedFd, [u8; 6])> {
    let gone = || io::Error::new(io::ErrorKind::NotFound, format!("{interface} is not there"));
    let link: LinkAddr = getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .ok_or_else(gone)?;
    let mac = link.addr().ok_or_else(gone)?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
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

/// The next ARP packet.
async fn receive(socket: &AsyncFd<OwnedFd>) -> io::Result<Arp> {
    const ETHER_TYPE: [u8; 2] = [0x08, 0x06];
    loop {
        let mut guard = socket.readable().await?;
        let mut bytes = [0u8; ARP_LEN];
        let received = guard.try_io(|socket| Ok(recv(socket.as_raw_fd(), &mut bytes, MsgFlags::empty())?));
        match received {
            Ok(Ok(ARP_LEN)) if bytes[12..14] == ETHER_TYPE => return Ok(Arp { bytes }),
            Ok(Ok(_)) | Err(_) => {}
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
}
