//! The wall clock in this machine's time zone, which std does not know.

#![allow(unsafe_code, reason = "the C library alone knows the time zone")]

/// The months as logs and mails have them.
pub const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment on the wall clock of this machine's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// 0 is January.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60, leap seconds included.
    pub second: u8,
}

/// The local time `seconds` after 1970 in UTC. A time the C library cannot express comes out as January 1, 00:00.
#[must_use]
pub fn local_time(seconds: i64) -> LocalTime {
    // SAFETY: `tm` is plain integers and a pointer, for which all-zero bytes are valid. localtime_r reads the first
    // pointer, writes the second, keeps neither, and both point to live locals. It may read TZ from the environment;
    // this program never changes its environment. Safe code would not serve: std knows no time zones.
    let broken_down = unsafe {
        let mut broken_down: libc::tm = std::mem::zeroed();
        libc::localtime_r(&raw const seconds, &raw mut broken_down);
        broken_down
    };
    let small = |value: libc::c_int| u8::try_from(value).unwrap_or(0);
    LocalTime {
        month: small(broken_down.tm_mon),
        day: small(broken_down.tm_mday).max(1),
        hour: small(broken_down.tm_hour),
        minute: small(broken_down.tm_min),
        second: small(broken_down.tm_sec),
    }
}

/// The local time now, for a person: `Nov 20 12:00:00`.
#[must_use]
pub fn shown() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let local = local_time(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    let month = MONTHS.get(usize::from(local.month)).unwrap_or(&"???");
    format!("{month} {:2} {:02}:{:02}:{:02}", local.day, local.hour, local.minute, local.second)
}
