//! The three configuration files, read as the agent reads them, in a world that is made up: no file, no host name and no
//! user of this machine is looked up.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use xbeat::config::{Config, Diagnostic, LinkSpec, Method, NODES_MAX, Severity, World, load_in, render};
use xbeat::links::serial::port::Fault;

const DIR: &str = "/etc/ha.d";
/// The good ones.
const FILES: [(&str, &[u8]); 3] = [
    ("ha.cf", b"keepalive 1\ndeadtime 5\nucast eth0 server2\nauto_failback on\nnode server1 server2\n"),
    ("authkeys", b"auth 1\n1 sha1 PutYourSuperSecretKeyHere\n"),
    ("haresources", b"server1 IPaddr::192.0.2.100 failback.sh\n"),
];
const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);
const MS: Duration = Duration::from_millis(1);

/// Loads the configuration with `bytes` as the file `name`.
///
/// # Panics
/// When something does not hold that must.
pub fn check(name: &'static str, bytes: &[u8]) {
    let world = Files { name, bytes };
    let loaded = load(&world);
    let diagnostics = match &loaded {
        Ok(config) => {
            assert!(config.warnings.iter().all(|warning| warning.severity == Severity::Warning));
            is_as_documented(config);
            assert_eq!(load(&world).map(|again| again.digest).ok(), Some(config.digest));
            &config.warnings
        }
        Err(diagnostics) => {
            assert!(diagnostics.iter().any(Diagnostic::is_error), "refused without an error");
            diagnostics
        }
    };
    diagnostics.iter().for_each(|diagnostic| has_its_place(&world, diagnostic));
    let page = render(diagnostics);
    assert!(
        !page.contains(|c: char| c.is_control() && c != '\n' && c != '\t'),
        "it moves the cursor: {page:?}"
    );
    if name == "authkeys" && loaded.is_ok() {
        let other = without_secrets(bytes);
        let config = load(&Files { name, bytes: &other }).expect("a secret is any word");
        assert_eq!(render(&config.warnings), page, "a message depends on a secret");
    }
}

fn load(world: &Files<'_>) -> Result<Config, Vec<Diagnostic>> {
    load_in(world, Path::new(DIR), Some("server1"))
}

/// File, line and column are there, and a person learns something.
fn has_its_place(world: &Files<'_>, diagnostic: &Diagnostic) {
    let (_, bytes) = world.read(&diagnostic.file).expect("a message is about a file that was read");
    let lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    let (line, column) = (diagnostic.line as usize, diagnostic.column as usize);
    assert!((1..=lines.len()).contains(&line), "line {line} of {}: {diagnostic}", lines.len());
    let characters = String::from_utf8_lossy(lines[line - 1]).chars().count();
    assert!((1..=characters + 1).contains(&column), "column {column} of {characters}: {diagnostic}");
    assert!(!diagnostic.found.is_empty(), "{diagnostic:?}");
    assert!(!diagnostic.is_error() || !diagnostic.expected.is_empty(), "what would be right? {diagnostic}");
    assert!(!diagnostic.to_string().contains(char::is_control), "{diagnostic:?}");
}

