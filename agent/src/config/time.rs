//! Times as ha.cf writes them: `2`, `0.5`, `200ms`, `500us`; ours also `2s`, `1m`.

use std::time::Duration;

/// What a time looks like, for messages.
pub(super) const EXPECTED: &str = "a time such as `2`, `0.5`, `200ms`, `500us`";

/// Longest time accepted: a year. Beyond it lies a slip of the hand, and arithmetic that could overflow.
pub(super) const TIME_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Reads a time, rounded to whole microseconds; none if it is no time or longer than [`TIME_MAX`].
///
/// `ms` and `us` match by prefix and in any case (`msec`), as in Heartbeat; `s` and `m` are ours and stand alone.
pub(super) fn parse(word: &str) -> Option<Duration> {
    let digits = word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len());
    let (number, unit) = word.split_at(digits);
    let unit_nanos = match unit.to_ascii_lowercase().as_str() {
        "" | "s" => NANOS_PER_SECOND,
        "m" => 60 * NANOS_PER_SECOND,
        unit if unit.starts_with("ms") => 1_000_000,
        unit if unit.starts_with("us") => 1_000,
        _ => return None,
    };
    let nanos = scaled(number, unit_nanos)?;
    let micros = u64::try_from((nanos + 500) / 1_000).ok()?;
    Some(Duration::from_micros(micros)).filter(|time| *time <= TIME_MAX)
}

/// `number` times `unit_nanos`, in nanoseconds, without rounding through floating point.
fn scaled(number: &str, unit_nanos: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { u128::from(whole.parse::<u64>().ok()?) };
    // Twelve decimals of a minute are below a nanosecond; what follows them cannot matter.
    let decimals: String = fraction.chars().chain("000000000000".chars()).take(12).collect();
    let decimals: u128 = decimals.parse().ok()?;
    Some(whole * unit_nanos + decimals * unit_nanos / 1_000_000_000_000)
}

/// A time as Heartbeat shows derived ones: whole milliseconds (`6000ms`), else microseconds (`500us`).
pub(super) fn shown(time: Duration) -> String {
    let micros = time.as_micros();
    if micros.is_multiple_of(1_000) { format!("{}ms", micros / 1_000) } else { format!("{micros}us") }
}
