//! The kernel programs: loaded, attached, fed with VIPs, listened to.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::sync::Arc;

use aya::maps::{HashMap, Map, MapData, PerCpuArray, RingBuf};
use aya::programs::xdp::XdpLinkId;
use aya::programs::{ProgramError, TestRun, TestRunOptions, Xdp, XdpMode};
use aya::{Ebpf, EbpfError, EbpfLoader, include_bytes_aligned};
use reflex::layout::Vip;
use reflex::verdict::VERDICTS;
use reflex::{Event, Facts, Orders};
use tokio::io::unix::AsyncFd;

use super::Mode;
use crate::sys::{Table, readiness};

/// The kernel programs as they were built with this agent.
static OBJECT: &[u8] = include_bytes_aligned!("../../../ebpf/xbeat.bpf.o");

/// Names another object file to load instead of the built-in one. For the kernel tests of a fresh object.
pub const OBJECT_VARIABLE: &str = "XBEAT_BPF_OBJECT";

/// Why the kernel programs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refuses the object.
    #[error("the kernel refuses the programs: {}", chain(.0))]
    Load(#[from] EbpfError),
    /// The kernel refuses one program.
    #[error("the kernel refuses the programs: {}", chain(.0))]
    Program(#[from] ProgramError),
    /// A map is not what it should be.
    #[error("the kernel's maps: {0}")]
    Map(#[from] aya::maps::MapError),
    /// The object lacks a part: it was built from another source.
    #[error("the object has no `{0}`: it is not of this version; rebuild it with `cargo xtask ebpf`")]
    Missing(&'static str),
    /// Memory, files.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Verifier logs are pages long; their last lines say what is wrong.
        let message = error.to_string();
        let tail: Vec<&str> = message.lines().rev().take(3).collect();
        text += &format!(": {}", tail.into_iter().rev().collect::<Vec<_>>().join(" / "));
        cause = error.source();
    }
    text
}

/// The loaded programs.
pub struct Kernel {
    ebpf: Ebpf,
    /// What the agent orders.
    pub orders: Arc<Table<Orders>>,
    /// What the reflex found.
    pub facts: Arc<Table<Facts>>,
    attached: BTreeMap<u32, XdpLinkId>,
}

impl Kernel {
    /// Loads programs and maps. Nothing is attached, everything is closed. `prepare` fills in the orders before any
    /// program can see them.
    ///
    /// # Errors
    /// Without privilege, or on a kernel that is too old.
    pub fn load(prepare: impl FnOnce(&mut Orders)) -> Result<Self, Error> {
        let other = std::env::var_os(OBJECT_VARIABLE).map(std::fs::read).transpose()?;
        let mut loader = EbpfLoader::new();
        let mut ebpf = loader.load(other.as_deref().unwrap_or(OBJECT))?;
        let mut orders = Table::<Orders>::of_map(array(&ebpf, "ORDERS")?.fd().as_fd())?;
        let facts = Table::<Facts>::of_map(array(&ebpf, "FACTS")?.fd().as_fd())?;
        prepare(orders.edit());
        for name in ["xbeat", "xbeat_start"] {
            program(&mut ebpf, name)?.load()?;
        }
        Ok(Self { ebpf, orders: Arc::new(orders), facts: Arc::new(facts), attached: BTreeMap::new() })
    }

    /// Starts the watch: from now on silence is noticed without the agent.
    ///
    /// # Errors
    /// When the kernel refuses to run the starting program.
    pub fn start_watch(&mut self) -> Result<(), Error> {
        let packet = [0u8; 64];
        let options = TestRunOptions { data_in: Some(&packet), ..TestRunOptions::default() };
        program(&mut self.ebpf, "xbeat_start")?.test_run(options)?;
        Ok(())
    }

    /// Attaches to an interface, in place of what was attached there by this agent.
    ///
    /// # Errors
    /// When the interface cannot do that mode, or has a program of somebody else.
    pub fn attach(&mut self, ifindex: u32, mode: Mode) -> Result<(), Error> {
        self.detach(ifindex)?;
        let mode = match mode {
            Mode::Native => XdpMode::Driver,
            Mode::Generic => XdpMode::Skb,
            Mode::None => return Ok(()),
        };
        let link = program(&mut self.ebpf, "xbeat")?.attach_to_if_index(ifindex, mode)?;
        self.attached.insert(ifindex, link);
        Ok(())
    }

    /// Detaches from an interface.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn detach(&mut self, ifindex: u32) -> Result<(), Error> {
        if let Some(link) = self.attached.remove(&ifindex) {
            program(&mut self.ebpf, "xbeat")?.detach(link)?;
        }
        Ok(())
    }

    /// Enters a VIP, or replaces what was entered.
    ///
    /// # Errors
    /// When the table is full.
    pub fn set_vip(&mut self, address: Ipv4Addr, vip: Vip) -> Result<(), Error> {
        Ok(self.vips()?.insert(key(address), vip.to_bytes(), 0)?)
    }

    fn vips(&mut self) -> Result<HashMap<&mut MapData, u32, [u8; 16]>, Error> {
        Ok(HashMap::try_from(self.ebpf.map_mut("VIPS").ok_or(Error::Missing("VIPS"))?)?)
    }

    /// Packets by verdict, over all CPUs.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn counters(&self) -> Result<[u64; VERDICTS], Error> {
        let map = self.ebpf.map("COUNTERS").ok_or(Error::Missing("COUNTERS"))?;
        let map = PerCpuArray::<_, u64>::try_from(map)?;
        let mut sums = [0u64; VERDICTS];
        for (i, sum) in (0u32..).zip(&mut sums) {
            *sum = map.get(&i, 0)?.iter().sum();
        }
        Ok(sums)
    }

    /// The events. To be taken once.
    ///
    /// # Errors
    /// When they were taken before.
    pub fn take_events(&mut self) -> Result<Events, Error> {
        let map = self.ebpf.take_map("EVENTS").ok_or(Error::Missing("EVENTS"))?;
        Ok(Events { ring: readiness::readable(RingBuf::try_from(map)?)? })
    }

    /// The kernel's log lines, for the anomalies that it sees.
    ///
    /// # Errors
    /// When the object has no log.
    pub fn take_log(&mut self) -> anyhow::Result<AsyncFd<aya_log::EbpfLogger<&'static dyn log::Log>>> {
        Ok(readiness::readable(aya_log::EbpfLogger::init(&mut self.ebpf)?)?)
    }

    /// The whole object, for tests that run programs on packets of their own.
    pub fn ebpf_mut(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }
}

fn key(address: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(address.octets())
}

fn array<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<&'a MapData, Error> {
    match ebpf.map(name) {
        Some(Map::Array(data)) => Ok(data),
        _ => Err(Error::Missing(name)),
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp, Error> {
    Ok(ebpf.program_mut(name).ok_or(Error::Missing(name))?.try_into()?)
}

/// What the kernel tells.
pub struct Events {
    ring: AsyncFd<RingBuf<MapData>>,
}

impl Events {
    /// Waits until there is an event; then passes all there are to `each`.
    ///
    /// Cancel safe: an event is either passed or still there.
    ///
    /// # Errors
    /// When the runtime cannot wait.
    pub async fn next(&mut self, mut each: impl FnMut(Event)) -> std::io::Result<()> {
        let mut guard = self.ring.readable_mut().await?;
        while let Some(item) = guard.get_inner_mut().next() {
            if let Some(event) = Event::from_bytes(&item) {
                each(event);
            }
        }
        guard.clear_ready();
        Ok(())
    }
}
