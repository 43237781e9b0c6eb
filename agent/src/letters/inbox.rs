//! What is received: pieces of each node, put together.

use super::{MESSAGE_MAX, Numbered};

/// The messages that are not whole yet, one per node at most.
#[derive(Debug)]
pub struct Inbox {
    sources: Vec<Source>,
}

/// A message of which not all has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incomplete;

#[derive(Debug, Default)]
struct Source {
    /// The life that the rest is of.
    life: u64,
    /// Number of its last piece.
    last: u64,
    /// What has come of the message that is under way; none between two, and after one that is incomplete.
    text: Option<Vec<u8>>,
}

impl Inbox {
    /// For a cluster of so many nodes.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self { sources: std::iter::repeat_with(Source::default).take(nodes).collect() }
    }

    /// Takes a piece of that life of a node; the lines of the message that it ends. What comes twice counts once.
    ///
    /// # Errors
    /// At the end of a message that misses a piece, or is too long: nothing of it is left.
    pub fn take(
        &mut self,
        source: u8,
        life: u64,
        (number, piece): Numbered<'_>,
    ) -> Result<Option<Vec<u8>>, Incomplete> {
        let Some(source) = self.sources.get_mut(usize::from(source)) else { return Ok(None) };
        if source.life != life {
            *source = Source { life, ..Source::default() };
        }
        if number <= source.last {
            return Ok(None);
        }
        let follows = number == source.last + 1;
        source.last = number;
        let before = source.text.take();
        // Told once, at its end.
        let incomplete = if piece.last { Err(Incomplete) } else { Ok(None) };
        let mut text = match before {
            _ if piece.first => Vec::new(),
            Some(text) if follows => text,
            Some(_) | None => return incomplete,
        };
        if text.len() + piece.text.len() > MESSAGE_MAX {
            return incomplete;
        }
        text.extend_from_slice(piece.text);
        if piece.last {
            return Ok(Some(text));
        }
        source.text = Some(text);
        Ok(None)
    }
}
