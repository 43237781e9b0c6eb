//! What the loop waits for.

use std::time::Duration;

use anyhow::{Context as _, Result};
use cluster::GroupId;
use reflex::Event;
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;

use super::runner::Done;
use crate::control::{Request, Server};
use crate::datapath::netlink;
use crate::datapath::xdp::Events;

/// What the loop waits for.
pub(super) struct Sources {
    pub(super) kernel: Option<Events>,
    pub(super) own: mpsc::Receiver<Event>,
    pub(super) done: mpsc::UnboundedReceiver<Done>,
    pub(super) asked: mpsc::UnboundedReceiver<(GroupId, bool)>,
    pub(super) server: Server,
    pub(super) netlink: mpsc::Receiver<netlink::Event>,
    pub(super) terminate: Signal,
    pub(super) interrupt: Signal,
    pub(super) hangup: Signal,
    pub(super) more: Signal,
    pub(super) less: Signal,
}

/// One thing that happened.
pub(super) enum Happening {
    Events(Vec<Event>),
    Done(Done),
    Asked(GroupId, bool),
    Request(Request),
    Netlink(netlink::Event),
    Terminate,
    Hangup,
    Debug(i8),
    Time,
}

impl Sources {
    /// Waits for the next thing, at most this long. Kernel events first: they are what the loop is fast for.
    pub(super) async fn next(&mut self, wait: Duration) -> Result<Happening> {
        let mut batch = Vec::new();
        let kernel = async {
            match &mut self.kernel {
                Some(events) => events.next(|event| batch.push(event)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            result = kernel => {
                result.context("waiting for the kernel's events")?;
            }
            Some(event) = self.own.recv() => return Ok(Happening::Events(vec![event])),
            Some(done) = self.done.recv() => return Ok(Happening::Done(done)),
            Some((group, answered)) = self.asked.recv() => return Ok(Happening::Asked(group, answered)),
            Some(event) = self.netlink.recv() => return Ok(Happening::Netlink(event)),
            Some(request) = self.server.requests.recv() => return Ok(Happening::Request(request)),
            _ = self.terminate.recv() => return Ok(Happening::Terminate),
            _ = self.interrupt.recv() => return Ok(Happening::Terminate),
            _ = self.hangup.recv() => return Ok(Happening::Hangup),
            _ = self.more.recv() => return Ok(Happening::Debug(1)),
            _ = self.less.recv() => return Ok(Happening::Debug(-1)),
            () = tokio::time::sleep(wait) => return Ok(Happening::Time),
        }
        Ok(Happening::Events(batch))
    }
}
