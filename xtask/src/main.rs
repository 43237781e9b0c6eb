//! Developer tasks.

use clap::Parser;

mod demo;

#[derive(Debug, Parser)]
enum Task {
    /// See a virtual address fail over
    Demo(demo::DemoArgs),
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Demo(args) => demo::run(args),
    }
}
