//! The whole way from files to the page, and the page in a browser.

use std::fs::File as Output;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use xbeat_tests::require;

use super::*;

/// Only so that a browser that hangs ends the test.
const LIMIT: Duration = Duration::from_secs(180);

/// Debian's package of the same name; a whole browser does as well.
const BROWSERS: [&str; 3] = ["chromium-headless-shell", "chromium", "google-chrome"];

fn file(measurement: &str, figures: &Value) -> Value {
    let machine = json!({"processor": "A <fast> one", "processors": 2, "kernel": "6.18", "load": "0.10"});
    let mut file = json!({
        "measurement": measurement, "schema": SCHEMA, "day": "2026-11-20", "machine": machine,
        "command": format!("cargo xtask bench {measurement}")
    });
    file.as_object_mut().unwrap().extend(figures.as_object().unwrap().clone());
    file
}

fn comparison() -> Value {
    let systems = ["xbeat", "keepalived", "heartbeat"];
    let described = systems.map(
        |name| json!({"name": name, "summary": "times", "version": null, "settings": "line <one>\nline two"}),
    );
    let (mut cells, mut samples) = (Vec::new(), Vec::new());
    for condition in ["quiet", "busy"] {
        for fault in ["silent", "kill"] {
            for (system, outage) in systems.iter().zip([3_300, 24_000, 400_000]) {
                cells.push(json!({
                    "system": system, "fault": fault, "condition": condition, "n": 2, "lost": 16, "never": 0, "failed": 0,
                    "outage_us": {"min": outage, "median": outage, "p99": outage + 900, "max": outage + 900},
                    "two_owner_windows": usize::from(fault == "kill" && *system != "xbeat"), "two_owner_us": 900
                }));
                for repetition in 0..2 {
                    samples.push(json!({
                        "system": system, "fault": fault, "condition": condition, "repetition": repetition,
                        "outage_us": outage + 900 * repetition, "lost": 16, "two_owner_windows": 0, "two_owner_us": 0,
                        "recovered": true, "client_pause_us": 210, "error": null
                    }));
                }
            }
        }
    }
    let skipped =
        json!([{"name": "ucarp", "program": "/usr/sbin/ucarp", "install": "apt-get install ucarp"}]);
    file(
        "compare",
        &json!({
            "repeat": 2, "limit_s": 12, "request_period_us": 200, "arp_period_us": 1000, "systems": described,
            "skipped": skipped, "cells": cells, "samples": samples
        }),
    )
}

fn waterfall() -> Value {
    let run = |agent: &str, kind: &str, moments: &Value, outage: f64| {
        let requests: Vec<Value> = (-3..30)
            .map(|slot| {
                let at = f64::from(slot) * 50.0;
                let by = if at <= 0.0 {
                    Some(0)
                } else if at < outage {
                    None
                } else {
                    Some(1)
                };
                json!({"at_us": at, "by": by})
            })
            .collect();
        json!({
            "agent": agent, "kind": kind, "moments": moments, "outage_us": outage, "lost": 11, "client_pause_us": 55.0,
            "requests": requests
        })
    };
    let silent = json!([
        ["heard", 10.0],
        ["verdict", 350.0],
        ["opened", 351.0],
        ["woken", 380.0],
        ["added", 480.0],
        ["announced", 500.0],
        ["asked", 550.0],
        ["answered", 590.0]
    ]);
    let moved = json!([
        ["removed", 150.0],
        ["said", 250.0],
        ["opened", 240.0],
        ["woken", 280.0],
        ["added", 380.0],
        ["announced", 400.0],
        ["asked", 450.0],
        ["answered", 490.0]
    ]);
    let under = |condition: &str, mut run: Value, late: Option<f64>| {
        let more = json!({"condition": condition, "verdict_after_deadline_us": late});
        run.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        run
    };
    // As a file of old has it, and as one of today does.
    let mut runs = vec![run("before", "silent", &silent, 600.0), run("xbeat", "silent", &silent, 550.0)];
    runs.push(under("quiet", run("xbeat", "hand-over", &moved, 450.0), None));
    for late in [180.0, 240.0, 2100.0] {
        runs.push(under("realtime", run("xbeat", "silent", &silent, 580.0), Some(late)));
    }
    let left_out = json!([{"agent": "xbeat", "kind": "silent", "condition": "realtime", "runs": 1}]);
    file(
        "waterfall",
        &json!({
            "keepalive": "1ms", "deadtime": "3ms", "request_period_us": 50, "agents": ["before", "xbeat"], "runs": runs,
            "left_out": left_out
        }),
    )
}

