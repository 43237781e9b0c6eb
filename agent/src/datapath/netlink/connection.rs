//! The thread that speaks to the kernel.
//!
//! The kernel carries a request out while it is being sent, and one lock serves the network configuration of the whole
//! machine: whoever makes interfaces in another namespace, a container host for one, makes everybody wait, sometimes
//! for a second. The decision loop must not wait with them, or its lease runs out in the middle of a takeover.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use rtnetlink::Handle;
use tokio::sync::oneshot;

use crate::sys::schedule;

/// The connection, and the thread that serves it, if it has one: that ends when this is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    closed: Arc<AtomicBool>,
    end: Option<oneshot::Sender<()>>,
}

impl Connection {
    /// Opens a connection in the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<(Self, Handle)> {
        let closed = Arc::new(AtomicBool::new(false));
        let (end, ended) = oneshot::channel();
        let (opened, open) = mpsc::channel();
        let flag = Arc::clone(&closed);
        std::thread::Builder::new()
            .name("xbeat-netlink".into())
            .spawn(move || serve(&opened, ended, &flag))?;
        let handle = open.recv().map_err(io::Error::other)??;
        Ok((Self { closed, end: Some(end) }, handle))
    }

    /// Opens a connection that the calling thread's runtime serves, for as long as that lives.
    pub(super) fn here() -> io::Result<(Self, Handle)> {
        let (connection, handle, _unsolicited) = rtnetlink::new_connection()?;
        let closed = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&closed);
        tokio::task::spawn_local(async move {
            let mut connection = pin!(connection);
            connection.as_mut().await;
            // Before the connection is dropped: a request that gets no answer must find that said.
            flag.store(true, Ordering::Release);
        });
        Ok((Self { closed, end: None }, handle))
    }

    /// Whether requests are no longer carried out.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn end(&mut self) {
        if let Some(end) = self.end.take() {
            // It may have ended by itself.
            let _ = end.send(());
        }
    }

    /// Breaks the connection.
    #[cfg(test)]
    pub(super) fn close(&mut self) {
        self.end();
        while !self.is_closed() {
            std::thread::yield_now();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end();
    }
}

fn serve(opened: &mpsc::Sender<io::Result<Handle>>, ended: oneshot::Receiver<()>, closed: &AtomicBool) {
    // A takeover waits for it; where that is refused it is as fast as everything else.
    let _ = schedule::fifo();
    let served = tokio::runtime::Builder::new_current_thread().enable_io().build().and_then(|runtime| {
        runtime.block_on(async {
            let (connection, handle, _unsolicited) = rtnetlink::new_connection()?;
            // The one who asked is waiting.
            let _ = opened.send(Ok(handle));
            let mut connection = pin!(connection);
            tokio::select! {
                () = &mut connection => {}
                _ = ended => {}
            }
            // Before the connection is dropped: a request that gets no answer must find that said.
            closed.store(true, Ordering::Release);
            Ok(())
        })
    });
    if let Err(error) = served {
        let _ = opened.send(Err(error));
    }
}
