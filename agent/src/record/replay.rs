//! The replayer: steps a recording through the same election and shows each decision.

use std::io::{self, BufRead, Write};

use cluster::{Action, Cluster, Input};

use super::{Line, VERSION};

/// Why a recording could not be replayed to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read, or what came of it cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is not what a recorder writes.
    #[error("line {line}: {what}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it, and what would be right.
        what: String,
    },
}

/// Steps the recording through the election and writes every input and every decision. Times count from the first line.
///
/// # Errors
/// At the first line that is none; what came before it was replayed.
pub fn replay(recording: impl BufRead, out: &mut impl Write) -> Result<(), Error> {
    let (mut election, mut began) = (None::<Cluster>, None);
    for (number, text) in (1..).zip(recording.lines()) {
        let text = text?;
        if text.trim().is_empty() {
            continue;
        }
        let wrong = |what: String| Error::Line { line: number, what };
        let line: Line = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        match line {
            Line::Begin { version, .. } if version != VERSION => {
                return Err(wrong(format!("a recording of version {version}; this xbeat replays {VERSION}")));
            }
            Line::Begin { at, config, resumed, left, .. } => {
                let since = *began.get_or_insert(at);
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
                election = Some(begun);
            }
            Line::Input { at, input } => {
                let Some(election) = &mut election else {
                    return Err(wrong("an input before any election began; `begin` comes first".to_owned()));
                };
                writeln!(out, "{}  {}", time(at, began.unwrap_or(at)), describe(&input))?;
                election.handle(at, input);
                show_actions(election, out)?;
            }
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
