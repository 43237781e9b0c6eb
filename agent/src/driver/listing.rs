//! Lists the interfaces again whenever something about them changed: notices tell that, the list tells what is.

use std::rc::Rc;

use tokio::sync::{Notify, mpsc};

use crate::datapath::netlink::{Interface, Netlink};

/// A task that lists.
pub(super) struct Listing {
    wanted: Rc<Notify>,
}

impl Listing {
    /// Starts it; the lists come out of the queue.
    pub(super) fn start(netlink: Rc<Netlink>) -> (Self, mpsc::UnboundedReceiver<Vec<Interface>>) {
        let wanted = Rc::new(Notify::new());
        let (lists, queue) = mpsc::unbounded_channel();
        let theirs = Rc::clone(&wanted);
        tokio::task::spawn_local(async move {
            loop {
                theirs.notified().await;
                match netlink.interfaces().await {
                    Ok(list) => {
                        if lists.send(list).is_err() {
                            return;
                        }
                    }
                    Err(error) => tracing::warn!("{error}: changed addresses are not seen"),
                }
            }
        });
        (Self { wanted }, queue)
    }

    /// Wants a new list. What is wanted while one is being made is one more.
    pub(super) fn again(&self) {
        self.wanted.notify_one();
    }
}
