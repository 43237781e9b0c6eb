//! Lines, comments, continuation and words of the three files, each word with its place. Works on bytes, because a
//! comment may be in any encoding; knows nothing of what the words mean.

/// Where something stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Physical line, from 1.
    pub(super) line: u32,
    /// Column in characters, from 1.
    pub(super) column: u32,
}

/// A word and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// The text; what is not UTF-8 is replaced.
    pub(super) text: String,
    pub(super) place: Place,
    /// Where it goes on, for a word that a `\` carried over the end of its line: the characters before, and the place.
    pub(super) carried: Vec<(usize, Place)>,
    /// UTF-8 without control characters. Nothing else may become a name, a path or an argument.
    pub(super) is_clean: bool,
}

impl Word {
    /// The place `characters` into the word.
    pub(super) fn place_within(&self, characters: usize) -> Place {
        let carried = self.carried.iter().rfind(|(before, _)| *before <= characters);
        let (before, place) = carried.copied().unwrap_or((0, self.place));
        let offset = u32::try_from(characters - before).unwrap_or(u32::MAX);
        Place { column: place.column.saturating_add(offset), ..place }
    }
}

/// One physical line without its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) number: u32,
    pub(super) bytes: &'a [u8],
}

/// The physical lines of a file.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    (1u32..).zip(bytes.split(|&byte| byte == b'\n')).map(|(number, bytes)| Line { number, bytes })
}

/// What separates words on a line that is taken word by word in ha.cf.
pub(super) fn is_value_separator(byte: u8) -> bool {
    byte == b',' || is_blank(byte)
}

/// What separates words everywhere else.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\x0b' | b'\x0c')
}

impl<'a> Line<'a> {
    /// The line up to its first `#`: there is no quoting.
    pub(super) fn without_comment(self) -> Self {
        let end = self.bytes.iter().position(|&byte| byte == b'#').unwrap_or(self.bytes.len());
        Self { bytes: &self.bytes[..end], ..self }
    }

    /// The words from byte `start` on.
    pub(super) fn words_from(self, start: usize, is_separator: fn(u8) -> bool) -> Vec<Word> {
        let mut words = Vec::new();
        let mut at = start;
        while let Some((from, to)) = next_word(self.bytes, at, is_separator) {
            words.push(self.word(from, to));
            at = to;
        }
        words
    }

    /// The first word, and the byte behind it.
    pub(super) fn first_word(self, is_separator: fn(u8) -> bool) -> Option<(Word, usize)> {
        let (from, to) = next_word(self.bytes, 0, is_separator)?;
        Some((self.word(from, to), to))
    }

    /// The place of a byte of this line.
    pub(super) fn place(self, byte: usize) -> Place {
        let before = characters(&self.bytes[..byte]);
        Place { line: self.number, column: u32::try_from(before).map_or(u32::MAX, |n| n.saturating_add(1)) }
    }

    fn word(self, from: usize, to: usize) -> Word {
        word(&self.bytes[from..to], self.place(from))
    }
}

/// The range of the first word at or behind byte `start`.
pub(super) fn next_word(bytes: &[u8], start: usize, is_separator: fn(u8) -> bool) -> Option<(usize, usize)> {
    let from = (start..bytes.len()).find(|&at| !is_separator(bytes[at]))?;
    let to = (from..bytes.len()).find(|&at| is_separator(bytes[at])).unwrap_or(bytes.len());
    Some((from, to))
}

fn characters(bytes: &[u8]) -> usize {
    String::from_utf8_lossy(bytes).chars().count()
}

fn word(bytes: &[u8], place: Place) -> Word {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let is_clean = std::str::from_utf8(bytes).is_ok_and(|text| !text.contains(char::is_control));
    Word { text, place, carried: Vec::new(), is_clean }
}

/// The logical lines of a file whose lines continue behind a `\`: their words, empty lines left out.
///
/// A comment ends with its physical line, `\` inside it included; a line that is only a comment continues nothing.
/// As in Heartbeat, joining adds no blank: a word may go on at the first column of the next line.
pub(super) fn continued_lines(bytes: &[u8]) -> Vec<Vec<Word>> {
    let mut logical = Vec::new();
    let mut joined = Joined::default();
    for line in lines(bytes) {
        let line = line.without_comment();
        let end = line.bytes.iter().rposition(|&byte| !is_blank(byte)).map_or(0, |at| at + 1);
        match line.bytes[..end].split_last() {
            Some((b'\\', rest)) => joined.push(Line { bytes: rest, ..line }),
            _ => {
                joined.push(line);
                logical.push(std::mem::take(&mut joined).words());
            }
        }
    }
    logical.push(joined.words());
    logical.retain(|words| !words.is_empty());
    logical
}

/// Physical lines put together, which remember where each came from.
#[derive(Default)]
struct Joined<'a> {
    bytes: Vec<u8>,
    /// Each physical line, and where its bytes begin in `bytes`.
    parts: Vec<(usize, Line<'a>)>,
}

impl<'a> Joined<'a> {
    fn push(&mut self, line: Line<'a>) {
        self.parts.push((self.bytes.len(), line));
        self.bytes.extend_from_slice(line.bytes);
    }

    fn words(&self) -> Vec<Word> {
        let mut words = Vec::new();
        let mut at = 0;
        while let Some((from, to)) = next_word(&self.bytes, at, is_blank) {
            if let Some(&(begin, line)) = self.parts.iter().rfind(|(begin, _)| *begin <= from) {
                let carried = self.parts.iter().filter(|(begin, _)| from < *begin && *begin < to);
                let carried =
                    carried.map(|&(begin, line)| (characters(&self.bytes[from..begin]), line.place(0)));
                let carried = carried.collect();
                words.push(Word { carried, ..word(&self.bytes[from..to], line.place(from - begin)) });
            }
            at = to;
        }
        words
    }
}
