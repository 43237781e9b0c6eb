//! The toolchain of the kernel programs: a compiler with a `core` for BPF, and bpf-linker.
//!
//! Two compilers will do: Debian's `rustc-web`, for which Debian packs a ready `core` for BPF, and rustup's nightly
//! with `rust-src`, which builds `core` itself. The rest of the workspace needs neither.
//!
//! And cargo-fuzz, for the fuzz targets alone.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::process;

/// The target of the kernel programs.
pub(crate) const TARGET: &str = "bpfel-unknown-none";
/// The linker's version: another one may lay the object out differently.
const LINKER_VERSION: &str = "0.13.0";
/// Debian's compiler, its `core` for BPF, and what bpf-linker is built against (LLVM 22, as the compiler).
const PACKAGES: [&str; 5] =
    ["rustc-web", "libstd-rust-web-dev-bpf", "llvm-22-dev", "libpolly-22-dev", "libzstd-dev"];
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Where the compiler comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Debian's `rustc-web` with `libstd-rust-web-dev-bpf`.
    Debian,
    /// rustup's nightly with `rust-src`.
    Nightly,
}

impl Kind {
    /// The word used on the command line and in the record.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Nightly => "nightly",
        }
    }
}

/// A toolchain that is there and fits.
#[derive(Debug)]
pub(crate) struct Toolchain {
    pub(crate) kind: Kind,
    /// The first line of `rustc --version`.
    pub(crate) rustc_version: String,
    /// The LLVM of the compiler.
    pub(crate) llvm_version: String,
    /// bpf-linker's version and the LLVM it is built with.
    pub(crate) linker_version: String,
    rustc: PathBuf,
    linker: PathBuf,
}

impl Toolchain {
    /// A cargo that builds for BPF with this compiler and nothing of the caller's own settings.
    pub(crate) fn cargo(&self) -> Result<Command> {
        let mut cargo = match self.kind {
            Kind::Debian => process::cargo(),
            Kind::Nightly => Command::new(self.rustc.with_file_name("cargo")),
        };
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let ours = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"];
            if ours.contains(&&*name)
                || name.starts_with("CARGO_BUILD_")
                || name.starts_with("CARGO_PROFILE_")
            {
                cargo.env_remove(&*name);
            }
        }
        // BPF is a target of the third tier: `asm!`, intrinsics and build-std are unstable there, the first
        // needs this also with a stable compiler.
        cargo.env("RUSTC", &self.rustc).env("RUSTC_BOOTSTRAP", "1").env("PATH", self.path()?);
        Ok(cargo)
    }

    /// What cargo needs besides, where `core` is not there ready-made.
    pub(crate) fn cargo_options(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Debian => &[],
            Kind::Nightly => &["-Zbuild-std=core,alloc"],
        }
    }

    /// Where the sources of `core` are, if they are compiled here: a name that must not get into the object.
    /// Debian's ready-made `core` names them `/usr/src/rustc-VERSION` on every machine.
    pub(crate) fn core_sources(&self) -> Option<PathBuf> {
        match self.kind {
            Kind::Debian => None,
            Kind::Nightly => rust_src(&self.rustc),
        }
    }

    /// `PATH` with the linker's directory first.
    fn path(&self) -> Result<std::ffi::OsString> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let linker = self.linker.parent().context("bpf-linker has no directory")?;
        Ok(std::env::join_paths(std::iter::once(linker.to_owned()).chain(std::env::split_paths(&path)))?)
    }
}

/// The toolchain `wanted`, or whichever is there, Debian's first.
///
/// # Errors
///
/// None is there: what is missing, and the commands that install it.
pub(crate) fn find(wanted: Option<Kind>) -> Result<Toolchain> {
    let kinds = wanted.map_or_else(|| vec![Kind::Debian, Kind::Nightly], |kind| vec![kind]);
    let mut missing = Vec::new();
    for kind in kinds {
        match find_rustc(kind) {
            Ok(rustc) => return with_linker(kind, rustc),
            Err(why) => missing.push(format!("  {}: {why:#}", kind.name())),
        }
    }
    bail!("no compiler for the kernel programs is here:\n{}\n\n{}", missing.join("\n"), how_to_install())
}

