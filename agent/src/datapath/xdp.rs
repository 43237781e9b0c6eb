//! The kernel programs: loaded, attached, fed with VIPs, listened to; kept over a restart of the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aya::maps::{HashMap, Map, MapData, PerCpuArray};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::raw_trace_point::RawTracePointLink;
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::xdp::{XdpLink, XdpLinkId};
use aya::programs::{
    LinkOrder, ProgramError, RawTracePoint, RawTracePointRunOptions, SchedClassifier, TcAttachType, TestRun,
    TestRunOptions, Xdp, XdpMode,
};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use reflex::layout::{LAYOUT_VERSION, VIP_LEN, Vip};
use reflex::verdict::VERDICTS;
use reflex::{Facts, Orders, path};
use tokio::io::unix::AsyncFd;

use super::pins::Pins;
use super::{Egress, Mode, clsact};
use crate::links::packed;
use crate::sys::{Table, readiness};

mod error;
mod events;
mod held;
mod letters;

pub use error::Error;
pub use events::{Events, Opened};
pub use held::Held;
pub use letters::Letters;

/// The kernel programs as they were built with this agent.
static OBJECT: &[u8] = include_bytes_aligned!("../../../ebpf/xbeat.bpf.o");

/// Names another object file to load instead of the built-in one. For the kernel tests of a fresh object.
pub const OBJECT_VARIABLE: &str = "XBEAT_BPF_OBJECT";

/// The maps that outlive the agent: all but those of its log.
const MAPS: [&str; 10] =
    ["ORDERS", "FACTS", "VIPS", "COUNTERS", "DESK", "EVENTS", "OPENED", "LETTERS", "HELD", "WATCHES"];

/// The loaded programs.
pub struct Kernel {
    ebpf: Ebpf,
    /// What the agent orders.
    pub orders: Arc<Table<Orders>>,
    /// What the reflex found.
    pub facts: Arc<Table<Facts>>,
    pins: Option<Pins>,
    /// Links that are in use, by name; pinned ones that are not are of an earlier life.
    links: BTreeSet<String>,
    /// The links themselves, where they are not pinned.
    unpinned: Vec<(String, FdLink)>,
    /// Egress gates that are filters, by the interface's number.
    filters: BTreeMap<u32, clsact::Filter>,
}

impl Kernel {
    /// Loads programs and maps that end with this value. Nothing is attached, everything is closed. `prepare` fills in the
    /// orders before any program can see them.
    ///
    /// # Errors
    /// Without privilege, or on a kernel that is too old.
    pub fn load(prepare: impl FnOnce(&mut Orders)) -> Result<Self, Error> {
        Self::load_pinned(None, |_, _| false, |orders, _| prepare(orders), |_, _, _| {})
    }

    /// Loads programs and maps that outlive this process. Nothing is attached.
    ///
    /// Without `pins`, or where what is pinned is not wanted, everything is new and closed. `adopt` looks at the tables of
    /// an earlier life and says whether to go on with them; `prepare` then fills in the orders, before any program of
    /// ours can see them, and is told which of the two it was. `step` is called after each of the steps, which may take seconds
    /// on a busy machine.
    ///
    /// # Errors
    /// Without privilege, or on a kernel that is too old.
    pub fn load_pinned(
        pins: Option<Pins>,
        adopt: impl FnOnce(&Orders, &Facts) -> bool,
        prepare: impl FnOnce(&mut Orders, Life),
        step: impl Fn(&Orders, &Facts, Life),
    ) -> Result<Self, Error> {
        let life = match &pins {
            Some(pins) if survey(pins, adopt) => Life::Adopted,
            _ => Life::New,
        };
        let paths: Vec<_> = match &pins {
            Some(pins) => MAPS.iter().map(|name| (*name, pins.map(name))).collect(),
            None => Vec::new(),
        };
        if life == Life::New
            && let Some(pins) = &pins
        {
            pins.remove_maps();
        }
        let other = std::env::var_os(OBJECT_VARIABLE).map(std::fs::read).transpose()?;
        let mut loader = EbpfLoader::new();
        for (name, path) in &paths {
            loader.map_pin_path(name, path.as_path());
        }
        let mut ebpf = loader.load(other.as_deref().unwrap_or(OBJECT))?;
        let mut orders = Table::<Orders>::of_map(array(&ebpf, "ORDERS")?.fd().as_fd())?;
        let facts = Table::<Facts>::of_map(array(&ebpf, "FACTS")?.fd().as_fd())?;
        prepare(orders.edit(), life);
        let step = || step(&orders, &facts, life);
        step();
        for name in ["xbeat", "xbeat_start"] {
            xdp(&mut ebpf, name)?.load()?;
            step();
        }
        classifier(&mut ebpf)?.load()?;
        for name in ["xbeat_exit", "xbeat_register"] {
            tracepoint(&mut ebpf, name)?.load()?;
        }
        step();
        Ok(Self {
            ebpf,
            orders: Arc::new(orders),
            facts: Arc::new(facts),
            pins,
            links: BTreeSet::new(),
            unpinned: Vec::new(),
            filters: BTreeMap::new(),
        })
    }

