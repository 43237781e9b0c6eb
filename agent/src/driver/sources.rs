//! What the loop waits for.

use std::time::Duration;

use anyhow::{Context as _, Result};
use cluster::GroupId;
use reflex::{Event, Frame};
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;

use super::reload::Files;
use super::runner::Done;
use crate::control::{Fifo, Message, Request, Server};
use crate::datapath::netlink;
use crate::datapath::xdp::{Events, Letters};

/// What the loop waits for.
pub(super) struct Sources {
    pub(super) kernel: Option<Events>,
    pub(super) own: mpsc::Receiver<Event>,
    pub(super) letters: Option<Letters>,
    pub(super) own_letters: mpsc::Receiver<Frame>,
    pub(super) done: mpsc::UnboundedReceiver<Done>,
    pub(super) asked: mpsc::UnboundedReceiver<(GroupId, bool)>,
    pub(super) files: mpsc::UnboundedReceiver<Files>,
    pub(super) voices: mpsc::UnboundedReceiver<()>,
    pub(super) server: Server,
    /// None where it cannot be had.
    pub(super) fifo: Option<Fifo>,
    pub(super) netlink: mpsc::Receiver<netlink::Event>,
    pub(super) lists: mpsc::UnboundedReceiver<Vec<netlink::Interface>>,
    pub(super) terminate: Signal,
    pub(super) interrupt: Signal,
    pub(super) hangup: Signal,
    pub(super) restart: Signal,
    pub(super) more: Signal,
    pub(super) less: Signal,
}

/// One thing that happened.
pub(super) enum Happening {
    Events(Vec<Event>),
    Done(Done),
    Asked(GroupId, bool),
    Files(Files),
    Request(Request),
    Message(Message),
    Letters(Vec<Frame>),
    Netlink(netlink::Event),
    Interfaces(Vec<netlink::Interface>),
    Terminate,
    Restart,
    Hangup,
    Debug(i8),
    Time,
}

impl Happening {
    /// What it is, for people.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Events(_) => "kernel events",
            Self::Done(_) => "a resource operation",
            Self::Asked(..) => "an answer to ARP",
            Self::Files(_) => "new files",
            Self::Request(_) => "a command",
            Self::Netlink(_) => "a change of the network",
            Self::Interfaces(_) => "a list of the interfaces",
            Self::Terminate | Self::Restart | Self::Hangup | Self::Debug(_) => "a signal",
            Self::Message(_) => "a message by the FIFO",
            Self::Letters(_) => "letters of other nodes",
            Self::Time => "time",
        }
    }
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
        let mut letters = Vec::new();
        let post = async {
            match &mut self.letters {
                Some(kernel) => kernel.next(|letter| letters.push(letter)).await,
                None => std::future::pending().await,
            }
        };
        let message = async {
            match &mut self.fifo {
                Some(fifo) => fifo.next().await,
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
            Some(files) = self.files.recv() => return Ok(Happening::Files(files)),
            // Looked at in every turn.
            Some(()) = self.voices.recv() => return Ok(Happening::Time),
            Some(event) = self.netlink.recv() => return Ok(Happening::Netlink(event)),
            Some(list) = self.lists.recv() => return Ok(Happening::Interfaces(list)),
            Some(request) = self.server.requests.recv() => return Ok(Happening::Request(request)),
            Some(message) = message => return Ok(Happening::Message(message)),
            result = post => {
                result.context("waiting for letters")?;
                return Ok(Happening::Letters(letters));
            }
            Some(letter) = self.own_letters.recv() => return Ok(Happening::Letters(vec![letter])),
            _ = self.terminate.recv() => return Ok(Happening::Terminate),
            _ = self.interrupt.recv() => return Ok(Happening::Terminate),
            _ = self.restart.recv() => return Ok(Happening::Restart),
            _ = self.hangup.recv() => return Ok(Happening::Hangup),
            _ = self.more.recv() => return Ok(Happening::Debug(1)),
            _ = self.less.recv() => return Ok(Happening::Debug(-1)),
            () = tokio::time::sleep(wait) => return Ok(Happening::Time),
        }
        Ok(Happening::Events(batch))
    }
}
