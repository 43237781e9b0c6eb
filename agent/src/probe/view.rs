//! What a person sees: a line that is drawn anew while it runs, outages as they are found, the table at the end.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

use super::report::{Answerer, DoubleWindow, Outage, Report, Share};
use crate::sys::wall_clock::local_time;

/// Between two drawings on a terminal, in ns.
const REDRAW: u64 = 100_000_000;
/// Between two lines elsewhere, in ns.
const PLAIN: u64 = 10_000_000_000;
/// Rows of the summary; the JSON has more.
const ROWS_MAX: usize = 40;

/// Figures of the moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Now {
    pub since_start: u64,
    /// Requests per second, lately.
    pub rate: f64,
    pub answered: u64,
    pub lost: u64,
    pub last_rtt: Option<u64>,
    pub outages: u64,
    pub doubled: u64,
    /// For how long nothing was answered, if that is more than usual.
    pub silent: Option<u64>,
}

/// Draws on stderr.
#[derive(Debug)]
pub(super) struct View {
    quiet: bool,
    terminal: bool,
    drawn: u64,
    on_screen: bool,
}

impl View {
    pub(super) fn new(quiet: bool) -> Self {
        Self { quiet, terminal: io::stderr().is_terminal(), drawn: 0, on_screen: false }
    }

    /// Whether it is time to draw.
    pub(super) fn is_due(&self, since_start: u64) -> bool {
        let every = if self.terminal { REDRAW } else { PLAIN };
        !self.quiet && since_start >= self.drawn + every
    }

    pub(super) fn draw(&mut self, now: &Now) {
        self.drawn = now.since_start;
        if self.terminal {
            tell(&format!("\r\x1b[2K{}", live_line(now)));
            self.on_screen = true;
        } else {
            tell(&format!("{}\n", live_line(now)));
        }
    }

    /// A line that stays.
    pub(super) fn line(&mut self, text: &str) {
        if !self.quiet {
            self.clear();
            tell(&format!("{text}\n"));
        }
    }

    /// Takes the live line away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.on_screen) {
            tell("\r\x1b[2K");
        }
    }
}

