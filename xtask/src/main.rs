//! What a developer runs: one module per task. `cargo xtask help` lists them.

mod bench;
mod chaos;
mod ci;
mod deb;
mod demo;
mod ebpf;
mod fuzz;
mod links;
mod process;
mod sim;
mod strip;
mod test;
mod toolchain;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// The tasks of the xbeat workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Demo(demo::DemoArgs),
    Chaos(chaos::ChaosArgs),
    Calm(bench::CalmArgs),
    Bench(bench::BenchArgs),
    Test(test::TestArgs),
    Ebpf(ebpf::EbpfArgs),
    Ci(ci::CiArgs),
    Deb(deb::DebArgs),
    Sim(sim::SimArgs),
    Fuzz(fuzz::FuzzArgs),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = workspace().and_then(|workspace| match args.task {
        Task::Demo(args) => demo::run(args).map(|()| ExitCode::SUCCESS),
        Task::Chaos(args) => chaos::run(&args),
        Task::Calm(args) => bench::calm(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Test(args) => test::run(&workspace, &args),
        Task::Ebpf(args) => ebpf::run(&workspace, &args).map(|()| ExitCode::SUCCESS),
        Task::Ci(args) => ci::run(&workspace, &args),
        Task::Deb(args) => deb::run(&workspace, &args).map(|()| ExitCode::SUCCESS),
        Task::Sim(args) => sim::run(&workspace, &args),
        Task::Fuzz(args) => fuzz::run(&workspace, &args),
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The directory of the root `Cargo.toml`, wherever the caller stands.
fn workspace() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .context("run this by cargo (`cargo xtask …`): CARGO_MANIFEST_DIR is not set")?;
    let package = PathBuf::from(package);
    let workspace = package.parent().context("the package xtask has no directory above it")?;
    Ok(workspace.to_owned())
}
