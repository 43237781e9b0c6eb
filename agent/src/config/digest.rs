//! A fingerprint of what should be equal on all nodes, so that differing files are noticed on the wire.
//!
//! Two in one number. The upper 24 bits are about what gives claims their meaning: nodes and groups. Where those differ,
//! nobody is elected. The lower 8 are about times and rules, which each node judges by for itself: they differ for a while
//! whenever an operator reloads one node after the other, and that must not cost the cluster its heir.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{Config, ResourceGroup};

/// Changes whenever the same files would be understood differently.
const DIGEST_VERSION: u8 = 2;

/// The bits about times and rules.
const RULES: u32 = 0xff;

/// Whether both fingerprints are of files with the same nodes and groups.
#[must_use]
pub fn same_cluster(one: u32, other: u32) -> bool {
    one & !RULES == other & !RULES
}

/// Node names in order, groups in order with their home; the times and rules that both sides should share. Links, keys, logs,
/// warntime and scripts' variables are each node's own.
pub(super) fn digest(config: &Config) -> u32 {
    cluster(config) & !RULES | rules(config) & RULES
}

fn rules(config: &Config) -> u32 {
    let mut hash = Sha256::new();
    hash.update([DIGEST_VERSION, u8::from(config.auto_failback)]);
    for time in [config.keepalive, config.deadtime, config.initdead, config.lease] {
        hash.update(micros(time).to_be_bytes());
    }
    first_word(hash)
}

fn cluster(config: &Config) -> u32 {
    let mut hash = Sha256::new();
    hash.update([DIGEST_VERSION]);
    count(&mut hash, config.nodes.len());
    for node in &config.nodes {
        text(&mut hash, node);
    }
    count(&mut hash, config.groups.len());
    for group in &config.groups {
        self::group(&mut hash, group);
    }
    first_word(hash)
}

fn first_word(hash: Sha256) -> u32 {
    hash.finalize().iter().take(4).fold(0, |digest, &byte| digest << 8 | u32::from(byte))
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
