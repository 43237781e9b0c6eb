//! The page around the sections: what this is about, how it was measured, on what, and what the words mean.

use std::collections::BTreeSet;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Material;
use super::sections::Section;
use crate::compare::Described;

const STYLE: &str = include_str!("report.css");

/// What a stranger has to know.
const WORDS: [(&str, &str); 18] = [
    (
        "virtual address, VIP",
        "An IP address that belongs to a service, not to a machine. At any moment one node answers for it.",
    ),
    ("node, owner", "A machine of the group; the one that has the address now."),
    ("takeover", "Another node begins to answer for the address, because the owner fell silent."),
    ("hand-over, standby", "The operator has the owner give the address to another node, for maintenance."),
    ("failback, return", "The preferred node comes back and gets the address back."),
    (
        "outage",
        "From the last answered request before a fault to the first answered one after it, by the client's send times.",
    ),
    (
        "two owners",
        "Two nodes answer for the address at the same time. Worse than an outage: clients reach one or the other, data diverge.",
    ),
    ("never", "The fault was not over at the end of the time given: nobody served, or two did."),
    (
        "keepalive, advert",
        "The small frame by which nodes tell each other that they live, and the time between two.",
    ),
    ("deadtime", "Silence after which a node is declared dead."),
    ("deadline", "The end of that silence: deadtime after the last frame that was heard of the node."),
    ("false alarm, false failover", "The address moved although nothing happened to its owner."),
    (
        "median, p99, maximum",
        "The middle value; the one that 99 of 100 are not above; the largest. Each is a value that was measured (nearest rank).",
    ),
    (
        "quiet, busy, realtime",
        "What else runs on the machine: nothing of ours; two ordinary busy programs per processor; a real-time busy program on every processor, nine milliseconds in ten.",
    ),
    (
        "gratuitous ARP, announce",
        "A frame by which a node tells its network that an address is now at its network card.",
    ),
    (
        "gate",
        "xbeat's switch in the kernel, one for each group of addresses: may this node answer for them now?",
    ),
    ("verdict", "The kernel's decision that a node is dead."),
    (
        "E-model, R, MOS",
        "ITU-T G.107: how a call sounds, reckoned from loss and delay. R 93 is a perfect line, below 60 nearly nobody is content; MOS is the same on the scale of 1 (bad) to 4.5.",
    ),
];

pub(super) fn page(material: &Material, sections: &[Section]) -> String {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "xbeat, measured" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "xbeat, measured" }
                    p.lead {
                        "xbeat keeps an IP address alive on a group of Linux machines: one of them, the owner, answers for it, \
                         and when the owner dies, hangs or is taken down for maintenance, another one takes over. This page \
                         shows how long nobody answers meanwhile, beside what people use for the same purpose, and what that \
                         costs. Every figure has the command that repeats it."
                    }
                    nav { ul {
                        @for section in sections { li { a href={ "#" (section.name) } { (section.title) } } }
                        li { a href="#how" { "How it was measured" } }
                        li { a href="#systems" { "The systems and their configurations" } }
                        li { a href="#words" { "Words" } }
                    } }
                }
                main {
                    (in_short(sections))
                    @for section in sections { (self::section(section)) }
                    (how(material))
                    (systems(material))
                    (words())
                }
            }
        }
    };
    markup.into_string()
}

fn in_short(sections: &[Section]) -> Markup {
    let findings: Vec<&String> = sections.iter().flat_map(|section| &section.findings).collect();
    html! {
        @if !findings.is_empty() {
            section #in-short {
                h2 { "In short" }
                ul { @for finding in findings { li { (finding) } } }
            }
        }
    }
}

fn section(section: &Section) -> Markup {
    html! {
        section id=(section.name) {
            h2 { (section.title) }
            @for part in &section.parts {
                @if let Some(heading) = &part.heading { h3 { (heading) } }
                @for text in &part.text { p { (text) } }
                @for (chart, caption) in &part.charts {
                    figure.chart {
                        (PreEscaped(chart))
                        figcaption { (caption) }
                    }
                }
                @if let Some(table) = &part.table { (table.html()) }
            }
            @for header in &section.headers {
                p.source { (header.day) ", " (header.machine) ". Repeat it: " code { (header.command) } }
            }
        }
    }
}

fn how(material: &Material) -> Markup {
    let machines: BTreeSet<String> =
        material.headers().iter().map(|header| header.machine.to_string()).collect();
    let days: BTreeSet<&str> = material.headers().iter().map(|header| header.day.as_str()).collect();
    html! {
        section #how {
            h2 { "How it was measured" }
            p {
                "Two nodes, a switch and a client, each in a network namespace of one Linux machine, joined by virtual cables. \
                 The systems are the real programs as their packages install them, with their own configuration files. All \
                 that are compared take turns within one run, so whatever the machine does meanwhile meets all of them; so \
                 ratios within a run mean more than the milliseconds do."
            }
            p {
                "The client sends a numbered UDP request every 200 microseconds (unless a section says otherwise) and notes who \
                 answers each. No outage can be seen to be shorter than the time between two requests. A witness asks by ARP \
                 once a millisecond and notes everybody who answers: that is how two owners are found."
            }
            p {
                "Maxima contain the stalls of the machine itself: a virtual machine stands still for some milliseconds now and \
                 then, and so does the client in it."
            }
            p { "Measured on " (join(&days)) ", on:" }
            ul { @for machine in &machines { li { (machine) } } }
        }
    }
}

fn systems(material: &Material) -> Markup {
    let of_comparisons = material.compare.iter().flat_map(|file| &file.figures.systems);
    let of_calls = material.voip.iter().flat_map(|file| &file.figures.systems);
    let mut all: Vec<&Described> = Vec::new();
    for system in of_comparisons.chain(of_calls) {
        if !all.contains(&system) {
            all.push(system);
        }
    }
    let skipped: BTreeSet<(&str, &str)> = material
        .compare
        .iter()
        .flat_map(|file| &file.figures.skipped)
        .map(|absent| (absent.name.as_str(), absent.install.as_str()))
        .collect();
    html! {
        section #systems {
            h2 { "The systems and their configurations" }
            p { "Each has the best configuration that its users know for the times given." }
            @for system in all {
                details {
                    summary { strong { (system.name) } ": " (system.summary) }
                    p { (system.version.as_deref().unwrap_or("version unknown")) }
                    pre { (system.settings) }
                }
            }
            @for (name, install) in skipped { p { (name) " was not installed (" code { (install) } ")." } }
        }
    }
}

fn words() -> Markup {
    html! {
        section #words {
            h2 { "Words" }
            dl { @for (word, meaning) in WORDS { dt { (word) } dd { (meaning) } } }
        }
    }
}

fn join(words: &BTreeSet<&str>) -> String {
    words.iter().copied().collect::<Vec<_>>().join(", ")
}
