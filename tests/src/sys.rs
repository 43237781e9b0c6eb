//! The unsafe corner of the harness: the few system calls that no safe wrapper offers. Everything else in this
//! package is safe code.

#![allow(unsafe_code, reason = "this is the one module of the package where unsafe code may live")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::{Pid, getppid};

/// Makes `command` start inside `namespaces`, with no signal blocked, and, if `dies_with` names this process,
/// die by SIGKILL when the thread that spawns it ends.
pub(crate) fn prepare(command: &mut Command, namespaces: Vec<(OwnedFd, CloneFlags)>, dies_with: Option<Pid>) {
    let before_exec = move || -> io::Result<()> {
        if let Some(parent) = dies_with {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the line above; then nobody would ever send the signal.
            if getppid() != parent {
                return Err(io::Error::from_raw_os_error(libc::ECHILD));
            }
        }
        for (namespace, kind) in &namespaces {
            setns(namespace, *kind)?;
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The closure makes plain system
    // calls (prctl, getppid, setns, sigprocmask) on values made before the fork; it neither allocates nor locks.
    // Safe code would not serve: `pre_exec` is the only place between fork and exec.
    unsafe { command.pre_exec(before_exec) };
}

/// Makes `command` start without `capabilities` (numbers of capability.h), and without a way to get them back, also
/// as root.
pub(crate) fn without_capabilities(command: &mut Command, capabilities: &'static [libc::c_ulong]) {
    let before_exec = move || -> io::Result<()> {
        for &capability in capabilities {
            // SAFETY: no pointers. nix has no wrapper for the bounding set.
            if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: as in `prepare`: one plain system call per capability, on values made before the fork.
    unsafe { command.pre_exec(before_exec) };
}

/// Puts the calling thread under SCHED_FIFO with `priority` (1 to 99). False where the machine refuses.
pub(crate) fn real_time(priority: i32) -> bool {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: the pointer is to a live, fully initialised struct of the type the call expects; thread 0 means
    // the calling thread. nix has no wrapper for it.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) == 0 }
}

/// Puts the calling thread under SCHED_OTHER, whatever the thread was that started it.
pub(crate) fn ordinary() -> bool {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: as in `real_time`.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const parameters) == 0 }
}

/// A raw packet socket that sends to and hears ARP from the interface `index` of the calling thread's network
/// namespace, other stations' frames included.
pub(crate) fn arp_socket(index: u32) -> io::Result<OwnedFd> {
    let protocol = (libc::ETH_P_ARP as u16).to_be();
    // SAFETY: no pointers; the result is checked before it is used.
    let fd =
        unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, i32::from(protocol)) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just returned by socket() and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: all-zero is a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    address.sll_ifindex = index.cast_signed();
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: `address` lives through the call and `length` is its size. nix and socket2 cannot build this
    // address from safe code.
    let rc = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

/// Switches transmit checksum offload of `interface` off, in the calling thread's network namespace. A veth with
/// offload leaves partial checksums in its frames, which nothing completes once XDP bounces them.
pub(crate) fn tx_checksum_off(interface: &str) -> io::Result<()> {
    #[repr(C)]
    struct EthtoolValue {
        command: u32,
        data: u32,
    }
    const ETHTOOL_STXCSUM: u32 = 0x17;
    let mut value = EthtoolValue { command: ETHTOOL_STXCSUM, data: 0 };
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero: the name is a C string.
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: `request` and the `value` it points to live through the call, and `value` has the layout of the
    // kernel's struct ethtool_value, which is what ETHTOOL_STXCSUM reads.
    let rc = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Loads an XDP program that passes every frame: `r0 = XDP_PASS; exit`.
pub(crate) fn load_xdp_pass() -> io::Result<OwnedFd> {
    /// The head of the kernel's `union bpf_attr` for BPF_PROG_LOAD, up to what Linux 4.8 knew.
    #[repr(C)]
    #[derive(Default)]
    struct ProgramLoad {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
    }
    const BPF_PROG_LOAD: libc::c_long = 5;
    const BPF_PROG_TYPE_XDP: u32 = 6;
    const XDP_PASS: u8 = 2;
    // One instruction: opcode, registers, offset (2 bytes), immediate (4 bytes, native order).
    let mut instructions = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    instructions[0][4..].copy_from_slice(&i32::from(XDP_PASS).to_ne_bytes());
    let license = CString::from(c"Dual MIT/GPL");
    let attributes = ProgramLoad {
        prog_type: BPF_PROG_TYPE_XDP,
        insn_cnt: instructions.len() as u32,
        insns: instructions.as_ptr().addr() as u64,
        license: license.as_ptr().addr() as u64,
        ..ProgramLoad::default()
    };
    // SAFETY: the attributes, the instructions and the license live through the call; the size given is that of
    // the struct. The kernel verifies the program. No safe wrapper loads a program without an ELF object.
    let fd = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size_of::<ProgramLoad>())
    };
    // SAFETY: the kernel just returned this descriptor to us; nobody else owns it.
    if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }) }
}

/// A descriptor for the process `pid`, which cannot come to mean another process later.
pub(crate) fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the result is checked before it is used.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    // SAFETY: the kernel just returned this descriptor to us; nobody else owns it.
    if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }) }
}

/// `signal` to the process behind `pidfd`.
pub(crate) fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    let (number, no_info) = (signal as libc::c_int, std::ptr::null::<libc::siginfo_t>());
    // SAFETY: a null siginfo is allowed and means "as kill(2) would".
    let rc = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), number, no_info, 0) };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
