//! The replayer: steps a recording through the same election and shows each decision.

use std::fmt;
use std::io::{self, BufRead, Write};

use cluster::{Action, Cluster, Command, Config, GroupId, Input, NodeId, Set};
use reflex::{GROUPS_MAX, NODES_MAX};
use serde_json::error::Category;

use super::{Line, VERSION};

/// Longest piece of a bad line that its error repeats, in characters.
const QUOTE_CHARACTERS_MAX: usize = 40;

/// Why a recording could not be replayed to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read, or what came of it cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is not what a recorder writes.
    #[error("line {line}{}: {wrong}", column.map_or_else(String::new, |column| format!(", column {column}")))]
    Line {
        /// Which, from 1.
        line: usize,
        /// In bytes, from 1; none where it is the line as a whole.
        column: Option<usize>,
        /// What.
        wrong: Wrong,
    },
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What stands there.
    pub found: String,
    /// What would be right.
    pub expected: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "found {}, expected {}", self.found, self.expected)
    }
}

impl Wrong {
    fn new(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { found: found.into(), expected: expected.into() }
    }
}

/// Steps the recording through the election and writes every input and every decision. Times count from the first line.
///
/// # Errors
/// At the first line that is none; what came before it was replayed.
pub fn replay(recording: impl BufRead, out: &mut impl Write) -> Result<(), Error> {
    let (mut election, mut began) = (None::<Replayed>, None);
    for (line, bytes) in (1..).zip(recording.split(b'\n')) {
        let bytes = bytes?;
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let wrong = |wrong| Error::Line { line, column: None, wrong };
        match read(&bytes).map_err(|(column, wrong)| Error::Line { line, column, wrong })? {
            Line::Begin { version, .. } if version != VERSION => {
                let found = format!("a recording of version {version}");
                return Err(wrong(Wrong::new(found, format!("version {VERSION}, which this xbeat replays"))));
            }
            Line::Begin { at, config, resumed, left, .. } => {
                let since = *began.get_or_insert(at);
                let bounds = Bounds::of(&config).map_err(wrong)?;
                let held = resumed.iter().flatten().map(|held| held.group);
                held.chain(left.iter().copied()).try_for_each(|group| bounds.group(group)).map_err(wrong)?;
                let (own, nodes, groups) = (config.own, config.nodes, config.groups.len());
                let what = format!("begins: node {own} of {nodes}, {groups} groups");
                writeln!(out, "{}  {what}", time(at, since))?;
                let mut begun = Cluster::new(config, at);
                if let Some(held) = resumed {
                    writeln!(out, "{}  goes on with {held:?}", time(at, since))?;
                    begun.resume(at, held);
                }
                if !left.is_empty() {
                    writeln!(out, "{}  cleans up after an earlier agent: {left:?}", time(at, since))?;
                    begun.clean_up(at, left);
                }
                show_actions(&mut begun, out)?;
                election = Some(Replayed { cluster: begun, bounds });
            }
            Line::Input { at, input } => {
                let Some(Replayed { cluster, bounds }) = &mut election else {
                    let found = "an input before any election began";
                    return Err(wrong(Wrong::new(found, "a `begin` line first")));
                };
                bounds.input(&input).map_err(wrong)?;
                writeln!(out, "{}  {}", time(at, began.unwrap_or(at)), describe(&input))?;
                cluster.handle(at, input);
                show_actions(cluster, out)?;
            }
            Line::Stamp { .. } => {}
            Line::Dropped(lost) => {
                writeln!(
                    out,
                    "              {lost} inputs are missing here: what follows may differ from what happened"
                )?;
            }
        }
    }
    Ok(())
}

/// An election under replay, and what its inputs may name.
struct Replayed {
    cluster: Cluster,
    bounds: Bounds,
}

/// What there is in a recorded cluster.
#[derive(Clone, Copy)]
struct Bounds {
    own: NodeId,
    nodes: usize,
    groups: usize,
}

impl Bounds {
    fn of(config: &Config) -> Result<Self, Wrong> {
        let bounds = Self { own: config.own, nodes: config.nodes, groups: config.groups.len() };
        if !(1..=NODES_MAX).contains(&bounds.nodes) {
            return Err(Wrong::new(format!("{} nodes", bounds.nodes), format!("1 to {NODES_MAX}")));
        }
        if bounds.groups > GROUPS_MAX {
            return Err(Wrong::new(format!("{} groups", bounds.groups), format!("at most {GROUPS_MAX}")));
        }
        std::iter::once(bounds.own)
            .chain(config.groups.iter().map(|group| group.home))
            .try_for_each(|node| bounds.node(node))?;
        Ok(bounds)
    }

