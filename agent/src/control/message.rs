//! Heartbeat's messages as programs write them to the FIFO (`ha_clustermsg`). No IO here.
//!
//! ```text
//!   >>>
//!   t=ask_resources
//!   rsc_hold=all
//!   info=me
//!   <<<
//! ```
//!
//! Any program may write anything there: what is no message is passed over, up to the next `>>>`.

/// Longest line, without its line feed (Heartbeat's own bound).
const LINE_BYTES_MAX: usize = 510;

/// Most fields of a message. Heartbeat's own have at most a dozen.
const FIELDS_MAX: usize = 64;

/// The field that says what kind of message it is.
const TYPE: &str = "t";

/// A message: names and values, each name once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    fields: Vec<(String, String)>,
}

impl Message {
    /// The value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What kind of message it is.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.field(TYPE).unwrap_or_default()
    }

    /// The lines of its fields: how it goes to other nodes.
    #[must_use]
    pub fn to_lines(&self) -> String {
        self.fields.iter().fold(String::new(), |lines, (name, value)| lines + name + "=" + value + "\n")
    }

    /// From such lines, by the rules of the FIFO and nothing beside.
    #[must_use]
    pub fn from_lines(lines: &[u8]) -> Option<Self> {
        let mut found = Messages::default().push(&[b">>>\n", lines, b"<<<\n"].concat());
        // What holds a `<<<` of its own, or a name twice, was not written by [`Self::to_lines`].
        found.pop().filter(|message| found.is_empty() && message.to_lines().as_bytes() == lines)
    }

    /// All fields.
    #[must_use]
    pub fn fields(&self) -> &[(String, String)] {
        &self.fields
    }
}

/// Cuts a stream of bytes into messages.
#[derive(Debug, Default)]
pub struct Messages {
    line: Vec<u8>,
    /// The line became too long: what comes up to its end belongs to nothing.
    is_overlong: bool,
    /// The fields since `>>>`; none outside of a message, and after a line that is none.
    fields: Option<Vec<(String, String)>>,
    /// Messages that were begun and are none.
    broken: u64,
}

impl Messages {
    /// Takes what came; the messages that it completes.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Message> {
        let mut complete = Vec::new();
        for &byte in bytes {
            if byte == b'\n' {
                complete.extend(self.end_line());
            } else if self.line.len() == LINE_BYTES_MAX {
                self.is_overlong = true;
            } else {
                self.line.push(byte);
            }
        }
        complete
    }

    /// How many messages were begun and turned out to be none.
    #[must_use]
    pub fn broken(&self) -> u64 {
        self.broken
    }

    fn end_line(&mut self) -> Option<Message> {
        let line = std::mem::take(&mut self.line);
        let is_overlong = std::mem::take(&mut self.is_overlong);
        match line.as_slice() {
            b">>>" if !is_overlong => {
                // One that has no end is none.
                self.broken += u64::from(self.fields.is_some());
                self.fields = Some(Vec::new());
                None
            }
            b"<<<" if !is_overlong => {
                let fields = self.fields.take()?;
                let message = Message { fields };
                let is_one = !message.kind().is_empty();
                self.broken += u64::from(!is_one);
                is_one.then_some(message)
            }
            line => {
                let fields = self.fields.as_mut()?;
                match field(line).filter(|_| !is_overlong && fields.len() < FIELDS_MAX) {
                    Some((name, value)) => {
                        fields.retain(|(known, _)| *known != name);
                        fields.push((name, value));
                    }
                    None => {
                        self.fields = None;
                        self.broken += 1;
                    }
                }
                None
            }
        }
    }
}