/// Where a failure could not be reported anyway.
fn tell(text: &str) {
    let mut out = io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// At most 80 columns, as far as counts have no more than seven digits.
fn live_line(now: &Now) -> String {
    let mut line = format!(
        "{:.1} s  {:.0}/s  {} answered  {} lost",
        now.since_start as f64 / 1e9,
        now.rate,
        now.answered,
        now.lost
    );
    if let Some(rtt) = now.last_rtt {
        let _ = write!(line, "  rtt {}", time(rtt));
    }
    let _ = write!(line, "  {}", plural(now.outages, "outage"));
    if now.doubled > 0 {
        let _ = write!(line, "  {} DOUBLE", now.doubled);
    }
    if let Some(silent) = now.silent {
        let _ = write!(line, "  SILENT {}", time(silent));
    }
    line
}

/// What is said when an outage is over.
pub(super) fn outage_line(outage: &Outage) -> String {
    format!(
        "{}  +{:.3} s  outage {}, {} lost, {}",
        wall(outage.start_unix_ns),
        outage.start_ns as f64 / 1e9,
        time(outage.length_ns),
        outage.lost,
        change(outage)
    )
}

/// What is said when a window is over in which two answered.
pub(super) fn window_line(window: &DoubleWindow) -> String {
    format!(
        "{}  +{:.3} s  two answered {} within {}: {}",
        wall(window.start_unix_ns),
        window.start_ns as f64 / 1e9,
        plural(window.requests, "request"),
        time(window.length_ns),
        both(window)
    )
}

fn change(outage: &Outage) -> String {
    if outage.before == outage.after {
        format!("{} again", name(&outage.before))
    } else {
        format!("{} -> {}", name(&outage.before), name(&outage.after))
    }
}

fn both(window: &DoubleWindow) -> String {
    match &window.answerers[..] {
        [one] => format!("{} twice", name(one)),
        several => several.iter().map(name).collect::<Vec<_>>().join(" and "),
    }
}

fn name(answerer: &Answerer) -> String {
    match (&answerer.name, &answerer.mac) {
        (Some(name), Some(mac)) => format!("{name} ({mac})"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => "somebody".to_owned(),
    }
}

/// The page for a person. Ends with a line feed.
pub(super) fn summary(report: &Report) -> String {
    let mut page = String::new();
    let asked = match report.port {
        Some(port) => format!("UDP echo at port {port}"),
        None if report.mode == "arp" => "ARP".to_owned(),
        None => "ICMP echo".to_owned(),
    };
    let target = if report.target == report.address {
        report.address.clone()
    } else {
        format!("{} ({})", report.target, report.address)
    };
    let _ = writeln!(
        page,
        "{target} by {asked} on {}, {:.1} s at {}/s",
        report.interface,
        report.duration_ns as f64 / 1e9,
        report.rate
    );
    let share = if report.sent == 0 { 0.0 } else { report.lost as f64 * 100.0 / report.sent as f64 };
    let mut rows = vec![[
        "requests".to_owned(),
        format!("{} sent, {} answered, {} lost ({share:.3} %)", report.sent, report.answered, report.lost),
    ]];
    let mut row = |what: &str, text: String| rows.push([what.to_owned(), text]);
    if let Some(rtt) = report.rtt_ns {
        let [min, median, p99, max] = [rtt.min, rtt.median, rtt.p99, rtt.max].map(time);
        row("round trip", format!("min {min}, median {median}, p99 {p99}, max {max}"));
    }
    for (index, Share { who, first }) in report.answerers.iter().enumerate() {
        row(if index == 0 { "answered by" } else { "" }, format!("{}, {first} times", name(who)));
    }
    row("own pause", format!("at most {} between two requests", time(report.sender_pause_ns)));
    let ignored = report.ignored;
    if ignored != super::Ignored::default() || report.late + report.repeated > 0 {
        row(
            "ignored",
            format!(
                "{} by identifier, {} by payload, {} by source, {} late, {} repeated",
                ignored.identifier, ignored.payload, ignored.source, report.late, report.repeated
            ),
        );
    }
    if let Some(why) = &report.send_errors.last {
        row("not sent", format!("{}, the last because: {why}", report.send_errors.count));
    }
    for note in &report.notes {
        row("note", note.clone());
    }
    for [what, text] in rows {
        let _ = writeln!(page, "  {what:<12} {text}");
    }
    page += &outages(report);
    page += &windows(report);
    page
}

fn outages(report: &Report) -> String {
    if report.outage_count == 0 && report.unfinished.is_none() {
        return if report.answered > 0 { "no outage\n".to_owned() } else { "never answered\n".to_owned() };
    }
    let mut page = format!(
        "{}, the longest {}\n",
        plural(report.outage_count + u64::from(report.unfinished.is_some()), "outage"),
        time(report.longest_outage_ns)
    );
    let _ = writeln!(
        page,
        "  {:<12} {:>11} {:>10} {:>7} {:>10}  who answered",
        "wall clock", "after", "length", "lost", "own pause"
    );
    let mut row = |unix: u64, start: u64, length: u64, lost: u64, pause: u64, who: &str| {
        let _ = writeln!(
            page,
            "  {:<12} {:>9.3} s {:>10} {lost:>7} {:>10}  {who}",
            wall(unix),
            start as f64 / 1e9,
            time(length),
            time(pause)
        );
    };
    for outage in report.outages.iter().take(ROWS_MAX) {
        let Outage { start_unix_ns, start_ns, length_ns, lost, sender_pause_ns, .. } = *outage;
        row(start_unix_ns, start_ns, length_ns, lost, sender_pause_ns, &change(outage));
    }
    if let Some(open) = &report.unfinished {
        row(
            open.start_unix_ns,
            open.start_ns,
            open.so_far_ns,
            open.lost,
            open.sender_pause_ns,
            "nobody since",
        );
    }
    page + &more(report.outage_count)
}

fn windows(report: &Report) -> String {
    if report.double_window_count == 0 {
        return String::new();
    }
    let mut page = format!(
        "two answered {}, in {}\n",
        plural(report.doubled, "request"),
        plural(report.double_window_count, "window")
    );
    for window in report.double_windows.iter().take(ROWS_MAX) {
        let _ = writeln!(page, "  {}", window_line(window));
    }
    page + &more(report.double_window_count)
}

fn more(count: u64) -> String {
    match count.checked_sub(ROWS_MAX as u64) {
        None | Some(0) => String::new(),
        Some(left) => format!("  and {left} more: --json lists them\n"),
    }
}

fn plural(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// With three digits or more, in the unit that suits.
pub(super) fn time(nanos: u64) -> String {
    let nanos = nanos as f64;
    if nanos < 999.5e3 {
        format!("{:.1} us", nanos / 1e3)
    } else if nanos < 999.995e6 {
        format!("{:.2} ms", nanos / 1e6)
    } else {
        format!("{:.2} s", nanos / 1e9)
    }
}

/// Of this machine's time zone, with milliseconds.
fn wall(unix_ns: u64) -> String {
    let local = local_time(i64::try_from(unix_ns / 1_000_000_000).unwrap_or(i64::MAX));
    let millis = unix_ns / 1_000_000 % 1000;
    format!("{:02}:{:02}:{:02}.{millis:03}", local.hour, local.minute, local.second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_the_unit_that_suits() {
        let expected = [
            (0, "0.0 us"),
            (41_230, "41.2 us"),
            (999_400, "999.4 us"),
            (999_600, "1.00 ms"),
            (61_999_000, "62.00 ms"),
            (999_996_000, "1.00 s"),
        ];
        for (nanos, shown) in expected {
            assert_eq!(time(nanos), shown);
        }
    }

    #[test]
    fn the_live_line_fits_a_terminal_at_its_worst() {
        let now = Now {
            since_start: 9_999_900_000_000,
            rate: 10_000.0,
            answered: 9_999_999,
            lost: 99_999,
            last_rtt: Some(999_400),
            outages: 12,
            doubled: 0,
            silent: Some(999_990_000),
        };
        let line = live_line(&now);
        assert!(line.len() <= 80 + 16, "{line}");
        assert!(line.ends_with("SILENT 999.99 ms"), "{line}");
        assert!(live_line(&Now { silent: None, ..now }).len() < 80);
    }
}
