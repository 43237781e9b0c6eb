//! Addresses ahead of the election.
//!
//! When the kernel opens a gate, the group's leading addresses are certain to be wanted: the election can only agree. So they are
//! put on their interfaces while it still does so, and the group's task finds it done. What it does not fetch, because the gate was
//! shut again at once, is taken off.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::task::JoinHandle;

use super::Vips;

/// What was begun for an address.
#[derive(Debug)]
pub(super) struct Ahead {
    /// Ends with whether the address is on its interface.
    task: JoinHandle<bool>,
    /// It is put there, or taken off.
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Adding,
    Removing,
}

/// So many at a time at most, of all groups. The answers to requests that are sent without waiting lie in one socket's buffer;
/// what does not fit is lost for good.
const AHEAD_MAX: usize = 32;

impl Vips {
    /// The gate of that group has opened: its leading addresses are put on their interfaces, beside the caller.
    pub fn hurry(&self, group: u32) {
        let wanted: Vec<usize> = {
            let entries = self.inner.entries.borrow();
            let left = AHEAD_MAX.saturating_sub(entries.iter().filter(|entry| entry.ahead.is_some()).count());
            let all = entries.iter().enumerate();
            let wanted = all.filter(|(_, entry)| {
                entry.group == group && entry.leading && !entry.held && entry.ahead.is_none()
            });
            wanted.map(|(vip, _)| vip).take(left).collect()
        };
        if !self.inner.gates.is_open(group) {
            return;
        }
        for vip in wanted {
            let vips = self.clone();
            let add = async move {
                let added = vips.inner.add(vip).await;
                // Who is responsible tries again, and says so.
                added.is_ok()
            };
            self.inner.entries.borrow_mut()[vip].ahead = Some(begin(What::Adding, add));
        }
    }

    /// Waits for what was begun for an address; whether it is there now.
    pub(super) async fn is_ahead(&self, vip: usize) -> bool {
        let ahead = self.inner.entries.borrow_mut()[vip].ahead.take();
        match ahead {
            Some(ahead) => ahead.task.await.unwrap_or(false),
            None => false,
        }
    }

    /// Takes off what was begun and is not wanted any more: the gate was shut before anybody fetched it.
    pub fn settle(&self) {
        let len = self.inner.entries.borrow().len();
        for vip in 0..len {
            let unwanted = {
                let mut entries = self.inner.entries.borrow_mut();
                let entry = &mut entries[vip];
                let over = entry.ahead.take_if(|ahead| {
                    ahead.task.is_finished()
                        && (ahead.what == What::Removing || !self.inner.gates.is_open(entry.group))
                });
                over.is_some_and(|ahead| ahead.what == What::Adding)
            };
            if unwanted {
                let vips = self.clone();
                let remove = async move {
                    let placed = vips.placed(vip);
                    if let Err(error) = vips.inner.netlink.delete_address(&placed).await {
                        tracing::error!("{error}");
                    }
                    false
                };
                self.inner.entries.borrow_mut()[vip].ahead = Some(begin(What::Removing, remove));
            }
        }
    }
}

/// Starts `work` at once, up to where it waits, and goes on with it beside the caller.
fn begin(what: What, work: impl Future<Output = bool> + 'static) -> Ahead {
    let mut work: Pin<Box<dyn Future<Output = bool>>> = Box::pin(work);
    // Whoever would be woken by this look is not there; the task looks again, and then waits in earnest.
    let task = match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => tokio::task::spawn_local(async move { done }),
        Poll::Pending => tokio::task::spawn_local(work),
    };
    Ahead { task, what }
}

#[cfg(test)]
mod tests;