/// A line `name=value`. The value becomes a word of the environment and of the log, so it holds no control characters.
fn field(line: &[u8]) -> Option<(String, String)> {
    let (name, value) = std::str::from_utf8(line).ok()?.split_once('=')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (is_name && !value.chars().any(char::is_control)).then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STANDBY: &str = ">>>\nt=ask_resources\nrsc_hold=all\ninfo=me\n<<<\n";

    fn kinds(bytes: &[u8]) -> Vec<String> {
        Messages::default().push(bytes).iter().map(|message| message.kind().to_owned()).collect()
    }

    #[test]
    fn a_message_comes_in_pieces_of_any_size() {
        for size in 1..STANDBY.len() {
            let mut messages = Messages::default();
            let mut got = Vec::new();
            for piece in STANDBY.as_bytes().chunks(size) {
                got.extend(messages.push(piece));
            }
            assert_eq!(got.len(), 1, "pieces of {size}");
            assert_eq!((got[0].kind(), got[0].field("rsc_hold")), ("ask_resources", Some("all")));
            assert_eq!((got[0].field("nothing"), messages.broken()), (None, 0));
        }
    }

    #[test]
    fn what_is_no_message_is_passed_over_and_the_next_one_is_heard() {
        let long = "x".repeat(LINE_BYTES_MAX + 1);
        let many =
            "a=b\n".repeat(FIELDS_MAX) + &(0..=FIELDS_MAX).map(|n| format!("a{n}=b\n")).collect::<String>();
        for broken in [
            "t=status\n<<<\n".to_owned(),
            ">>>\n<<<\n".to_owned(),
            ">>>\nt=\n<<<\n".to_owned(),
            ">>>\nno field\nt=x\n<<<\n".to_owned(),
            ">>>\nt=x\n(1)binary=AAAA\n<<<\n".to_owned(),
            ">>>\nt=x\u{1b}[2J\n<<<\n".to_owned(),
            ">>>\nt=x\0y\n<<<\n".to_owned(),
            format!(">>>\nt={long}\n<<<\n"),
            format!(">>>{long}\nt=x\n<<<\n"),
            format!(">>>\nt=x\n{many}<<<\n"),
            ">>>\nt=x\n".to_owned(),
        ] {
            assert_eq!(kinds(format!("{broken}{STANDBY}").as_bytes()), ["ask_resources"], "{broken:?}");
        }
        assert_eq!(kinds(b">>>\nt=\xff\n<<<\n>>>\nt=ok\n<<<\n"), ["ok"]);
    }

    #[test]
    fn the_last_value_of_a_name_counts() {
        let got = Messages::default().push(b">>>\nt=a\nt=b\nx=1\nx=\n<<<\n");
        assert_eq!(got[0].fields(), [("t".to_owned(), "b".to_owned()), ("x".to_owned(), String::new())]);
    }

    #[test]
    fn only_the_lines_of_one_message_are_one() {
        let message = &Messages::default().push(STANDBY.as_bytes())[0];
        assert_eq!(message.to_lines(), "t=ask_resources\nrsc_hold=all\ninfo=me\n");
        assert_eq!(Message::from_lines(message.to_lines().as_bytes()).as_ref(), Some(message));
        let many = (0..=FIELDS_MAX).map(|n| format!("a{n}=b\n")).collect::<String>();
        for lines in [
            "",
            "info=me\n",
            "t=x",
            "t=x\nt=y\n",
            "t=x\n<<<\n",
            "t=x\n<<<\n>>>\nt=y\n",
            ">>>\nt=x\n",
            "t=x\n\n",
            "t=x\na=\u{7}\n",
            "t=x\n../a=b\n",
            &format!("t=x\na={}\n", "x".repeat(LINE_BYTES_MAX)),
            &format!("t=x\n{many}"),
        ] {
            assert_eq!(Message::from_lines(lines.as_bytes()), None, "{lines:?}");
        }
        assert_eq!(Message::from_lines(b"t=\xff\n"), None);
    }

    proptest! {
        #[test]
        fn what_comes_by_the_fifo_goes_to_other_nodes_and_back(bytes in "(>>>\n|<<<\n|t=[a-z]*\n|[a-z]=[^\\PC\n]*\n|.){0,40}") {
            for message in Messages::default().push(bytes.as_bytes()) {
                prop_assert_eq!(Message::from_lines(message.to_lines().as_bytes()), Some(message));
            }
        }

        #[test]
        fn no_bytes_are_too_much(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..700), 0..8)) {
            let mut messages = Messages::default();
            for piece in &pieces {
                for message in messages.push(piece) {
                    prop_assert!(!message.kind().is_empty() && message.fields().len() <= FIELDS_MAX);
                }
                prop_assert!(messages.line.len() <= LINE_BYTES_MAX);
            }
        }
    }
}