fn voip() -> Value {
    let window = |lost: usize, gap: u64, mos: f64| json!({"sent": 250, "lost": lost, "longest_gap_us": gap, "rtt_us": 60, "rating": {"r": 80.0, "mos": mos}});
    let call = |system: &str, lost: usize, gap: u64| {
        let streams: Vec<Value> = [("to", "call"), ("to", "thousand"), ("through", "call"), ("through", "thousand")]
            .map(|(way, rate)| {
                json!({"way": way, "rate": rate, "before": window(0, 20_000, 4.4), "after": window(lost, gap, 4.2)})
            })
            .into();
        json!({"system": system, "fault": "silent", "repetition": 0, "streams": streams, "error": null})
    };
    let described = ["xbeat", "keepalived"]
        .map(|name| json!({"name": name, "summary": "a router", "version": "1", "settings": "router"}));
    let calls = [call("xbeat", 0, 4_000), call("keepalived", 1, 26_000)];
    file("voip", &json!({"repeat": 1, "seconds": 5, "systems": described, "skipped": [], "calls": calls}))
}

fn costs() -> [Value; 5] {
    let gauge = |cpu: f64| json!({"cpu_percent": cpu, "threads": {"xbeat-prober": cpu / 2.0}, "resident_kib": 21_000, "frames_per_s": 2000.0});
    let cost = |keepalive: &str, us: f64, cpu: f64| {
        let mut cost = json!({"keepalive": keepalive, "keepalive_us": us, "datapath": "native"});
        cost.as_object_mut().unwrap().extend(gauge(cpu).as_object().unwrap().clone());
        cost
    };
    let row = |by: &str, nodes: usize, size: usize, error: Option<&str>| {
        json!({
            "by": by, "nodes": nodes, "groups": 1, "addresses": size, "gauge": gauge(1.0), "ready_ms": 1500.0,
            "first_outage_ms": 102.0, "last_outage_ms": 104.0, "all_there_ms": 103.0, "error": error
        })
    };
    let rows =
        [row("nodes", 2, 1, None), row("nodes", 16, 1, None), row("addresses", 2, 1000, Some("no <room>"))];
    let point = |condition: &str, deadtime: u64, alarms: usize| {
        json!({
            "condition": condition, "keepalive_us": 1000, "deadtime_us": deadtime, "false_alarms": alarms,
            "client_pause_us": 900, "outages_us": [deadtime + 300, deadtime + 900], "error": null
        })
    };
    let points =
        [point("quiet", 1000, 1), point("quiet", 3000, 0), point("busy", 1000, 4), point("busy", 3000, 0)];
    let packet = |name: &str, unrelated: bool, ns: f64| json!({"name": name, "unrelated": unrelated, "measured": "repeated", "ns": 22.0 + ns, "over_pass_ns": ns, "ratio": 2.0});
    let packets = [packet("TCP", true, 26.0), packet("probe, HMAC-SHA1", false, 1462.0)];
    let system = json!({
        "name": "xbeat", "version": null, "summary": "s", "settings": "", "false_failovers": 0, "changes": 0, "requests": 300_000,
        "lost_requests": 0, "lost_ms": 0.0, "longest_gap_ms": 0.0, "arp_rounds": 60_000, "arp_doubled": 0,
        "two_owner_windows": 0, "two_owner_ms": 0.0, "client_pause_ms": 18.8, "events": []
    });
    [
        file(
            "agent",
            &json!({"seconds": 5, "costs": [cost("10ms", 10_000.0, 0.6), cost("1ms", 1000.0, 2.3)]}),
        ),
        file("growth", &json!({"keepalive": "10ms", "deadtime": "100ms", "rows": rows})),
        file("detection", &json!({"seconds": 20, "points": points})),
        file(
            "xdp",
            &json!({
                "groups": 1, "rounds": 9, "pass_ns": 22.0, "cost": packets, "takeovers": 200,
                "verdict_to_arp_us": {"min": 1.0, "median": 1.6, "p99": 15.0, "max": 72.0}
            }),
        ),
        file("calm", &json!({"load": "both", "seconds": 600.0, "systems": [system]})),
    ]
}

