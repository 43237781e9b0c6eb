//! Measurements of xbeat: `cargo run --release -p bench -- --help`.
//!
//! Each subcommand measures in one run what it compares, prints a table for a person and, with `--json FILE`, the same
//! for a program. How and why is in docs/benchmarks.md, with figures.

mod agent;
mod all;
mod calm;
mod compare;
mod detection;
mod figures;
mod file;
mod gauge;
mod growth;
mod links;
mod machine;
mod report;
mod serial;
mod voices;
mod voip;
mod waterfall;
mod xdp;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measurements of xbeat; see docs/benchmarks.md")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Xdp(xdp::XdpArgs),
    Agent(agent::AgentArgs),
    Links(links::LinksArgs),
    Serial(serial::SerialArgs),
    Calm(calm::CalmArgs),
    Compare(compare::CompareArgs),
    Voices(voices::VoicesArgs),
    Voip(voip::VoipArgs),
    Growth(growth::GrowthArgs),
    Detection(detection::DetectionArgs),
    Waterfall(waterfall::WaterfallArgs),
    Report(report::ReportArgs),
    All(all::AllArgs),
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().what {
        What::Xdp(arguments) => xdp::run(&arguments).map(|()| ExitCode::SUCCESS),
        What::Agent(arguments) => agent::run(&arguments).map(|()| ExitCode::SUCCESS),
        What::Links(arguments) => links::run(&arguments).map(|()| ExitCode::SUCCESS),
        What::Serial(arguments) => serial::run(&arguments).map(|()| ExitCode::SUCCESS),
        What::Calm(arguments) => calm::run(&arguments),
        What::Compare(arguments) => compare::run(&arguments),
        What::Voices(arguments) => voices::run(&arguments).map(|()| ExitCode::SUCCESS),
        What::Voip(arguments) => voip::run(&arguments).map(|()| ExitCode::SUCCESS),
        What::Growth(arguments) => growth::run(&arguments).map(|()| ExitCode::SUCCESS),
        What::Detection(arguments) => detection::run(&arguments).map(|()| ExitCode::SUCCESS),
        What::Report(arguments) => report::run(&arguments).map(|()| ExitCode::SUCCESS),
        What::All(arguments) => all::run(&arguments),
        What::Waterfall(arguments) => waterfall::run(&arguments).map(|()| ExitCode::SUCCESS),
    }
}
