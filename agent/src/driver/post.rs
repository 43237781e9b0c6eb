//! Messages of programs to and from the other nodes: what comes by the FIFO of one goes to `rc.d` of all.

use std::time::Duration;

use reflex::node::Said;
use reflex::{Facts, Frame, Orders, Status, letter};

use super::hooks::is_own;
use super::observe::is_heard;
use super::setup::nanos;
use super::turn::Driver;
use crate::control::Message;
use crate::letters::{
    Act, Inbox, Incomplete, MESSAGE_MAX, NodeView, Outbox, PATIENCE, Refused, WAITING_MAX, Why,
};
use crate::sys::clock;

/// What is under way, in both directions.
pub(super) struct Post {
    outbox: Outbox,
    inbox: Inbox,
}

impl Post {
    pub(super) fn new(nodes: usize, keepalive: Duration, orders: &Orders) -> Self {
        // An adopted life goes on counting.
        let outbox = Outbox::new(nodes, orders.letters.get(), nanos(keepalive));
        Self { outbox, inbox: Inbox::new(nodes) }
    }

    /// When something is to be sent again.
    pub(super) fn due(&self) -> Option<u64> {
        self.outbox.due()
    }
}

/// What letters go by of a node's facts.
fn view(orders: &Orders, facts: &Facts, node: u8, now: u64) -> NodeView {
    let index = usize::from(node);
    let found = &facts.nodes[index];
    let (life, said) = (found.session.get(), found.said.get());
    NodeView {
        life,
        alive: is_heard(orders, facts, index, now) && said != 0,
        active: Said::unpack(said).status & Status::ACTIVE != 0,
        taken: letter::number_of(found.letter_taken.get(), life),
    }
}

impl Driver<'_> {
    /// Sends a message to every node that is there.
    pub(super) fn post(&mut self, message: &Message) {
        let now = clock::now();
        let own = self.config.own as u8;
        let others = (0..self.config.nodes.len() as u8).filter(|&node| node != own);
        let is_there = |node: &u8| {
            let view = view(&self.orders, &self.facts, *node, now);
            view.alive && view.active
        };
        let to: Vec<u8> = others.filter(is_there).collect();
        if to.is_empty() {
            return;
        }
        let kind = message.kind();
        match self.post.outbox.post(kind, message.to_lines(), &to) {
            Ok(full) => {
                for node in full {
                    let name = &self.config.nodes[usize::from(node)];
                    tracing::warn!(
                        "the FIFO: {kind} does not go to {name}: {WAITING_MAX} others wait for it"
                    );
                }
                // Before any is sent: an answer to one that was never sent is refused.
                self.orders.letters.set(self.post.outbox.last());
            }
            Err(Refused::TooLong(bytes)) => tracing::warn!(
                "the FIFO: {kind} stays on this node: it has {bytes} bytes, and at most {MESSAGE_MAX} go to the others"
            ),
            Err(Refused::NoNumbers) => tracing::warn!(
                "the FIFO: {kind} stays on this node: too many were sent since this agent began its life; restart it"
            ),
        }
    }

    /// Sends what is due. Waits for nothing.
    pub(super) fn send_letters(&mut self) {
        if self.post.due().is_none() {
            return;
        }
        let now = clock::now();
        let (orders, facts) = (&self.orders, &self.facts);
        while let Some(act) = self.post.outbox.next(now, |node| view(orders, facts, node, now)) {
            match act {
                Act::Send { to, number, piece } => self.prober.sender().letter(to, number, piece),
                Act::GiveUp { to, kind, messages, why } => {
                    let name = &self.config.nodes[usize::from(to)];
                    let behind = match messages {
                        0 | 1 => String::new(),
                        more => format!(", nor {} more", more - 1),
                    };
                    match why {
                        Why::Dead => {
                            tracing::warn!("the FIFO: {kind} did not reach {name}{behind}: it is dead");
                        }
                        Why::Silent => tracing::warn!(
                            "the FIFO: {kind} did not reach {name}{behind}: it lives and takes no messages for {} s; is xbeat \
                             there of an older version?",
                            PATIENCE / 1_000_000_000
                        ),
                    }
                }
            }
        }
    }

    /// Letters came.
    pub(super) fn on_letters(&mut self, letters: &[Frame]) {
        for letter in letters {
            let (source, life) = (letter.source(), letter.session());
            // The ring outlives the life that a letter is of.
            let is_present =
                self.facts.nodes.get(usize::from(source)).is_some_and(|node| node.session.get() == life);
            let Some(piece) = letter.piece().filter(|_| is_present) else { continue };
            match self.post.inbox.take(source, life, (letter.seq(), piece)) {
                Ok(Some(lines)) => self.on_foreign_message(source, &lines),
                Ok(None) => {}
                Err(Incomplete) => {
                    let name = &self.config.nodes[usize::from(source)];
                    tracing::warn!("a message of {name} is lost: this agent has not read all of it");
                }
            }
        }
    }

    /// Another node has sent a whole message. Whoever has the key may send anything: it is looked at as the FIFO's are.
    fn on_foreign_message(&mut self, source: u8, lines: &[u8]) {
        let Some(name) = self.config.nodes.get(usize::from(source)).cloned() else { return };
        match Message::from_lines(lines) {
            Some(message) if is_own(message.kind()) => {
                tracing::warn!("{} of {name} is ignored: xbeat moves resources by itself", message.kind());
            }
            Some(message) => {
                tracing::info!("{} of {name} is for rc.d/{}", message.kind(), message.kind());
                self.run_hook(&message, &name);
            }
            None => tracing::warn!("a message of {name} is none: expected lines NAME=VALUE with t=TYPE"),
        }
    }

    /// The agent ends: what has not been taken by now is lost.
    pub(super) fn tell_of_unsent(&self) {
        for (node, name) in (0u8..).zip(&self.config.nodes) {
            let messages = self.post.outbox.waiting(node);
            if messages != 0 {
                tracing::warn!("the FIFO: {messages} messages did not reach {name}: this agent ends");
            }
        }
    }

    /// The keepalive is another one now.
    pub(super) fn set_post_keepalive(&mut self, keepalive: Duration) {
        self.post.outbox.set_keepalive(nanos(keepalive));
    }
}
