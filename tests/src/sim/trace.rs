//! What happened, for the person who replays a failure.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use super::times::MS;

/// How much of a run is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Nothing: runs are fast.
    None,
    /// Faults, what the elections are told and what they do, what the kernels do to gates.
    Decisions,
    /// Every frame, too.
    Frames,
}

/// The lines so far; its clones share them.
#[derive(Clone, Debug)]
pub(super) struct Trace(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    detail: Detail,
    now: Cell<u64>,
    lines: RefCell<Vec<String>>,
}

impl Trace {
    pub(super) fn new(detail: Detail) -> Self {
        Self(Rc::new(Inner { detail, now: Cell::new(0), lines: RefCell::default() }))
    }

    pub(super) fn set_now(&self, now: u64) {
        self.0.now.set(now);
    }

    pub(super) fn line(&self, detail: Detail, who: impl fmt::Display, what: impl FnOnce() -> String) {
        if detail <= self.0.detail {
            // Not everything that can be shown knows padding.
            let (now, who) = (self.0.now.get(), who.to_string());
            let (ms, us) = (now / MS, now % MS / 1_000);
            self.0.lines.borrow_mut().push(format!("{ms:>6}.{us:03} ms  {who:<7} {}", what()));
        }
    }

    pub(super) fn node(&self, id: u8, what: impl FnOnce() -> String) {
        self.line(Detail::Decisions, format_args!("node {id}"), what);
    }

    pub(super) fn take(&self) -> Vec<String> {
        self.0.lines.take()
    }
}
