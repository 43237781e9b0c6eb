//! xbeat beside its peers.

use anyhow::Result;

use super::{Found, Part};
use crate::compare::case::{Condition, Fault};
use crate::compare::{Comparison, Row};
use crate::figures::ms;
use crate::report::charts::{self, Strip};
use crate::report::table::Table;

const XBEAT: &str = "xbeat";
const BEST_PEER: &str = "keepalived";

pub(super) fn parts(figures: &Comparison) -> Result<Found> {
    let mut parts = Vec::new();
    for &condition in
        Condition::ALL.iter().filter(|&&condition| has(figures, |row| row.condition == condition))
    {
        parts.push(overview(figures, condition));
    }
    for fault in Fault::ALL {
        let mut part = Part {
            heading: Some(fault_heading(fault).to_owned()),
            text: vec![explanation(fault).to_owned()],
            ..Part::default()
        };
        for condition in Condition::ALL {
            // All that is not drawn is in the tables.
            let drawn = fault == Fault::Silent || condition == Condition::Quiet;
            if drawn && has(figures, |row| (row.fault, row.condition) == (fault, condition)) {
                part.charts.push(chart(figures, fault, condition)?);
            }
        }
        let table = details(figures, fault);
        if has(figures, |row| row.fault == fault) {
            parts.push(Part { table: Some(table), ..part });
        }
    }
    Ok((findings(figures), parts))
}

fn has(figures: &Comparison, is_wanted: impl Fn(&Row) -> bool) -> bool {
    figures.cells.iter().any(|row| row.cell.n > 0 && is_wanted(row))
}

fn findings(figures: &Comparison) -> Vec<String> {
    let median = |system: &str, fault, condition| {
        let row = figures.cells.iter().find(|row| {
            row.system == system && row.fault == fault && row.condition == condition && row.cell.n > 0
        })?;
        Some(row.cell.outage_us?.median as f64)
    };
    let mut findings = Vec::new();
    let quiet = |system| median(system, Fault::Silent, Condition::Quiet);
    for system in figures.systems.iter().filter(|system| system.name.starts_with(XBEAT)) {
        if let (Some(own), Some(peer)) = (quiet(&system.name), quiet(BEST_PEER)) {
            findings.push(format!(
                "When the owner falls silent, the address is away for {} ms with {} ({}), for {} ms with keepalived at its \
                 fastest stable setting: a ratio of 1 to {:.1} (medians, quiet machine).",
                ms(own as u64),
                system.name,
                system.summary,
                ms(peer as u64),
                peer / own
            ));
        }
    }
    if let (Some(quiet), Some(busy)) = (quiet(XBEAT), median(XBEAT, Fault::Silent, Condition::Busy)) {
        findings.push(format!(
            "With every processor busy xbeat's median outage is {} ms, {:.2} times that of a quiet machine.",
            ms(busy as u64),
            busy / quiet
        ));
    }
    let two = |system: &str| {
        let rows = figures.cells.iter().filter(|row| row.system == system);
        rows.map(|row| row.cell.two_owner_windows).sum::<usize>()
    };
    let never = |system: &str| {
        figures.cells.iter().filter(|row| row.system == system).map(|row| row.cell.never).sum::<usize>()
    };
    for (what, count) in [
        ("Two nodes answered for the address at the same time", &two as &dyn Fn(&str) -> usize),
        ("A fault was never over", &never),
    ] {
        let counts = figures.systems.iter().map(|system| format!("{} {}", system.name, count(&system.name)));
        findings.push(format!("{what}, in the whole run: {} times.", counts.collect::<Vec<_>>().join(", ")));
    }
    findings
}

/// Rows are systems, columns are faults.
fn overview(figures: &Comparison, condition: Condition) -> Part {
    let faults: Vec<Fault> = Fault::ALL
        .into_iter()
        .filter(|&fault| has(figures, |row| (row.fault, row.condition) == (fault, condition)))
        .collect();
    let mut table = Table::new(std::iter::once("system").chain(faults.iter().map(|fault| fault.name())));
    for system in &figures.systems {
        let cell = |&fault: &Fault| {
            let row = figures
                .cells
                .iter()
                .find(|row| (&row.system, row.fault, row.condition) == (&system.name, fault, condition));
            row.map_or_else(|| "-".to_owned(), short)
        };
        table.row(std::iter::once(system.name.clone()).chain(faults.iter().map(cell)));
    }
    Part {
        heading: Some(format!(
            "Median / maximum outage in ms by fault, {} ({} repetitions; 2: two owners, in how many windows; never: how often the \
             fault was not over)",
            condition.name(),
            figures.repeat
        )),
        table: Some(table),
        documented: true,
        ..Part::default()
    }
}

