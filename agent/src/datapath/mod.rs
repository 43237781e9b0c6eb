//! Where decisions become packets: the kernel programs, or sockets where those cannot be had; addresses and their
//! announcement.

pub mod announce;
pub mod ask;
mod beside;
mod clsact;
pub mod interfaces;
pub mod netlink;
pub mod pins;
pub mod plain;
#[cfg(test)]
pub(crate) mod testns;
pub mod vips;
pub mod xdp;

/// How the reflex runs on an interface, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// XDP in the driver.
    Native,
    /// XDP in the network stack: any interface, a little slower.
    Generic,
    /// No kernel program: the agent's own thread runs the reflex.
    None,
}

/// How an egress gate is attached, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Egress {
    /// As a TCX link (Linux 6.6).
    Tcx,
    /// As a filter of a clsact queueing discipline.
    Clsact,
}

impl Egress {
    /// Its name in words for a person.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

impl Mode {
    /// Its name in words for a person.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::None => "no",
        }
    }
}
