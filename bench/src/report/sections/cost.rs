//! What it costs.

use anyhow::Result;

use super::{Found, Part};
use crate::agent::Costs;
use crate::figures::three;
use crate::growth::{By, Growth, Row};
use crate::report::charts::{self, Bar, Curve, Scale};
use crate::report::table::Table;
use crate::xdp::PerPacket;

fn mib(kib: u64) -> String {
    format!("{:.1}", kib as f64 / 1024.0)
}

pub(super) fn agent(figures: &Costs) -> Result<Found> {
    let mut table = Table::new([
        "keepalive",
        "datapath",
        "share of a processor, %",
        "of it the prober, %",
        "frames/s in (as many out)",
        "resident, MiB",
    ]);
    for cost in &figures.costs {
        let prober: f64 = cost
            .gauge
            .threads
            .iter()
            .filter(|(name, _)| name.contains("prober"))
            .map(|(_, share)| share)
            .sum();
        table.row([
            cost.keepalive.clone(),
            cost.datapath.clone(),
            format!("{:.2}", cost.gauge.cpu_percent),
            format!("{prober:.2}"),
            format!("{:.0}", cost.gauge.frames_per_s),
            mib(cost.gauge.resident_kib),
        ]);
    }
    let curve = |name: &str, index, of: &dyn Fn(&crate::agent::Cost) -> f64| Curve {
        name: name.to_owned(),
        points: figures.costs.iter().map(|cost| (cost.keepalive_us / 1e3, of(cost))).collect(),
        colour: charts::colour(index),
    };
    let cpu = [curve("agent", 0, &|cost| cost.gauge.cpu_percent)];
    let frames = [curve("probes and pongs", 2, &|cost| cost.gauge.frames_per_s)];
    let part = Part {
        text: vec![format!(
            "Two agents, one peer each, {} seconds per row, by the scheduler's own account of each thread. On virtual cables the \
             sender's thread also carries its frame through the switch and runs the other node's kernel program and the way back.",
            figures.seconds
        )],
        charts: vec![
            (
                charts::curves("keepalive, ms", "share of a processor, %", Scale::Logarithmic, &cpu)?,
                "Processor time of the agent by keepalive".to_owned(),
            ),
            (
                charts::curves("keepalive, ms", "frames a second", Scale::Logarithmic, &frames)?,
                "Frames a second by keepalive".to_owned(),
            ),
        ],
        table: Some(table),
        documented: true,
        ..Part::default()
    };
    let finding = figures.costs.iter().find(|cost| cost.keepalive == "1ms").map(|cost| {
        format!(
            "At keepalive 1 ms an agent with one peer takes {} % of a processor and {} MiB of memory.",
            three(cost.gauge.cpu_percent),
            mib(cost.gauge.resident_kib)
        )
    });
    Ok((finding.into_iter().collect(), vec![part]))
}

pub(super) fn growth(figures: &Growth) -> Result<Found> {
    let mut parts = Vec::new();
    for (by, heading) in [
        (By::Nodes, "By nodes, one group with one address"),
        (By::Groups, "By groups with one address each, two nodes"),
        (By::Addresses, "By addresses in one group, two nodes"),
    ] {
        let rows: Vec<&Row> = figures.rows.iter().filter(|row| row.by == by).collect();
        if !rows.is_empty() {
            parts.push(grown(heading, by, &rows)?);
        }
    }
    if let Some(first) = parts.first_mut() {
        first.text.push(format!(
            "Keepalive {}, deadtime {}. All agents share one machine; the figures are those of one agent. Then the first node falls \
             silent and the second takes everything over.",
            figures.keepalive, figures.deadtime
        ));
    }
    let failed = figures.rows.iter().filter_map(|row| {
        let error = row.error.as_ref()?.lines().next()?.to_owned();
        Some(format!(
            "With {} nodes, {} groups and {} addresses: {error}.",
            row.nodes, row.groups, row.addresses
        ))
    });
    Ok((failed.collect(), parts))
}

fn size(row: &Row) -> usize {
    match row.by {
        By::Nodes => row.nodes,
        By::Groups => row.groups,
        By::Addresses => row.addresses,
    }
}

