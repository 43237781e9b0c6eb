//! What an operator sees while a command takes its time: the groups that moved, and that it still goes on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::tell;
use crate::control::client;
use crate::control::{Command, Reply};
use crate::status::{Group, GroupState};

/// A status on the side may not hold up the command's own answer for longer.
const STATUS_TIME_MAX: Duration = Duration::from_millis(500);
/// With nothing new to say, that it still waits is said this often.
const REMINDER_INTERVAL: Duration = Duration::from_secs(10);

/// Remembers what was said, so that only news is.
pub(super) struct Progress {
    run_dir: PathBuf,
    said: BTreeMap<String, String>,
    spoke_at: Duration,
}

impl Progress {
    pub(super) fn new(run_dir: &Path) -> Self {
        Self { run_dir: run_dir.to_owned(), said: BTreeMap::new(), spoke_at: Duration::ZERO }
    }

    /// Called now and then while the command is under way; asks the agent on a second connection.
    pub(super) fn show(&mut self, waited: Duration) {
        let first = self.said.is_empty();
        let mut news = false;
        let answer = client::call(&self.run_dir, &Command::Status, STATUS_TIME_MAX, &mut |_| {});
        // Not being told how it goes does not matter: the command's own answer will come, or not.
        if let Ok(Reply { status: Some(status), .. }) = answer {
            for group in &status.groups {
                let line = sentence(group);
                // At first only what is under way; later everything that changed.
                let moving = matches!(group.state, GroupState::Starting | GroupState::Stopping);
                if self.said.insert(group.key.clone(), line.clone()).as_ref() != Some(&line)
                    && (!first || moving)
                {
                    tell(&format!("{:3} s: {line}\n", waited.as_secs()));
                    news = true;
                }
            }
        }
        if news {
            self.spoke_at = waited;
        } else if waited.saturating_sub(self.spoke_at) >= REMINDER_INTERVAL {
            tell(&format!("{:3} s: still at it\n", waited.as_secs()));
            self.spoke_at = waited;
        }
    }
}

fn sentence(group: &Group) -> String {
    let here = match group.state {
        GroupState::Stopped => "stopped here",
        GroupState::Starting => "starting here",
        GroupState::Started => "started here",
        GroupState::Stopping => "stopping here",
        GroupState::Failed => "failed here",
    };
    let owner = group.owner.as_deref().unwrap_or("nobody");
    format!("{}: {here}, held by {owner}", group.key)
}
