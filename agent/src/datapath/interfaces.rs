//! How the reflex is attached to each interface, and the test that it really answers.
//!
//! Native XDP may attach and yet send nothing (a veth whose other end has no program). So native mode is on
//! probation until a peer confirms one of our pongs: until then the stack answers ARP, and when peers ask and
//! confirm nothing, the interface falls back to generic mode.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use reflex::Facts;

use super::vips::Vips;
use super::xdp::Kernel;
use super::{Egress, Mode};
use crate::config::{EgressMode, XdpMode};

/// Probes without a confirmed pong after which native mode is suspect. The first of a new peer confirms nothing yet;
/// more than a few are no accident.
const UNCONFIRMED_MAX: u64 = 5;

/// How long native mode stays suspect before it is given up, ns: with fast keepalives a peer that has only just
/// attached its own program loses more than a few in no time.
const SUSPECT_NS: u64 = 500_000_000;

/// An interface that frames or VIPs are on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// How the reflex is attached.
    pub mode: Mode,
    /// Why not better.
    pub why: Option<String>,
    /// `XDP_TX` is known to work.
    pub tested: bool,
    /// Since when peers ask and confirm nothing (monotonic clock, ns).
    suspect_since: Option<u64>,
}

/// The egress gate of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressGate {
    /// The interface's name.
    pub interface: String,
    /// How it is attached; none: not at all.
    pub how: Option<Egress>,
    /// Why not in a better way; empty if there is none.
    pub why: String,
}

impl EgressGate {
    /// What is lost without it, in words for a person.
    #[must_use]
    pub fn loss(&self) -> Option<String> {
        let Self { interface, how: None, why } = self else { return None };
        Some(format!(
            "no egress gate on {interface} ({why}): if this node is fenced while its agent is dead, it may still send in the \
             name of its addresses"
        ))
    }
}

/// Attaches to an interface in the best mode that is wanted and possible. `has_link`: peers are reached by it, so
/// that native mode can be tested.
pub fn attach(
    kernel: &Rc<RefCell<Option<Kernel>>>,
    wanted: XdpMode,
    (index, name): (u32, &str),
    has_link: bool,
) -> Interface {
    let mut interface = Interface {
        index,
        name: name.to_owned(),
        mode: Mode::None,
        why: None,
        tested: false,
        suspect_since: None,
    };
    let mut kernel = kernel.borrow_mut();
    let Some(kernel) = kernel.as_mut() else { return interface };
    let modes: &[Mode] = match wanted {
        XdpMode::Auto if has_link => &[Mode::Native, Mode::Generic],
        XdpMode::Auto | XdpMode::Generic => &[Mode::Generic],
        XdpMode::Native => &[Mode::Native],
        XdpMode::Tc | XdpMode::Off => &[],
    };
    if wanted == XdpMode::Auto && !has_link {
        interface.why = Some("no peer is reached by it that could test native mode".to_owned());
    }
    // What an earlier life left there is replaced in place, without a moment without a program.
    let known = kernel.pinned_mode(index).filter(|known| modes.contains(known));
    for mode in known.into_iter().chain(modes.iter().copied()) {
        match kernel.attach(index, mode) {
            Ok(()) => {
                interface.mode = mode;
                interface.tested = mode == Mode::Generic;
                break;
            }
            Err(error) => {
                tracing::info!("{name}: no {} XDP: {error}", mode.name());
                interface.why = Some(format!("{} refused: {error}", mode.name()));
            }
        }
    }
    interface
}

/// Attaches the egress gate to every interface that VIPs are on. Traffic leaves by the interface that the route to its
/// destination says, which for a VIP of a connected network is the VIP's own.
///
/// Each is told of; without a kernel there is none.
pub fn attach_egress(
    kernel: &Rc<RefCell<Option<Kernel>>>,
    vips: &Vips,
    wanted: EgressMode,
) -> Vec<EgressGate> {
    let ways: &[Egress] = match wanted {
        EgressMode::Auto => &[Egress::Tcx, Egress::Clsact],
        EgressMode::Tcx => &[Egress::Tcx],
        EgressMode::Clsact => &[Egress::Clsact],
    };
    let mut places: BTreeMap<u32, String> = BTreeMap::new();
    vips.each(|entry| drop(places.insert(entry.placed.index, entry.placed.interface.clone())));
    vips.each6(|entry| drop(places.insert(entry.placed.index, entry.placed.interface.clone())));
    let mut kernel = kernel.borrow_mut();
    let Some(kernel) = kernel.as_mut() else { return Vec::new() };
    places.into_iter().map(|(index, interface)| attach_gate(kernel, index, interface, ways)).collect()
}

fn attach_gate(kernel: &mut Kernel, index: u32, interface: String, ways: &[Egress]) -> EgressGate {
    let mut why = Vec::new();
    for &how in ways {
        match kernel.attach_egress(index, &interface, how) {
            Ok(()) => return EgressGate { interface, how: Some(how), why: why.join("; ") },
            Err(error) => {
                tracing::info!("{interface}: no egress gate by {}: {error}", how.name());
                why.push(format!("{}: {error}", how.name()));
            }
        }
    }
    EgressGate { interface, how: None, why: why.join("; ") }
}

/// What peers say of an interface's `XDP_TX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Passed,
    Failed,
    Undecided,
}

fn test(facts: &Facts, index: u32) -> Test {
    let mut result = Test::Undecided;
    for link in facts.nodes.iter().flat_map(|node| &node.links) {
        if link.received.get() == 0 && link.unconfirmed.get() == 0 {
            continue;
        }
        if link.ifindex.get() == u64::from(index) && link.unconfirmed.get() == 0 && link.seen.get() > 1 {
            return Test::Passed;
        }
        if link.unconfirmed.get() >= UNCONFIRMED_MAX
            && (link.ifindex.get() == u64::from(index) || link.ifindex.get() == 0)
        {
            result = Test::Failed;
        }
    }
    result
}

/// Ends the probation of native mode on `interface`, if peers have said enough; true if something changed. To switch takes its
/// time: `cover` is called before.
pub fn end_probation(
    kernel: &Rc<RefCell<Option<Kernel>>>,
    facts: &Facts,
    wanted: XdpMode,
    interface: &mut Interface,
    now: u64,
    cover: impl FnOnce(),
) -> bool {
    if interface.mode != Mode::Native || interface.tested {
        return false;
    }
    match test(facts, interface.index) {
        Test::Undecided => {
            interface.suspect_since = None;
            return false;
        }
        Test::Passed => interface.tested = true,
        Test::Failed if wanted == XdpMode::Native => return false,
        Test::Failed if now < *interface.suspect_since.get_or_insert(now) + SUSPECT_NS => return false,
        Test::Failed => {
            let why = "native mode sends no answers (on a veth the other end needs a program too)";
            tracing::warn!("{}: {why}; using generic mode", interface.name);
            interface.why = Some(why.to_owned());
            cover();
            let result =
                kernel.borrow_mut().as_mut().map(|kernel| kernel.attach(interface.index, Mode::Generic));
            match result {
                Some(Ok(())) => {
                    interface.mode = Mode::Generic;
                    interface.tested = true;
                }
                Some(Err(error)) => {
                    tracing::error!("{}: no generic XDP either: {error}", interface.name);
                    interface.mode = Mode::None;
                }
                None => interface.mode = Mode::None,
            }
        }
    }
    true
}
