//! What goes over the control socket, and its bytes. No IO here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::status::Status;

/// A request line may be this long, line feed included. The longest sensible one names a group: below 1 KiB.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// What a client asks of the agent. On the wire: `{"command":"standby","set":"local"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Say how things stand.
    Status,
    /// Hand groups over to the other nodes; done when they are held there.
    Standby {
        /// The groups.
        set: ResourceSet,
    },
    /// Fetch groups from the other nodes; done when they are held here.
    Takeover {
        /// The groups.
        set: ResourceSet,
    },
    /// End.
    Stop {
        /// Leave what is open to the next agent on this node (a planned restart) instead of handing it over.
        #[serde(default)]
        keep: bool,
    },
}

/// The groups a command is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ResourceSet {
    /// Every group.
    All,
    /// The groups that prefer this node.
    Local,
    /// The groups that prefer other nodes.
    Foreign,
    /// Give back what prefers another node, fetch what prefers this one.
    Failback,
    /// The group with this key.
    Group(String),
}

/// A set of groups without a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "which groups? one of all, local, foreign, failback, or the key of a group as `xbeat status` shows it"
)]
pub struct EmptySet;

impl FromStr for ResourceSet {
    type Err = EmptySet;

    fn from_str(text: &str) -> Result<Self, EmptySet> {
        Ok(match text.trim() {
            "" => return Err(EmptySet),
            "all" => Self::All,
            "local" => Self::Local,
            "foreign" => Self::Foreign,
            "failback" => Self::Failback,
            key => Self::Group(key.to_owned()),
        })
    }
}

impl fmt::Display for ResourceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Local => "local",
            Self::Foreign => "foreign",
            Self::Failback => "failback",
            Self::Group(key) => key,
        })
    }
}

impl TryFrom<String> for ResourceSet {
    type Error = EmptySet;

    fn try_from(text: String) -> Result<Self, EmptySet> {
        text.parse()
    }
}

impl From<ResourceSet> for String {
    fn from(set: ResourceSet) -> Self {
        set.to_string()
    }
}

/// The agent's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// It was done.
    pub ok: bool,
    /// What was done, or why it was not: one sentence for a person.
    pub message: String,
    /// The status, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

impl Reply {
    /// It was done.
    pub fn done(message: impl Into<String>) -> Self {
        Self { ok: true, message: message.into(), status: None }
    }

    /// It was not done, for this reason.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self { ok: false, message: reason.into(), status: None }
    }

    /// The answer to [`Command::Status`].
    #[must_use]
    pub fn with_status(status: Status) -> Self {
        Self { ok: true, message: String::new(), status: Some(status) }
    }
}

/// The command in one line from a client, line feed or not. The error is a sentence to send back.
pub(super) fn decode_command(line: &[u8]) -> Result<Command, String> {
    serde_json::from_slice(line).map_err(|error| {
        format!(
            "not a command ({error}); expected one JSON object per line, such as {{\"command\":\"status\"}}"
        )
    })
}

/// One line for the wire, line feed included.
pub(super) fn encode(message: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}
