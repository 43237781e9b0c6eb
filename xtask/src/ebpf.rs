//! `cargo xtask ebpf`: builds the kernel programs into the committed object, or checks that it is what the
//! sources give.
//!
//! The object depends on the sources and on the versions recorded beside it, and on nothing else: not on where the
//! workspace, cargo's registry or the compiler are, nor on the caller's flags.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{
    process, strip, test,
    toolchain::{self, Kind, TARGET, Toolchain},
};

/// Build the kernel programs into ebpf/xbeat.bpf.o, which is committed and embedded in the agent
#[derive(Args)]
pub(crate) struct EbpfArgs {
    /// Build nothing into place: fail when the committed object is not what the sources give
    #[arg(long)]
    check: bool,
    /// Install the toolchain first (Debian's packages and bpf-linker), then stop
    #[arg(long, conflicts_with = "check")]
    install: bool,
    /// The compiler to take where both are there
    #[arg(long, value_enum)]
    toolchain: Option<Kind>,
}

/// The flags that shape the object; the names of directories come on top ([`remapped`]).
const FLAGS: [&str; 5] = [
    // `bpf_probe_read` and the registers of a traced function differ by architecture; the programs use neither.
    "--cfg=bpf_target_arch=\"x86_64\"",
    // For every package, the reflex included: BTF is made of it.
    "-Cdebuginfo=2",
    "-Clinker=bpf-linker",
    "-Clink-arg=--btf",
    // Compare-and-exchange and 32-bit registers: kernel 5.12.
    "-Ctarget-cpu=v3",
];

/// Runs the task.
pub(crate) fn run(workspace: &Path, args: &EbpfArgs) -> Result<()> {
    if args.install {
        return toolchain::install();
    }
    let toolchain = toolchain::find(args.toolchain)?;
    if args.check {
        return check_with(workspace, &toolchain);
    }
    let object = build(workspace, &toolchain)?;
    let files = Files::of(workspace);
    fs::write(&files.object, &object).with_context(|| format!("writing {}", files.object.display()))?;
    fs::write(&files.record, record(&toolchain))
        .with_context(|| format!("writing {}", files.record.display()))?;
    println!("wrote ebpf/xbeat.bpf.o ({} bytes) and ebpf/xbeat.bpf.toolchain", object.len());
    Ok(())
}

/// Fails when the committed object is not what the sources give, with whichever toolchain is there.
pub(crate) fn check(workspace: &Path) -> Result<()> {
    check_with(workspace, &toolchain::find(None)?)
}

/// The committed object and the record of what built it.
struct Files {
    object: PathBuf,
    record: PathBuf,
}

impl Files {
    fn of(workspace: &Path) -> Self {
        let directory = workspace.join("ebpf");
        Self { object: directory.join("xbeat.bpf.o"), record: directory.join("xbeat.bpf.toolchain") }
    }
}

/// Builds the package `ebpf` and returns the finished object.
fn build(workspace: &Path, toolchain: &Toolchain) -> Result<Vec<u8>> {
    println!("building with {} and bpf-linker {}", toolchain.rustc_version, toolchain.linker_version);
    let target = target_directory(workspace);
    let mut cargo = toolchain.cargo()?;
    cargo.current_dir(workspace).args([
        "build",
        "--release",
        "--locked",
        "--package",
        "ebpf",
        "--target",
        TARGET,
    ]);
    cargo.args(toolchain.cargo_options()).arg("--target-dir").arg(&target);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(workspace, toolchain)?);
    process::run(&mut cargo).context("building the kernel programs")?;
    let linked = target.join(TARGET).join("release/xbeat-ebpf");
    let linked = fs::read(&linked).with_context(|| format!("reading {}", linked.display()))?;
    let object = strip::strip(&linked)?;
    refuse_paths(&object, workspace)?;
    Ok(object)
}

/// A directory of its own: another compiler's build must not evict the workspace's, nor the reverse.
pub(crate) fn target_directory(workspace: &Path) -> PathBuf {
    let shared = std::env::var_os("CARGO_TARGET_DIR").map(|directory| workspace.join(directory));
    shared.unwrap_or_else(|| workspace.join("target")).join("bpf")
}

/// The compiler's flags, separated as `CARGO_ENCODED_RUSTFLAGS` wants them.
fn flags(workspace: &Path, toolchain: &Toolchain) -> Result<OsString> {
    let mut flags: Vec<OsString> = FLAGS.iter().map(OsString::from).collect();
    for (from, to) in remapped(workspace, toolchain)? {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flags.push(flag);
    }
    Ok(flags.join("\u{1f}".as_ref()))
}

/// Every directory that sources are compiled from, and the name it gets. The compiler takes the last that fits.
fn remapped(workspace: &Path, toolchain: &Toolchain) -> Result<Vec<(PathBuf, &'static str)>> {
    let mut all = vec![(workspace.to_owned(), "/xbeat")];
    if let Some(sources) = toolchain.core_sources() {
        all.push((sources, "/rustc"));
    }
    all.extend(registries(workspace)?.into_iter().map(|directory| (directory, "/cargo")));
    Ok(all)
}

