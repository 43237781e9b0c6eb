//! One failover, step by step.

use anyhow::Result;

use super::{Found, Part};
use crate::compare::case::Condition;
use crate::figures::{Spread, three};
use crate::report::charts::{self, BAD, Bar, GOOD, Lane, OTHER};
use crate::report::table::Table;
use crate::waterfall::{AfterDeadline, Kind, Moment, Run, Series, Step, WAITED_FOR, Waterfall};

/// The names of steps are long.
const NAMES: u32 = 330;

pub(super) fn parts(figures: &Waterfall) -> Result<Found> {
    let mut parts = Vec::new();
    let mut findings = Vec::new();
    for condition in Condition::ALL {
        for kind in Kind::ALL {
            let all = figures.series(kind, condition);
            let Some(&newest) = all.last() else { continue };
            parts.push(one(figures, newest)?);
            for &series in &all {
                parts.push(steps(figures, series, all.len() > 1)?);
            }
            findings.extend(finding(figures, newest));
            findings.extend(punctual(figures, newest));
            if let [before, .., after] = all.as_slice() {
                findings.extend(cut(figures, *before, *after));
            }
        }
    }
    Ok((findings, parts))
}

/// Kind and condition.
fn what(series: Series<'_>) -> String {
    let kind = match series.kind {
        Kind::Silent => "A silent owner",
        Kind::HandOver => "A hand-over (xbeat standby)",
    };
    format!("{kind}, {}", series.condition.name())
}

fn finding(figures: &Waterfall, series: Series<'_>) -> Option<String> {
    let [asked, answered] = WAITED_FOR.map(|(moment, _)| figures.since_opened(series, moment));
    let (asked, answered) = (asked?, answered?);
    Some(format!(
        "{}: from the moment in which the kernel opens the gate to the first answered request {} us (median), {} us at most, in {} \
         runs; its answer comes after {} us (median), {} us at most.",
        what(series),
        three(asked.median),
        three(asked.max),
        figures.of(series).count(),
        three(answered.median),
        three(answered.max),
    ))
}

/// How well the kernel keeps the deadline.
fn punctual(figures: &Waterfall, series: Series<'_>) -> Option<String> {
    let verdict = figures.after_deadline(series)?;
    Some(format!(
        "{}: the kernel's verdict stands {} us after the deadline (median), {} us at most; {}.",
        what(series),
        three(verdict.us.median),
        three(verdict.us.max),
        verdict.says()
    ))
}

fn cut(figures: &Waterfall, before: Series<'_>, after: Series<'_>) -> Option<String> {
    let (old, new) = (figures.outages(before)?, figures.outages(after)?);
    Some(format!(
        "{}: median outage {} us with {}, {} us with {}, in turns in one run.",
        what(after),
        three(old.median),
        before.agent,
        three(new.median),
        after.agent
    ))
}

/// The run whose outage is the median one.
fn middle<'a>(figures: &'a Waterfall, series: Series<'a>) -> Option<&'a Run> {
    let median = figures.outages(series)?.median;
    figures.of(series).find(|run| run.outage_us == median)
}

/// The timeline of one failover, from stamps.
fn one(figures: &Waterfall, series: Series<'_>) -> Result<Part> {
    let mut part = Part { heading: Some(what(series)), ..Part::default() };
    let Some(run) = middle(figures, series) else { return Ok(part) };
    part.text.push(format!(
        "{}, {}, keepalive {}, deadtime {}; the client asks every {} us. Kernel and agents stamp what they do on one clock. This \
         is the run whose outage is the median one.",
        what(series),
        series.agent,
        figures.keepalive,
        figures.deadtime,
        figures.request_period_us
    ));
    let dots = |answered_by: Option<usize>| {
        run.requests
            .iter()
            .filter(|request| request.by == answered_by)
            .map(|request| request.at_us)
            .collect::<Vec<_>>()
    };
    let paint = |times: Vec<f64>, colour| times.into_iter().map(|at| (at, colour)).collect::<Vec<_>>();
    let at = |moments: &[Moment], colour| {
        let times = moments.iter().filter_map(|&moment| run.at(moment));
        paint(times.collect(), colour)
    };
    let mut lanes = vec![
        Lane { name: "answered by the old owner".into(), dots: paint(dots(Some(0)), OTHER) },
        Lane { name: "requests lost".into(), dots: paint(dots(None), BAD) },
        Lane { name: "answered by the new owner".into(), dots: paint(dots(Some(1)), GOOD) },
        Lane {
            name: "new owner's kernel".into(),
            dots: at(&[Moment::Heard, Moment::Verdict, Moment::Opened], GOOD),
        },
        Lane {
            name: "new owner's agent".into(),
            dots: at(&[Moment::Woken, Moment::Added, Moment::Announced], GOOD),
        },
    ];
    let old = at(&[Moment::Removed, Moment::Said], OTHER);
    if !old.is_empty() {
        lanes.insert(3, Lane { name: "old owner's agent".into(), dots: old });
    }
    let svg = charts::timeline("us since the last request that the old owner answered", &lanes)?;
    part.charts.push((svg, format!("{}: one failover", what(series))));
    Ok(part)
}