fn find_rustc(kind: Kind) -> Result<PathBuf> {
    match kind {
        Kind::Debian => {
            let rustc = PathBuf::from(DEBIAN_RUSTC);
            let sysroot = process::probe(Command::new(&rustc).args(["--print", "sysroot"]))
                .with_context(|| format!("{DEBIAN_RUSTC} is not there"))?;
            let core = Path::new(&sysroot).join("lib/rustlib").join(TARGET).join("lib");
            if !core.is_dir() {
                bail!("{DEBIAN_RUSTC} has no core for BPF ({} is not there)", core.display());
            }
            Ok(rustc)
        }
        Kind::Nightly => {
            let rustup = process::find("rustup").context("rustup is not there")?;
            let which = ["which", "--toolchain", "nightly", "rustc"];
            let rustc = process::probe(Command::new(rustup).args(which)).context("rustup has no nightly")?;
            let rustc = PathBuf::from(rustc);
            rust_src(&rustc).context("rustup's nightly has no rust-src")?;
            Ok(rustc)
        }
    }
}

fn with_linker(kind: Kind, rustc: PathBuf) -> Result<Toolchain> {
    let about = process::probe(Command::new(&rustc).arg("-vV"))
        .with_context(|| format!("`{} -vV` does not answer", rustc.display()))?;
    let llvm_version = about
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))
        .with_context(|| format!("`{} -vV` names no LLVM version", rustc.display()))?
        .to_owned();
    let Some((linker, version)) = find_linker() else {
        bail!("bpf-linker is not there.\n\n{}", how_to_install());
    };
    let linker_llvm = process::probe(Command::new(format!("{LLVM_PREFIX}/bin/llvm-config")).arg("--version"));
    Ok(Toolchain {
        kind,
        rustc_version: about.lines().next().unwrap_or_default().to_owned(),
        linker_version: format!(
            "{version} with LLVM {}",
            linker_llvm.as_deref().unwrap_or("of unknown version")
        ),
        llvm_version,
        rustc,
        linker,
    })
}

/// bpf-linker and its version, if it is there.
fn find_linker() -> Option<(PathBuf, String)> {
    let linker = process::find("bpf-linker")?;
    let version = process::probe(Command::new(&linker).arg("--version"))?;
    let version = version.strip_prefix("bpf-linker ").unwrap_or(&version).to_owned();
    Some((linker, version))
}

/// The sources of `core` beside rustup's compiler.
fn rust_src(rustc: &Path) -> Option<PathBuf> {
    let sysroot = process::probe(Command::new(rustc).args(["--print", "sysroot"]))?;
    let sources = Path::new(&sysroot).join("lib/rustlib/src/rust");
    sources.join("library/core").is_dir().then_some(sources)
}

/// The exact commands, for a person.
fn how_to_install() -> String {
    format!(
        "`cargo xtask ebpf --install` installs it on Debian. By hand, on Debian 12 or later:\n\
         \n  apt-get update && apt-get install {packages}\n  {linker}\n\
         \nor with rustup, and LLVM 22's development files in {LLVM_PREFIX}:\n\
         \n  rustup toolchain install nightly --component rust-src\n  {linker}\n",
        packages = PACKAGES.join(" "),
        linker = linker_command_shown(),
    )
}

const LINKER_ENV: [(&str, &str); 2] = [("LLVM_PREFIX", LLVM_PREFIX), ("LLVM_SYS_221_PREFIX", LLVM_PREFIX)];

fn linker_command() -> Command {
    let mut command = process::cargo();
    command.args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--force"]);
    command.args(["--no-default-features", "--features", "llvm-22"]);
    command.envs(LINKER_ENV);
    command
}

