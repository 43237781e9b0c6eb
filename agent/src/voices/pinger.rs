//! Asks the ping nodes: two raw sockets and a timer, beside the decision loop.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use nix::sys::socket::{SockaddrStorage, recvfrom};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

use super::pings::{Pings, State};
use crate::icmp::PAYLOAD_LEN;
use crate::sys::{clock, readiness};

/// Packets taken before anything else gets its turn: the socket sees every ICMP packet of this machine.
const BATCH_MAX: usize = 64;
/// A reply and its IPv4 header with options; longer packets are cut, and then are no answers.
const PACKET_MAX: usize = 128;
/// Replies that may wait.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// Asks until it is dropped; says on `changed` when a ping node came or went. `pace` is rung when the times are others.
pub(super) async fn run(
    pings: Rc<RefCell<Pings>>,
    is_ipfail: bool,
    pace: Rc<Notify>,
    changed: mpsc::UnboundedSender<()>,
) {
    let addresses: Vec<IpAddr> =
        pings.borrow().nodes.iter().flat_map(|node| node.hosts.iter().map(|host| host.address)).collect();
    let open = |wanted: bool, domain, protocol| {
        let told = |error: &io::Error| {
            tracing::error!("cannot ask ping nodes, they count for nothing: no raw ICMP socket: {error}");
            pings.borrow_mut().is_mute = true;
        };
        wanted.then(|| open(domain, protocol).inspect_err(told).ok()).flatten()
    };
    let v4 = open(addresses.iter().any(IpAddr::is_ipv4), Domain::IPV4, Protocol::ICMPV4);
    let v6 = open(addresses.iter().any(IpAddr::is_ipv6), Domain::IPV6, Protocol::ICMPV6);
    let mut pinger = Pinger { pings, v4, v6, is_ipfail, failed: 0 };
    let mut interval = pinger.pings.borrow().times.interval;
    let mut next = Instant::now();
    loop {
        let wanted = pinger.pings.borrow().times.interval;
        if wanted != std::mem::replace(&mut interval, wanted) {
            next = next.min(Instant::now() + interval);
        }
        if Instant::now() >= next {
            pinger.ask();
            // What was missed is not made up for.
            next = (next + interval).max(Instant::now());
        }
        let due = pinger.pings.borrow().due();
        let verdict =
            due.map(|due| Instant::now() + Duration::from_nanos(due.saturating_sub(clock::now())) + SLACK);
        let wake = verdict.map_or(next, |verdict| verdict.min(next));
        tokio::select! {
            () = readable(pinger.v4.as_ref()) => {}
            () = readable(pinger.v6.as_ref()) => {}
            () = sleep_until(wake) => {}
            () = pace.notified() => {}
        }
        pinger.receive();
        if pinger.look() && changed.send(()).is_err() {
            return;
        }
    }
}

/// A timer of tokio counts in milliseconds.
const SLACK: Duration = Duration::from_millis(1);

struct Pinger {
    pings: Rc<RefCell<Pings>>,
    v4: Option<AsyncFd<OwnedFd>>,
    v6: Option<AsyncFd<OwnedFd>>,
    is_ipfail: bool,
    failed: u64,
}

fn open(domain: Domain, protocol: Protocol) -> io::Result<AsyncFd<OwnedFd>> {
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    readiness::readable(socket.into())
}

async fn readable(socket: Option<&AsyncFd<OwnedFd>>) {
    match socket {
        // The socket is read until nothing is left, so readiness is cleared by that.
        Some(socket) => match socket.readable().await {
            Ok(mut guard) => guard.clear_ready(),
            Err(_) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

fn ip(from: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = from.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| from.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

impl Pinger {
    fn ask(&mut self) {
        let random = || {
            let mut payload = [0; PAYLOAD_LEN];
            // Without luck the payload is known to who reads this; a host that answers is no less there.
            if let Err(error) = getrandom::fill(&mut payload) {
                tracing::debug!("no randomness for an echo request: {error}");
            }
            payload
        };
        let requests = self.pings.borrow_mut().ask(clock::now(), random);
        for (address, request) in requests {
            let socket = if address.is_ipv6() { &self.v6 } else { &self.v4 };
            let Some(socket) = socket else { continue };
            let sent = socket2::SockRef::from(socket.get_ref())
                .send_to(&request, &SockAddr::from(SocketAddr::new(address, 0)));
            if let Err(error) = sent {
                self.failed += 1;
                if self.failed.is_power_of_two() {
                    tracing::warn!(failed = self.failed, "cannot ask ping node {address}: {error}");
                }
            }
        }
    }

    fn receive(&mut self) {
        for socket in [&self.v4, &self.v6].into_iter().flatten() {
            for _ in 0..BATCH_MAX {
                let mut buffer = [0; PACKET_MAX];
                let received = recvfrom::<SockaddrStorage>(socket.get_ref().as_raw_fd(), &mut buffer);
                let Ok((length, from)) = received else { break };
                if let Some(from) = from.as_ref().and_then(ip) {
                    let bytes = &buffer[..length.min(PACKET_MAX)];
                    self.pings.borrow_mut().receive(bytes, from, clock::now());
                }
            }
        }
    }

    /// Looks at all ping nodes; whether one of them came or went.
    fn look(&mut self) -> bool {
        let changes = self.pings.borrow_mut().look(clock::now());
        for (index, state) in &changes {
            self.log(*index, *state);
        }
        !changes.is_empty()
    }

    /// As Heartbeat: the ping node's link, then its status, then what `ipfail` says of it.
    fn log(&self, index: usize, state: State) {
        let pings = self.pings.borrow();
        let name = &pings.nodes[index].name;
        let word = match state {
            State::Init => "init",
            State::Ping => "ping",
            State::Dead => "dead",
        };
        if state == State::Dead {
            tracing::warn!("Link {name}:{name} dead.");
            tracing::warn!("Status update for node {name}: status {word}");
        } else {
            tracing::info!("Link {name}:{name} up.");
            tracing::info!("Status update for node {name}: status {word}");
        }
        if self.is_ipfail {
            tracing::info!("Status update: Node {name} now has status {word}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::task::LocalSet;

    use super::super::pings::tests::{node, pings, times};
    use super::*;

    /// Far more than it takes.
    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn another_pace_is_taken_over_at_once() {
        let mut asked = pings(vec![node("here", &[Ipv4Addr::LOCALHOST.into()])]);
        asked.set_times(times(1_000_000, 3_000_000), clock::now());
        let (asked, pace) = (Rc::new(RefCell::new(asked)), Rc::new(Notify::new()));
        let sent = || asked.borrow().nodes[0].hosts[0].sent;
        let until = async |count: u64| {
            while sent() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let (changed, _queue) = mpsc::unbounded_channel();
        let tasks = LocalSet::new();
        let played = tasks.run_until(async {
            tokio::task::spawn_local(run(Rc::clone(&asked), false, Rc::clone(&pace), changed));
            until(1).await;
            asked.borrow_mut().set_times(times(100, 300), clock::now());
            pace.notify_one();
            until(3).await;
        });
        assert!(tokio::time::timeout(LIMIT, played).await.is_ok(), "asked {} times", sent());
    }
}
