//! What the kernel takes its time to close, closed beside the loop.
//!
//! A packet socket is only gone when every processor has let go of it: `close(2)` waits for that (`synchronize_net`), on a busy
//! machine for hundreds of milliseconds. The decision loop must not wait with it: its lease is shorter.

use std::ops::Deref;

use tokio::runtime::Handle;

/// Something that is dropped on another thread.
#[derive(Debug)]
pub(super) struct Beside<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Beside<T> {
    pub(super) fn new(inner: T) -> Self {
        Self(Some(inner))
    }
}

impl<T: Send + 'static> Deref for Beside<T> {
    type Target = T;

    fn deref(&self) -> &T {
        let Some(inner) = &self.0 else { unreachable!("only a drop takes it out") };
        inner
    }
}

impl<T: Send + 'static> Drop for Beside<T> {
    fn drop(&mut self) {
        // Without a runtime there is no loop that could wait.
        if let (Some(inner), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(inner));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::thread::{ThreadId, current};

    use super::*;

    /// Tells which thread has dropped it.
    struct Teller(Sender<ThreadId>);

    impl Drop for Teller {
        fn drop(&mut self) {
            let _ = self.0.send(current().id());
        }
    }

    #[tokio::test]
    async fn it_is_dropped_on_another_thread() {
        let (sender, receiver) = channel();
        drop(Beside::new(Teller(sender)));
        assert_ne!(receiver.recv().unwrap(), current().id());
    }

    #[test]
    fn without_a_runtime_it_is_dropped_here() {
        let (sender, receiver) = channel();
        drop(Beside::new(Teller(sender)));
        assert_eq!(receiver.recv().unwrap(), current().id());
    }
}
