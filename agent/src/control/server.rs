//! The agent's half: the lock, the socket, and the thread that serves it.
//!
//! Promises: one agent per run directory; at most 16 connections, each bounded in bytes and time; no
//! byte from a client can panic or block anything but its own connection. May not touch: the state of the cluster.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::protocol::{Command, Reply};
use super::{connect, lock_path, socket_path};

mod connection;

/// Connections served at once; an operator, a monitor and a few commands under way need fewer.
pub(super) const CONNECTIONS_MAX: usize = 16;
/// Requests waiting for the decision loop: one of each connection.
const REQUESTS_MAX: usize = CONNECTIONS_MAX;
/// How long a starting agent waits for one that is just leaving.
const LOCK_WAIT: Duration = Duration::from_secs(1);
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// A command that waits for its answer. Dropping it answers "the agent is ending".
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub command: Command,
    /// Where the answer goes, once it is known. Closed when the client has gone; the command stands all the same.
    pub reply: oneshot::Sender<Reply>,
}

/// Why the control socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another agent holds the directory.
    #[error("another agent runs in this directory: {}{}; stop it first, or give this one its own --run-dir",
        dir.display(), owner.as_ref().map_or_else(String::new, |pid| format!(" (process {pid})")))]
    Busy {
        /// The run directory.
        dir: PathBuf,
        /// The other agent's process id, if it left one.
        owner: Option<u32>,
    },
    /// A file could not be made.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ServeError {
    fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { what, path: path.to_owned(), source }
    }
}

/// The running server. Dropping it removes the socket, lets answers already given go out, and frees the directory:
/// drop it last, for then `xbeat stop` returns.
#[derive(Debug)]
pub struct Server {
    /// Commands from clients, in the order of their arrival. Receive from it in whatever runtime the driver has.
    pub requests: mpsc::Receiver<Request>,
    socket: PathBuf,
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Held until the end.
    _lock: File,
}

/// Makes `run_dir`, takes its lock, and serves its control socket from a thread of its own. The thread inherits the
/// caller's scheduling: call this before asking for real-time.
///
/// # Errors
/// [`ServeError::Busy`] when another agent runs there; [`ServeError::File`] when the directory, the lock or the
/// socket cannot be made.
pub fn serve(run_dir: &Path) -> Result<Server, ServeError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(run_dir)
        .map_err(ServeError::file("make the run directory", run_dir))?;
    let lock = take_lock(run_dir)?;
    let socket = socket_path(run_dir);
    let listener = listen(run_dir, &socket)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(ServeError::file("make an event loop for", &socket))?;
    let (sender, requests) = mpsc::channel(REQUESTS_MAX);
    let (stop, stopped) = watch::channel(());
    let thread = thread::Builder::new()
        .name("xbeat-control".to_owned())
        .spawn(move || runtime.block_on(connection::accept(listener, sender, stopped)))
        .map_err(ServeError::file("start a thread for", &socket))?;
    Ok(Server { requests, socket, stop: Some(stop), thread: Some(thread), _lock: lock })
}

impl Drop for Server {
    fn drop(&mut self) {
        // The directory is still locked, so this socket is ours.
        if let Err(error) = fs::remove_file(&self.socket) {
            tracing::debug!(path = %self.socket.display(), %error, "control socket was gone already");
        }
        self.requests.close();
        while self.requests.try_recv().is_ok() {}
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the control thread panicked");
        }
    }
}

/// The lock of `run_dir`, with our process id in it.
fn take_lock(run_dir: &Path) -> Result<File, ServeError> {
    let path = lock_path(run_dir);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(ServeError::file("open", &path))?;
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(LOCK_RETRY),
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // Only for the message; a lock without a readable id is as good as one with it.
                let owner = file.read_to_string(&mut owner).ok().and_then(|_| owner.trim().parse().ok());
                return Err(ServeError::Busy { dir: run_dir.to_owned(), owner });
            }
            Err(TryLockError::Error(source)) => {
                return Err(ServeError::File { what: "lock", path, source });
            }
        }
    }
    let written =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(ServeError::file("write", &path))?;
    Ok(file)
}

/// The socket, mode 0600 from its first moment. The lock is ours, so a socket that is there belongs to a dead agent,
/// unless somebody deleted the lock of a living one: that is found by connecting.
fn listen(run_dir: &Path, path: &Path) -> Result<UnixListener, ServeError> {
    match connect(path, LOCK_WAIT) {
        // A queue that stays full belongs to a living agent too.
        Ok(_) => return Err(ServeError::Busy { dir: run_dir.to_owned(), owner: None }),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(ServeError::Busy { dir: run_dir.to_owned(), owner: None });
        }
        Err(_) => {}
    }
    match fs::remove_file(path) {
        Ok(()) => tracing::info!(path = %path.display(), "removed the control socket of a dead agent"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(ServeError::File { what: "replace", path: path.to_owned(), source }),
    }
    bind(path).map_err(ServeError::file("listen on", path))
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    use socket2::{Domain, SockAddr, Socket, Type};

    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // bind() gives the file the socket's own mode, less the umask; a chmod afterwards would leave a gap.
    nix::sys::stat::fchmod(&socket, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let backlog = i32::try_from(CONNECTIONS_MAX).unwrap_or(i32::MAX);
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(UnixListener::from(socket))
}