fn linker_command_shown() -> String {
    let env = LINKER_ENV.map(|(name, value)| format!("{name}={value} ")).concat();
    let arguments = linker_command().get_args().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>();
    format!("{env}cargo {}", arguments.join(" "))
}

/// Installs what is missing of Debian's toolchain and bpf-linker; says what it does.
pub(crate) fn install() -> Result<()> {
    let missing: Vec<_> = PACKAGES.into_iter().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        println!("packages: all there ({})", PACKAGES.join(" "));
    } else {
        println!("packages: installing {}", missing.join(" "));
        apt_get(&["update"])?;
        let options = ["install", "--yes", "--no-install-recommends"];
        apt_get(&[options.as_slice(), &missing].concat())?;
    }
    match find_linker() {
        Some((_, version)) if version == LINKER_VERSION => println!("bpf-linker: {version} is there"),
        found => {
            let found = found.map_or_else(|| "none".to_owned(), |(_, version)| version);
            println!("bpf-linker: building {LINKER_VERSION} (found: {found}); about a minute on two cores");
            process::run(&mut linker_command()).context("installing bpf-linker")?;
        }
    }
    let toolchain = find(Some(Kind::Debian))?;
    println!("ready: {}, bpf-linker {}", toolchain.rustc_version, toolchain.linker_version);
    Ok(())
}

/// The version of cargo-fuzz that `--install` installs; any will do.
const FUZZER_VERSION: &str = "0.13.2";

/// Asks for cargo-fuzz and for a C++ compiler: libFuzzer is built from its sources.
///
/// # Errors
///
/// One of them is missing, with the command that installs it.
pub(crate) fn find_fuzzer() -> Result<()> {
    let how = "to install it: cargo xtask fuzz --install";
    process::find("cargo-fuzz").with_context(|| format!("cargo-fuzz is not there; {how}"))?;
    process::find("c++").with_context(|| format!("no C++ compiler (`c++`) is there; {how}"))?;
    Ok(())
}

/// Installs cargo-fuzz and a C++ compiler where they are missing; says what it does.
pub(crate) fn install_fuzzer() -> Result<()> {
    if process::find("c++").is_none() {
        println!("packages: installing g++");
        apt_get(&["update"])?;
        apt_get(&["install", "--yes", "--no-install-recommends", "g++"])?;
    }
    if process::find("cargo-fuzz").is_none() {
        println!("cargo-fuzz: building {FUZZER_VERSION}; about a minute on two cores");
        let mut install = process::cargo();
        install.args(["install", "cargo-fuzz", "--version", FUZZER_VERSION, "--locked"]);
        process::run(&mut install).context("installing cargo-fuzz")?;
    }
    find_fuzzer()?;
    println!("ready: cargo-fuzz and a C++ compiler");
    Ok(())
}

/// The target that the compiler builds for when nothing is said.
pub(crate) fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let about = process::output(Command::new(rustc).arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

fn is_installed(package: &str) -> bool {
    process::probe(Command::new("dpkg-query").args(["--show", "--showformat=${Status}", package]))
        .is_some_and(|status| status == "install ok installed")
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    if process::find("apt-get").is_none() {
        bail!("apt-get is not there: this is no Debian.\n\n{}", how_to_install());
    }
    // `env` because sudo drops the caller's environment.
    let mut command = process::as_root("env").with_context(|| {
        format!(
            "installing packages needs root, and there is no sudo. As root:\n  apt-get {}",
            arguments.join(" ")
        )
    })?;
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(arguments);
    process::run(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_for_a_bare_machine_holds_whole_commands() {
        let text = how_to_install();
        assert!(text.contains("apt-get install rustc-web libstd-rust-web-dev-bpf llvm-22-dev"), "{text}");
        assert!(text.contains("cargo install bpf-linker --version 0.13.0"), "{text}");
        assert!(text.contains("--component rust-src"), "{text}");
    }
}
