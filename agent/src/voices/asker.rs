//! Asks neighbours by ARP whether they are there, and listens to who else is.
//!
//! The questions are ordinary ones (RFC 826), from this node's own address: every host answers them, and none learns
//! anything new. An answer proves both directions.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::mpsc::{Receiver, channel};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, MsgFlags, bind, recv, send};
use reflex::arp::{ARP_LEN, Arp, Operation};
use socket2::{Domain, Protocol, Socket, Type};

/// EtherType of ARP.
const ETHER_ARP: u16 = 0x0806;
/// Of every frame.
const ETHER_ALL: u16 = 3;
/// ARP packets that may wait; a question is answered by one.
const RECEIVE_BUFFER: usize = 32 * 1024;
/// Frames taken in one look.
const BATCH_MAX: usize = 64;

/// Somebody on the network, as his ARP shows him.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// His address; 0.0.0.0 in a probe of RFC 5227.
    pub address: Ipv4Addr,
    /// His hardware address.
    pub mac: [u8; 6],
    /// It is an answer to a question of ours.
    pub is_answer: bool,
}

/// A socket for ARP on one interface.
pub struct Asker {
    socket: OwnedFd,
    link: LinkAddr,
    mac: [u8; 6],
    own: Ipv4Addr,
    /// Every frame, where no kernel program looks at them, for the time of a doubt.
    frames: Option<Receiver<io::Result<OwnedFd>>>,
    opened: Option<OwnedFd>,
}

impl Asker {
    /// Opens the socket on `interface`, to ask from `own`. Waits for the kernel's network lock: not for a loop.
    ///
    /// # Errors
    /// When the interface is gone or no Ethernet, or the socket is refused.
    pub fn open(interface: &str, own: Ipv4Addr) -> io::Result<Self> {
        let gone =
            || io::Error::new(io::ErrorKind::NotFound, format!("{interface} is not there, or no Ethernet"));
        let link: LinkAddr = getifaddrs()?
            .filter(|entry| entry.interface_name == interface)
            .find_map(|entry| entry.address?.as_link_addr().copied())
            .ok_or_else(gone)?;
        let mac = link.addr().ok_or_else(gone)?;
        let socket = packet_socket(&link, ETHER_ARP)?;
        Ok(Self { socket, link, mac, own, frames: None, opened: None })
    }

    /// Asks for `address`, from everybody.
    ///
    /// # Errors
    /// When the interface does not take it: it is down, or its queue is full.
    pub fn ask(&self, address: Ipv4Addr) -> io::Result<()> {
        let question = question(self.mac, self.own, address);
        send(self.socket.as_raw_fd(), &question, MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }

    /// Who used ARP since the last look.
    pub fn callers(&self) -> Vec<Caller> {
        let mut callers = Vec::new();
        for _ in 0..BATCH_MAX {
            let mut bytes = [0u8; ARP_LEN];
            let Ok(length) = recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) else { break };
            if length == ARP_LEN {
                callers.extend(caller(&Arp { bytes }, self.mac, self.own));
            }
        }
        callers
    }

    /// Forgets what was received so far.
    pub fn drain(&self) {
        // What comes in meanwhile is news.
        for _ in 0..RECEIVE_BUFFER / ARP_LEN {
            if recv(self.socket.as_raw_fd(), &mut [0u8; 1], MsgFlags::MSG_DONTWAIT).is_err() {
                break;
            }
        }
    }

    /// Begins to listen to every frame on the interface. The kernel waits when such a socket is opened, so a thread does.
    pub fn listen(&mut self) {
        if self.frames.is_none() {
            let (sender, receiver) = channel();
            let link = self.link;
            tokio::task::spawn_blocking(move || sender.send(packet_socket(&link, ETHER_ALL)));
            self.frames = Some(receiver);
        }
    }

    /// Ends that.
    pub fn ignore(&mut self) {
        self.frames = None;
        if let Some(socket) = self.opened.take() {
            tokio::task::spawn_blocking(move || drop(socket));
        }
    }

    /// Whether a frame came in since the last look whose sender `is_stranger`.
    pub fn hears(&mut self, is_stranger: impl Fn([u8; 6]) -> bool) -> bool {
        if let Some(Ok(Ok(socket))) = self.frames.as_ref().map(Receiver::try_recv) {
            self.opened = Some(socket);
        }
        let Some(socket) = &self.opened else { return false };
        let mut heard = false;
        for _ in 0..BATCH_MAX {
            let mut bytes = [0u8; 12];
            match recv(socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
                Ok(12) => {
                    let [.., a, b, c, d, e, f] = bytes;
                    let from = [a, b, c, d, e, f];
                    heard |= from != self.mac && is_stranger(from);
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        heard
    }
}

fn packet_socket(link: &LinkAddr, ether_type: u16) -> io::Result<OwnedFd> {
    let protocol = Protocol::from(i32::from(ether_type.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    let socket: OwnedFd = socket.into();
    bind(socket.as_raw_fd(), link)?;
    Ok(socket)
}

/// An ordinary ARP request.
fn question(mac: [u8; 6], own: Ipv4Addr, address: Ipv4Addr) -> [u8; ARP_LEN] {
    let mut bytes = [0u8; ARP_LEN];
    bytes[0..6].fill(0xff);
    bytes[6..12].copy_from_slice(&mac);
    bytes[12..22].copy_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    bytes[22..28].copy_from_slice(&mac);
    bytes[28..32].copy_from_slice(&own.octets());
    bytes[38..42].copy_from_slice(&address.octets());
    bytes
}

fn caller(arp: &Arp, mac: [u8; 6], own: Ipv4Addr) -> Option<Caller> {
    let operation = arp.operation()?;
    let is_answer = operation == Operation::Reply && arp.target() == own.octets();
    let address = Ipv4Addr::from(arp.sender());
    (arp.sender_mac() != mac).then_some(Caller { address, mac: arp.sender_mac(), is_answer })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const HOST: [u8; 6] = [2, 0, 0, 0, 0, 9];
    const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    #[test]
    fn a_question_is_asked_from_the_own_address() {
        let mut arp = Arp { bytes: question(MAC, OWN, ADDRESS) };
        assert_eq!(arp.operation(), Some(Operation::Request));
        assert_eq!((arp.sender(), arp.target()), (OWN.octets(), ADDRESS.octets()));
        assert_eq!(caller(&arp, MAC, OWN), None, "ourselves");
        arp.answer(HOST);
        assert_eq!(caller(&arp, MAC, OWN), Some(Caller { address: ADDRESS, mac: HOST, is_answer: true }));
    }

    #[test]
    fn a_question_or_an_answer_of_others_is_no_answer() {
        let mut arp = Arp { bytes: question(HOST, ADDRESS, OWN) };
        assert_eq!(caller(&arp, MAC, OWN), Some(Caller { address: ADDRESS, mac: HOST, is_answer: false }));
        arp.answer([2, 0, 0, 0, 0, 7]);
        let other = Ipv4Addr::new(192, 0, 2, 12);
        assert!(caller(&arp, MAC, other).is_some_and(|caller| !caller.is_answer));
    }
}