    /// Starts the watch: from now on silence is noticed without the agent.
    ///
    /// # Errors
    /// When the kernel refuses to run the starting program.
    pub fn start_watch(&mut self) -> Result<(), Error> {
        let packet = [0u8; 64];
        let options = TestRunOptions { data_in: Some(&packet), ..TestRunOptions::default() };
        xdp(&mut self.ebpf, "xbeat_start")?.test_run(options)?;
        Ok(())
    }

    /// Makes the calling thread the one whose exit fences.
    ///
    /// # Errors
    /// When the kernel refuses: then only the end of the lease fences.
    pub fn gasp(&mut self) -> Result<(), Error> {
        tracepoint(&mut self.ebpf, "xbeat_register")?.test_run(RawTracePointRunOptions::default())?;
        let program = tracepoint(&mut self.ebpf, "xbeat_exit")?;
        let id = program.attach("sched_process_exit")?;
        let link: FdLink = program.take_link(id)?.into_fd()?;
        self.keep("exit", link, Pinned::Anew)
    }

    /// The mode that an earlier life left the interface in.
    #[must_use]
    pub fn pinned_mode(&self, ifindex: u32) -> Option<Mode> {
        let pins = self.pins.as_ref()?;
        [Mode::Native, Mode::Generic].into_iter().find(|mode| pins.link(&xdp_name(ifindex, *mode)).exists())
    }

    /// Attaches to an interface. A pinned link of the same mode gets the new program without a moment in between.
    ///
    /// # Errors
    /// When the interface cannot do that mode, or has a program of somebody else.
    pub fn attach(&mut self, ifindex: u32, mode: Mode) -> Result<(), Error> {
        for other in [Mode::Native, Mode::Generic].into_iter().filter(|other| *other != mode) {
            self.release(&xdp_name(ifindex, other));
        }
        let name = xdp_name(ifindex, mode);
        let flags = match mode {
            Mode::Native => XdpMode::Driver,
            Mode::Generic => XdpMode::Skb,
            Mode::None => return Ok(()),
        };
        let old = self.pinned(&name)?;
        let (program, known) = (xdp(&mut self.ebpf, "xbeat")?, old.is_some());
        let id = match old {
            Some(link) => program.attach_to_link(XdpLink::try_from(link)?)?,
            None => attach_when_free(program, ifindex, flags)?,
        };
        let link = FdLink::try_from(program.take_link(id)?)?;
        self.keep(&name, link, if known { Pinned::Already } else { Pinned::Anew })
    }

    /// Attaches the egress gate to an interface. What an earlier life left there is replaced without a moment in between,
    /// also when that was attached in the other way.
    ///
    /// # Errors
    /// When the kernel cannot do it that way, or refuses.
    pub fn attach_egress(&mut self, ifindex: u32, interface: &str, how: Egress) -> Result<(), Error> {
        match how {
            Egress::Tcx => {
                self.attach_tcx(ifindex, interface)?;
                self.release(&egress_name(ifindex, Egress::Clsact));
            }
            Egress::Clsact => {
                self.attach_clsact(ifindex, interface)?;
                self.release(&egress_name(ifindex, Egress::Tcx));
            }
        }
        Ok(())
    }

    /// A filter outlives who attached it, with its program. The pin of the program says that it is ours.
    fn attach_clsact(&mut self, ifindex: u32, interface: &str) -> Result<(), Error> {
        let name = egress_name(ifindex, Egress::Clsact);
        let program = classifier(&mut self.ebpf)?;
        let link = clsact::attach(program, interface)?;
        if let Some(pins) = &self.pins {
            pins.remove_link(&name);
            program.pin(pins.link(&name))?;
        }
        self.links.insert(name);
        self.filters.insert(ifindex, link);
        Ok(())
    }

