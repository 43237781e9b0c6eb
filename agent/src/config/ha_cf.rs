//! ha.cf: from lines to a [`Draft`], directive by directive. Each value is checked by itself here; what must hold
//! between values is `check.rs`. Nothing is left out for an earlier error: all of them are wanted.

use std::path::PathBuf;
use std::time::Duration;

use super::diagnostic::{Diagnostic, Severity, Source, quoted};
use super::directives::{self, Apply, Directive};
use super::model::{EgressMode, Facility, LinkDead, LinkSpec, PingSpec, Respawn, Stonith, XdpMode};
use super::names::World;
use super::scanner::{self, Line, Place, Word, is_blank, is_value_separator};
use super::settings;
use super::time;
use crate::resources::{Device, Via};

/// A value that may be absent, or stand there and be wrong: then what depends on it is not complained of as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Setting<T> {
    #[default]
    Absent,
    Given(T, Place),
    Bad,
}

/// What ha.cf says, each value good in itself.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) nodes: Vec<Word>,
    /// A node line could not be read, so that an empty list is no news.
    pub(super) has_bad_node: bool,
    pub(super) keepalive: Setting<Duration>,
    pub(super) deadtime: Setting<Duration>,
    pub(super) warntime: Setting<Duration>,
    pub(super) initdead: Setting<Duration>,
    pub(super) deadping: Setting<Duration>,
    pub(super) lease: Setting<Duration>,
    pub(super) starttime: Setting<Duration>,
    pub(super) stoptime: Setting<Duration>,
    pub(super) auto_failback: Setting<bool>,
    pub(super) udpport: u16,
    /// A link took `udpport` as it was: later lines no longer change it.
    pub(super) is_udpport_taken: bool,
    pub(super) xdp: XdpMode,
    pub(super) egress: EgressMode,
    pub(super) links: Vec<LinkSpec>,
    /// A link line went wrong, so that an empty list is no news.
    pub(super) has_bad_link: bool,
    pub(super) linkdead: Vec<(LinkDead, Word, Place)>,
    pub(super) baud: u32,
    pub(super) pings: Vec<PingSpec>,
    pub(super) respawn: Vec<Respawn>,
    /// Clients of `apiauth`, each of which may be named once.
    pub(super) api_clients: Vec<String>,
    pub(super) stonith: Option<Stonith>,
    /// Devices that reset nodes, and which: none for all.
    pub(super) devices: Vec<(Device, Option<Vec<String>>, Place)>,
    pub(super) fence: Option<(PathBuf, Vec<String>)>,
    pub(super) monitors: Vec<(String, Duration)>,
    pub(super) mailer: Option<Via>,
    pub(super) mailfrom: Option<String>,
    pub(super) watchdog: Option<PathBuf>,
    pub(super) logfile: Option<PathBuf>,
    pub(super) debugfile: Option<PathBuf>,
    pub(super) logfacility: Option<Facility>,
    pub(super) debug: u8,
    pub(super) realtime: bool,
    pub(super) rtprio: Option<u8>,
    /// `env` lines.
    pub(super) env: Vec<(String, String)>,
    /// Each directive that was met and its last value, as written.
    pub(super) written: Vec<(&'static str, String)>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            has_bad_node: false,
            keepalive: Setting::Absent,
            deadtime: Setting::Absent,
            warntime: Setting::Absent,
            initdead: Setting::Absent,
            deadping: Setting::Absent,
            lease: Setting::Absent,
            starttime: Setting::Absent,
            stoptime: Setting::Absent,
            auto_failback: Setting::Absent,
            udpport: settings::UDPPORT,
            is_udpport_taken: false,
            xdp: XdpMode::Auto,
            egress: EgressMode::Auto,
            links: Vec::new(),
            has_bad_link: false,
            linkdead: Vec::new(),
            baud: settings::BAUD,
            pings: Vec::new(),
            respawn: Vec::new(),
            api_clients: Vec::new(),
            stonith: None,
            devices: Vec::new(),
            fence: None,
            monitors: Vec::new(),
            mailer: None,
            mailfrom: None,
            watchdog: None,
            logfile: None,
            debugfile: None,
            logfacility: None,
            debug: 0,
            realtime: true,
            rtprio: None,
            env: Vec::new(),
            written: Vec::new(),
        }
    }
}

