//! The operator's half: one command, one answer, over a blocking socket.

use std::io::{self, Read, Write};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::protocol::{Command, Reply, encode};
use super::{connect, socket_path};

/// An answer may be this long: a status of 100 nodes over 4 links with full histograms stays below 2 MiB.
const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How often a client that waits hears that it still waits.
const TICK: Duration = Duration::from_secs(1);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No agent serves this directory.
    #[error("the agent is not running: nobody listens on {}", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// The socket is not ours to use.
    #[error("{} may only be used by the agent's user: try as root", path.display())]
    Denied {
        /// The socket.
        path: PathBuf,
    },
    /// The agent did not answer in time. It may still do what was asked.
    #[error("no answer within {} s: the agent may still be at it, see `xbeat status`", after.as_secs_f32())]
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// The agent closed the connection without an answer.
    #[error("the agent ended before it answered")]
    Lost,
    /// The answer makes no sense: another program, or another version.
    #[error("the answer on {} is not xbeat's: {reason}", path.display())]
    Garbled {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refused something else.
    #[error("cannot talk to the agent on {}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Sends `command` to the agent in `run_dir` and waits for the answer, at most for `limit`. `waiting` is called once
/// a second meanwhile, with the time waited so far. [`Command::Stop`] returns when the agent has freed the directory.
///
/// # Errors
/// When there is no answer; an answer that says no is an `Ok`.
pub fn call(
    run_dir: &Path,
    command: &Command,
    limit: Duration,
    waiting: &mut dyn FnMut(Duration),
) -> Result<Reply, ClientError> {
    let mut call = Call { path: socket_path(run_dir), since: Instant::now(), limit };
    let mut stream = call.connect()?;
    let line = encode(command)
        .map_err(|error| ClientError::Garbled { path: call.path.clone(), reason: error.to_string() })?;
    // An agent that turns us away may have closed already; its reason is still there to be read.
    match stream.write_all(&line) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(call.failed(error)),
        Ok(()) | Err(_) => {}
    }
    let mut bytes = Vec::new();
    while !bytes.contains(&b'\n') {
        if !call.read(&mut stream, &mut bytes, waiting)? {
            return Err(ClientError::Lost);
        }
    }
    let reply =
        Reply::decode(&bytes).map_err(|reason| ClientError::Garbled { path: call.path.clone(), reason })?;
    if matches!(command, Command::Stop { .. }) && reply.ok {
        while call.read(&mut stream, &mut bytes, waiting)? {}
    }
    Ok(reply)
}

/// The process that serves `run_dir`; none if there is none. Says nothing of how it does.
#[must_use]
pub fn agent(run_dir: &Path) -> Option<i32> {
    let stream = UnixStream::connect(socket_path(run_dir)).ok()?;
    getsockopt(&stream.as_fd(), PeerCredentials).ok().map(|credentials| credentials.pid())
}

struct Call {
    path: PathBuf,
    since: Instant,
    limit: Duration,
}

impl Call {
    fn connect(&self) -> Result<UnixStream, ClientError> {
        connect(&self.path, self.limit).map_err(|source| {
            let path = self.path.clone();
            match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    ClientError::NotRunning { path }
                }
                io::ErrorKind::PermissionDenied => ClientError::Denied { path },
                io::ErrorKind::WouldBlock => ClientError::TimedOut { after: self.limit },
                _ => ClientError::Io { path, source },
            }
        })
    }

    /// Reads some more; false at the end of the stream.
    fn read(
        &mut self,
        stream: &mut UnixStream,
        bytes: &mut Vec<u8>,
        waiting: &mut dyn FnMut(Duration),
    ) -> Result<bool, ClientError> {
        loop {
            let left = self.limit.saturating_sub(self.since.elapsed());
            if left.is_zero() {
                return Err(ClientError::TimedOut { after: self.limit });
            }
            stream.set_read_timeout(Some(left.min(TICK))).map_err(|error| self.failed(error))?;
            let mut chunk = [0; 16 * 1024];
            match stream.read(&mut chunk) {
                Ok(0) => return Ok(false),
                Ok(count) if bytes.len() + count > REPLY_BYTES_MAX => {
                    let reason = format!("longer than {REPLY_BYTES_MAX} bytes");
                    return Err(ClientError::Garbled { path: self.path.clone(), reason });
                }
                Ok(count) => {
                    bytes.extend_from_slice(&chunk[..count]);
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => waiting(self.since.elapsed()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    fn failed(&self, source: io::Error) -> ClientError {
        ClientError::Io { path: self.path.clone(), source }
    }
}
