//! Aligned columns, colours and wrapped lines. Nothing that came from outside can move the cursor: control
//! characters are shown escaped.

use std::fmt::Display;

use super::Style;

/// What a piece of text means to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
    Dim,
}

impl Tone {
    /// The ANSI "select graphic rendition" code.
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Warn => Some("33"),
            Self::Bad => Some("1;31"),
            Self::Dim => Some("2"),
        }
    }
}

/// A piece of text with its tone.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(super) fn plain(text: impl Display) -> Self {
        Self::toned(text, Tone::Plain)
    }

    pub(super) fn toned(text: impl Display, tone: Tone) -> Self {
        Self { text: cleaned(&text.to_string()), tone }
    }

    /// For what does not apply or is not known.
    pub(super) fn dash() -> Self {
        Self::toned("-", Tone::Dim)
    }

    pub(super) fn draw(&self, style: Style) -> String {
        match (style, self.tone.code()) {
            (Style::Colour, Some(code)) if !self.text.is_empty() => {
                format!("\u{1b}[{code}m{}\u{1b}[0m", self.text)
            }
            (Style::Colour | Style::Plain, _) => self.text.clone(),
        }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

enum Line {
    Row(Vec<Cell>),
    Note(Cell),
}

/// Rows under a head, columns two blanks apart, notes between rows.
pub(super) struct Table {
    lines: Vec<Line>,
    widths: Vec<usize>,
}

impl Table {
    pub(super) fn new<const N: usize>(head: [&str; N]) -> Self {
        let mut table = Self { lines: Vec::new(), widths: vec![0; N] };
        table.row(head.map(|title| Cell::toned(title, Tone::Dim)));
        table
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = cell.width().max(*width);
        }
        self.lines.push(Line::Row(cells.into()));
    }

    /// A line of its own that widens no column.
    pub(super) fn note(&mut self, text: String) {
        self.lines.push(Line::Note(Cell::toned(text, Tone::Dim)));
    }

    pub(super) fn draw(&self, style: Style) -> String {
        let mut text = String::new();
        for line in &self.lines {
            match line {
                Line::Row(cells) => self.draw_row(cells, style, &mut text),
                Line::Note(note) => text += &note.draw(style),
            }
            text.push('\n');
        }
        text
    }

    fn draw_row(&self, cells: &[Cell], style: Style, text: &mut String) {
        // No blanks at the end of a line: the last cell that says something ends it.
        let last = cells.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
        for (place, (cell, width)) in cells.iter().zip(&self.widths).enumerate().take(last + 1) {
            *text += &cell.draw(style);
            if place < last {
                *text += &" ".repeat(width - cell.width() + 2);
            }
        }
    }
}

/// `text` broken at blanks into lines of at most `width`, where words allow; later lines start with `indent`.
pub(super) fn wrapped(text: &str, width: usize, indent: &str) -> String {
    let text = cleaned(text);
    let body = text.trim_start();
    let mut line = text[..text.len() - body.len()].to_owned();
    let mut lines = String::new();
    let mut fresh = true;
    for word in body.split_whitespace() {
        if !fresh && line.chars().count() + 1 + word.chars().count() > width {
            lines += &line;
            lines.push('\n');
            indent.clone_into(&mut line);
            fresh = true;
        }
        if !fresh {
            line.push(' ');
        }
        line += word;
        fresh = false;
    }
    lines + &line + "\n"
}

fn cleaned(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}
