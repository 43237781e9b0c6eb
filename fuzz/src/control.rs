//! The control socket: what the agent makes of a client's bytes, and a client of an agent's.

use xbeat::control::{Command, REQUEST_BYTES_MAX, Reply, RequestLines, TooLong, encode};
use xbeat::status::{Style, render};

/// Takes the first byte as the size of the pieces that the rest comes in, as a request, then the rest as a reply.
pub fn check(bytes: &[u8]) {
    let Some((size, bytes)) = bytes.split_first() else { return };
    let pieces = request_lines(bytes.chunks(usize::from(*size).max(1)));
    let whole = request_lines(std::iter::once(bytes));
    assert_eq!(pieces, whole, "a request depends on the pieces that it comes in");
    for line in whole.unwrap_or_default() {
        request(&line);
    }
    reply(bytes);
}

/// The lines that the agent finds, as its connection reads them.
fn request_lines<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Vec<u8>>, TooLong> {
    let (mut lines, mut found) = (RequestLines::default(), Vec::new());
    for piece in pieces {
        lines.push(piece);
        while let Some(line) = lines.next_line()? {
            assert!(line.len() < REQUEST_BYTES_MAX && !line.contains(&b'\n'));
            found.push(line);
        }
    }
    found.extend(lines.rest());
    assert!(lines.is_empty());
    Ok(found)
}

fn request(line: &[u8]) {
    match Command::decode(line) {
        Ok(command) => {
            let again = encode(&command).expect("a command is JSON");
            assert_eq!(Command::decode(&again), Ok(command));
        }
        Err(reason) => {
            // It goes back as one line.
            let answer = encode(&Reply::refused(reason.clone())).expect("a reply is JSON");
            assert_eq!(answer.iter().position(|byte| *byte == b'\n'), Some(answer.len() - 1));
            assert_eq!(Reply::decode(&answer), Ok(Reply::refused(reason)));
        }
    }
}

/// A client shows what it is told, also when an agent of another version tells it.
fn reply(bytes: &[u8]) {
    let Ok(reply) = Reply::decode(bytes) else { return };
    if let Some(status) = &reply.status {
        let page = render(status, Style::Plain);
        assert!(!page.contains(|c: char| c.is_control() && c != '\n'), "it moves the cursor: {page:?}");
        assert!(render(status, Style::Colour).len() >= page.len());
    }
    let again = encode(&reply).expect("a reply is JSON");
    assert_eq!(Reply::decode(&again), Ok(reply));
}
