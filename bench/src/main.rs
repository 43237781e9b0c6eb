//! Measurements of xbeat: `cargo run --release -p bench -- --help`.
//!
//! Each subcommand measures in one run what it compares, prints a table for a person and, with `--json FILE`, the same
//! for a program. How and why is in docs/benchmarks.md, with figures.

mod agent;
mod machine;
mod xdp;

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
}

fn main() -> Result<()> {
    match Arguments::parse().what {
        What::Xdp(arguments) => xdp::run(&arguments),
        What::Agent(arguments) => agent::run(&arguments),
    }
}
