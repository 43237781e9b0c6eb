//! Programs of old on a node: what they write to the FIFO, and hooks in `rc.d` that note what they are told.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::host::Host;
use crate::process::Output;

/// How long a program may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A hook that notes what it was told.
pub const HOOK: &str = "#!/bin/sh\necho \"$1 $HA_src $HA_st $HA_info $HA_CURHOST\" >> \"@STATE@/hooks\"\n";

/// Runs a shell on the node, with the FIFO's path as `$FIFO`.
///
/// # Errors
/// When it fails.
pub fn shell(host: &Host, script: &str) -> Result<Output> {
    let mut command = Command::new("sh");
    command.args(["-ec", script]).env("FIFO", host.state_dir().join("fifo"));
    host.run(command, LIMIT)?.ok()
}

/// Writes the hook `rc.d/NAME`; `@STATE@` in it is the node's state directory.
///
/// # Errors
/// When it cannot be written.
pub fn hook(host: &Host, name: &str, text: &str) -> Result<()> {
    let path = host.config_dir().join("rc.d").join(name);
    std::fs::create_dir_all(host.config_dir().join("rc.d"))?;
    std::fs::write(&path, text.replace("@STATE@", &host.state_dir().display().to_string()))?;
    Ok(std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?)
}

/// What hooks of that node have noted.
#[must_use]
pub fn hooks(host: &Host) -> String {
    std::fs::read_to_string(host.state_dir().join("hooks")).unwrap_or_default()
}
