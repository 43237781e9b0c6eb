//! Tests of the configuration, and what they share: files in a directory of their own, and a world that is made up.

mod authkeys;
mod difference;
mod ha_cf;
mod haresources;
mod heartbeat;
mod howtos;
mod page;
mod properties;
mod times;

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::names::World;
use super::{Config, Diagnostic, Severity, load_in};
use crate::links::serial::port::Fault;

/// A world with a few hosts and users, in which every `/dev/tty...` is a terminal.
struct MadeUp;

impl World for MadeUp {
    fn resolve(&self, host: &str) -> Result<Ipv4Addr, String> {
        match host {
            "server1" => Ok(Ipv4Addr::new(192, 0, 2, 11)),
            "server2" => Ok(Ipv4Addr::new(192, 0, 2, 12)),
            _ => Err("name or service not known".into()),
        }
    }

    fn resolve_v6(&self, host: &str) -> Result<Ipv6Addr, String> {
        match host {
            "server2" => Ok(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 12)),
            _ => Err("name or service not known".into()),
        }
    }

    fn has_user(&self, name: &str) -> bool {
        matches!(name, "root" | "hacluster")
    }

    fn is_executable(&self, path: &Path) -> bool {
        path.starts_with("/usr/bin")
    }

    fn is_character_device(&self, path: &Path) -> bool {
        path.to_string_lossy().starts_with("/dev/tty")
    }

    fn text(&self, _path: &Path) -> Result<String, String> {
        Ok("hosts=server1".to_owned())
    }

    fn terminal(&self, path: &Path) -> Result<(), Fault> {
        let path = path.display().to_string();
        match path.as_str() {
            "/dev/ttyUSB0" => Err(Fault::Missing(path)),
            "/dev/ttyS7" => Err(Fault::NoPermission(path)),
            _ if path.starts_with("/dev/tty") => Ok(()),
            _ => Err(Fault::NoTerminal(path)),
        }
    }
}

const HA_CF: &str = "keepalive 1\ndeadtime 5\nucast eth0 server2\nauto_failback on\nnode server1 server2\n";
const HARESOURCES: &str = "server1 IPaddr::192.0.2.100 failback.sh\n";
const AUTHKEYS: &str = "auth 1\n1 sha1 PutYourSuperSecretKeyHere\n";

/// The three files in a directory that vanishes.
struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new(ha_cf: impl AsRef<[u8]>, haresources: impl AsRef<[u8]>, authkeys: impl AsRef<[u8]>) -> Self {
        let files = Self { dir: tempfile::tempdir().unwrap() };
        files.write("ha.cf", ha_cf);
        files.write("haresources", haresources);
        files.write("authkeys", authkeys);
        fs::set_permissions(files.path("authkeys"), fs::Permissions::from_mode(0o600)).unwrap();
        files
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
    }

    fn load(&self, node: &str) -> Result<Config, Vec<Diagnostic>> {
        load_in(&MadeUp, self.dir.path(), Some(node))
    }
}

/// A good configuration with these lines more in ha.cf, from line 6 on.
fn with(lines: &str) -> Files {
    Files::new(format!("{HA_CF}{lines}"), HARESOURCES, AUTHKEYS)
}

/// The errors without their files, `line:column: message`.
fn errors(result: Result<Config, Vec<Diagnostic>>) -> Vec<String> {
    texts(&result.err().unwrap_or_default(), Severity::Error)
}

fn warnings(config: &Config) -> Vec<String> {
    texts(&config.warnings, Severity::Warning)
}

fn texts(diagnostics: &[Diagnostic], severity: Severity) -> Vec<String> {
    let wanted = diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity);
    wanted
        .map(|diagnostic| {
            let text = diagnostic.to_string();
            let file = format!("{}:", diagnostic.file.display());
            text.strip_prefix(&file).unwrap().replace(&format!(" {severity}:"), "")
        })
        .collect()
}

/// One error, which contains all of these.
#[track_caller]
fn assert_error(files: &Files, parts: &[&str]) {
    let errors = errors(files.load("server1"));
    assert_eq!(errors.len(), 1, "one error was expected: {errors:#?}");
    for part in parts {
        assert!(errors[0].contains(part), "{part:?} is not in {:?}", errors[0]);
    }
}