    fn node(self, node: NodeId) -> Result<(), Wrong> {
        if usize::from(node) < self.nodes {
            return Ok(());
        }
        Err(Wrong::new(format!("node {node}"), format!("one of 0 to {}", self.nodes - 1)))
    }

    fn group(self, group: GroupId) -> Result<(), Wrong> {
        if (group as usize) < self.groups {
            return Ok(());
        }
        Err(Wrong::new(format!("group {group}"), format!("one of the {} groups, from 0", self.groups)))
    }

    fn input(self, input: &Input) -> Result<(), Wrong> {
        match input {
            Input::Node { node, .. } if *node == self.own => {
                let expected = "an input about another node: a node hears nothing of itself";
                Err(Wrong::new(format!("an input about node {node}, whose recording this is"), expected))
            }
            Input::Node { node, claims, .. } => {
                self.node(*node)?;
                claims.iter().try_for_each(|(group, _)| self.group(*group))
            }
            Input::Gate { group, .. }
            | Input::Done { group, .. }
            | Input::Monitored { group, .. }
            | Input::Reach { group, .. }
            | Input::Sight { group, .. }
            | Input::Asked { group, .. }
            | Input::Command { command: Command::Standby(Set::Group(group)), .. }
            | Input::Command { command: Command::Takeover(Set::Group(group)), .. } => self.group(*group),
            Input::Command { .. } | Input::Rules { .. } | Input::Timeout => Ok(()),
        }
    }
}

/// One line; else where in it something is wrong, and what.
fn read(bytes: &[u8]) -> Result<Line, (Option<usize>, Wrong)> {
    serde_json::from_slice(bytes).map_err(|error| {
        let column = error.column();
        let from = column.saturating_sub(1).min(bytes.len());
        let (wrong, column) = match error.classify() {
            Category::Eof => {
                let found = format!("the end of the line behind {}", quoted(&bytes[tail(bytes)..]));
                let expected = "the rest of it: a recorder that is cut off leaves half a line";
                (Wrong::new(found, expected), bytes.len() + 1)
            }
            Category::Data => (misfit(&error), column),
            Category::Syntax | Category::Io => {
                let expected = "JSON, one object per line, as `xbeat run --record` writes it";
                (Wrong::new(quoted(&bytes[from..]), expected), column)
            }
        };
        (Some(column.max(1)), wrong)
    })
}

/// JSON that is no line of a recording: serde says what it found and, mostly, what it wanted.
fn misfit(error: &serde_json::Error) -> Wrong {
    // It repeats words of the line as they are.
    let text: String = error.to_string().chars().map(printable).collect();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    match text.split_once(", expected ") {
        Some((found, expected)) => Wrong::new(found, expected),
        None => Wrong::new(text, format!("a line of a recording of version {VERSION}")),
    }
}

/// Where the last characters of a line begin.
fn tail(bytes: &[u8]) -> usize {
    bytes.len().saturating_sub(QUOTE_CHARACTERS_MAX)
}

/// No byte of a file reaches a terminal as a control character.
fn printable(c: char) -> char {
    if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }
}

/// The beginning of it between backticks, without a control character.
fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut short: String = text.chars().take(QUOTE_CHARACTERS_MAX).map(printable).collect();
    if text.chars().nth(QUOTE_CHARACTERS_MAX).is_some() {
        short.push_str("...");
    }
    format!("`{short}`")
}

/// Milliseconds since the recording began.
fn time(at: u64, began: u64) -> String {
    let us = at.saturating_sub(began) / 1_000;
    format!("{:>8}.{:03}", us / 1_000, us % 1_000)
}

fn describe(input: &Input) -> String {
    match input {
        Input::Timeout => "time has passed".to_owned(),
        other => format!("{other:?}"),
    }
}

fn show_actions(election: &mut Cluster, out: &mut impl Write) -> io::Result<()> {
    while let Some(action) = election.poll_action() {
        match action {
            Action::Note(note) => writeln!(out, "              = {note:?}")?,
            order => writeln!(out, "             -> {order:?}")?,
        }
    }
    Ok(())
}
