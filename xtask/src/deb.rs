//! `cargo xtask deb`: the Debian package (its contents stand in `agent/Cargo.toml`), and a trial of it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::process;

/// Build the Debian package with cargo-deb, which is installed if it is not there
#[derive(Args)]
pub(crate) struct DebArgs {
    /// Try it: taken over from Heartbeat, started, upgraded in service, removed, purged (root, on Debian)
    #[arg(long)]
    test: bool,
    /// Try it in a copy of this Debian root, such as debootstrap makes, instead of a copy of this system
    #[arg(long, value_name = "DIR", default_value = "/", requires = "test")]
    root: PathBuf,
}

/// What makes the package.
const CARGO_DEB: &str = "cargo-deb";
/// In a package's version: what sorts behind the one without it.
const NEWER: &str = "+newer";

/// Runs the task.
pub(crate) fn run(workspace: &Path, args: &DebArgs) -> Result<()> {
    install()?;
    build_agent(workspace)?;
    let package = build(workspace, &[])?;
    println!("{}", package.display());
    if args.test {
        try_out(workspace, &package, &args.root)?;
    }
    Ok(())
}

fn install() -> Result<()> {
    if process::find(CARGO_DEB).is_some() {
        return Ok(());
    }
    // Without optimisation: it is built once and packs one program.
    process::run(process::cargo().args(["install", "--locked", "--debug", CARGO_DEB]))
}

/// The agent as `cargo xtask test` builds it, too: what is there is not built again.
fn build_agent(workspace: &Path) -> Result<()> {
    let arguments = ["build", "--release", "--locked", "--package=xbeat", "--bin=xbeat"];
    process::run(process::cargo().current_dir(workspace).args(arguments))
}

/// Packs what is built; returns the package.
fn build(workspace: &Path, more: &[String]) -> Result<PathBuf> {
    let mut cargo = process::cargo();
    cargo.current_dir(workspace).args(["deb", "--package=xbeat", "--no-build", "--locked"]);
    let said = process::output(cargo.args(more))?;
    let path = said.lines().last().context("cargo-deb names no package")?;
    Ok(workspace.join(path.trim()))
}

/// Installs, upgrades and removes it in namespaces of its own, which take everything with them when they end.
fn try_out(workspace: &Path, package: &Path, root: &Path) -> Result<()> {
    let version = process::output(Command::new("dpkg-deb").args(["--field"]).arg(package).arg("Version"))?;
    let place = package.parent().context("the package is in no directory")?.join("newer");
    let version = format!("--deb-version={}{NEWER}", version.trim());
    let newer = build(workspace, &[version, format!("--output={}/", place.display()), "--fast".to_owned()])?;
    // With each package that it makes, cargo-deb removes what it made before.
    let package = build(workspace, &[])?;
    let Some(mut trial) = process::as_root("unshare") else {
        bail!("the trial needs root, or sudo");
    };
    trial.args(["--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child"]);
    trial.arg("sh").arg(workspace.join("packaging/deb/trial.sh")).arg(&package).arg(&newer).arg(root);
    process::run(&mut trial).context("trying the package")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn what_the_package_is_made_of_is_there() {
        let manifest = std::fs::read_to_string(workspace().join("agent/Cargo.toml")).unwrap();
        // A link is no source: where it points to is there once the package is installed.
        let packed = manifest.lines().filter(|line| !line.contains("link_name"));
        let sources: Vec<&str> =
            packed.flat_map(|line| line.split('"')).filter(|word| word.starts_with("../")).collect();
        assert!(sources.len() > 10, "{sources:?}");
        for source in sources {
            let path = workspace().join("agent").join(source.split('*').next().unwrap());
            assert!(path.exists(), "agent/Cargo.toml packs {source}, which is not there");
        }
    }

    #[test]
    fn the_scripts_of_the_package_are_scripts() {
        let packaging = workspace().join("packaging");
        let maintainer = std::fs::read_dir(packaging.join("deb")).unwrap().map(|entry| entry.unwrap().path());
        let others = ["xbeat.init", "load-watchdog"].map(|name| packaging.join(name));
        for script in maintainer.chain(others) {
            let output = Command::new("sh").arg("-n").arg(&script).output().unwrap();
            assert!(output.status.success(), "{}: {output:?}", script.display());
        }
    }
}
