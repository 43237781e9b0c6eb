//! The control socket: how `xbeat status`, `standby`, `takeover` and `stop` reach a running agent.
//!
//! A Unix stream socket, `control` in the run directory, mode 0600, carries one JSON object per line: a [`Command`]
//! from the client, a [`Reply`] from the agent, in turns. A command is answered when it is done, not when it is
//! understood. The [`Server`] runs in a thread of its own, so that neither a slow client nor hostile bytes cost the
//! decision loop anything: that sees complete [`Request`]s in a bounded channel, and answers with a structure.
//!
//! ```text
//! client                       thread xbeat-control                       decision loop
//!   |-- {"command":"status"} -->|-- Request { command, reply } (bounded) -->|
//!   |<-- {"ok":true,...} -------|<-- Reply (oneshot) -----------------------|
//! ```
//!
//! Beside it stands Heartbeat's FIFO, for programs that know nothing of the socket: [`Fifo`] cuts what they write into
//! [`Message`]s. Nobody gets an answer there.

pub mod client;
mod fifo;
mod message;
mod protocol;
mod server;
#[cfg(test)]
mod tests;

pub use fifo::Fifo;
pub use message::{Message, Messages};
pub use protocol::{Command, EmptySet, REQUEST_BYTES_MAX, Reply, RequestLines, ResourceSet, TooLong, encode};
pub use server::{Request, ServeError, Server, serve};

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The control socket of the agent that runs in `run_dir`.
#[must_use]
pub fn socket_path(run_dir: &Path) -> PathBuf {
    run_dir.join("control")
}

/// The file whose `flock` keeps a second agent out of `run_dir`; holds the agent's process id.
#[must_use]
pub fn lock_path(run_dir: &Path) -> PathBuf {
    run_dir.join("lock")
}

/// A connection to the socket at `path`. Where its queue stays full for `limit` the error is `WouldBlock`: plain
/// `UnixStream::connect` would wait for ever. Later writes have the same limit.
fn connect(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    use socket2::{Domain, SockAddr, Socket, Type};

    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Zero would mean no limit.
    socket.set_write_timeout(Some(limit.max(Duration::from_millis(1))))?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(UnixStream::from(socket))
}
