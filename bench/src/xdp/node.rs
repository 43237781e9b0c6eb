//! A node to feed packets to: the kernel programs, attached to nothing, and a peer that signs what it is fed.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, anyhow, ensure};
use aya::programs::{TestRun as _, TestRunOptions, TestRunResult, Xdp};
use reflex::layout::{Key, LAYOUT_VERSION, Vip};
use reflex::mac::{self, Scratch};
use reflex::path;
use reflex::{Frame, Kind, Orders, Status};
use xbeat::datapath::xdp::Kernel;
use xbeat::sys::clock;

use super::packets::{OWN, OWN_MAC, PORT};

pub(crate) const MS: u64 = 1_000_000;
const SESSION: u64 = 0x5e55_1011;
/// Key numbers: the same as the methods.
pub(crate) const KEYS: [u32; 2] = [mac::SHA1, mac::SHA256];
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
/// `BPF_PROG_TEST_RUN` says that packets come from the loopback interface.
const INTERFACE: u32 = 1;

/// Loads the programs: node 0 of two, with a long lease; the VIP belongs to group 0.
pub(crate) fn load(groups: u64, deadtime: u64) -> Result<Kernel> {
    let key = |method| Key::new(method, b"a secret of the bench").map_err(|_| anyhow!("the key is too long"));
    let keys = [key(KEYS[0])?, key(KEYS[1])?];
    let mut kernel = Kernel::load(|orders| prepare(orders, keys, groups, deadtime))
        .context("loading the kernel programs (this needs root)")?;
    kernel.set_vip(
        VIP,
        Vip { group: 0, ifindex: INTERFACE, mac: OWN_MAC, ready: 1, bounce: 1, ..Vip::default() },
    )?;
    Ok(kernel)
}

fn prepare(orders: &mut Orders, keys: [Key; 2], groups: u64, deadtime: u64) {
    for (number, key) in KEYS.iter().zip(keys) {
        orders.set_key(*number as u8, &key);
    }
    orders.layout.set(LAYOUT_VERSION);
    orders.session.set(SESSION);
    orders.addresses[0].set(path::ipv4(OWN.octets()));
    orders.paths[0].port.set(u64::from(PORT));
    orders.paths[0].ifindex.set(u64::from(INTERFACE));
    orders.groups_len.set(groups);
    orders.status.set(u64::from(Status::ACTIVE));
    orders.keepalive.set(MS);
    orders.deadtime.set(deadtime);
    orders.warntime.set(u64::MAX);
    orders.unanswered_min.set(3);
    orders.grace.set(MS / 4);
    orders.lease_until.set(clock::now() + 3_600_000 * MS);
    orders.key_current.set(u64::from(mac::SHA1));
    orders.ports4.set(path::port_bit(PORT));
    orders.nodes_len.set(2);
}

/// The program `name`, to be loaded or run.
pub(crate) fn program<'a>(kernel: &'a mut Kernel, name: &str) -> Result<&'a mut Xdp> {
    let program = kernel.ebpf_mut().program_mut(name).with_context(|| format!("no program {name}"))?;
    Ok(program.try_into()?)
}

/// Runs `packet` through `program` `repeat` times; it must end in `action`.
pub(crate) fn run(program: &Xdp, packet: &[u8], repeat: u32, action: u32) -> Result<TestRunResult> {
    let options = TestRunOptions { data_in: Some(packet), repeat, ..TestRunOptions::default() };
    let result = program.test_run(options)?;
    ensure!(result.return_value == action, "the program returned {}, not {action}", result.return_value);
    Ok(result)
}

/// Runs `packet` through `program`, whatever comes of it.
pub(crate) fn ask(program: &Xdp, packet: &[u8]) -> Result<()> {
    program.test_run(TestRunOptions { data_in: Some(packet), ..TestRunOptions::default() })?;
    Ok(())
}

/// Node 1: its frames are fresh, each with the next number.
pub(crate) struct Peer {
    seq: u64,
    at: u64,
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self { seq: 0, at: 1 }
    }

    /// The next frame that is no answer, for key `number`.
    pub(crate) fn next(&mut self, kind: Kind, number: u32) -> Frame {
        self.seq += 1;
        let seq = self.seq;
        self.frame(kind, seq, number)
    }

    /// The next frame, about number `seq`.
    pub(crate) fn frame(&mut self, kind: Kind, seq: u64, number: u32) -> Frame {
        self.at += 1;
        let mut frame = Frame::default();
        frame.set_kind(kind);
        frame.set_source(1);
        frame.set_session(2);
        frame.set_peer_session(SESSION);
        frame.set_seq(seq);
        frame.set_at(self.at);
        frame.set_status(Status::ACTIVE | Status::LEASE | Status::PONG_HEARD);
        frame.set_key(number as u8);
        frame
    }
}

/// Signs frames as node 1 does.
pub(crate) fn sign(kernel: &Kernel, frame: &mut Frame) {
    mac::sign(kernel.orders.signing_key(u64::from(frame.key())), frame, &mut Scratch::default());
}
