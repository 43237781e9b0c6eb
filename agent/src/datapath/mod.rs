//! Where decisions become packets: the kernel programs, or sockets where those cannot be had; addresses and their
//! announcement.

pub mod announce;
pub mod ask;
pub mod interfaces;
pub mod netlink;
pub mod pins;
pub mod plain;
#[cfg(test)]
mod testns;
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
