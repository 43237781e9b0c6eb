//! The sockets.
//!
//! Answers are read from a packet socket where that is permitted, because a frame names its sender; else from the socket
//! that asked.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{LinkAddr, MsgFlags, bind, recvfrom, send, setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};

use super::packet::{ArpQuestion, ICMP, ICMP6, Mac, Question, Seen, Transport, UDP, Wrong};
use super::path::Path;
use super::{Mode, Options, ProbeError};

/// How soon the receiver notices that it shall end.
const RECEIVE_TIMEOUT: Duration = Duration::from_millis(20);
/// Answers that wait while this machine is busy: a second of 10,000 a second.
const RECEIVE_BUFFER: usize = 8 << 20;

/// Asks.
#[derive(Debug)]
pub(super) enum Asker {
    Ip { socket: UdpSocket, question: Question, to: SocketAddr },
    Arp { socket: Socket, question: ArpQuestion },
}

impl Asker {
    /// Sends request `number`. Never waits.
    pub(super) fn ask(&self, number: u64) -> io::Result<()> {
        match self {
            Self::Ip { socket, question, to } => socket.send_to(&question.request(number), to).map(drop),
            Self::Arp { socket, question } => {
                Ok(send(socket.as_raw_fd(), &question.request(), MsgFlags::MSG_DONTWAIT).map(drop)?)
            }
        }
    }
}

/// Something that came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    Answer {
        number: Option<u64>,
        mac: Option<Mac>,
        name: Vec<u8>,
    },
    Ignored(Wrong),
    /// Nothing, or nothing of ours.
    Nothing,
}

/// Hears.
#[derive(Debug)]
pub(super) enum Hearer {
    /// Whole IP packets, with the frame's sender.
    Packets {
        socket: Socket,
        question: Question,
    },
    /// What the socket that asked gets; a raw one of IPv4 with the IP header.
    Own {
        socket: UdpSocket,
        question: Question,
        with_header: bool,
    },
    Arp {
        socket: Socket,
        question: ArpQuestion,
    },
}

impl Hearer {
    /// Whether answers name the hardware address they came from.
    pub(super) fn sees_frames(&self) -> bool {
        !matches!(self, Self::Own { .. })
    }

    /// The next thing that comes in, or nothing within [`RECEIVE_TIMEOUT`].
    pub(super) fn hear(&self) -> io::Result<Came> {
        let mut buffer = [0; 2048];
        match self {
            Self::Packets { socket, question } => {
                let (length, from) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer)?;
                // A loopback interface has no hardware address but zero.
                let mac = from.filter(|from| from.halen() == 6).and_then(|from| from.addr());
                Ok(came(question.read_packet(&buffer[..length]), mac.filter(|mac| *mac != [0; 6])))
            }
            Self::Own { socket, question, with_header } => {
                let (length, from) = socket.recv_from(&mut buffer)?;
                let bytes = &buffer[..length];
                let seen = if *with_header {
                    question.read_packet(bytes)
                } else {
                    question.read_message(from.ip(), from.port(), bytes)
                };
                Ok(came(seen, None))
            }
            Self::Arp { socket, question } => {
                let length = nix::sys::socket::recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
                Ok(match question.read(&buffer[..length]) {
                    Ok(mac) => Came::Answer { number: None, mac: Some(mac), name: Vec::new() },
                    Err(Some(wrong)) => Came::Ignored(wrong),
                    Err(None) => Came::Nothing,
                })
            }
        }
    }
}

fn came(seen: Seen<'_>, mac: Option<Mac>) -> Came {
    match seen {
        Seen::Answer { number, name } => Came::Answer { number: Some(number), mac, name: name.to_vec() },
        Seen::Ignored(wrong) => Came::Ignored(wrong),
        Seen::Nothing => Came::Nothing,
    }
}