/// One cell of the overview.
fn short(row: &Row) -> String {
    let mut text = match row.cell.outage_us {
        Some(outage) => format!("{} / {}", ms(outage.median), ms(outage.max)),
        None => "-".to_owned(),
    };
    if row.cell.two_owner_windows > 0 {
        text += &format!(" (2: {})", row.cell.two_owner_windows);
    }
    if row.cell.never > 0 {
        text += &format!(" (never: {})", row.cell.never);
    }
    text
}

fn chart(figures: &Comparison, fault: Fault, condition: Condition) -> Result<(String, String)> {
    let rows = figures.systems.iter().enumerate().map(|(index, system)| {
        let samples = figures.samples.iter().filter(|sample| {
            (&sample.system, sample.fault, sample.condition) == (&system.name, fault, condition)
                && sample.error.is_none()
        });
        Strip {
            name: system.name.clone(),
            values: samples.map(|sample| sample.outage_us as f64 / 1e3).collect(),
            colour: charts::colour(index),
        }
    });
    let rows: Vec<Strip> = rows.collect();
    let svg = charts::strip("outage, ms (logarithmic)", &rows)?;
    let caption = format!(
        "{}, {}: every repetition is a dot, the stroke is the median. Left is better.",
        fault_heading(fault),
        condition.name()
    );
    Ok((svg, caption))
}

fn details(figures: &Comparison, fault: Fault) -> Table {
    let head = [
        "condition, system",
        "n",
        "min",
        "median",
        "p99",
        "max ms",
        "requests lost",
        "two owners",
        "for ms",
        "never",
    ];
    let mut table = Table::new(head);
    for row in figures.cells.iter().filter(|row| row.fault == fault) {
        let cell = &row.cell;
        let outage = match cell.outage_us {
            Some(outage) => [outage.min, outage.median, outage.p99, outage.max].map(ms),
            None => ["-"; 4].map(str::to_owned),
        };
        let figures = [
            cell.lost.to_string(),
            cell.two_owner_windows.to_string(),
            ms(cell.two_owner_us),
            cell.never.to_string(),
        ];
        let what = [format!("{}, {}", row.condition.name(), row.system), cell.n.to_string()];
        table.row(what.into_iter().chain(outage).chain(figures));
    }
    table
}

const fn fault_heading(fault: Fault) -> &'static str {
    match fault {
        Fault::Silent => "The owner falls silent",
        Fault::Carrier => "The owner's cable is pulled",
        Fault::Kill => "The owner's daemon is killed",
        Fault::Freeze => "The owner's daemon hangs",
        Fault::HandOver => "The operator hands the address over",
        Fault::Return => "The preferred node comes back",
    }
}

const fn explanation(fault: Fault) -> &'static str {
    match fault {
        Fault::Silent => {
            "Power fails; the switch port keeps its carrier and drops everything. Nobody says anything: the others have to \
             notice the silence."
        }
        Fault::Carrier => "The node loses its carrier and lives on.",
        Fault::Kill => {
            "SIGKILL of all processes of the daemon, as the kernel does when memory is short. The machine goes on, and with it \
             the address on its interface: whoever takes over then is a second owner, unless something takes the address from \
             the first."
        }
        Fault::Freeze => {
            "SIGSTOP of all processes of the daemon for six seconds, then they go on as if nothing had happened. This stands \
             for a machine that is starved, a disk that hangs, a debugger."
        }
        Fault::HandOver => {
            "`xbeat standby`, `hb_standby`; the others have no such command, and their daemon is stopped."
        }
        Fault::Return => {
            "It starts after a power failure and takes the address back. Nothing is broken meanwhile."
        }
    }
}
