//! `xbeat probe`: measures, from a client, how long a virtual IP address is away when its owner changes.
//!
//! It knows nothing of xbeat's own protocol, so that it measures any pair. Requests leave on an absolute schedule from a
//! thread of their own, answers come in on another; both only note the clock and pass events on. The caller's thread
//! books them (`tracker`, pure arithmetic), shows what goes on (`view`) and makes the `report`.
//!
//! ```text
//!   sender --- Sent(number, at) -----------+
//!   receiver - Answered(number, at, who) --+--> run: Tracker --> view, Report
//!   signals -- Interrupted ----------------+
//! ```

use std::time::Duration;

mod answerers;
mod packet;
mod parse;
mod path;
mod report;
mod run;
mod threads;
mod tracker;
mod view;
mod wire;

pub use parse::{rate, time};
pub use report::{
    Answerer, DoubleWindow, Ending, Ignored, MacSource, Outage, Report, Rtt, SCHEMA, SendErrors, Share,
    Unfinished,
};
pub use run::{Ended, run};

/// How the target is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// ICMP echo (RFC 792, RFC 4443).
    Icmp,
    /// UDP to this port, where something sends back what it got. What it adds behind is taken as its name.
    Udp(u16),
    /// ARP requests (RFC 826): who has the address?
    Arp,
}

/// What to measure, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// An address or a name.
    pub target: String,
    /// How it is asked.
    pub mode: Mode,
    /// Requests per second.
    pub rate: f64,
    /// The interface to ask by; else the one that the route says.
    pub interface: Option<String>,
    /// End after this time.
    pub duration: Option<Duration>,
    /// End after this many requests.
    pub count: Option<u64>,
    /// An answer that takes longer is none.
    pub wait: Duration,
    /// Outages longer than this, and two answerers, make the exit code 1.
    pub max_outage: Option<Duration>,
    /// Real-time scheduling for the two threads.
    pub realtime: bool,
    /// Nothing is shown while it runs.
    pub quiet: bool,
    /// The report is JSON.
    pub json: bool,
}

/// Why there is nothing to measure. Each says what would be right.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A name that nobody knows.
    #[error(
        "`{0}` is neither an address nor a name that can be resolved: {1}; an address such as 192.0.2.100 always works"
    )]
    Unresolvable(String, std::io::Error),
    /// ARP is IPv4's.
    #[error(
        "{0} is an IPv6 address, and ARP asks for IPv4 addresses only: leave --arp out, or name an IPv4 address"
    )]
    ArpNeedsIpv4(std::net::IpAddr),
    /// An interface that is not there.
    #[error("there is no interface `{0}` here; there are {1}")]
    NoInterface(String, String),
    /// An interface that has no MAC.
    #[error("{0} has no Ethernet address, so nobody answers ARP there: name an Ethernet with --interface")]
    NotEthernet(String),
    /// The routing table has nothing.
    #[error("no way to {target}: {source}; a route, or --interface with one that reaches it, would be right")]
    NoRoute {
        /// Where to.
        target: std::net::IpAddr,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// The kernel gives no such socket to this user.
    #[error("{what} is not permitted to this user: {remedy}")]
    NotPermitted {
        /// What was tried.
        what: &'static str,
        /// What would be right.
        remedy: &'static str,
    },
    /// Anything else that the system refuses.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
}

impl ProbeError {
    fn io(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}
