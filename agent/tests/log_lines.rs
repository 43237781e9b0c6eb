//! Lines that operators search their logs for stay as they are.
//!
//! A program of its own with a single test: `tracing` remembers per call site whether anybody listens, so tests on
//! other threads, which do not, would make it deaf.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use xbeat::resources::{Addresses, Group, Limits, Pseudo, Resource, Scripts, Spec, start_group};

/// Keeps what is logged, as `LEVEL message`.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One address that always can be had.
struct Willing(bool);

impl Addresses for Willing {
    type Error = String;

    async fn acquire(&mut self, _vip: usize) -> Result<(), String> {
        self.0 = true;
        Ok(())
    }

    async fn release(&mut self, _vip: usize) -> Result<(), String> {
        self.0 = false;
        Ok(())
    }

    async fn held(&mut self, _vip: usize) -> bool {
        self.0
    }

    async fn set_source(&mut self, _address: Ipv4Addr, _on: bool) -> Result<(), String> {
        Ok(())
    }

    async fn is_source(&mut self, _address: Ipv4Addr) -> bool {
        false
    }

    async fn announce(&mut self, _address: Ipv4Addr, _interface: &str, _on: bool) -> Result<(), String> {
        Ok(())
    }
}

fn write_script(path: &Path, body: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn lines_that_operators_search_for_are_logged_verbatim() {
    let dir = tempfile::tempdir().unwrap();
    let resource_d = dir.path().to_owned();
    write_script(&resource_d.join("Disk"), "exit 0");
    write_script(&resource_d.join("bad"), "[ $1 = start ] && echo no disk >&2; [ $1 != start ]");
    let scripts = Scripts {
        resource_d,
        init_d: "/nonexistent".into(),
        env: vec![],
        mailer: None,
        pseudo: Pseudo::default(),
    };
    let address = Resource::Address { vip: 0, spec: Spec::parse("IPaddr::192.0.2.3") };
    let script = |word: &str| Resource::Script(Spec::parse(word));
    let resources = vec![address, script("Disk::/srv::ext4"), script("bad")];
    let group = Group { home: "www1".to_owned(), resources, monitors: BTreeMap::new() };

    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_max_level(tracing::Level::INFO)
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    start_group(&scripts, &mut Willing(false), &group, &Limits::default()).await.unwrap_err();

    let text = String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
    let dir = dir.path().display();
    let expected = [
        " INFO Acquiring resource group: www1 IPaddr::192.0.2.3 Disk::/srv::ext4 bad".to_owned(),
        format!(" INFO Running {dir}/IPaddr 192.0.2.3 start (built in)"),
        format!(" INFO Running {dir}/Disk /srv ext4 start"),
        format!(" INFO Running {dir}/bad start"),
        " INFO no disk resource=bad".to_owned(),
        "ERROR bad failed: return code 1 operation=start".to_owned(),
        "ERROR Giving up resources due to failure of bad: return code 1".to_owned(),
        " INFO Releasing resource group: www1 IPaddr::192.0.2.3 Disk::/srv::ext4 bad".to_owned(),
        format!(" INFO Running {dir}/bad stop"),
        format!(" INFO Running {dir}/Disk /srv ext4 stop"),
        format!(" INFO Running {dir}/IPaddr 192.0.2.3 stop (built in)"),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}