    fn attach_tcx(&mut self, ifindex: u32, interface: &str) -> Result<(), Error> {
        let name = egress_name(ifindex, Egress::Tcx);
        let old = self.pinned(&name)?;
        let (program, known) = (classifier(&mut self.ebpf)?, old.is_some());
        let id = match old {
            Some(link) => program.attach_to_link(SchedClassifierLink::try_from(link)?)?,
            None => program.attach_with_options(
                interface,
                TcAttachType::Egress,
                TcAttachOptions::TcxOrder(LinkOrder::default()),
            )?,
        };
        let link = FdLink::try_from(program.take_link(id)?)?;
        self.keep(&name, link, if known { Pinned::Already } else { Pinned::Anew })
    }

    /// Removes links of an earlier life that this one does not use.
    pub fn drop_unused_links(&mut self) {
        let mut unused = self.pins.as_ref().map(Pins::links).unwrap_or_default();
        unused.retain(|name| !self.links.contains(name));
        unused.iter().for_each(|name| self.release(name));
    }

    /// Ends in order: nothing stays behind in the kernel.
    pub fn remove_pins(&mut self) {
        self.filters.keys().for_each(|&ifindex| clsact::detach(ifindex));
        if let Some(pins) = &self.pins {
            pins.remove_all();
        }
    }

    /// Whether the programs would outlive this process.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.pins.is_some()
    }

    /// The link that is pinned under that name, if one is.
    fn pinned(&self, name: &str) -> Result<Option<FdLink>, Error> {
        match &self.pins {
            Some(pins) if pins.link(name).exists() => Ok(Some(PinnedLink::from_pin(pins.link(name))?.into())),
            _ => Ok(None),
        }
    }

    /// Keeps a link: by its pin, or in this process.
    fn keep(&mut self, name: &str, link: FdLink, pinned: Pinned) -> Result<(), Error> {
        self.links.insert(name.to_owned());
        match (&self.pins, pinned) {
            (Some(_), Pinned::Already) => {}
            (Some(pins), Pinned::Anew) => {
                pins.remove_link(name);
                link.pin(pins.link(name))?;
            }
            (None, _) => self.unpinned.push((name.to_owned(), link)),
        }
        Ok(())
    }

    /// Lets a link go: it is detached.
    fn release(&mut self, name: &str) {
        self.links.remove(name);
        let known = self.pins.as_ref().is_some_and(|pins| pins.link(name).exists());
        if let Some(ifindex) = clsact_of(name)
            && (self.filters.remove(&ifindex).is_some() || known)
        {
            clsact::detach(ifindex);
        }
        self.unpinned.retain(|(known, _)| known != name);
        if let Some(pins) = &self.pins {
            pins.remove_link(name);
        }
    }

    /// Enters a VIP, or replaces what was entered.
    ///
    /// # Errors
    /// When the table is full.
    pub fn set_vip(&mut self, address: impl Into<IpAddr>, vip: Vip) -> Result<(), Error> {
        let address = address.into();
        self.vips()?.insert(key(address), vip.to_bytes(), 0)?;
        if address.is_ipv6() {
            self.orders.vips6.set(1);
        }
        Ok(())
    }

    fn vips(&mut self) -> Result<HashMap<&mut MapData, [u8; 16], [u8; VIP_LEN]>, Error> {
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
        Events::new(map)
    }

    /// The gates that open, told apart from all else. To be taken once.
    ///
    /// # Errors
    /// When they were taken before.
    pub fn take_opened(&mut self) -> Result<Opened, Error> {
        Opened::new(self.ebpf.take_map("OPENED").ok_or(Error::Missing("OPENED"))?)
    }

    /// The letters that it took. To be taken once.
    ///
    /// # Errors
    /// When they were taken before.
    pub fn take_letters(&mut self) -> Result<Letters, Error> {
        Letters::new(self.ebpf.take_map("LETTERS").ok_or(Error::Missing("LETTERS"))?)
    }

    /// The packets that it holds back. To be taken once.
    ///
    /// # Errors
    /// When they were taken before, or without a socket to send them by.
    pub fn take_held(&mut self) -> Result<Held, Error> {
        Held::new(self.ebpf.take_map("HELD").ok_or(Error::Missing("HELD"))?)
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

/// Where the tables come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Made just now: everything is closed.
    New,
    /// Of an agent before this one: what is open stays open.
    Adopted,
}

