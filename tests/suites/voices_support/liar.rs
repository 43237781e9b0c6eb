//! A host that answers ICMP echo with another payload than it was asked with.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, recvfrom, sendto, setsockopt,
    socket, sockopt::ReceiveTimeout,
};
use nix::sys::time::{TimeVal, TimeValLike as _};
use tests::lan::Lan;

/// Lies until it is dropped.
pub(crate) struct Liar {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Liar {
    /// On the client, whose kernel must not answer itself.
    pub(crate) fn start(lan: &Lan) -> Result<Self> {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (their_stop, their_answered) = (stop.clone(), answered.clone());
        let socket = lan.client().run(open)??;
        let thread = std::thread::spawn(move || lie(&socket, &their_stop, &their_answered));
        Ok(Self { stop, answered, thread: Some(thread) })
    }

    /// How many requests it has answered.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open() -> Result<OwnedFd> {
    let socket = socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Icmp)
        .context("a raw socket")?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::milliseconds(50))?;
    Ok(socket)
}

fn lie(socket: &OwnedFd, stop: &AtomicBool, answered: &AtomicU64) -> Result<()> {
    const HEADER: usize = 20;
    let mut buffer = [0u8; 256];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = recvfrom::<SockaddrIn>(socket.as_raw_fd(), &mut buffer) else { continue };
        let Some(message) = buffer.get_mut(HEADER..length).filter(|message| message.len() > 16) else {
            continue;
        };
        if message[0] != 8 {
            continue;
        }
        let from = from.map_or(Ipv4Addr::UNSPECIFIED, |from| from.ip());
        message[0] = 0;
        // One bit of the payload; the checksum is right again.
        message[9] ^= 1;
        message[2..4].fill(0);
        let sum = checksum(message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let to = SockaddrIn::from(std::net::SocketAddrV4::new(from, 0));
        if sendto(socket.as_raw_fd(), message, &to, MsgFlags::empty()).is_ok() {
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}