/// Where the packages of other people lie: one directory per registry, named by its address, or a vendor directory.
fn registries(workspace: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut cargo = process::cargo();
    cargo.current_dir(workspace).args(["metadata", "--locked", "--format-version=1"]);
    let metadata: serde_json::Value =
        serde_json::from_str(&process::output(&mut cargo)?).context("reading cargo's metadata")?;
    let packages = metadata["packages"].as_array().context("cargo's metadata lists no packages")?;
    Ok(packages
        .iter()
        .filter(|package| !package["source"].is_null())
        .filter_map(|package| package["manifest_path"].as_str())
        .filter_map(|manifest| Path::new(manifest).ancestors().nth(2))
        .map(Path::to_owned)
        .collect())
}

/// A path of this machine in the object is a mistake in [`remapped`]: found here, not by the next machine's check.
fn refuse_paths(object: &[u8], workspace: &Path) -> Result<()> {
    let homes = [Some(workspace.to_owned()), process::cargo_home(), std::env::home_dir()];
    for path in homes.into_iter().flatten().filter(|path| path.components().count() > 1) {
        let bytes = path.as_os_str().as_encoded_bytes();
        if object.windows(bytes.len()).any(|window| window == bytes) {
            bail!("the built object contains the path {} of this machine", path.display());
        }
    }
    Ok(())
}

/// The text beside the object.
fn record(toolchain: &Toolchain) -> String {
    format!(
        "# What built xbeat.bpf.o. Written by `cargo xtask ebpf`, read by `cargo xtask ebpf --check`.\n\
         toolchain: {}\nrustc: {}\nllvm: {}\nbpf-linker: {}\ntarget: {TARGET}\nflags: {}\n",
        toolchain.kind.name(),
        toolchain.rustc_version,
        toolchain.llvm_version,
        toolchain.linker_version,
        FLAGS.join(" "),
    )
}

/// The lines that two records must share for their objects to be comparable, flags apart: those are ours.
fn versions(record: &str) -> Vec<&str> {
    let keys = ["toolchain: ", "rustc: ", "llvm: ", "bpf-linker: "];
    record.lines().filter(|line| keys.iter().any(|key| line.starts_with(key))).collect()
}

fn check_with(workspace: &Path, toolchain: &Toolchain) -> Result<()> {
    let built = build(workspace, toolchain)?;
    let files = Files::of(workspace);
    let rebuild = "rebuild it with `cargo xtask ebpf` and commit both files";
    let committed =
        fs::read(&files.object).with_context(|| format!("ebpf/xbeat.bpf.o: not readable; {rebuild}"))?;
    let recorded = fs::read_to_string(&files.record)
        .with_context(|| format!("ebpf/xbeat.bpf.toolchain: not readable; {rebuild}"))?;
    let here = record(toolchain);
    if versions(&recorded) != versions(&here) {
        return check_by_tests(workspace, &recorded, &here, &built);
    }
    if recorded != here {
        bail!(
            "ebpf/xbeat.bpf.toolchain: the recorded flags are not the ones in xtask/src/ebpf.rs; {rebuild}"
        );
    }
    if committed != built {
        bail!(
            "ebpf/xbeat.bpf.o is not what the sources give ({}); {rebuild}",
            difference(&committed, &built)
        );
    }
    println!("ebpf/xbeat.bpf.o is what the sources give ({} bytes, compared byte by byte)", built.len());
    Ok(())
}

/// Another compiler gives other bytes: then the fresh object has to pass the tests of the kernel programs.
fn check_by_tests(workspace: &Path, recorded: &str, here: &str, built: &[u8]) -> Result<()> {
    println!("the toolchain here is not the one that built ebpf/xbeat.bpf.o, so bytes cannot be compared:");
    for (recorded, here) in versions(recorded).into_iter().zip(versions(here)).filter(|(a, b)| a != b) {
        println!("  recorded {recorded}\n      here {here}");
    }
    let object = target_directory(workspace).join("xbeat.bpf.o");
    fs::write(&object, built).with_context(|| format!("writing {}", object.display()))?;
    println!("running the kernel tests on the fresh object {} instead", object.display());
    test::run_kernel_suite(workspace, &object).context("the fresh object does not pass the kernel tests")
}

/// Where two objects part, for the message.
fn difference(a: &[u8], b: &[u8]) -> String {
    if a.len() != b.len() {
        return format!("committed {} bytes, built {} bytes", a.len(), b.len());
    }
    let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len());
    format!("{} bytes each, the first difference at byte {at}", a.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_ignore_flags_and_comments() {
        let record =
            "# text\ntoolchain: debian\nrustc: rustc 1\nllvm: 22\nbpf-linker: 0.13.0\ntarget: t\nflags: a\n";
        assert_eq!(
            versions(record),
            ["toolchain: debian", "rustc: rustc 1", "llvm: 22", "bpf-linker: 0.13.0"]
        );
        assert_ne!(versions(record), versions(&record.replace("llvm: 22", "llvm: 23")));
        assert_eq!(versions(record), versions(&record.replace("flags: a", "flags: b")));
    }

    #[test]
    fn a_path_of_this_machine_is_refused() {
        let workspace = Path::new("/some/where/xbeat");
        assert!(refuse_paths(b"..../xbeat/ebpf/src/main.rs...", workspace).is_ok());
        let refused = refuse_paths(b"..../some/where/xbeat/ebpf/src...", workspace).unwrap_err();
        assert!(refused.to_string().contains("/some/where/xbeat"), "{refused}");
    }

    #[test]
    fn a_difference_names_the_first_byte() {
        assert_eq!(difference(b"abc", b"abd"), "3 bytes each, the first difference at byte 2");
        assert_eq!(difference(b"abc", b"ab"), "committed 3 bytes, built 2 bytes");
    }
}
