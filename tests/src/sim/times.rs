//! The times of a simulated cluster, and how long two nodes may both serve before that is a violation.
//!
//! The ratios are those of a real configuration; the scale is one that suits the election's own patience (2 s).

/// One millisecond, ns.
pub const MS: u64 = 1_000_000;
/// Time between two probes, ns.
pub const KEEPALIVE: u64 = 100 * MS;
/// Silence after which a node may be declared dead, ns.
pub const DEADTIME: u64 = 500 * MS;
/// How long one node must see more than another before that moves a group, ns: longer than both take to notice the same.
pub const DAMPING: u64 = 300 * MS;
/// How long a start waits for nodes that are not heard, ns.
pub const INITDEAD: u64 = 3_000 * MS;
/// How long the kernel goes on without its agent, ns. Longer than [`DEADTIME`], so that a node whose agent sleeps can be
/// silent for deadtime with a valid lease.
pub const LEASE: u64 = 800 * MS;
/// The lease that a planned restart leaves behind, ns.
pub const RESTART_LEASE: u64 = 2_000 * MS;
/// Age at which an unanswered probe counts, ns: longer than a round trip.
pub const GRACE: u64 = KEEPALIVE / 2;
/// Longest flight of a frame over any link, ns.
pub const FLIGHT_MAX: u64 = 20 * MS;
/// Fastest and slowest clock, parts per million off. Ten times what a broken quartz does.
pub const DRIFT_PPM_MAX: u64 = 5_000;
/// How long ARP is listened for, ns.
pub const ASKING: u64 = 300 * MS;
/// Until the addresses of an heir are up.
pub const READYING: u64 = MS / 3;
/// How long the election waits for others, ns: `HEIR_PATIENCE` of the election, which is longer than deadtime.
pub const PATIENCE: u64 = 2_000 * MS;
/// Slowest script, ns.
pub const SCRIPT_MAX: u64 = 1_000 * MS;

const _: () = assert!(GRACE > 2 * FLIGHT_MAX && LEASE > DEADTIME && KEEPALIVE > 2 * FLIGHT_MAX);

/// What `ns` on the slowest node's clock takes, and the rounding.
pub(super) const fn drifted(ns: u64) -> u64 {
    ns + ns / 1_000_000 * DRIFT_PPM_MAX * 2 + MS
}

/// How long two nodes may both serve a group that fills page one of `pages` while a link works both ways between them and
/// both agents ask.
///
/// The keepalive until the next challenge goes out, its flight and its answer's (one of the two may be a new life, which is
/// believed after that); then the page's turn, which comes once in `pages` keepalives; then the flight. A page's probe that
/// is overtaken on its link by a later one is not believed: it waits another turn.
#[must_use]
pub const fn settling(pages: u64) -> u64 {
    drifted(KEEPALIVE + 2 * FLIGHT_MAX + 2 * pages * KEEPALIVE + FLIGHT_MAX)
}

/// The same while only one of the two agents asks.
///
/// A node whose agent sleeps challenges nobody: it believes no new life's higher epoch until its lease ends, at latest the
/// one of a planned restart; the next frame that it hears after that fences it, whoever sent it.
#[must_use]
pub const fn settling_with_one(pages: u64) -> u64 {
    drifted(RESTART_LEASE) + settling(pages)
}

/// How long a link must have worked both ways between two kernels before a verdict of death over it is false.
///
/// Three probes may have gone unanswered just before it began to work; the verdict falls when deadtime is over since the
/// node was last heard. After a keepalive and a round trip more, whoever asks has heard it.
pub const DEATH_IS_FALSE: u64 = drifted(DEADTIME + KEEPALIVE + 2 * FLIGHT_MAX);

/// Keepalives in a row that left by no link, after which no verdict of death may come. The three that make one may have gone
/// before; the first that does not leave may fall into the same moment as a frame that was said at once.
pub const UNSENT_MAX: u32 = 4;

/// How long after the last fault every group has one owner, whose resources are up.
///
/// One after the other, what may follow: a start that waits for initdead, a death, four moves that wait for an heir, and
/// scripts at each step.
pub const CALM: u64 = drifted(INITDEAD + DEADTIME + 4 * PATIENCE + 4 * SCRIPT_MAX);
/// How long after it sees as much as others a node may get back what it lost for seeing less: what the election waits,
/// and a move.
pub const SETTLE: u64 = drifted(10_000 * MS + DAMPING + 2 * PATIENCE + 2 * SCRIPT_MAX);
/// How long nothing may change after that: two tries of whatever might be tried again.
pub const STEADY: u64 = drifted(2 * PATIENCE + 2 * KEEPALIVE);
