//! The forms of a line. Heartbeat's for files (`ha-log` tools read it), syslog's own for syslog, short ones for stderr.

use std::time::{SystemTime, UNIX_EPOCH};

use tracing::Level;

use super::queue::Record;
use crate::config::Facility;
use crate::sys::wall_clock::{self, MONTHS};

/// The program's name in every form.
const PROGRAM: &str = "xbeat";
/// A line's text is cut here: a pipe that polls as writable takes 4,096 bytes without blocking (pipe(7), `PIPE_BUF`).
const TEXT_BYTES_MAX: usize = 3_800;

/// A moment on this machine's wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WallTime {
    pub(super) month: usize,
    pub(super) day: u32,
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
    pub(super) millisecond: u32,
}

impl WallTime {
    pub(super) fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let local = wall_clock::local_time(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        Self {
            month: usize::from(local.month),
            day: local.day.into(),
            hour: local.hour.into(),
            minute: local.minute.into(),
            second: local.second.into(),
            millisecond: since.subsec_millis(),
        }
    }

    /// `Jan 31 23:59:59`, the day padded with a blank as syslog has it.
    fn stamp(self) -> String {
        let month = MONTHS.get(self.month).unwrap_or(&"???");
        format!("{month} {:2} {:02}:{:02}:{:02}", self.day, self.hour, self.minute, self.second)
    }
}

/// Heartbeat's words for levels; it has none below debug.
fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

/// Syslog's severity (RFC 5424 table 2).
fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// The form of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// `Jan 31 23:59:59 server1 xbeat: [4711]: info: text`
    File { host: String },
    /// `<30>Jan 31 23:59:59 xbeat[4711]: info: text`, one datagram each.
    Syslog { facility: Facility },
    /// `23:59:59.123 info: text`
    Terminal,
    /// `<6>text`: the journal notes time, program and process itself (sd-daemon(3)).
    Journal,
}

/// The lines of `record` in `form`: as many as its text has, each complete and with a line feed, so that nobody who
/// gets a text into the log can forge a line.
pub(super) fn lines(record: &Record, now: WallTime, form: &Form) -> Vec<String> {
    let pid = std::process::id();
    let word = word(record.level);
    let head = match form {
        Form::File { host } => format!("{} {host} {PROGRAM}: [{pid}]: {word}: ", now.stamp()),
        Form::Syslog { facility } => {
            let priority = facility.code * 8 + severity(record.level);
            format!("<{priority}>{} {PROGRAM}[{pid}]: {word}: ", now.stamp())
        }
        Form::Terminal => {
            let WallTime { hour, minute, second, millisecond, .. } = now;
            format!("{hour:02}:{minute:02}:{second:02}.{millisecond:03} {word}: ")
        }
        Form::Journal => format!("<{}>", severity(record.level)),
    };
    record.text.lines().map(|text| head.clone() + &printable(text) + "\n").collect()
}

fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\t' {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
        if line.len() > TEXT_BYTES_MAX {
            line.push_str("...");
            break;
        }
    }
    line
}
