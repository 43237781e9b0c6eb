//! A run, from the sockets to the report.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;

use super::answerers::{Answerers, History, show_mac};
use super::packet::Wrong;
use super::path::Path;
use super::report::{
    DoubleWindow, Ending, Ignored, MacSource, Outage, Report, Rtt, SCHEMA, SendErrors, Share, Unfinished,
};
use super::threads::{Event, Threads, catch_signals, nanos};
use super::tracker::{Booking, Doubling, Finding, Hole, Tracker, Window};
use super::view::{self, Now, View, time};
use super::{Mode, Options, ProbeError, wire};
use crate::sys::clock;

/// Outages and windows that a report lists; all are counted.
pub(super) const LISTED_MAX: usize = 10_000;
/// An event this old, in ns, has been read: how long after its time a request is judged.
const MARGIN: u64 = 20_000_000;
/// Events that are read before anything else is done again.
const EVENTS_MAX: usize = 20_000;
/// How often events are looked at.
const TICK: Duration = Duration::from_millis(20);
/// How often the neighbour table is looked at, in ns.
const LOOK_AT_NEIGHBOURS: u64 = 50_000_000;

/// How a run ended: the report, the page to print, and what makes the exit code 1 or 3.
#[derive(Debug)]
pub struct Ended {
    /// What was found.
    pub report: Report,
    /// The same for a person.
    pub page: String,
    /// Why the exit code is not 0.
    pub verdict: Option<String>,
}

/// Measures until the end that the options say, or a signal. Shows on stderr how it goes.
///
/// # Errors
/// When it cannot begin; the error says what would be right.
pub fn run(options: &Options) -> Result<Ended, ProbeError> {
    let path = Path::find(options)?;
    let (asker, hearer) = wire::open(options, &path)?;
    let (told, events) = channel();
    catch_signals(told.clone()).map_err(ProbeError::io("wait for signals"))?;
    let mut run = Run::new(options, path, hearer.sees_frames());
    run.introduce();
    let threads = Threads::start(options, asker, hearer, &told).map_err(ProbeError::io("start a thread"))?;
    run.follow(&events, &threads);
    drop(threads);
    Ok(run.end())
}

struct Run<'a> {
    options: &'a Options,
    path: Path,
    mac_source: MacSource,
    tracker: Tracker,
    answerers: Answerers,
    firsts: Vec<u64>,
    history: History,
    rtt: Histogram<u64>,
    last_rtt: Option<u64>,
    ignored: Ignored,
    send_errors: SendErrors,
    outages: Vec<Outage>,
    outage_count: u64,
    longest: u64,
    windows: Vec<DoubleWindow>,
    window_count: u64,
    notes: Vec<String>,
    view: View,
    realtime: bool,
    ending: Ending,
    all_sent: bool,
    /// The first request, on the monotonic clock; and what is added to get the wall clock.
    start: Option<u64>,
    wall: u64,
    drawn: (u64, u64),
    rate: f64,
}

