//! What is wrong with a configuration, and where: collected, never thrown away, shown as a good compiler does.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use super::scanner::Place;

/// Longest piece of a file that a message repeats, in characters: enough to recognise it, and one line.
const QUOTE_CHARACTERS_MAX: usize = 60;

/// Longest source line that is shown under a message, in characters.
const EXCERPT_CHARACTERS_MAX: usize = 200;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The agent does not start with it.
    Error,
    /// The agent starts; somebody should look at it.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing wrong in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the agent may start.
    pub severity: Severity,
    /// The file, as it was opened.
    pub file: PathBuf,
    /// Physical line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What stands there, in words: ``the word `1x` `` would read `` `1x` ``.
    pub found: String,
    /// What would be right. Empty where nothing is wrong with what was found: then `found` is the whole message.
    pub expected: String,
    /// The source line as it may be shown: without secrets, and empty when the message is about the whole file.
    pub source: String,
}

impl Diagnostic {
    /// A diagnostic about a whole file, or about something that it lacks.
    pub(super) fn of_file(
        severity: Severity,
        file: &Path,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            file: file.to_path_buf(),
            line: 1,
            column: 1,
            found: found.into(),
            expected: expected.into(),
            source: String::new(),
        }
    }

    /// Whether the agent must not start.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}: ", self.file.display(), self.line, self.column, self.severity)?;
        if self.expected.is_empty() {
            f.write_str(&self.found)
        } else {
            write!(f, "found {}, expected {}", self.found, self.expected)
        }
    }
}

/// All diagnostics as text for a person: the message, the source line, a caret under the column.
pub fn render(diagnostics: &[Diagnostic]) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{diagnostic}");
        if !diagnostic.source.is_empty() {
            text.push_str(&excerpt(diagnostic));
        }
    }
    text
}

fn excerpt(diagnostic: &Diagnostic) -> String {
    let number = diagnostic.line.to_string();
    let margin = " ".repeat(number.len());
    let before = diagnostic.column.saturating_sub(1) as usize;
    // A tab stays a tab, so that the caret stands below its character at any tab width.
    let mut padding: String =
        diagnostic.source.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    padding.push_str(&" ".repeat(before.saturating_sub(padding.chars().count())));
    format!(" {number} | {}\n {margin} | {padding}^\n", diagnostic.source)
}

/// The contents of one file as diagnostics need them.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    lines: Vec<String>,
}

impl Source {
    pub(super) fn new(path: &Path, bytes: &[u8]) -> Self {
        let lines = bytes.split(|&byte| byte == b'\n').map(printable_line).collect();
        Self { path: path.to_path_buf(), lines }
    }

    /// A diagnostic at a place, with the source line below it.
    pub(super) fn diagnostic(
        &self,
        severity: Severity,
        place: Place,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Diagnostic {
        let source = self.lines.get(place.line.saturating_sub(1) as usize).cloned().unwrap_or_default();
        Diagnostic {
            severity,
            file: self.path.clone(),
            line: place.line,
            column: place.column,
            found: found.into(),
            expected: expected.into(),
            source: without_passwords(source),
        }
    }
}

/// The parameters of a `stonith_host` line hold passwords of power switches; logs are read by more people than ha.cf.
fn without_passwords(line: String) -> String {
    match line.find("stonith_host") {
        Some(at) if line[..at].trim().is_empty() => format!("{}stonith_host ...", &line[..at]),
        _ => line,
    }
}

fn printable_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end().chars().take(EXCERPT_CHARACTERS_MAX).map(printable).collect()
}

/// No byte of a file reaches a terminal as a control character.
fn printable(c: char) -> char {
    if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }
}

/// A piece of a file between backticks, short and printable.
pub(super) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTE_CHARACTERS_MAX).map(printable).collect();
    if text.chars().nth(QUOTE_CHARACTERS_MAX).is_some() {
        short.push_str("...");
    }
    format!("`{short}`")
}
