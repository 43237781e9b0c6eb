//! One failover, step by step.

use anyhow::Result;

use super::{Found, Part};
use crate::figures::three;
use crate::report::charts::{self, BAD, Bar, GOOD, Lane, OTHER};
use crate::report::table::Table;
use crate::waterfall::{Kind, Moment, Run, WAITED_FOR, Waterfall};

/// The names of steps are long.
const NAMES: u32 = 330;

pub(super) fn parts(figures: &Waterfall) -> Result<Found> {
    let mut parts = Vec::new();
    let mut findings = Vec::new();
    for kind in Kind::ALL {
        let agents: Vec<&str> = figures
            .agents
            .iter()
            .map(String::as_str)
            .filter(|agent| figures.of(agent, kind).count() > 0)
            .collect();
        let Some(&newest) = agents.last() else { continue };
        parts.push(one(figures, newest, kind)?);
        for &agent in &agents {
            parts.push(steps(figures, agent, kind, agents.len() > 1)?);
        }
        findings.extend(finding(figures, newest, kind));
        if let [before, .., after] = agents.as_slice() {
            findings.extend(cut(figures, (before, after), kind));
        }
    }
    Ok((findings, parts))
}

const fn what(kind: Kind) -> &'static str {
    match kind {
        Kind::Silent => "A silent owner",
        Kind::HandOver => "A hand-over (xbeat standby)",
    }
}

fn finding(figures: &Waterfall, agent: &str, kind: Kind) -> Option<String> {
    let [asked, answered] = WAITED_FOR.map(|(moment, _)| figures.since_opened(agent, kind, moment));
    let (asked, answered) = (asked?, answered?);
    Some(format!(
        "{}: from the moment in which the kernel opens the gate to the first answered request {} us (median), {} us at most, in {} \
         runs; its answer comes after {} us (median), {} us at most.",
        what(kind),
        three(asked.median),
        three(asked.max),
        figures.of(agent, kind).count(),
        three(answered.median),
        three(answered.max),
    ))
}

fn cut(figures: &Waterfall, (before, after): (&str, &str), kind: Kind) -> Option<String> {
    let (old, new) = (figures.outages(before, kind)?, figures.outages(after, kind)?);
    Some(format!(
        "{}: median outage {} us with {before}, {} us with {after}, in turns in one run.",
        what(kind),
        three(old.median),
        three(new.median)
    ))
}

/// The run whose outage is the median one.
fn middle<'a>(figures: &'a Waterfall, agent: &'a str, kind: Kind) -> Option<&'a Run> {
    let median = figures.outages(agent, kind)?.median;
    figures.of(agent, kind).find(|run| run.outage_us == median)
}

/// The timeline of one failover, from stamps.
fn one(figures: &Waterfall, agent: &str, kind: Kind) -> Result<Part> {
    let mut part = Part { heading: Some(what(kind).to_owned()), ..Part::default() };
    let Some(run) = middle(figures, agent, kind) else { return Ok(part) };
    part.text.push(format!(
        "{}, {}, keepalive {}, deadtime {}; the client asks every {} us. Kernel and agents stamp what they do on one clock. This \
         is the run whose outage is the median one.",
        what(kind),
        agent,
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
    part.charts.push((svg, format!("{}: one failover", what(kind))));
    Ok(part)
}

/// The median of every step, as a waterfall.
fn steps(figures: &Waterfall, agent: &str, kind: Kind, several: bool) -> Result<Part> {
    let steps = figures.steps(agent, kind);
    let mut table =
        Table::new(["until", "min us", "median us", "p99 us", "max us", "step us (of the medians)"]);
    let mut bars = Vec::new();
    let mut before = 0.0;
    for step in &steps {
        let at = step.at_us;
        let took = at.median - before;
        let figures = [at.min, at.median, at.p99, at.max, took].map(three);
        table.row(std::iter::once(step.moment.says().to_owned()).chain(figures));
        bars.push(Bar {
            name: step.moment.says().to_owned(),
            from: before,
            to: at.median,
            label: format!("{} us", three(took)),
            colour: colour(step.moment),
        });
        before = at.median;
    }
    if let Some(outage) = figures.outages(agent, kind) {
        let values = [outage.min, outage.median, outage.p99, outage.max].map(three);
        table.row(std::iter::once("outage".to_owned()).chain(values).chain([String::new()]));
    }
    for (moment, says) in WAITED_FOR {
        if let Some(spread) = figures.since_opened(agent, kind, moment) {
            let values = [spread.min, spread.median, spread.p99, spread.max].map(three);
            table.row(std::iter::once(says.to_owned()).chain(values).chain([String::new()]));
        }
    }
    let mut charts = vec![(
        charts::bars("us since the last request that the old owner answered", NAMES, &bars)?,
        format!("{}, {agent}: the median time of each step", what(kind)),
    )];
    // Next to a deadtime of milliseconds what follows is a line.
    if let Some(verdict) = bars.iter().position(|bar| bar.name == Moment::Verdict.says()) {
        let begin = bars[verdict].to;
        let late = bars.drain(verdict + 1..);
        let late: Vec<Bar> =
            late.map(|bar| Bar { from: bar.from - begin, to: bar.to - begin, ..bar }).collect();
        let caption = format!("{}, {agent}: what follows the verdict, enlarged", what(kind));
        charts.push((charts::bars("us since the verdict", NAMES, &late)?, caption));
    }
    let runs = figures.of(agent, kind).count();
    let name = if several { format!(", {agent}") } else { String::new() };
    Ok(Part {
        heading: Some(format!(
            "{}{name}: {runs} runs, times since the last answered request was sent",
            what(kind)
        )),
        charts,
        table: Some(table),
        documented: true,
        ..Part::default()
    })
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