impl<'a> Run<'a> {
    fn new(options: &'a Options, path: Path, sees_frames: bool) -> Self {
        let doubling = if options.mode == Mode::Arp { Doubling::SomebodyElse } else { Doubling::AnySecond };
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, nanos);
        // From 1 ns to a minute with three digits: within what the crate allows.
        let rtt = Histogram::new_with_bounds(1, 60_000_000_000, 3);
        Self {
            options,
            path,
            mac_source: if sees_frames { MacSource::Frames } else { MacSource::NeighbourTable },
            tracker: Tracker::new(doubling, nanos(options.wait)),
            answerers: Answerers::default(),
            firsts: Vec::new(),
            history: History::default(),
            rtt: rtt.unwrap_or_else(|_| unreachable!("the bounds are constant and allowed")),
            last_rtt: None,
            ignored: Ignored::default(),
            send_errors: SendErrors::default(),
            outages: Vec::new(),
            outage_count: 0,
            longest: 0,
            windows: Vec::new(),
            window_count: 0,
            notes: Vec::new(),
            view: View::new(options.quiet),
            realtime: options.realtime,
            ending: Ending::Done,
            all_sent: false,
            start: None,
            wall: unix.saturating_sub(clock::now()),
            drawn: (0, 0),
            rate: 0.0,
        }
    }

    fn introduce(&mut self) {
        let Path { target, own, interface, .. } = &self.path;
        let line = format!(
            "asking {} from {own} on {interface}, {} a second; Ctrl-C ends it",
            target.ip(),
            self.options.rate
        );
        self.view.line(&line);
        if self.path.is_local() {
            self.note("the target is an address of this machine itself: no failover can be seen from here");
        }
        if self.mac_source == MacSource::NeighbourTable {
            self.note(
                "without CAP_NET_RAW hardware addresses are the neighbour table's (IPv4, 50 ms apart), and a \
                 hand-over without loss is not seen",
            );
        }
    }

    fn note(&mut self, text: &str) {
        self.view.line(&format!("note: {text}"));
        self.notes.push(text.to_owned());
    }

    /// Until all is sent and answered, or waited for.
    fn follow(&mut self, events: &Receiver<Event>, threads: &Threads) {
        let mut found = Vec::new();
        let mut looked = 0;
        let mut sent_at = None;
        loop {
            let now = clock::now();
            match events.recv_timeout(TICK) {
                Ok(event) => {
                    self.take(event, threads);
                    // Not without end, whatever floods come in.
                    events.try_iter().take(EVENTS_MAX).for_each(|event| self.take(event, threads));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.mac_source == MacSource::NeighbourTable && now >= looked + LOOK_AT_NEIGHBOURS {
                looked = now;
                self.history.look(now, self.path.target.ip(), &self.path.interface);
            }
            self.tracker.settle(now.saturating_sub(MARGIN), &mut found);
            self.report(&mut found);
            self.show(now);
            if self.all_sent {
                let waited = now.saturating_sub(*sent_at.get_or_insert(now));
                if waited > nanos(self.options.wait) + MARGIN
                    || (waited > MARGIN && self.tracker.all_answered())
                {
                    return;
                }
            }
        }
    }

    fn take(&mut self, event: Event, threads: &Threads) {
        match event {
            Event::Sent { at } => {
                self.start.get_or_insert(at);
                self.tracker.sent(at);
            }
            Event::Unsent { error } => {
                self.send_errors.count += 1;
                self.send_errors.last = Some(error.to_string());
            }
            Event::Answered { number, at, mac, name } => {
                let known = self.answerers.who(mac, &name);
                match self.tracker.answered(number, at, known) {
                    Booking::First { rtt } => {
                        self.rtt.saturating_record(rtt.max(1));
                        self.last_rtt = Some(rtt);
                        self.firsts.resize(self.firsts.len().max(known + 1), 0);
                        self.firsts[known] += 1;
                    }
                    Booking::Again | Booking::Late => {}
                    Booking::NeverAsked => self.ignored.payload += 1,
                }
            }
            Event::Ignored(Wrong::Identifier) => self.ignored.identifier += 1,
            Event::Ignored(Wrong::Payload) => self.ignored.payload += 1,
            Event::Ignored(Wrong::Source) => self.ignored.source += 1,
            Event::AllSent => self.all_sent = true,
            Event::Interrupted => {
                self.ending = Ending::Interrupted;
                threads.stop_sending();
            }
            Event::NoRealtime(error) => {
                self.realtime = false;
                self.note(&format!(
                    "no real-time scheduling ({error}): root or CAP_SYS_NICE has it; look at \"own pause\""
                ));
            }
        }
    }

    fn report(&mut self, found: &mut Vec<Finding>) {
        for finding in found.drain(..) {
            match finding {
                Finding::Outage(hole) => self.outage(&hole),
                Finding::Doubled(window) => self.window(&window),
            }
        }
    }

    fn outage(&mut self, hole: &Hole) {
        let (mut before, mut after) = (self.answerers.shown(hole.before), self.answerers.shown(hole.after));
        if self.mac_source == MacSource::NeighbourTable {
            before.mac = self.history.at(hole.start).map(show_mac);
            // The table is looked at now and then: what it said soon after.
            after.mac = self.history.at(hole.end + LOOK_AT_NEIGHBOURS + MARGIN).map(show_mac);
        }
        let outage = Outage {
            start_ns: self.since_start(hole.start),
            start_unix_ns: self.wall + hole.start,
            length_ns: hole.length(),
            lost: hole.lost,
            before,
            after,
            sender_pause_ns: hole.sender_pause,
        };
        self.outage_count += 1;
        self.longest = self.longest.max(hole.length());
        if self.outages.len() < LISTED_MAX {
            self.view.line(&view::outage_line(&outage));
            self.outages.push(outage);
        }
    }

    fn window(&mut self, window: &Window) {
        let window = DoubleWindow {
            start_ns: self.since_start(window.start),
            start_unix_ns: self.wall + window.start,
            length_ns: window.end - window.start,
            requests: window.requests,
            answerers: window.who.iter().map(|who| self.answerers.shown(*who)).collect(),
        };
        self.window_count += 1;
        if self.windows.len() < LISTED_MAX {
            self.view.line(&view::window_line(&window));
            self.windows.push(window);
        }
    }

    fn since_start(&self, at: u64) -> u64 {
        at.saturating_sub(self.start.unwrap_or(at))
    }

    fn show(&mut self, now: u64) {
        let since_start = self.since_start(now);
        if !self.view.is_due(since_start) {
            return;
        }
        let asked = self.tracker.asked();
        let (drawn_at, drawn_asked) = std::mem::replace(&mut self.drawn, (since_start, asked));
        self.rate = (asked - drawn_asked) as f64 * 1e9 / (since_start - drawn_at).max(1) as f64;
        let counts = self.tracker.counts();
        let (answered, newest) = self.tracker.newest();
        let silent = answered.zip(newest).map(|(answered, newest)| newest.saturating_sub(answered));
        // An answer that is on its way is no silence.
        let usual = (4e9 / self.options.rate) as u64 + 20_000_000;
        self.view.draw(&Now {
            since_start,
            rate: self.rate,
            answered: self.firsts.iter().sum(),
            lost: counts.lost,
            last_rtt: self.last_rtt,
            outages: self.outage_count,
            doubled: counts.doubled,
            silent: silent.filter(|silent| *silent > usual),
        });
    }

    fn end(mut self) -> Ended {
        let mut found = Vec::new();
        self.tracker.finish(&mut found);
        self.report(&mut found);
        self.view.clear();
        let unfinished = self.tracker.unfinished().map(|(start, end, lost, pause)| Unfinished {
            start_ns: self.since_start(start),
            start_unix_ns: self.wall + start,
            so_far_ns: end - start,
            lost,
            sender_pause_ns: pause,
        });
        self.longest = self.longest.max(unfinished.as_ref().map_or(0, |open| open.so_far_ns));
        let rtt = (!self.rtt.is_empty()).then(|| Rtt {
            min: self.rtt.min(),
            median: self.rtt.value_at_quantile(0.5),
            p99: self.rtt.value_at_quantile(0.99),
            max: self.rtt.max(),
        });
        if self.options.mode == Mode::Arp && rtt.is_some_and(|rtt| rtt.p99 as f64 > 0.5e9 / self.options.rate)
        {
            self.notes.push(
                "ARP answers do not name their request, and these took about a period: ask more slowly to be sure"
                    .to_owned(),
            );
        }
        self.note_slowness();
        let (exit, verdict) = self.verdict();
        let report = self.into_report(rtt, unfinished, exit);
        Ended { page: view::summary(&report), report, verdict }
    }

    /// Says when this machine could not ask as fast as it was told to.
    fn note_slowness(&mut self) {
        let sent = self.tracker.asked();
        let took = self.tracker.newest().1.map_or(0, |last| self.since_start(last));
        let reached = sent.saturating_sub(1) as f64 * 1e9 / took.max(1) as f64;
        if sent > 1 && reached < self.options.rate * 0.95 {
            self.notes.push(format!("this machine asked {reached:.0} times a second, and no faster"));
        }
    }

    /// The exit code, and why it is not 0.
    fn verdict(&self) -> (u8, Option<String>) {
        let counts = self.tracker.counts();
        if counts.answered == 0 {
            return (3, Some(format!("{} never answered; {}", self.path.target.ip(), self.hint())));
        }
        match self.options.max_outage.map(nanos) {
            Some(max) if self.longest > max => {
                let (longest, max) = (time(self.longest), time(max));
                (1, Some(format!("the longest outage, {longest}, is above --max-outage, {max}")))
            }
            Some(_) if counts.doubled > 0 => (1, Some(format!("two answered {} requests", counts.doubled))),
            _ => (0, None),
        }
    }

    /// What may be the cause when nobody answers.
    fn hint(&self) -> &'static str {
        match self.options.mode {
            _ if self.ignored.source > 0 => {
                "answers came from elsewhere: the service answers by another address"
            }
            _ if self.ignored.payload > 0 => "what came back was not what was sent: is that an echo service?",
            Mode::Icmp => {
                "is the address right, and does a firewall let ICMP echo through? --arp asks below it"
            }
            Mode::Udp(_) => "is there an echo service at that port, that sends back what it gets?",
            Mode::Arp => "is the address on this very network? ARP does not pass routers",
        }
    }

    fn into_report(self, rtt_ns: Option<Rtt>, unfinished: Option<Unfinished>, exit: u8) -> Report {
        let counts = self.tracker.counts();
        let firsts = self.firsts.iter().enumerate().filter(|(_, first)| **first > 0);
        let answerers =
            firsts.map(|(who, first)| Share { who: self.answerers.shown(who), first: *first }).collect();
        let mode = match self.options.mode {
            Mode::Icmp => "icmp",
            Mode::Udp(_) => "udp",
            Mode::Arp => "arp",
        };
        let port = if let Mode::Udp(port) = self.options.mode { Some(port) } else { None };
        let last_sent = self.tracker.newest().1;
        Report {
            schema: SCHEMA,
            target: self.options.target.clone(),
            address: self.path.target.ip().to_string(),
            mode: mode.to_owned(),
            port,
            interface: self.path.interface.clone(),
            own_address: self.path.own.to_string(),
            mac_source: self.mac_source,
            rate: self.options.rate,
            wait_ns: nanos(self.options.wait),
            started_unix_ns: self.wall + self.start.unwrap_or(0),
            duration_ns: last_sent.map_or(0, |last| self.since_start(last)),
            ending: self.ending,
            realtime: self.realtime,
            sent: self.tracker.asked(),
            answered: counts.answered,
            lost: counts.lost,
            doubled: counts.doubled,
            repeated: counts.repeated,
            late: counts.late,
            ignored: self.ignored,
            send_errors: self.send_errors,
            rtt_ns,
            sender_pause_ns: counts.sender_pause,
            answerers,
            outage_count: self.outage_count,
            longest_outage_ns: self.longest,
            outages: self.outages,
            unfinished,
            double_window_count: self.window_count,
            double_windows: self.windows,
            notes: self.notes,
            max_outage_ns: self.options.max_outage.map(nanos),
            exit,
        }
    }
}