/// Whether a link has its pin.
#[derive(Clone, Copy)]
enum Pinned {
    Already,
    Anew,
}

/// The name of the pin that an egress gate has.
fn egress_name(ifindex: u32, how: Egress) -> String {
    match how {
        Egress::Tcx => format!("egress-{ifindex}"),
        Egress::Clsact => format!("{CLSACT}{ifindex}"),
    }
}

/// What the names of those begin with that are filters.
const CLSACT: &str = "clsact-";

/// The interface of a filter, by the name of its pin.
fn clsact_of(name: &str) -> Option<u32> {
    name.strip_prefix(CLSACT)?.parse().ok()
}

fn xdp_name(ifindex: u32, mode: Mode) -> String {
    format!("xdp-{ifindex}-{}", mode.name())
}

/// An IPv4 address as a mapped one.
fn key(address: IpAddr) -> [u8; 16] {
    path::bytes(packed(address))
}

/// Tables that an agent has pinned.
pub enum Found {
    /// There are none, or none that we may look at.
    Nothing,
    /// Of a version that lays them out in another way.
    OtherLayout,
    /// As ours are. They are in use: whoever looks changes nothing without being their agent.
    Tables(Table<Orders>, Table<Facts>),
}

impl Found {
    /// What is pinned there now.
    #[must_use]
    pub fn at(pins: &Pins) -> Self {
        let found = || -> Result<Self, Error> {
            let (orders, facts) =
                (MapData::from_pin(pins.map("ORDERS"))?, MapData::from_pin(pins.map("FACTS"))?);
            let fits = orders.info()?.value_size() as usize == size_of::<Orders>()
                && facts.info()?.value_size() as usize == size_of::<Facts>();
            if !fits {
                return Ok(Self::OtherLayout);
            }
            let orders = Table::<Orders>::of_map(orders.fd().as_fd())?;
            let facts = Table::of_map(facts.fd().as_fd())?;
            let ours = orders.layout.get() == LAYOUT_VERSION;
            Ok(if ours { Self::Tables(orders, facts) } else { Self::OtherLayout })
        };
        found().unwrap_or(Self::Nothing)
    }
}

/// Whether there are tables of our layout that `adopt` wants to go on with; else it is a new life.
fn survey(pins: &Pins, adopt: impl FnOnce(&Orders, &Facts) -> bool) -> bool {
    match Found::at(pins) {
        Found::Tables(orders, facts) => adopt(&orders, &facts),
        Found::OtherLayout | Found::Nothing => false,
    }
}

fn array<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<&'a MapData, Error> {
    match ebpf.map(name) {
        Some(Map::Array(data)) => Ok(data),
        _ => Err(Error::Missing(name)),
    }
}

fn xdp<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp, Error> {
    Ok(ebpf.program_mut(name).ok_or(Error::Missing(name))?.try_into()?)
}

fn classifier(ebpf: &mut Ebpf) -> Result<&mut SchedClassifier, Error> {
    const NAME: &str = "xbeat_egress";
    Ok(ebpf.program_mut(NAME).ok_or(Error::Missing(NAME))?.try_into()?)
}

fn tracepoint<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut RawTracePoint, Error> {
    Ok(ebpf.program_mut(name).ok_or(Error::Missing(name))?.try_into()?)
}

/// How long a link that was let go may take to be detached: the kernel does it in its own time.
const DETACH_PATIENCE: Duration = Duration::from_millis(200);

/// Attaches to an interface whose last program may be on its way out.
fn attach_when_free(program: &mut Xdp, ifindex: u32, mode: XdpMode) -> Result<XdpLinkId, ProgramError> {
    let until = Instant::now() + DETACH_PATIENCE;
    loop {
        match program.attach_to_if_index(ifindex, mode) {
            Err(error) if Instant::now() < until && is_busy(&error) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            result => return result,
        }
    }
}

/// Another program is attached there, or a link in another mode.
fn is_busy(error: &ProgramError) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return matches!(error.raw_os_error(), Some(libc::EEXIST | libc::EBUSY));
        }
        cause = error.source();
    }
    false
}

/// A link as one that can be pinned.
trait IntoFd {
    fn into_fd(self) -> Result<FdLink, Error>;
}

impl IntoFd for RawTracePointLink {
    fn into_fd(self) -> Result<FdLink, Error> {
        Ok(self.into())
    }
}
