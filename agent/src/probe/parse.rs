//! Times and rates on the command line.

use std::time::Duration;

/// A positive time: `50ms`, `250us`, `1.5s`, `2m`, `1h`; a number alone is seconds.
///
/// # Errors
/// Says what would be right.
pub fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time above 0, such as 250us, 50ms, 1.5s, 2m or 1h".to_owned();
    let (number, unit) = split(text);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let time = Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
    // Nanoseconds in 64 bits are 584 years; a hundred are enough.
    let allowed = !time.is_zero() && time < Duration::from_secs(100 * 366 * 86_400);
    if allowed { Ok(time) } else { Err(wrong()) }
}

/// Requests per second: `1000`, `1000/s`, `10k`, `10kHz`.
///
/// # Errors
/// Says what would be right.
pub fn rate(text: &str) -> Result<f64, String> {
    let wrong = || "expected requests per second from 0.1 to 200k, such as 1000 or 10k".to_owned();
    let (number, unit) = split(text);
    let factor = match unit {
        "" | "/s" | "Hz" => 1.0,
        "k" | "kHz" | "k/s" => 1e3,
        _ => return Err(wrong()),
    };
    let rate = number.parse::<f64>().map_err(|_| wrong())? * factor;
    if (0.1..=200e3).contains(&rate) { Ok(rate) } else { Err(wrong()) }
}

/// The number and what is behind it.
fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_a_number_alone_is_seconds() {
        for (text, micros) in
            [("250us", 250), ("50ms", 50_000), ("1.5s", 1_500_000), ("2", 2_000_000), ("2m", 120_000_000)]
        {
            assert_eq!(time(text), Ok(Duration::from_micros(micros)), "{text}");
        }
        assert_eq!(time("1h"), Ok(Duration::from_secs(3600)));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "ms", "0", "0ms", "-1s", "1 s", "5min", "1e9", "nan", "inf", "1.2.3s", "99999999999h"]
        {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_know_kilo() {
        for (text, expected) in
            [("1000", 1000.0), ("10k", 10e3), ("10kHz", 10e3), ("0.5", 0.5), ("200/s", 200.0)]
        {
            assert_eq!(rate(text), Ok(expected), "{text}");
        }
        for text in ["", "0", "-5", "k", "1M", "300k", "nan", "10 k"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
