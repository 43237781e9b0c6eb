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
    /// An operator has looked: that node is off, and is not to be reset before its groups start elsewhere.
    Confirm {
        /// Its name.
        node: String,
    },
    /// Read the files anew and take over what changed; done when it counts.
    Reload,
    /// End.
    Stop {
        /// Leave what is open to the next agent on this node (a planned restart) instead of handing it over.
        #[serde(default)]
        keep: bool,
    },
}

impl Command {
    /// The command in one line from a client, line feed or not.
    ///
    /// # Errors
    /// A sentence to send back.
    pub fn decode(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| {
            format!(
                "not a command ({error}); expected one JSON object per line, such as {{\"command\":\"status\"}}"
            )
        })
    }
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

    /// The reply in one line from an agent, line feed or not.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn decode(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| error.to_string())
    }
}

/// Cuts what a client sends into requests. It may come in pieces of any size; what follows a line stays until it is
/// asked for.
#[derive(Debug, Default)]
pub struct RequestLines {
    buffer: Vec<u8>,
    /// No line feed is before this.
    searched: usize,
}

/// A line that is longer than [`REQUEST_BYTES_MAX`]: there is no next one to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

impl RequestLines {
    /// Takes what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line, without its line feed, if it is there.
    ///
    /// # Errors
    /// When it is too long, or can no longer become a line that is not.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        if let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
            let mut line: Vec<u8> = self.buffer.drain(..=self.searched + end).collect();
            self.searched = 0;
            line.pop();
            return if line.len() < REQUEST_BYTES_MAX { Ok(Some(line)) } else { Err(TooLong) };
        }
        self.searched = self.buffer.len();
        if self.searched >= REQUEST_BYTES_MAX { Err(TooLong) } else { Ok(None) }
    }

    /// What is left when the client has closed its half: it may end its last line so.
    pub fn rest(&mut self) -> Option<Vec<u8>> {
        self.searched = 0;
        let rest = std::mem::take(&mut self.buffer);
        (!rest.is_empty()).then_some(rest)
    }

    /// Whether nothing came that was not asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// One line for the wire, line feed included.
///
/// # Errors
/// What serde says; not for [`Command`] and [`Reply`].
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}