/// The median of every step, as a waterfall.
fn steps(figures: &Waterfall, series: Series<'_>, several: bool) -> Result<Part> {
    let steps = figures.steps(series);
    let mut bars = Vec::new();
    let mut before = 0.0;
    for Step { moment, at_us } in &steps {
        bars.push(Bar {
            name: moment.says().to_owned(),
            from: before,
            to: at_us.median,
            label: format!("{} us", three(at_us.median - before)),
            colour: colour(*moment),
        });
        before = at_us.median;
    }
    let (what, agent) = (what(series), series.agent);
    let mut charts = vec![(
        charts::bars("us since the last request that the old owner answered", NAMES, &bars)?,
        format!("{what}, {agent}: the median time of each step"),
    )];
    // Next to a deadtime of milliseconds what follows is a line.
    if let Some(verdict) = bars.iter().position(|bar| bar.name == Moment::Verdict.says()) {
        let begin = bars[verdict].to;
        let late = bars.drain(verdict + 1..);
        let late: Vec<Bar> =
            late.map(|bar| Bar { from: bar.from - begin, to: bar.to - begin, ..bar }).collect();
        let caption = format!("{what}, {agent}: what follows the verdict, enlarged");
        charts.push((charts::bars("us since the verdict", NAMES, &late)?, caption));
    }
    let name = if several { format!(", {agent}") } else { String::new() };
    let runs = figures.count(series);
    Ok(Part {
        heading: Some(format!("{what}{name}: {runs}, times since the last answered request was sent")),
        charts,
        table: Some(table(figures, series, &steps)),
        documented: true,
        ..Part::default()
    })
}

/// The steps, the outage, and what is no time since its beginning.
fn table(figures: &Waterfall, series: Series<'_>, steps: &[Step]) -> Table {
    let mut table =
        Table::new(["until", "min us", "median us", "p99 us", "max us", "step us (of the medians)"]);
    let mut row = |what: &str, spread: Spread<f64>, step: String| {
        let values = [spread.min, spread.median, spread.p99, spread.max].map(three);
        table.row(std::iter::once(what.to_owned()).chain(values).chain([step]));
    };
    let mut before = 0.0;
    for Step { moment, at_us } in steps {
        row(moment.says(), *at_us, three(at_us.median - before));
        before = at_us.median;
    }
    if let Some(outage) = figures.outages(series) {
        row("outage", outage, String::new());
    }
    for (moment, says) in WAITED_FOR {
        if let Some(spread) = figures.since_opened(series, moment) {
            row(says, spread, String::new());
        }
    }
    if let Some(verdict) = figures.after_deadline(series) {
        row(&format!("{}; {}", AfterDeadline::NAME, verdict.says()), verdict.us, String::new());
    }
    table
}

/// Whose step it is.
fn colour(moment: Moment) -> plotters::style::RGBColor {
    match moment {
        Moment::Heard | Moment::Verdict | Moment::Opened => charts::colour(0),
        Moment::Removed | Moment::Said => charts::colour(7),
        Moment::Woken | Moment::Added | Moment::Announced => charts::colour(4),
        Moment::Asked | Moment::Answered => charts::colour(3),
    }
}