/// Opens both ends.
pub(super) fn open(options: &Options, path: &Path) -> Result<(Asker, Hearer), ProbeError> {
    let mut nonce = [0; 8];
    let random = |_| ProbeError::io("draw a random number")(io::Error::other("getrandom failed"));
    getrandom::fill(&mut nonce).map_err(random)?;
    match options.mode {
        Mode::Arp => open_arp(path),
        Mode::Icmp => open_icmp(options, path, nonce),
        Mode::Udp(port) => open_udp(options, path, nonce, port),
    }
}

fn open_arp(path: &Path) -> Result<(Asker, Hearer), ProbeError> {
    let (IpAddr::V4(target), IpAddr::V4(own)) = (path.target.ip(), path.own) else {
        return Err(ProbeError::ArpNeedsIpv4(path.target.ip()));
    };
    let mac = path.mac.ok_or_else(|| ProbeError::NotEthernet(path.interface.clone()))?;
    let question = ArpQuestion { mac, own, target };
    let opened = packet_socket(Type::RAW, libc::ETH_P_ARP, path, None);
    let socket = opened.map_err(|error| {
        let remedy = "run it as root, or give it CAP_NET_RAW; ICMP echo and --udp may work without";
        not_permitted(error, "asking by ARP", remedy, "open a packet socket")
    })?;
    let asking = socket.try_clone().map_err(ProbeError::io("clone a socket"))?;
    Ok((Asker::Arp { socket: asking, question }, Hearer::Arp { socket, question }))
}

fn open_icmp(options: &Options, path: &Path, nonce: [u8; 8]) -> Result<(Asker, Hearer), ProbeError> {
    let domain = Domain::for_address(path.target);
    let protocol = if path.target.is_ipv6() { Protocol::ICMPV6 } else { Protocol::ICMPV4 };
    let (socket, raw) = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
        Ok(socket) => (socket, false),
        Err(_) => {
            let raw = Socket::new(domain, Type::RAW, Some(protocol)).map_err(|error| {
                let remedy = "run it as root, give it CAP_NET_RAW, or widen the sysctl net.ipv4.ping_group_range; \
                              --udp works without";
                not_permitted(error, "ICMP echo", remedy, "open an ICMP socket")
            })?;
            (raw, true)
        }
    };
    socket.bind_device(options.interface.as_deref().map(str::as_bytes)).map_err(bound)?;
    let ident =
        if raw { u16::from_be_bytes([nonce[0], nonce[1]]) } else { bound_port(&socket, path.target)? };
    let question = Question { target: path.target.ip(), transport: Transport::Icmp { ident }, nonce };
    ends(path, socket, question, raw && path.target.is_ipv4())
}

fn open_udp(options: &Options, path: &Path, nonce: [u8; 8], to: u16) -> Result<(Asker, Hearer), ProbeError> {
    let socket = Socket::new(Domain::for_address(path.target), Type::DGRAM, Some(Protocol::UDP));
    let socket = socket.map_err(ProbeError::io("open a UDP socket"))?;
    socket.bind_device(options.interface.as_deref().map(str::as_bytes)).map_err(bound)?;
    let port = bound_port(&socket, path.target)?;
    let question = Question { target: path.target.ip(), transport: Transport::Udp { port, to }, nonce };
    ends(path, socket, question, false)
}

fn ends(
    path: &Path,
    socket: Socket,
    question: Question,
    with_header: bool,
) -> Result<(Asker, Hearer), ProbeError> {
    let mut to = path.target;
    if let Transport::Udp { to: port, .. } = question.transport {
        to.set_port(port);
    }
    let ether_type = if path.target.is_ipv6() { libc::ETH_P_IPV6 } else { libc::ETH_P_IP };
    let filter = filter(&question);
    let hearer = match packet_socket(Type::DGRAM, ether_type, path, Some(&filter)) {
        Ok(socket) => Hearer::Packets { socket, question },
        // Not permitted: the answers come in all the same, without their sender's hardware address.
        Err(_) => {
            prepare(&socket).map_err(ProbeError::io("set up a socket"))?;
            let socket = socket.try_clone().map_err(ProbeError::io("clone a socket"))?;
            Hearer::Own { socket: socket.into(), question, with_header }
        }
    };
    let asking = UdpSocket::from(socket);
    Ok((Asker::Ip { socket: asking, question, to }, hearer))
}

