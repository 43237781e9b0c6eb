//! The egress gate where there is no TCX (Linux before 6.6): a filter of a clsact queueing discipline.
//!
//! A filter holds its program and is held by the interface, so it outlives the agent without a pin, also one that is killed.
//! Ours is known by its place: priority and handle below. A clsact that is there already is used and left; one that we
//! add stays when we go, because others may have hung filters into it meanwhile.

use std::mem::ManuallyDrop;

use aya::programs::tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType};
use nix::net::if_::if_indextoname;

/// Before all others: one that accepts a packet ends the look at it.
const PRIORITY: u16 = 1;
/// "xb": whose filter it is.
const HANDLE: TcHandle = TcHandle::new(0, 0x7862);

/// A filter that is attached. Dropping it leaves it where it is: who dies by accident leaves a gate.
pub(super) type Filter = ManuallyDrop<SchedClassifierLink>;

/// Attaches the loaded program, or puts it in the place of the one that an earlier life has left.
pub(super) fn attach(program: &mut SchedClassifier, interface: &str) -> Result<Filter, ProgramError> {
    // Refused where there is one, which is as good; where there can be none, attaching says why.
    let _ = tc::qdisc_add_clsact(interface);
    let id = match program.attach_to_link(ours(interface)?) {
        Ok(id) => id,
        Err(_) => program.attach_with_options(
            interface,
            TcAttachType::Egress,
            TcAttachOptions::Netlink(NlOptions { priority: PRIORITY, handle: HANDLE, classid: None }),
        )?,
    };
    Ok(ManuallyDrop::new(program.take_link(id)?))
}

/// Removes our filter from an interface, if both are still there.
pub(super) fn detach(ifindex: u32) {
    let Ok(name) = if_indextoname(ifindex) else { return };
    let name = name.to_string_lossy();
    let result = ours(&name).and_then(aya::programs::links::Link::detach);
    if let Err(error) = result {
        tracing::debug!("{name}: the egress filter is not there any more: {error}");
    }
}

/// Our filter on an interface, whether or not it is there.
fn ours(interface: &str) -> Result<SchedClassifierLink, ProgramError> {
    SchedClassifierLink::attached(interface, TcAttachType::Egress, PRIORITY, HANDLE, None)
        .map_err(|error| ProgramError::TcError(tc::TcError::IoError(error)))
}
