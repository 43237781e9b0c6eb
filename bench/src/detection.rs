//! What a shorter deadtime gives and what it costs: how long the address is away when its owner falls silent, and how often it
//! moves although nothing happened, by deadtime, under each condition.
//!
//! One pair of nodes for every point. It is first left alone under the condition, and every time the second node begins to
//! answer is a false alarm. Then the owner's port is silenced again and again, and healed.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use xbeat_tests::peers::pair::Pair;
use xbeat_tests::peers::xbeat::Xbeat;
use xbeat_tests::wait::{self, pause};
use xbeat_tests::{clock, host};

use crate::compare::case::{Condition, START_LIMIT, under};
use crate::compare::chosen;
use crate::figures::{Spread, ms};
use crate::file::{self, Header};

/// Outage and false alarms by deadtime, under each condition
#[derive(Args)]
pub(crate) struct DetectionArgs {
    /// Deadtimes, in microseconds; keepalive is a third of each, and 200 us at least
    #[arg(long, value_delimiter = ',', default_value = "600,1000,2000,3000,5000,10000,30000,100000")]
    deadtimes: Vec<u64>,
    /// Under these conditions only
    #[arg(long, value_enum, value_name = "CONDITION", value_delimiter = ',')]
    conditions: Vec<Condition>,
    /// How long each pair is left alone
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    seconds: u64,
    /// How often its owner falls silent then
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Also write the figures to FILE, as JSON; it is complete after every point
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The figures in the JSON file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Detection {
    pub(crate) seconds: u64,
    pub(crate) points: Vec<Point>,
}

/// One deadtime under one condition.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) condition: Condition,
    pub(crate) keepalive_us: u64,
    pub(crate) deadtime_us: u64,
    /// How often the second node began to answer in the time in which nothing happened.
    pub(crate) false_alarms: usize,
    /// How long the client itself stood still at most in that time.
    pub(crate) client_pause_us: u64,
    /// By round.
    pub(crate) outages_us: Vec<u64>,
    /// What went wrong.
    pub(crate) error: Option<String>,
}

/// Shorter makes no sense of a keepalive.
const KEEPALIVE_MIN_US: u64 = 200;

/// How long a port stays silent after the other node serves.
const AFTER: Duration = Duration::from_millis(300);

/// Runs the measurement.
pub(crate) fn run(arguments: &DetectionArgs) -> Result<()> {
    wait::catch_interrupts()?;
    let header = Header::new("detection");
    let conditions = chosen(&arguments.conditions, &Condition::ALL);
    let mut figures = Detection { seconds: arguments.seconds, points: Vec::new() };
    println!("{}", header.machine);
    println!("condition  deadtime ms  keepalive ms  false alarms  min ms   median      max");
    let all = conditions.len() * arguments.deadtimes.len();
    for &deadtime in &arguments.deadtimes {
        for &condition in &conditions {
            let number = figures.points.len() + 1;
            eprintln!("{number} of {all}: deadtime {} ms, {}", ms(deadtime), condition.name());
            let mut point = Point::new(condition, deadtime);
            if let Err(error) = point.measure(arguments) {
                if wait::interrupted() {
                    return Err(error);
                }
                point.error = Some(format!("{error:#}"));
            }
            println!("{}", point.text());
            figures.points.push(point);
            file::save(arguments.json.as_deref(), &header, &figures)?;
        }
    }
    Ok(())
}

impl Point {
    fn new(condition: Condition, deadtime_us: u64) -> Self {
        Self {
            condition,
            keepalive_us: (deadtime_us / 3).max(KEEPALIVE_MIN_US),
            deadtime_us,
            false_alarms: 0,
            client_pause_us: 0,
            outages_us: Vec::new(),
            error: None,
        }
    }

    fn measure(&mut self, arguments: &DetectionArgs) -> Result<()> {
        let us = |us: u64| format!("{us}us");
        let system = Xbeat::new("xbeat", &host::binary()?, &us(self.keepalive_us), &us(self.deadtime_us));
        let mut pair = Pair::new(&system)?;
        let played = pair
            .start_all(START_LIMIT)
            .and_then(|()| under(self.condition, || play(&mut pair, arguments)))
            .with_context(|| pair.logs());
        let seen = pair.finish()?;
        let Played { calm: (from, to), silences } = played?;
        self.false_alarms = seen.changes(from, to).iter().filter(|change| change.to == 1).count();
        self.client_pause_us = seen.client_pause(from, to) / 1000;
        self.outages_us = silences.iter().map(|&(from, to)| seen.outage(from, to).micros()).collect();
        Ok(())
    }

    fn text(&self) -> String {
        let what = format!(
            "{:<10} {:>11} {:>13} {:>13}",
            self.condition.name(),
            ms(self.deadtime_us),
            ms(self.keepalive_us),
            self.false_alarms
        );
        match (&self.error, Spread::of(self.outages_us.iter().copied())) {
            (Some(error), _) => format!("{what}  failed: {}", error.lines().next().unwrap_or_default()),
            (None, None) => what,
            (None, Some(Spread { min, median, max, .. })) => {
                format!("{what} {:>7} {:>8} {:>8}", ms(min), ms(median), ms(max))
            }
        }
    }
}

/// When nothing happened, and when which silence was played.
struct Played {
    calm: (u64, u64),
    silences: Vec<(u64, u64)>,
}

fn play(pair: &mut Pair<'_>, arguments: &DetectionArgs) -> Result<Played> {
    let begin = clock::now();
    pause(Duration::from_secs(arguments.seconds))?;
    let calm = (begin, clock::now());
    let mut silences = Vec::new();
    for _ in 0..arguments.rounds {
        pair.settles_on(0, START_LIMIT)?;
        ensure!(pair.client.answerer() == Some(0), "the first node does not serve");
        let from = clock::now();
        pair.lan.silence(0)?;
        wait::eventually(START_LIMIT, "the second node serves", || pair.client.answerer() == Some(1))?;
        pause(AFTER)?;
        silences.push((from, clock::now()));
        pair.lan.heal(0)?;
    }
    Ok(Played { calm, silences })
}
