//! What `xbeat probe` found: the contract of `--json`, explained in `docs/probe.md`. Times carry their unit in the name;
//! a start is counted from the first request.

use serde::{Deserialize, Serialize};

/// Of the JSON; grows when a field changes its meaning or goes.
pub const SCHEMA: u32 = 1;

/// The whole result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// As given.
    pub target: String,
    /// That it stands for.
    pub address: String,
    /// `icmp`, `udp` or `arp`.
    pub mode: String,
    /// That was asked, in mode `udp`.
    pub port: Option<u16>,
    /// By which was asked.
    pub interface: String,
    /// Our own address.
    pub own_address: String,
    /// Where the hardware addresses come from.
    pub mac_source: MacSource,
    /// Requests per second that were asked for.
    pub rate: f64,
    /// After which a request counts as lost.
    pub wait_ns: u64,
    /// When the first request was sent, on the wall clock, since 1970 in UTC.
    pub started_unix_ns: u64,
    /// From the first request to the last.
    pub duration_ns: u64,
    /// Why it ended.
    pub ending: Ending,
    /// Sender and receiver had real-time scheduling.
    pub realtime: bool,
    /// Requests.
    pub sent: u64,
    /// Of these, answered in time.
    pub answered: u64,
    /// Of these, not.
    pub lost: u64,
    /// Requests that two answered.
    pub doubled: u64,
    /// Further answers of the same station to one request (ARP only).
    pub repeated: u64,
    /// Answers to requests that counted as lost already.
    pub late: u64,
    /// What came in and was no answer.
    pub ignored: Ignored,
    /// Requests that the kernel did not send; they count as lost.
    pub send_errors: SendErrors,
    /// Round trips; none if nothing was answered.
    pub rtt_ns: Option<Rtt>,
    /// The longest distance of two requests that followed one another: no outage is known more exactly.
    pub sender_pause_ns: u64,
    /// Everybody who answered.
    pub answerers: Vec<Share>,
    /// How many outages there were.
    pub outage_count: u64,
    /// The longest, an unfinished one included.
    pub longest_outage_ns: u64,
    /// The first 10,000 of them.
    pub outages: Vec<Outage>,
    /// The outage that had not ended when the run did.
    pub unfinished: Option<Unfinished>,
    /// How many windows there were in which two answered.
    pub double_window_count: u64,
    /// The first 10,000 of them.
    pub double_windows: Vec<DoubleWindow>,
    /// What limits these figures.
    pub notes: Vec<String>,
    /// `--max-outage`.
    pub max_outage_ns: Option<u64>,
    /// The exit code: 0, 1 or 3.
    pub exit: u8,
}

/// Where hardware addresses come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MacSource {
    /// From the frame of each answer.
    Frames,
    /// From the kernel's table, looked at now and then.
    NeighbourTable,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// `--duration` or `--count`.
    Done,
    /// A signal.
    Interrupted,
}

/// What came in and was ignored, by what was wrong with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ignored {
    /// Not our identifier.
    pub identifier: u64,
    /// Not what was sent, or a request that never was.
    pub payload: u64,
    /// Not from the address that was asked.
    pub source: u64,
}

/// What the kernel refused to send.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendErrors {
    /// How often.
    pub count: u64,
    /// Why, the last time.
    pub last: Option<String>,
}

/// Round trips, in ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rtt {
    /// The shortest.
    pub min: u64,
    /// Half were shorter.
    pub median: u64,
    /// 99 of 100 were shorter.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

/// Who answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answerer {
    /// By which hardware address, if that is known.
    pub mac: Option<String>,
    /// What an echo service added to the answer.
    pub name: Option<String>,
}

/// How many requests somebody answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Who.
    #[serde(flatten)]
    pub who: Answerer,
    /// How often, as the first.
    pub first: u64,
}

/// Requests were lost, or somebody else answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// When the last request before it was sent that was answered.
    pub start_ns: u64,
    /// The same on the wall clock.
    pub start_unix_ns: u64,
    /// To the first request that was answered again.
    pub length_ns: u64,
    /// Requests without an answer.
    pub lost: u64,
    /// Who answered before.
    pub before: Answerer,
    /// Who answers since.
    pub after: Answerer,
    /// The sender's longest pause inside; much more than a period means that this machine stood still.
    pub sender_pause_ns: u64,
}

/// An outage without an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// When the last request was sent that was answered.
    pub start_ns: u64,
    /// The same on the wall clock.
    pub start_unix_ns: u64,
    /// To the last request.
    pub so_far_ns: u64,
    /// Requests without an answer.
    pub lost: u64,
    /// The sender's longest pause inside.
    pub sender_pause_ns: u64,
}

/// Requests in a row that two answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoubleWindow {
    /// When the first of them was sent.
    pub start_ns: u64,
    /// The same on the wall clock.
    pub start_unix_ns: u64,
    /// To the last of them; 0 for one alone.
    pub length_ns: u64,
    /// How many.
    pub requests: u64,
    /// Everybody who answered them. One alone: two answers looked the same.
    pub answerers: Vec<Answerer>,
}