/// What docs/configuration.md promises of a configuration that was accepted.
fn is_as_documented(config: &Config) {
    let nodes = &config.nodes;
    assert!((1..=NODES_MAX).contains(&nodes.len()) && nodes[config.own] == "server1", "{nodes:?}");
    assert!(are_unique(nodes.iter()), "{nodes:?}");
    assert!(
        nodes.iter().all(|name| !name.is_empty() && *name == name.to_ascii_lowercase() && is_clean(name))
    );

    let two = config.keepalive * 2;
    assert!(!config.keepalive.is_zero() && config.deadtime > two && config.deadping > two, "{config:?}");
    assert!(config.initdead >= config.deadtime, "{config:?}");
    assert!(config.lease >= two.max(5 * MS), "{config:?}");
    let times = [config.keepalive, config.deadtime, config.warntime, config.initdead, config.starttime];
    for time in times.into_iter().chain([config.stoptime, config.lease, config.deadping]) {
        assert!(time <= YEAR * 2 && time.subsec_nanos() % 1_000 == 0, "{time:?}");
    }

    assert!(!config.links.is_empty() && config.udpport != 0);
    for link in &config.links {
        match link {
            LinkSpec::Mcast { ttl, group, .. } => assert!(*ttl <= 4 && group.is_multicast()),
            LinkSpec::Mcast6 { hops, group, .. } => assert!(*hops <= 4 && group.is_multicast()),
            LinkSpec::Ucast { peer, .. } => assert!(!peer.is_multicast() && !peer.is_unspecified()),
            LinkSpec::Serial { device, baud } => {
                assert!(device.is_absolute() && (9_600..=460_800).contains(baud));
            }
            LinkSpec::Bcast { .. } | LinkSpec::Ucast6 { .. } => {}
        }
        let is_interface =
            is_clean(link.name()) && link.name().len() <= 15 && !link.name().contains([':', '/']);
        assert!(
            !link.name().is_empty() && (is_interface || matches!(link, LinkSpec::Serial { .. })),
            "{link:?}"
        );
    }
    assert!(are_unique(config.linkdead.iter().map(|linkdead| &linkdead.link)), "{:?}", config.linkdead);
    for linkdead in &config.linkdead {
        assert!(linkdead.time > two && config.links.iter().any(|link| link.name() == linkdead.link));
    }
    assert!(config.rtprio.is_none_or(|priority| (1..=99).contains(&priority)));
    assert!(are_unique(config.env.iter().map(|(name, _)| name)), "{:?}", config.env);
    assert!(
        config.env.iter().all(|(name, value)| name.starts_with("HA_") && is_clean(name) && is_clean(value))
    );

    let resources = || config.groups.iter().flat_map(|group| &group.resources);
    assert!(are_unique(config.groups.iter().map(|group| group.key())), "{:?}", config.groups);
    let addresses: Vec<_> = resources().filter_map(|resource| resource.vip()).collect();
    assert!(are_unique(addresses.iter().map(|vip| vip.address)), "{addresses:?}");
    for vip in addresses {
        assert!(vip.prefix.is_none_or(|prefix| (1..=32).contains(&prefix)), "{vip:?}");
        assert!(vip.label.as_ref().or(vip.interface.as_ref()).is_none_or(|name| name.len() <= 15), "{vip:?}");
        assert!(!vip.address.is_multicast() && !vip.address.is_unspecified() && !vip.address.is_broadcast());
    }
    for group in &config.groups {
        assert!(group.home < nodes.len() && !group.resources.is_empty(), "{group:?}");
    }
    for resource in resources() {
        let (name, args) = (&resource.name, &resource.args);
        // It may be in a directory below those of the scripts, never outside them.
        let leads_out = name.starts_with('/') || name.split('/').any(|part| part == "." || part == "..");
        assert!(!name.is_empty() && !name.ends_with('/') && !leads_out, "{resource:?}");
        assert!(is_clean(name) && args.iter().all(|argument| !argument.is_empty() && is_clean(argument)));
        // What was understood is what was written.
        assert_eq!(resource.word().parse().as_ref(), Ok(resource));
    }

    let keys = &config.keys;
    let current = keys.current_key().expect("a key that signs");
    assert!(matches!(current.method, Method::Sha1 | Method::Sha256 | Method::Md5 | Method::Crc));
    for (number, key) in &keys.keys {
        assert!(*number <= 15 && (key.method == Method::Crc) == key.secret.is_empty(), "{number}: {key:?}");
        assert!(!key.secret.iter().any(|byte| byte.is_ascii_whitespace()), "{number}: a blank in a secret");
    }
}

fn are_unique<T: Ord>(all: impl Iterator<Item = T>) -> bool {
    let mut seen = BTreeSet::new();
    all.into_iter().all(|one| seen.insert(one))
}

/// Nothing of it can move a cursor, or end a line.
fn is_clean(text: &str) -> bool {
    !text.contains(char::is_control)
}

/// The same file with other secrets of the same width: each third word of a line that does not begin with `a` or `#`.
fn without_secrets(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.split(|&byte| byte == b'\n').map(|line| {
        let words: Vec<&[u8]> = line.split(is_blank).filter(|word| !word.is_empty()).collect();
        match words[..] {
            [first, method, secret, ..] if !matches!(first[0], b'a' | b'#') && method != b"crc" => {
                let at = secret.as_ptr() as usize - line.as_ptr() as usize;
                let width = String::from_utf8_lossy(secret).chars().count();
                [&line[..at], &vec![b'Z'; width], &line[at + secret.len()..]].concat()
            }
            _ => line.to_vec(),
        }
    });
    lines.collect::<Vec<_>>().join(&b'\n')
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\x0b' | b'\x0c')
}

/// The good files, and one in place of them.
struct Files<'a> {
    name: &'static str,
    bytes: &'a [u8],
}

impl World for Files<'_> {
    fn read(&self, path: &Path) -> io::Result<(u32, Vec<u8>)> {
        let name = path.strip_prefix(DIR).ok().and_then(Path::to_str).unwrap_or_default();
        let good = FILES.iter().find(|(file, _)| *file == name).map(|(_, bytes)| *bytes);
        let bytes = if name == self.name { Some(self.bytes) } else { good };
        bytes.map(|bytes| (0o600, bytes.to_vec())).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn resolve(&self, host: &str) -> Result<Ipv4Addr, String> {
        match host {
            "server1" => Ok(Ipv4Addr::new(192, 0, 2, 11)),
            "server2" => Ok(Ipv4Addr::new(192, 0, 2, 12)),
            _ => Err("name or service not known".to_owned()),
        }
    }

    fn resolve_v6(&self, host: &str) -> Result<Ipv6Addr, String> {
        match host {
            "server2" => Ok(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 12)),
            _ => Err("name or service not known".to_owned()),
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

    fn text(&self, path: &Path) -> Result<String, String> {
        if path.starts_with("/etc") {
            Ok("hosts=server1".to_owned())
        } else {
            Err("is no small file".to_owned())
        }
    }

    fn terminal(&self, path: &Path) -> Result<(), Fault> {
        let shown = path.display().to_string();
        match shown.as_str() {
            "/dev/ttyS7" => Err(Fault::NoPermission(shown)),
            _ if self.is_character_device(path) => Ok(()),
            _ => Err(Fault::NoTerminal(shown)),
        }
    }
}
