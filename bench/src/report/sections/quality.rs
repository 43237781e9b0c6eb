//! What users hear, how short deadtime may be, who moves without need.

use anyhow::Result;

use super::{Found, Part};
use crate::calm::Calm;
use crate::compare::case::{Condition, Fault};
use crate::detection::Detection;
use crate::figures::{Spread, ms};
use crate::report::charts::{self, Curve, Scale, Strip};
use crate::report::table::Table;
use crate::voip::{Rate, Voip, Way};

pub(super) fn voip(figures: &Voip) -> Result<Found> {
    let summaries = figures.summaries();
    let mut table = Table::new([
        "fault, system",
        "stream",
        "calls",
        "lost, median (most)",
        "longest gap ms, median (longest)",
        "MOS before",
        "MOS from the fault on, median (least)",
    ]);
    for sum in &summaries {
        table.row([
            format!("{}, {}", sum.fault.name(), sum.system),
            format!("{}, {}", sum.way.says(), sum.rate.says()),
            sum.calls.to_string(),
            format!("{} ({})", sum.lost[0], sum.lost[1]),
            format!("{} ({})", ms(sum.gap_us[0]), ms(sum.gap_us[1])),
            format!("{:.2}", sum.mos_before),
            format!("{:.2} ({:.2})", sum.mos[0], sum.mos[1]),
        ]);
    }
    let mut part = Part {
        heading: Some(format!(
            "A call and 1,000 packets a second, to the pair and through it ({} repetitions)",
            figures.repeat
        )),
        text: vec![format!(
            "The pair is a pair of routers, and the virtual address is the gateway of the client's network. A G.711 call (172 bytes \
             each 20 ms) and a stream of 1,000 packets a second go to the address and through it, to a host behind. Each packet comes \
             back: it counts as lost if either way lost it, or if it comes later than a telephone's buffer of 40 ms holds. Rated are \
             the {} seconds before the fault and those from it on, by the E-model for G.711 without concealment of losses. \
             After a kill some systems leave the address where it was: nothing is lost then, because two nodes have it.",
            figures.seconds
        )],
        table: Some(table),
        documented: true,
        ..Part::default()
    };
    for fault in Fault::ALL.into_iter().filter(|fault| summaries.iter().any(|sum| sum.fault == *fault)) {
        let rows = figures.systems.iter().enumerate().map(|(index, system)| {
            let calls = figures.calls.iter().filter(|call| call.system == system.name && call.fault == fault);
            let streams = calls.flat_map(|call| &call.streams);
            let streams =
                streams.filter(|stream| (stream.way, stream.rate) == (Way::Through, Rate::Thousand));
            let values = streams.map(|stream| stream.after.longest_gap_us as f64 / 1e3).collect();
            Strip { name: system.name.clone(), values, colour: charts::colour(index) }
        });
        let svg = charts::strip("longest gap, ms (logarithmic)", &rows.collect::<Vec<_>>())?;
        let caption = format!(
            "{}: the longest gap in 1,000 packets a second through the pair, one dot per call",
            fault.name()
        );
        part.charts.push((svg, caption));
    }
    let lost = |system: &str| {
        let mut calls = summaries.iter();
        let sum = calls.find(|sum| {
            (sum.system.as_str(), sum.fault, sum.way, sum.rate)
                == (system, Fault::Silent, Way::Through, Rate::Call)
        })?;
        Some(format!("{system} {} (MOS {:.2})", sum.lost[0], sum.mos[0]))
    };
    let lost: Vec<String> = figures.systems.iter().filter_map(|system| lost(&system.name)).collect();
    let finding = format!(
        "A telephone call through the pair whose owner falls silent loses, of its 50 packets a second: {}.",
        lost.join(", ")
    );
    Ok((if lost.is_empty() { Vec::new() } else { vec![finding] }, vec![part]))
}

