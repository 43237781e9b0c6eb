//! The FIFO: where Heartbeat's helpers, and scripts of old, drop messages for the daemon. Root alone may write to it, and nobody
//! gets an answer.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::{OpenOptions, Receiver};
use tokio::sync::mpsc;

use super::message::{Message, Messages};

/// Its name in the state directory. Heartbeat's is `/var/lib/heartbeat/fifo`: a package makes that a link.
const NAME: &str = "fifo";

/// Messages that wait for the agent; more are lost, and said to be.
const WAITING_MAX: usize = 64;

/// After each read of at most a page, so that who writes for ever takes no processor from decisions: 4 MB/s.
const PAUSE: Duration = Duration::from_millis(1);

/// The open FIFO. Dropping it removes it.
#[derive(Debug)]
pub struct Fifo {
    path: PathBuf,
    messages: mpsc::Receiver<Message>,
    reader: tokio::task::JoinHandle<()>,
}

impl Fifo {
    /// Makes the FIFO of that state directory and reads it in a task of its own. Must be called within a runtime.
    ///
    /// # Errors
    /// When something else is in its place, or the system refuses.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let path = state_dir.join(NAME);
        match fs::symlink_metadata(&path) {
            // An earlier agent's, with whatever mode it has by now.
            Ok(found) if found.file_type().is_fifo() => fs::remove_file(&path)?,
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is a file, which is no FIFO",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
        // Open for writing too: then it has no end when a writer closes it.
        let pipe = OpenOptions::new().read_write(true).open_receiver(&path)?;
        let (found, messages) = mpsc::channel(WAITING_MAX);
        let reader = tokio::spawn(read(pipe, found));
        Ok(Self { path, messages, reader })
    }

    /// The next message.
    pub async fn next(&mut self) -> Option<Message> {
        self.messages.recv().await
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        self.reader.abort();
        // A planned restart: the next agent's is in its place.
        let _ = fs::remove_file(&self.path);
    }
}

async fn read(mut pipe: Receiver, found: mpsc::Sender<Message>) {
    let mut buffer = [0; 4096];
    let (mut messages, mut told) = (Messages::default(), 0);
    // An error means what the end means: nothing more will come.
    while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
        for message in messages.push(&buffer[..length]) {
            if found.try_send(message).is_err() {
                tracing::warn!("the FIFO: a message is lost, {WAITING_MAX} others wait");
            }
        }
        // Once for each power of two: whoever writes rubbish writes much of it.
        let broken = messages.broken();
        if broken > told && (told == 0 || broken >= 2 * told) {
            told = broken;
            tracing::warn!(
                "the FIFO: {broken} messages that are none: expected >>>, lines NAME=VALUE with t=TYPE, <<<"
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn programs_write_and_close_and_write_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut fifo = Fifo::open(dir.path()).unwrap();
        let path = dir.path().join(NAME);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for kind in ["one", "two"] {
            let mut writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
            writer.write_all(b"\xff\0rubbish <<<\n").unwrap();
            writer.write_all(format!(">>>\nt={kind}\n<<<\n").as_bytes()).unwrap();
            drop(writer);
            assert_eq!(fifo.next().await.unwrap().kind(), kind);
        }
        drop(fifo);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_a_dead_agent_left_is_replaced_and_what_is_no_fifo_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        mkfifo(&path, Mode::from_bits_truncate(0o666)).unwrap();
        drop(Fifo::open(dir.path()).unwrap());
        fs::write(&path, "precious").unwrap();
        assert!(Fifo::open(dir.path()).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
