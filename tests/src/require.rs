//! What a test needs, and how it reports that the need is not met.

use nix::unistd::geteuid;

/// True when the test can run. Without root it reports *skipped* with the reason and returns false; with
/// `CI=true` a skip is a failure, so that no suite passes by not running.
///
/// # Panics
/// Without root when `CI=true`.
pub fn root_or_skip(test: &str) -> bool {
    if geteuid().is_root() {
        return true;
    }
    skip(test, "it makes network namespaces and needs root");
    false
}

/// Reports `test` as skipped because of `reason`.
///
/// # Panics
/// When `CI=true`: there every means is expected to be present.
#[expect(clippy::print_stderr, reason = "libtest has no word for a skip; this line is the report")]
pub fn skip(test: &str, reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} cannot run in CI: {reason}");
    eprintln!("{test}: skipped: {reason}");
}