fn grown(heading: &str, by: By, rows: &[&Row]) -> Result<Part> {
    let (word, peers) = match by {
        By::Nodes => ("nodes", true),
        By::Groups => ("groups", false),
        By::Addresses => ("addresses", false),
    };
    let mut table = Table::new([
        word,
        "share of a processor, %",
        "frames/s in",
        "resident, MiB",
        "ready after, ms",
        "outage of the first address, ms",
        "of the last, ms",
        "all on the interface, ms",
        "",
    ]);
    let or_dash = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), three);
    for row in rows {
        let gauge = row.gauge.as_ref();
        table.row([
            size(row).to_string(),
            gauge.map_or_else(|| "-".to_owned(), |gauge| format!("{:.2}", gauge.cpu_percent)),
            gauge.map_or_else(|| "-".to_owned(), |gauge| format!("{:.0}", gauge.frames_per_s)),
            gauge.map_or_else(|| "-".to_owned(), |gauge| mib(gauge.resident_kib)),
            or_dash(row.ready_ms),
            or_dash(row.first_outage_ms),
            or_dash(row.last_outage_ms),
            or_dash(row.all_there_ms),
            row.error.as_ref().and_then(|error| error.lines().next()).unwrap_or_default().to_owned(),
        ]);
    }
    let curve = |name: &str, index, of: &dyn Fn(&Row) -> Option<f64>| Curve {
        name: name.to_owned(),
        points: rows.iter().filter_map(|row| Some((size(row) as f64, of(row)?))).collect(),
        colour: charts::colour(index),
    };
    let cpu = [curve("agent", 0, &|row| Some(row.gauge.as_ref()?.cpu_percent))];
    let mut charts = vec![(
        charts::curves(word, "share of a processor, %", Scale::Logarithmic, &cpu)?,
        format!("Processor time of one agent by {word}"),
    )];
    if !peers {
        let outages = [
            curve("outage of the first address", 0, &|row| row.first_outage_ms),
            curve("outage of the last address", 2, &|row| row.last_outage_ms),
        ];
        charts.push((
            charts::curves(word, "ms", Scale::Logarithmic, &outages)?,
            format!("Takeover from a silent owner by {word}"),
        ));
    }
    Ok(Part {
        heading: Some(heading.to_owned()),
        charts,
        table: Some(table),
        documented: true,
        ..Part::default()
    })
}

pub(super) fn packets(figures: &PerPacket) -> Result<Found> {
    let mut table = Table::new(["packet", "ns", "more than a bare pass, ns", "ratio to a bare pass"]);
    table.row([
        "bare pass program".to_owned(),
        format!("{:.1}", figures.pass_ns),
        String::new(),
        "1.0".to_owned(),
    ]);
    for cost in &figures.cost {
        table.row([
            cost.name.clone(),
            format!("{:.1}", cost.ns),
            format!("{:.1}", cost.over_pass_ns),
            format!("{:.1}", cost.ratio),
        ]);
    }
    let bars = figures.cost.iter().map(|cost| Bar {
        name: cost.name.clone(),
        from: 0.0,
        to: cost.over_pass_ns.max(0.0),
        label: format!("{:.0} ns", cost.over_pass_ns),
        colour: charts::colour(if cost.unrelated { 4 } else { 0 }),
    });
    let bars: Vec<Bar> = bars.collect();
    let unrelated = figures.cost.iter().filter(|cost| cost.unrelated).map(|cost| cost.over_pass_ns);
    let mut findings = vec![format!(
        "Traffic that is none of xbeat's costs {:.0} ns more per packet at most.",
        unrelated.fold(0.0, f64::max)
    )];
    if let Some(spread) = figures.verdict_to_arp_us {
        findings.push(format!(
            "From the kernel's verdict to the first ARP answer, all in the kernel: {} us (median), {} us at most, of {} takeovers.",
            three(spread.median),
            three(spread.max),
            figures.takeovers
        ));
    }
    let text = "The real program on real packets, by BPF_PROG_TEST_RUN, beside a program that only passes. Green is traffic that is \
                none of xbeat's.";
    let part = Part {
        text: vec![text.to_owned()],
        charts: vec![(
            charts::bars("ns more than a bare pass program", 260, &bars)?,
            "Time per packet by kind of packet".to_owned(),
        )],
        table: Some(table),
        documented: true,
        ..Part::default()
    };
    Ok((findings, vec![part]))
}