/// The report of everything, and the directory that it lies in.
fn report() -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let files = [comparison(), waterfall(), voip()].into_iter().chain(costs());
    for (number, file) in files.enumerate() {
        fs::write(dir.path().join(format!("{number}.json")), file.to_string()).unwrap();
    }
    let html = dir.path().join("report.html");
    run(&ReportArgs { files: vec![dir.path().into()], html: html.clone(), document: None }).unwrap();
    let page = fs::read_to_string(html).unwrap();
    (dir, page)
}

#[test]
fn the_page_stands_alone_and_names_every_command() {
    let (_dir, page) = report();
    for measurement in ["compare", "waterfall", "voip", "agent", "growth", "detection", "xdp", "calm"] {
        assert!(page.contains(&format!("<code>cargo xtask bench {measurement}</code>")), "{measurement}");
    }
    for outside in ["http://", "https://", "src=", "<link", "@import", "<script"] {
        let found = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!found.contains(outside), "something comes from elsewhere: {outside}");
    }
    assert!(
        page.contains("line &lt;one&gt;") && page.contains("no &lt;room&gt;"),
        "what was measured is text"
    );
    assert!(page.contains("apt-get install ucarp"));
}

/// What becomes of a document with the marks of `measurement` when `file` is put into it.
fn document(measurement: &str, file: &Value) -> String {
    let dir = tempfile::tempdir().unwrap();
    let (figures, document) = (dir.path().join("f.json"), dir.path().join("benchmarks.md"));
    fs::write(&figures, file.to_string()).unwrap();
    let marks = format!("before\n<!-- figures: {measurement} -->\n<!-- end of figures -->\nafter\n");
    fs::write(&document, marks).unwrap();
    let html = dir.path().join("report.html");
    run(&ReportArgs { files: vec![figures], html, document: Some(document.clone()) }).unwrap();
    fs::read_to_string(document).unwrap()
}

#[test]
fn the_document_gets_the_same_tables() {
    let text = document("compare", &comparison());
    assert!(text.contains("| system | silent | kill |\n| --- | ---: | ---: |\n"), "{text}");
    assert!(text.contains("| keepalived | 24.00 / 24.90 | 24.00 / 24.90 (2: 1) |"), "{text}");
    assert!(text.starts_with("before\n") && text.ends_with("after\n"), "{text}");
}

#[test]
fn a_verdict_after_the_deadline_is_told_where_it_was_measured() {
    let told = "verdict after the deadline (kernel); of 4 runs within 2 ms: 2";
    let text = document("waterfall", &waterfall());
    assert!(text.contains(&format!("| {told} | 180 | 240 | 2100 | 2100 |  |\n")), "{text}");
    assert_eq!(text.matches("after the deadline").count(), 1, "files of old do not tell: {text}");
    assert!(
        text.contains("A silent owner, realtime: 3 runs (1 more left out: a stamp is missing)"),
        "{text}"
    );
    assert!(text.contains("A silent owner, quiet, before: 1 runs, times"), "{text}");
    let (_dir, page) = report();
    let found =
        "verdict stands 240 us after the deadline (median), 2100 us at most; of 4 runs within 2 ms: 2.";
    assert!(page.contains(told) && page.contains(found));
}

#[test]
fn a_file_of_something_else_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        let error = Material::read(std::slice::from_ref(&path)).err().unwrap();
        format!("{error:#}")
    };
    assert!(refused("a.json", "[]").contains("a.json"));
    let mut other = file("tea", &json!({}));
    assert!(refused("b.json", &other.to_string()).contains("called tea"));
    other["schema"] = 99.into();
    assert!(refused("c.json", &other.to_string()).contains("schema 99; this program reads schema 1"));
}

