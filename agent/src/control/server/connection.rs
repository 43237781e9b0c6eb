//! One client at a time: read a line, ask the decision loop, write its answer, again.
//!
//! Every wait here has an end: a time, the client's leaving, or the server's. A connection that is cut short leaves
//! nothing behind, for it owns no state but its buffer.

use std::os::unix::net::UnixListener as StdListener;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::super::protocol::{Command, REQUEST_BYTES_MAX, Reply, RequestLines, TooLong, encode};
use super::{CONNECTIONS_MAX, Request};

/// From the connection, or from the last answer, to a complete request.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
/// For a client to take its answer.
const REPLY_TIME_MAX: Duration = Duration::from_secs(10);
/// How often a waiting connection looks whether its client is still there.
const PRESENCE_INTERVAL: Duration = Duration::from_secs(1);
/// For the answers that are under way when the agent ends.
const LAST_WORDS_TIME_MAX: Duration = Duration::from_secs(1);

/// Serves until the sender of `stopped` is dropped.
pub(super) async fn accept(
    listener: StdListener,
    requests: mpsc::Sender<Request>,
    mut stopped: watch::Receiver<()>,
) {
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot serve the control socket"),
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                    connections.spawn(converse(stream, requests.clone(), stopped.clone()));
                }
                Ok((stream, _)) => turn_away(stream),
                Err(error) => {
                    // Out of descriptors, most likely: the queue stays, so pause instead of spinning.
                    tracing::warn!(%error, "cannot accept a control connection");
                    sleep(PRESENCE_INTERVAL).await;
                }
            },
            Some(_) = connections.join_next() => {}
            _ = stopped.changed() => break,
        }
    }
    drop(listener);
    drop(requests);
    let rest = async { while connections.join_next().await.is_some() {} };
    if timeout(LAST_WORDS_TIME_MAX, rest).await.is_err() {
        tracing::debug!("a control client did not take its answer");
    }
}

/// Tells a client that there is no room, without waiting for anything: a fresh socket takes one short line.
fn turn_away(stream: UnixStream) {
    let reply = Reply::refused(format!("the agent serves {CONNECTIONS_MAX} clients already; try again"));
    if let Ok(line) = encode(&reply)
        && let Err(error) = stream.try_write(&line)
    {
        tracing::debug!(%error, "could not turn a control client away in words");
    }
}

async fn converse(mut stream: UnixStream, requests: mpsc::Sender<Request>, mut stopped: watch::Receiver<()>) {
    let mut lines = RequestLines::default();
    loop {
        let line = tokio::select! {
            line = timeout(REQUEST_TIME_MAX, read_line(&mut stream, &mut lines)) => line,
            _ = stopped.changed() => return,
        };
        let (reply, last) = match line {
            Ok(Ok(line)) => match Command::decode(&line) {
                Ok(command) => {
                    let (sender, answer) = oneshot::channel();
                    let asked = ask(&requests, Request { command, reply: sender }, answer);
                    tokio::select! {
                        reply = asked => (reply, false),
                        () = gone(&stream) => return,
                    }
                }
                Err(reason) => (Reply::refused(reason), false),
            },
            Ok(Err(End::Gone)) => return,
            Ok(Err(End::TooLong)) => {
                (Reply::refused(format!("a request longer than {REQUEST_BYTES_MAX} bytes")), true)
            }
            Err(_) if lines.is_empty() => return,
            Err(_) => {
                let seconds = REQUEST_TIME_MAX.as_secs();
                (Reply::refused(format!("no complete request within {seconds} s")), true)
            }
        };
        if !answer(&mut stream, &reply).await || last {
            return;
        }
    }
}

/// Why there is no further request.
enum End {
    Gone,
    TooLong,
}

/// The next line. Dropping this loses nothing: what was read is in `lines`.
async fn read_line(stream: &mut UnixStream, lines: &mut RequestLines) -> Result<Vec<u8>, End> {
    loop {
        match lines.next_line() {
            Ok(Some(line)) => return Ok(line),
            Ok(None) => {}
            Err(TooLong) => return Err(End::TooLong),
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) => return lines.rest().ok_or(End::Gone),
            Err(_) => return Err(End::Gone),
            Ok(count) => lines.push(&chunk[..count]),
        }
    }
}

async fn ask(requests: &mpsc::Sender<Request>, request: Request, answer: oneshot::Receiver<Reply>) -> Reply {
    let ending = || Reply::refused("the agent is ending");
    if requests.send(request).await.is_err() {
        return ending();
    }
    answer.await.unwrap_or_else(|_| ending())
}

/// Returns when the client has closed its socket. One that has only closed its writing half still waits for its
/// answer, so end-of-file says nothing: the kernel's hang-up does.
async fn gone(stream: &UnixStream) {
    loop {
        sleep(PRESENCE_INTERVAL).await;
        match stream.ready(Interest::WRITABLE).await {
            Ok(ready) if !ready.is_write_closed() => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Writes `reply`; false when the client did not take it.
async fn answer(stream: &mut UnixStream, reply: &Reply) -> bool {
    let line = match encode(reply) {
        Ok(line) => line,
        Err(error) => {
            tracing::error!(%error, "a reply cannot be written as JSON");
            return false;
        }
    };
    matches!(timeout(REPLY_TIME_MAX, stream.write_all(&line)).await, Ok(Ok(())))
}
