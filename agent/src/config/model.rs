//! What a configuration means: values that cannot be wrong any more.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use super::programs;

/// Where the kernel part is attached (`xdp`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum XdpMode {
    /// The best that works: native, generic, TC, none.
    #[default]
    Auto,
    /// XDP in the driver.
    Native,
    /// XDP in the network stack.
    Generic,
    /// TC ingress.
    Tc,
    /// No kernel part: everything through sockets.
    Off,
}

/// How the egress gate is attached (`egress`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EgressMode {
    /// The best that works.
    #[default]
    Auto,
    /// As a TCX link.
    Tcx,
    /// As a filter of a clsact queueing discipline.
    Clsact,
}

/// One heartbeat path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkSpec {
    /// UDP to one peer. A line that names ourselves is kept, so that files can be identical; the driver skips it.
    Ucast {
        /// Interface to send from and listen on.
        interface: String,
        /// Address of the peer.
        peer: Ipv4Addr,
    },
    /// UDP to the broadcast address of an interface.
    Bcast {
        /// Interface to send from and listen on.
        interface: String,
    },
    /// UDP to a multicast group.
    Mcast {
        /// Interface to send from and listen on.
        interface: String,
        /// Class D address.
        group: Ipv4Addr,
        /// UDP port; `udpport` does not count here.
        port: u16,
        /// Hops, 0 to 4.
        ttl: u8,
        /// Whether the sender hears itself.
        loopback: bool,
    },
    /// UDP over IPv6 to one peer.
    Ucast6 {
        /// Interface to send from and listen on.
        interface: String,
        /// Address of the peer.
        peer: Ipv6Addr,
        /// Interface that a link-local address belongs to, where it was written (`fe80::1%eth0`).
        scope: Option<String>,
    },
    /// UDP to an IPv6 multicast group.
    Mcast6 {
        /// Interface to send from and listen on.
        interface: String,
        /// Address in `ff00::/8`.
        group: Ipv6Addr,
        /// UDP port; `udpport` does not count here.
        port: u16,
        /// Hops, 0 to 4.
        hops: u8,
        /// Whether the sender hears itself.
        loopback: bool,
    },
    /// A null-modem cable.
    Serial {
        /// Full path of the terminal.
        device: PathBuf,
        /// Bits per second.
        baud: u32,
    },
}

impl LinkSpec {
    /// The name that people know the link by: its interface, or the path of its terminal.
    pub fn name(&self) -> &str {
        match self {
            Self::Ucast { interface, .. }
            | Self::Bcast { interface }
            | Self::Mcast { interface, .. }
            | Self::Ucast6 { interface, .. }
            | Self::Mcast6 { interface, .. } => interface,
            Self::Serial { device, .. } => device.to_str().unwrap_or_default(),
        }
    }

    /// The directive that makes such a link.
    pub fn directive(&self) -> &'static str {
        match self {
            Self::Ucast { .. } => "ucast",
            Self::Bcast { .. } => "bcast",
            Self::Mcast { .. } => "mcast",
            Self::Ucast6 { .. } => "ucast6",
            Self::Mcast6 { .. } => "mcast6",
            Self::Serial { .. } => "serial",
        }
    }
}

/// A dead time of one link's own (`linkdead`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkDead {
    /// [`LinkSpec::name`] of the link.
    pub link: String,
    /// Silence after which the link counts as dead.
    pub time: Duration,
}

/// Something outside the cluster that is asked whether we are well connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PingSpec {
    /// A host (`ping`, `ping6`).
    Host {
        /// As written.
        name: String,
        /// Where it is.
        address: IpAddr,
    },
    /// Hosts of which one must answer (`ping_group`).
    Group {
        /// Name of the pseudo-node.
        name: String,
        /// The hosts.
        hosts: Vec<Ipv4Addr>,
    },
}

/// A program that lives as long as the agent (`respawn`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respawn {
    /// User that it runs as.
    pub user: String,
    /// Absolute path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

impl Respawn {
    /// Whether it is Heartbeat's `ipfail`, which is built in: old files name directories where it no longer is.
    pub fn is_ipfail(&self) -> bool {
        programs::is_ipfail(&self.program)
    }
}

/// The device that switches a dead node off.
#[derive(Clone, PartialEq, Eq)]
pub enum Stonith {
    /// `stonith`: parameters in a file.
    File {
        /// Type of the device.
        kind: String,
        /// File with its parameters.
        path: PathBuf,
    },
    /// `stonith_host`: parameters on the line. They hold passwords: not shown.
    Host {
        /// Type of the device.
        kind: String,
        /// Its parameters.
        params: Vec<String>,
    },
}

impl fmt::Debug for Stonith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { kind, path } => {
                f.debug_struct("File").field("kind", kind).field("path", path).finish()
            }
            Self::Host { kind, .. } => f.debug_struct("Host").field("kind", kind).finish_non_exhaustive(),
        }
    }
}

/// A syslog facility.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facility {
    /// Name as syslog.conf writes it.
    pub name: &'static str,
    /// Number (RFC 5424, table 1).
    pub code: u8,
}

impl Facility {
    /// Every facility that `logfacility` takes.
    pub const ALL: [Self; 20] = [
        Self { name: "kern", code: 0 },
        Self { name: "user", code: 1 },
        Self { name: "mail", code: 2 },
        Self { name: "daemon", code: 3 },
        Self { name: "auth", code: 4 },
        Self { name: "syslog", code: 5 },
        Self { name: "lpr", code: 6 },
        Self { name: "news", code: 7 },
        Self { name: "uucp", code: 8 },
        Self { name: "cron", code: 9 },
        Self { name: "authpriv", code: 10 },
        Self { name: "ftp", code: 11 },
        Self { name: "local0", code: 16 },
        Self { name: "local1", code: 17 },
        Self { name: "local2", code: 18 },
        Self { name: "local3", code: 19 },
        Self { name: "local4", code: 20 },
        Self { name: "local5", code: 21 },
        Self { name: "local6", code: 22 },
        Self { name: "local7", code: 23 },
    ];
}

/// How frames are authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A checksum: authenticates nobody.
    Crc,
    /// HMAC-MD5.
    Md5,
    /// HMAC-SHA1.
    Sha1,
    /// HMAC-SHA256 (ours).
    Sha256,
}

/// One key of authkeys.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// How it is used.
    pub method: Method,
    /// The secret; empty for [`Method::Crc`].
    pub secret: Vec<u8>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("method", &self.method).finish_non_exhaustive()
    }
}

/// The keys: every one is accepted, one signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthKeys {
    /// Number of the key that signs; always one of `keys`.
    pub current: u8,
    /// By number, 0 to 15.
    pub keys: BTreeMap<u8, Key>,
}

impl AuthKeys {
    /// The key that signs. A loaded configuration always has it.
    pub fn current_key(&self) -> Option<&Key> {
        self.keys.get(&self.current)
    }
}
