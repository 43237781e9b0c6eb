//! A fingerprint of what must be equal on all nodes, so that differing files are noticed on the wire.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{Config, ResourceGroup};

/// Changes whenever the same files would be understood differently.
const DIGEST_VERSION: u8 = 1;

/// Node names in order, groups in order with their home, and the times and rules that both sides must share. Links,
/// keys, logs, warntime and scripts' variables are each node's own.
pub(super) fn digest(config: &Config) -> u32 {
    let mut hash = Sha256::new();
    hash.update([DIGEST_VERSION, u8::from(config.auto_failback)]);
    for time in [config.keepalive, config.deadtime, config.initdead, config.lease] {
        hash.update(micros(time).to_be_bytes());
    }
    count(&mut hash, config.nodes.len());
    for node in &config.nodes {
        text(&mut hash, node);
    }
    count(&mut hash, config.groups.len());
    for group in &config.groups {
        self::group(&mut hash, group);
    }
    let bytes = hash.finalize();
    bytes.iter().take(4).fold(0, |digest, &byte| digest << 8 | u32::from(byte))
}

fn group(hash: &mut Sha256, group: &ResourceGroup) {
    count(hash, group.home);
    count(hash, group.resources.len());
    for resource in &group.resources {
        text(hash, &resource.name);
        count(hash, resource.args.len());
        for arg in &resource.args {
            text(hash, arg);
        }
    }
}

/// The length goes first, so that no two lists look the same.
fn text(hash: &mut Sha256, text: &str) {
    count(hash, text.len());
    hash.update(text.as_bytes());
}

fn count(hash: &mut Sha256, count: usize) {
    hash.update((count as u64).to_be_bytes());
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