pub(super) fn detection(figures: &Detection) -> Result<Found> {
    let mut table = Table::new([
        "condition",
        "deadtime ms",
        "keepalive ms",
        "false alarms",
        "min",
        "median",
        "max outage ms",
        "client stood still, ms",
    ]);
    for point in &figures.points {
        let outage = match Spread::of(point.outages_us.iter().copied()) {
            Some(outage) => [outage.min, outage.median, outage.max].map(ms),
            None => ["-"; 3].map(str::to_owned),
        };
        let alarms = match &point.error {
            None => point.false_alarms.to_string(),
            Some(_) => format!("{} (not played to the end)", point.false_alarms),
        };
        let what = [point.condition.name().to_owned(), ms(point.deadtime_us), ms(point.keepalive_us), alarms];
        table.row(what.into_iter().chain(outage).chain([ms(point.client_pause_us)]));
    }
    let curves = |of: &dyn Fn(&crate::detection::Point) -> Option<f64>| -> Vec<Curve> {
        Condition::ALL
            .into_iter()
            .enumerate()
            .map(|(index, condition)| {
                let points = figures.points.iter().filter(|point| point.condition == condition);
                let points = points.filter_map(|point| Some((point.deadtime_us as f64 / 1e3, of(point)?)));
                Curve {
                    name: condition.name().to_owned(),
                    points: points.collect(),
                    colour: charts::colour([0, 3, 2][index]),
                }
            })
            .filter(|curve| !curve.points.is_empty())
            .collect()
    };
    let outages =
        curves(&|point| Some(crate::figures::median(point.outages_us.iter().copied())? as f64 / 1e3));
    let alarms = curves(&|point| {
        point.error.is_none().then(|| point.false_alarms as f64 * 60.0 / figures.seconds.max(1) as f64)
    });
    let text = format!(
        "A short deadtime makes a takeover fast, and a pause of the machine more likely to look like a death. Each pair was left \
         alone for {} seconds first: every takeover then is a false alarm. xbeat counts silence only while it asks and nobody \
         answers, so a machine that stands still accuses nobody.",
        figures.seconds
    );
    let part = Part {
        text: vec![text],
        charts: vec![
            (
                charts::curves("deadtime, ms", "median outage, ms", Scale::Logarithmic, &outages)?,
                "Outage of a silent owner by deadtime".to_owned(),
            ),
            (
                charts::curves("deadtime, ms", "false alarms a minute", Scale::Linear, &alarms)?,
                "False alarms by deadtime".to_owned(),
            ),
        ],
        table: Some(table),
        documented: true,
        ..Part::default()
    };
    let calmest = |condition: Condition| {
        let mut points: Vec<_> = figures
            .points
            .iter()
            .filter(|point| point.condition == condition && point.error.is_none())
            .collect();
        points.sort_by_key(|point| std::cmp::Reverse(point.deadtime_us));
        let calm = points.iter().take_while(|point| point.false_alarms == 0).last()?;
        Some(format!("{} ms ({})", ms(calm.deadtime_us), condition.name()))
    };
    let calmest: Vec<String> = Condition::ALL.into_iter().filter_map(calmest).collect();
    let finding = format!(
        "The shortest deadtime from which on no false alarm was seen in {} seconds: {}.",
        figures.seconds,
        calmest.join(", ")
    );
    Ok((if calmest.is_empty() { Vec::new() } else { vec![finding] }, vec![part]))
}

pub(super) fn calm(figures: &Calm) -> Result<Found> {
    let mut table = Table::new([
        "system",
        "false failovers",
        "requests",
        "lost",
        "without service ms",
        "longest gap ms",
        "ARP rounds",
        "answered by two",
        "client stood still, ms",
    ]);
    for system in &figures.systems {
        table.row([
            system.name.clone(),
            system.false_failovers.to_string(),
            system.requests.to_string(),
            system.lost_requests.to_string(),
            format!("{:.2}", system.lost_ms),
            format!("{:.2}", system.longest_gap_ms),
            system.arp_rounds.to_string(),
            system.arp_doubled.to_string(),
            format!("{:.2}", system.client_pause_ms),
        ]);
    }
    let counts = figures.systems.iter().map(|system| format!("{} {}", system.name, system.false_failovers));
    let finding = format!(
        "False failovers in {:.0} minutes, {}: {}.",
        figures.seconds / 60.0,
        figures.load.says(),
        counts.collect::<Vec<_>>().join(", ")
    );
    let text =
        format!("Nobody is disturbed for {:.0} seconds but by {}.", figures.seconds, figures.load.says());
    Ok((
        vec![finding],
        vec![Part { text: vec![text], table: Some(table), documented: true, ..Part::default() }],
    ))
}
