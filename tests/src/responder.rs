//! The service behind the virtual address: answers every UDP request with the name of its node, from the address
//! the request was sent to.
//!
//! It is a thread whose socket lives in the node's namespace. It answers whether or not the node holds the
//! address, as a stateless service does; the kernel decides what reaches it.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::cmsg_space;
use nix::libc::in_pktinfo;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt, sockopt,
};

use crate::client::LENGTH_MAX;
use crate::netns::Netns;
use crate::sys;

/// Where responders listen.
pub const PORT: u16 = 5000;

const PRIORITY: i32 = 20;

/// A running responder. Once dropped (or after [`Responder::stop`]) it answers nothing more, for certain.
#[derive(Debug)]
pub struct Responder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    /// Starts answering on port [`PORT`] of every address in `netns`, as node `name`.
    pub fn start(netns: &Netns, name: &str) -> Result<Self> {
        let bound = netns.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)))?;
        let socket = bound.with_context(|| format!("the responder's socket on {name}"))?;
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).context("IP_PKTINFO")?;
        // Only how soon `stop` is seen; between requests nothing else waits for it.
        socket.set_read_timeout(Some(Duration::from_millis(5)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, name) = (stop.clone(), name.to_owned());
        let thread = thread::Builder::new().name("responder".into()).spawn(move || {
            sys::real_time(PRIORITY);
            while !stopped.load(Ordering::Acquire) {
                // A lost answer (the address has just left the node) is the client's to notice.
                let _ = answer_one(&socket, &name, &stopped);
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Ends it as a killed process ends: no answer after this returns, the port closed.
    pub fn stop(self) {}
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panicked responder has stopped as well.
            let _ = thread.join();
        }
    }
}

fn answer_one(socket: &UdpSocket, name: &str, stopped: &AtomicBool) -> io::Result<()> {
    let mut request = [0; LENGTH_MAX];
    let mut control = cmsg_space!(in_pktinfo);
    let mut buffers = [IoSliceMut::new(&mut request)];
    let received =
        recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut buffers, Some(&mut control), MsgFlags::empty())?;
    if stopped.load(Ordering::Acquire) {
        return Ok(());
    }
    let info = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(info),
        _ => None,
    });
    let (Some(info), Some(client), length) = (info, received.address, received.bytes) else {
        return Ok(());
    };
    // From the address that was asked; the route chooses the interface.
    let source = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: info.ipi_addr, ipi_addr: info.ipi_addr };
    let answer = [IoSlice::new(&request[..length]), IoSlice::new(name.as_bytes())];
    let source = [ControlMessage::Ipv4PacketInfo(&source)];
    sendmsg(socket.as_raw_fd(), &answer, &source, MsgFlags::empty(), Some(&client))?;
    Ok(())
}
