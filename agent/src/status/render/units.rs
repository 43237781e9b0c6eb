//! Numbers as a person reads them.

/// Two or three digits and a unit: `12 us`, `3.0 ms`, `1.5 s`, `3 min`, `5 h`, `2 d`.
pub(super) fn duration(us: u64) -> String {
    const MS: u64 = 1_000;
    const S: u64 = 1_000 * MS;
    const MIN: u64 = 60 * S;
    const H: u64 = 60 * MIN;
    let tenths = |unit: u64| match us % unit {
        0 => (us / unit).to_string(),
        rest => format!("{}.{}", us / unit, rest * 10 / unit),
    };
    match us {
        0..MS => format!("{us} us"),
        MS..10_000 => format!("{} ms", tenths(MS)),
        10_000..S => format!("{} ms", us / MS),
        S..MIN => format!("{} s", tenths(S)),
        MIN..H => format!("{} min", us / MIN),
        H..172_800_000_000 => format!("{} h", us / H),
        _ => format!("{} d", us / (24 * H)),
    }
}

/// `0 %`, `0.02 %`, `12 %`, `100 %`; any loss at all shows as more than 0.
pub(super) fn percent(ppm: u64) -> String {
    match ppm {
        0 => "0 %".to_owned(),
        1..100 => "<0.01 %".to_owned(),
        100..100_000 => format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100),
        _ => format!("{} %", ppm / 10_000),
    }
}

/// `75 B`, `1.2 kB`, `93 MB`: as the counters of interfaces are shown.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1_000 {
        return format!("{count} B");
    }
    let mut size = 1_000;
    let mut units = UNITS.iter().peekable();
    loop {
        let unit = units.next().unwrap_or(&"TB");
        if units.peek().is_none() || count / size < 1_000 {
            let (whole, tenth) = (count / size, count % size * 10 / size);
            return if whole < 10 { format!("{whole}.{tenth} {unit}") } else { format!("{whole} {unit}") };
        }
        size *= 1_000;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_two_or_three_digits_and_a_unit() {
        for (count, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (9_999, "9.9 kB"),
            (10_000, "10 kB"),
            (999_999, "999 kB"),
            (1_000_000, "1.0 MB"),
            (93_000_000_000, "93 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(bytes(count), shown, "{count}");
        }
    }
}