/// Binds to a port (for ICMP: an identifier) that the kernel chooses.
fn bound_port(socket: &Socket, target: SocketAddr) -> Result<u16, ProbeError> {
    let any: IpAddr =
        if target.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let port = socket.bind(&SockAddr::from(SocketAddr::new(any, 0))).and_then(|()| socket.local_addr());
    let port = port.map_err(ProbeError::io("bind a socket"))?;
    Ok(port.as_socket().map_or(0, |own| own.port()))
}

fn bound(error: io::Error) -> ProbeError {
    ProbeError::io("bind the socket to the interface")(error)
}

fn not_permitted(
    error: io::Error,
    what: &'static str,
    remedy: &'static str,
    doing: &'static str,
) -> ProbeError {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => ProbeError::NotPermitted { what, remedy },
        _ => ProbeError::Io { doing, source: error },
    }
}

fn packet_socket(
    kind: Type,
    ether_type: i32,
    path: &Path,
    filter: Option<&[SockFilter]>,
) -> io::Result<Socket> {
    let protocol = i32::from((ether_type as u16).to_be());
    let socket = Socket::new(Domain::PACKET, kind, Some(Protocol::from(protocol)))?;
    if let Some(filter) = filter {
        socket.attach_filter(filter)?;
    }
    // What came in by other interfaces before the next line does not look like an answer. The address has protocol 0,
    // which leaves the socket's own in force.
    if let Some(link) = &path.link {
        bind(socket.as_raw_fd(), link)?;
    }
    prepare(&socket)?;
    Ok(socket)
}

fn prepare(socket: &Socket) -> io::Result<()> {
    // As much as is permitted, which is no failure: beyond the machine's limit for root only.
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    }
    socket.set_read_timeout(Some(RECEIVE_TIMEOUT))
}

/// Lets through only what may be an answer, so that other traffic costs nothing: classic BPF over an IP packet.
fn filter(question: &Question) -> Vec<SockFilter> {
    let load =
        |size: u32, offset: u32| SockFilter::new((libc::BPF_LD | size | libc::BPF_ABS) as u16, 0, 0, offset);
    // The offsets of a jump count from the next instruction; `skip` of them lead to the refusal.
    let only = |value: u32, skip: u8| {
        SockFilter::new((libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, 0, skip, value)
    };
    let give = |length: u32| SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, length);
    let v6 = question.target.is_ipv6();
    let protocol_at = if v6 { 6 } else { 9 };
    let port_at = if v6 { 42 } else { 2 };
    match question.transport {
        Transport::Icmp { .. } => {
            let icmp = u32::from(if v6 { ICMP6 } else { ICMP });
            vec![load(libc::BPF_B, protocol_at), only(icmp, 1), give(u32::MAX), give(0)]
        }
        Transport::Udp { port, .. } => {
            let mut program = vec![load(libc::BPF_B, protocol_at)];
            if v6 {
                program.extend([only(u32::from(UDP), 3), load(libc::BPF_H, port_at)]);
            } else {
                // X becomes the length of the IPv4 header.
                let header = SockFilter::new((libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH) as u16, 0, 0, 0);
                let load =
                    SockFilter::new((libc::BPF_LD | libc::BPF_H | libc::BPF_IND) as u16, 0, 0, port_at);
                program.extend([only(u32::from(UDP), 4), header, load]);
            }
            program.extend([only(u32::from(port), 1), give(u32::MAX), give(0)]);
            program
        }
    }
}