/// Reads ha.cf line by line, as the directives take effect in the order of their lines.
pub(super) struct Reader<'a> {
    pub(super) draft: Draft,
    pub(super) world: &'a dyn World,
    /// Name of this node.
    pub(super) own_name: &'a str,
    pub(super) diagnostics: Vec<Diagnostic>,
    source: &'a Source,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source, world: &'a dyn World, own_name: &'a str) -> Self {
        Self { draft: Draft::default(), world, own_name, diagnostics: Vec::new(), source }
    }

    /// Reads the whole file.
    pub(super) fn read(mut self, bytes: &[u8]) -> (Draft, Vec<Diagnostic>) {
        for line in scanner::lines(bytes) {
            self.line(line.without_comment());
        }
        (self.draft, self.diagnostics)
    }

    fn line(&mut self, line: Line<'_>) {
        let Some((name, rest)) = line.first_word(is_value_separator) else { return };
        let Some(directive) = directives::find(&name.text) else {
            return self.unknown_directive(&name);
        };
        let separator =
            if matches!(directive.apply, Apply::Whole(_)) { is_blank } else { is_value_separator };
        let start = scanner::next_word(line.bytes, rest, is_value_separator).map_or(rest, |(from, _)| from);
        let values = line.words_from(start, separator);
        let unclean: Vec<&Word> = values.iter().filter(|word| !word.is_clean).collect();
        if !unclean.is_empty() {
            for word in unclean {
                self.error(word.place, quoted(&word.text), "text in UTF-8 without control characters");
            }
            self.draft.has_bad_node |= directive.name == "node";
            return self.mark_bad_link(directive.name);
        }
        self.apply(directive, &name, &values);
    }

    fn apply(&mut self, directive: &'static Directive, name: &Word, values: &[Word]) {
        if values.is_empty() && !matches!(directive.apply, Apply::Whole(_)) {
            let message = format!("{} has no value: the line is ignored", quoted(&name.text));
            return self.warning(name.place, message, "");
        }
        let errors = self.error_count();
        match directive.apply {
            Apply::Each(apply) => {
                for value in values {
                    if self.is_repeated(directive, value) {
                        continue;
                    }
                    apply(self, value);
                    self.draft.written.push((directive.name, value.text.clone()));
                }
            }
            Apply::Whole(apply) => {
                apply(self, name, values);
                let words: Vec<&str> = values.iter().map(|value| value.text.as_str()).collect();
                self.draft.written.push((directive.name, words.join(" ")));
            }
            Apply::Ignored { check, expected, why } => {
                self.ignore(directive, name, values, check, expected, why)
            }
            Apply::Refused { why } => self.refuse(directive, values, why),
        }
        if self.error_count() > errors {
            self.mark_bad_link(directive.name);
        }
    }

    fn unknown_directive(&mut self, name: &Word) {
        let expected = match directives::nearest(&name.text) {
            Some(nearest) => format!("a directive; did you mean `{nearest}`?"),
            None if name.text.starts_with(';') => "a directive; comments begin with `#`".into(),
            None => "a directive (docs/configuration.md lists them)".into(),
        };
        self.error(name.place, quoted(&name.text), expected);
    }

    /// Whether a directive that may stand only once was met before; says so.
    fn is_repeated(&mut self, directive: &Directive, value: &Word) -> bool {
        let is_repeated =
            directive.is_single && self.draft.written.iter().any(|(name, _)| *name == directive.name);
        if is_repeated {
            let found = format!("a second value for `{}`", directive.name);
            self.error(value.place, found, "one value");
        }
        is_repeated
    }

    fn ignore(
        &mut self,
        directive: &'static Directive,
        name: &Word,
        values: &[Word],
        check: fn(&str) -> bool,
        expected: &str,
        why: &str,
    ) {
        let errors = self.error_count();
        for value in values {
            if !check(&value.text) {
                self.error(value.place, quoted(&value.text), expected);
            }
            self.draft.written.push((directive.name, value.text.clone()));
        }
        if self.error_count() == errors {
            self.warning(name.place, format!("{} is accepted and ignored: {why}", quoted(&name.text)), "");
        }
    }

    fn refuse(&mut self, directive: &'static Directive, values: &[Word], why: &str) {
        for value in values {
            if self.is_repeated(directive, value) {
                continue;
            }
            if settings::boolean(&value.text) != Some(false) {
                let found = quoted(&format!("{} {}", directive.name, value.text));
                self.error(value.place, found, format!("no such line, or `{} off`: {why}", directive.name));
            }
            self.draft.written.push((directive.name, value.text.clone()));
        }
    }

    /// Remembers that a missing link is missing because of an error already told.
    fn mark_bad_link(&mut self, directive: &str) {
        self.draft.has_bad_link |=
            matches!(directive, "ucast" | "bcast" | "udp" | "mcast" | "serial" | "ucast6" | "mcast6");
    }

    fn error_count(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count()
    }

    pub(super) fn error(&mut self, place: Place, found: impl Into<String>, expected: impl Into<String>) {
        self.diagnostics.push(self.source.diagnostic(Severity::Error, place, found, expected));
    }

    pub(super) fn warning(&mut self, place: Place, found: impl Into<String>, expected: impl Into<String>) {
        self.diagnostics.push(self.source.diagnostic(Severity::Warning, place, found, expected));
    }

    /// Reads a time above 0; anything else is an error.
    pub(super) fn time(&mut self, value: &Word) -> Option<Duration> {
        let time = time::parse(&value.text).filter(|time| !time.is_zero());
        if time.is_none() {
            let is_lone_unit = matches!(value.text.as_str(), "us" | "ms" | "s" | "m");
            let expected = if is_lone_unit {
                format!("the unit right behind its number, such as `2{}`", value.text)
            } else if time::parse(&value.text).is_some() {
                "a time above 0".into()
            } else {
                time::EXPECTED.into()
            };
            self.error(value.place, quoted(&value.text), expected);
        }
        time
    }

    pub(super) fn set_time(&mut self, value: &Word, setting: fn(&mut Draft) -> &mut Setting<Duration>) {
        let time = self.time(value);
        *setting(&mut self.draft) = time.map_or(Setting::Bad, |time| Setting::Given(time, value.place));
    }

    /// The words of a line that need not stand there are ignored, as in Heartbeat, but not in silence.
    pub(super) fn warn_of_surplus(&mut self, words: &[Word], wanted: usize) {
        if let Some(word) = words.get(wanted) {
            self.warning(word.place, format!("{} is surplus: it is ignored", quoted(&word.text)), "");
        }
    }
}