/// What is put into a page to look at it from inside: errors of scripts, the charts and what sticks out of them, links to
/// nowhere, and whether the page is wider than the window.
const EYE: &str = r##"<script>
const errors = [];
addEventListener("error", event => errors.push(String(event.message)));
addEventListener("load", () => {
  const outside = (box, part) => part.left < box.left - 1 || part.right > box.right + 1
    || part.top < box.top - 1 || part.bottom > box.bottom + 1;
  const charts = [...document.querySelectorAll("figure.chart svg")].map(svg => {
    const box = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")];
    return {
      width: box.width, height: box.height,
      marks: svg.querySelectorAll("circle, polyline, rect").length,
      texts: texts.length,
      cut: texts.filter(text => outside(box, text.getBoundingClientRect())).map(text => text.textContent.trim()),
    };
  });
  const dead = [...document.querySelectorAll("nav a")].map(a => a.getAttribute("href"))
    .filter(href => !document.querySelector(href));
  const wide = document.documentElement.scrollWidth - innerWidth;
  const seen = document.createElement("pre");
  seen.id = "seen";
  seen.textContent = JSON.stringify({charts, errors, dead, wide});
  document.body.append(seen);
});
</script>"##;

/// What the eye saw of `page` in `browser`.
fn look(browser: &str, dir: &Path, page: &str) -> Value {
    let (html, dump) = (dir.join("looked-at.html"), dir.join("dump.html"));
    fs::write(&html, page.replacen("<head>", &format!("<head>{EYE}"), 1)).unwrap();
    let mut command = Command::new(browser);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1100,900",
    ]);
    command.arg(format!("--user-data-dir={}", dir.join("profile").display())).arg("--dump-dom");
    command.arg(format!("file://{}", html.display()));
    let told = dir.join("told");
    command
        .stdin(Stdio::null())
        .stdout(Output::create(&dump).unwrap())
        .stderr(Output::create(&told).unwrap());
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{browser} does not end: {}", fs::read_to_string(told).unwrap());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let dump = String::from_utf8_lossy(&fs::read(dump).unwrap()).into_owned();
    let seen = dump.split("<pre id=\"seen\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let seen = seen.unwrap_or_else(|| panic!("no page: {dump}\n{}", fs::read_to_string(told).unwrap()));
    let seen = seen.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&seen).unwrap()
}

fn browser() -> Option<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |name: &&&str| std::env::split_paths(&path).any(|directory| directory.join(name).is_file());
    BROWSERS.iter().find(is_there).copied()
}

#[test]
fn a_browser_shows_every_chart_whole_and_finds_no_script_error() {
    let Some(browser) = browser() else {
        let why = "there is no browser: apt-get install chromium-headless-shell";
        return require::skip("a_browser_shows_every_chart_whole_and_finds_no_script_error", why);
    };
    let (dir, page) = report();
    let seen = look(browser, dir.path(), &page);
    let charts = seen["charts"].as_array().unwrap();
    assert_eq!(charts.len(), page.matches("<figure class=\"chart\">").count());
    assert!(charts.len() >= 15, "{} charts", charts.len());
    for chart in charts {
        assert!(chart["width"].as_f64() > Some(500.0) && chart["height"].as_f64() > Some(60.0), "{chart}");
        assert!(
            chart["marks"].as_u64() > Some(1) && chart["texts"].as_u64() > Some(2),
            "an empty chart: {chart}"
        );
        assert_eq!(chart["cut"], json!([]), "words are cut off");
    }
    assert_eq!((&seen["errors"], &seen["dead"]), (&json!([]), &json!([])));
    assert!(seen["wide"].as_f64() <= Some(0.0), "wider than the window by {}", seen["wide"]);
    // The eye sees what is wrong.
    let broken =
        "<html><head></head><body><nav><a href=\"#x\">x</a></nav><script>nonsense()</script></body></html>";
    let seen = look(browser, dir.path(), broken);
    assert_eq!((seen["errors"].as_array().unwrap().len(), &seen["dead"]), (1, &json!(["#x"])));
}
