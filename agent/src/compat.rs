//! Heartbeat's commands by their old names, so that scripts and habits go on working: `xbeat` called by another name
//! (links to it, see [`NAMES`]), or with that name as its first word (`xbeat cl_status rscstatus`).
//!
//! Thin: each command asks the agent over the control socket, as `xbeat` itself does, and says what Heartbeat would have
//! said, with the same exit code. What differs is in `docs/from-heartbeat.md`.

mod cl_status;
mod heartbeat;
mod moves;
mod resource_manager;
mod send_arp;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::control::client::{self, ClientError};
use crate::control::{Command, Reply};
use crate::status::Status;

/// An old name, and where how-tos, scripts and people call it: links to `xbeat` there.
#[derive(Debug, Clone, Copy)]
pub struct Name {
    /// The command.
    pub name: &'static str,
    /// Its places in a file system.
    pub paths: &'static [&'static str],
    run: fn(&[OsString]) -> ExitCode,
}

/// Every old name. A package makes these links.
pub const NAMES: &[Name] = &[
    Name {
        name: "heartbeat",
        paths: &["/usr/sbin/heartbeat", "/usr/lib/heartbeat/heartbeat", "/usr/libexec/heartbeat/heartbeat"],
        run: heartbeat::main,
    },
    Name { name: "cl_status", paths: &["/usr/bin/cl_status"], run: cl_status::main },
    Name {
        name: "hb_standby",
        paths: &["/usr/bin/hb_standby", "/usr/lib/heartbeat/hb_standby", "/usr/share/heartbeat/hb_standby"],
        run: moves::standby,
    },
    Name {
        name: "hb_takeover",
        paths: &[
            "/usr/bin/hb_takeover",
            "/usr/lib/heartbeat/hb_takeover",
            "/usr/share/heartbeat/hb_takeover",
        ],
        run: moves::takeover,
    },
    Name {
        name: "ResourceManager",
        paths: &["/usr/lib/heartbeat/ResourceManager", "/usr/share/heartbeat/ResourceManager"],
        run: resource_manager::main,
    },
    Name {
        name: "req_resource",
        paths: &["/usr/lib/heartbeat/req_resource", "/usr/share/heartbeat/req_resource"],
        run: resource_manager::request,
    },
    Name {
        name: "mach_down",
        paths: &["/usr/lib/heartbeat/mach_down", "/usr/share/heartbeat/mach_down"],
        run: resource_manager::machine_down,
    },
    Name {
        name: "send_arp",
        paths: &["/usr/lib/heartbeat/send_arp", "/usr/libexec/heartbeat/send_arp"],
        run: send_arp::main,
    },
];

/// Where the agent is, if not where `xbeat run` puts it: these commands had no option for it.
const RUN_DIR_VARIABLE: &str = "XBEAT_RUN_DIR";
/// Where the configuration is, if not in `/etc/ha.d`.
const CONFIG_DIR_VARIABLE: &str = "XBEAT_CONFIG_DIR";
/// Where what must outlive a reboot is kept, if not in `/var/lib/xbeat`.
const STATE_DIR_VARIABLE: &str = "XBEAT_STATE_DIR";

/// Runs what was called by an old name; none if `arguments` (the program's name first) have none.
#[must_use]
pub fn run(arguments: &[OsString]) -> Option<ExitCode> {
    let named = |word: &OsStr| NAMES.iter().find(|known| word == known.name);
    let (program, rest) = arguments.split_first()?;
    if let Some(known) = Path::new(program).file_name().and_then(named) {
        return Some((known.run)(rest));
    }
    let (word, rest) = rest.split_first()?;
    named(word).map(|known| (known.run)(rest))
}

fn run_dir() -> PathBuf {
    std::env::var_os(RUN_DIR_VARIABLE).map_or_else(|| PathBuf::from("/run/xbeat"), PathBuf::from)
}

fn config_dir() -> PathBuf {
    std::env::var_os(CONFIG_DIR_VARIABLE).map_or_else(|| PathBuf::from("/etc/ha.d"), PathBuf::from)
}

fn state_dir() -> PathBuf {
    std::env::var_os(STATE_DIR_VARIABLE).map_or_else(|| PathBuf::from("/var/lib/xbeat"), PathBuf::from)
}

/// The agent's status.
fn status(limit: Duration) -> Result<Status, ClientError> {
    let reply = client::call(&run_dir(), &Command::Status, limit, &mut |_| {})?;
    reply.status.ok_or(ClientError::Lost)
}

/// Has the agent do something, and says how it went: 0, or 1 with the reason on stderr.
fn order(name: &str, command: &Command, limit: Duration) -> u8 {
    match client::call(&run_dir(), command, limit, &mut |_| {}) {
        Ok(Reply { ok: true, .. }) => 0,
        Ok(Reply { message, .. }) => {
            tell(&format!("{name}: {message}\n"));
            1
        }
        Err(error) => {
            tell(&format!("{name}: {error}\n"));
            1
        }
    }
}

/// To stdout. A reader that has seen enough is no failure.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// To stderr, where a failure could not be reported anyway.
fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// The words as text; what is no UTF-8 matches nothing.
fn words(arguments: &[OsString]) -> Vec<String> {
    arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In Debian another package's (resource-agents): the package makes it only where it is free.
    const FOREIGN: &str = "/usr/libexec/heartbeat/send_arp";

    #[test]
    fn the_package_has_every_old_name_at_every_path() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let manifest = std::fs::read_to_string(manifest).unwrap();
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/deb/postinst");
        let paths = NAMES.iter().flat_map(|name| name.paths);
        for path in paths.clone().filter(|path| **path != FOREIGN) {
            let directory = Path::new(path).parent().unwrap();
            let target = match directory.to_str().unwrap() {
                "/usr/sbin" => "xbeat".to_owned(),
                // `..` for each directory below /usr.
                other => "../".repeat(other.split('/').count() - 2) + "sbin/xbeat",
            };
            let asset = format!("{{ dest = \"{}\", link_name = \"{target}\" }}", &path[1..]);
            assert!(manifest.contains(&asset), "agent/Cargo.toml lacks {asset}");
        }
        assert!(paths.clone().any(|path| *path == FOREIGN));
        assert!(std::fs::read_to_string(scripts).unwrap().contains(FOREIGN));
    }
}
