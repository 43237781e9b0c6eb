//! Recordings for `xbeat replay`: bug reports, so they come from anywhere.

use xbeat::record::{Error, replay};

/// Replays them.
pub fn check(bytes: &[u8]) {
    let mut shown = Vec::new();
    match replay(bytes, &mut shown) {
        Ok(()) => {}
        Err(Error::Line { line, column, wrong }) => {
            let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
            let length = lines.get(line - 1).expect("the line is in the file").len();
            assert!(column.is_none_or(|column| (1..=length + 1).contains(&column)), "column {column:?}");
            assert!(!wrong.found.is_empty() && !wrong.expected.is_empty(), "{wrong:?}");
            assert!(!wrong.to_string().contains(|c: char| c.is_control()), "{wrong}");
        }
        Err(Error::Io(error)) => panic!("memory cannot be read: {error}"),
    }
    assert!(std::str::from_utf8(&shown).is_ok());
}
