//! The frames of a line: which is read, and which goes out next.

use std::io;
use std::sync::atomic::Ordering;

use reflex::node::{self, Probe};
use reflex::path::NO_IP;
use reflex::{CLAIMS_PER_FRAME, Frame, Verdict};

use super::super::framing::{Encoded, encode};
use super::super::port::Port;
use super::{Runner, nanos};
use crate::sys::clock;

impl Runner {
    /// Takes what has arrived.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        let mut decoder = std::mem::take(&mut self.decoder);
        let before = decoder.broken;
        for frame in decoder.push(bytes) {
            self.line.counters.frames_in.fetch_add(1, Ordering::Relaxed);
            self.take(frame);
        }
        let counters = &self.line.counters;
        counters.bytes_in.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let broken = decoder.broken - before;
        if broken != 0 {
            let all = counters.garbage.fetch_add(broken, Ordering::Relaxed) + broken;
            // At 1, 2, 4, 8...: a bad cable does not fill the log.
            if all.ilog2() != (all - broken).checked_ilog2().unwrap_or(u32::MAX) {
                tracing::warn!("link {}: {all} pieces were no frame", self.line.device.display());
            }
        }
        self.decoder = decoder;
    }

    /// Gives a frame to the reflex, and keeps its answer.
    fn take(&mut self, frame: Frame) {
        let source = frame.source();
        self.desk.frame = frame;
        (self.desk.now, self.desk.ifindex, self.desk.address) = (clock::now(), 0, NO_IP);
        self.desk.link = u64::from(self.id) + 1;
        let verdict = node::on_frame(&self.orders, &self.facts, &mut self.desk, &mut &self.findings);
        self.line.count(verdict);
        if verdict == Verdict::PongTaken {
            // That an emptied buffer takes frames again shows nothing; an answer does.
            self.set_stuck(false);
        }
        if verdict.answers() {
            let is_letter = matches!(verdict, Verdict::LetterTaken | Verdict::LetterAgain);
            let place = if is_letter { &mut self.taken } else { &mut self.pong };
            let older = place.replace(encode(&self.desk.frame));
            self.drop_frames(u64::from(older.is_some()));
        }
        if matches!(verdict, Verdict::ProbeAnswered | Verdict::PongTaken) {
            self.meet(source);
        }
    }

    /// Somebody is at the other end. With three nodes and more it may be another one than before.
    fn meet(&self, source: u8) {
        let before = self.line.lock().peer.replace(source);
        if before != Some(source) {
            tracing::debug!("link {}: node {source} is at the other end", self.line.device.display());
            if let Some(gone) = before {
                node::leads_elsewhere(&self.orders, &self.facts, gone, self.id);
            }
        }
    }

    /// Sends one frame, if the line is free and there is one.
    pub(super) fn send(&mut self, port: &Port) -> io::Result<()> {
        let now = clock::now();
        self.write_rest(port)?;
        if now < self.free_at {
            return Ok(());
        }
        if self.rest.is_some() || port.unsent() != 0 {
            // Not yet all gone, or held by the other side (CTS), or by nobody who reads.
            if !self.has_something() || now < self.free_at + nanos(self.line.pace.grace()) {
                return Ok(());
            }
            port.discard_unsent();
            self.rest = None;
            self.drop_frames(1);
            self.set_stuck(true);
        }
        let asks = self.ask || self.line.is_urgent();
        match self.pong.take_if(|_| !(asks && self.answered)) {
            Some(pong) => {
                self.answered = true;
                self.write(port, pong)
            }
            None if asks => {
                self.answered = false;
                let page = self.line.take_urgent();
                if page.is_none() {
                    self.ask = false;
                }
                let page = page.unwrap_or_else(|| self.next_page());
                let node = self.whom();
                self.make_probe(node, page, now);
                let probe = encode(&self.desk.frame);
                self.write(port, probe)
            }
            None => self.send_letter(port),
        }
    }

    /// The line has nothing else to say: an answer to a letter, or a letter.
    fn send_letter(&mut self, port: &Port) -> io::Result<()> {
        let next = self.taken.take().or_else(|| self.line.take_letter().map(|letter| encode(&letter)));
        next.map_or(Ok(()), |frame| self.write(port, frame))
    }

    fn write(&mut self, port: &Port, frame: Encoded) -> io::Result<()> {
        let len = frame.bytes().len();
        self.free_at = clock::now() + nanos(self.line.pace.time_of(len));
        self.line.counters.frames_out.fetch_add(1, Ordering::Relaxed);
        self.line.counters.bytes_out.fetch_add(len as u64, Ordering::Relaxed);
        self.rest = Some((frame, 0));
        self.write_rest(port)
    }

    fn write_rest(&mut self, port: &Port) -> io::Result<()> {
        if let Some((frame, taken)) = &mut self.rest {
            *taken += port.write(&frame.bytes()[*taken..])?;
            if *taken == frame.bytes().len() {
                self.rest = None;
            }
        }
        Ok(())
    }

    /// Writes the next probe to `node` onto the desk. What the line takes or holds is asked: a line that holds it, because
    /// nobody is at the other end, is as silent as one that carries it. Without a device, or as long as it is not
    /// known who is there, nobody is asked.
    pub(super) fn make_probe(&mut self, node: u8, page: u8, now: u64) {
        let sent = &self.orders.nodes[usize::from(node)].links[usize::from(self.id)];
        let seq = sent.sent.get() + 1;
        let probe = Probe { to: node, link: self.id, seq, page, now };
        node::make_probe(&self.orders, &self.facts, &mut self.desk, &probe, &mut &self.findings);
        // Before it is sent, as for every link.
        sent.sent_at.set(now);
        sent.sent.set(seq);
        node::was_sent(&self.orders, &self.facts, &probe, self.is_asked(node));
    }

    fn is_asked(&self, node: u8) -> bool {
        let is_meant = self.orders.nodes_len.get() == 2 || self.line.lock().peer == Some(node);
        self.line.lock().open && is_meant
    }

    /// The node at the other end; while none was heard, each in turn: who is not meant drops it.
    pub(super) fn whom(&mut self) -> u8 {
        if let Some(peer) = self.line.lock().peer {
            return peer;
        }
        let (len, own) = (self.orders.nodes_len.get().max(1) as u8, self.orders.own.get() as u8);
        self.next = (self.next + 1) % len;
        if self.next == own {
            self.next = (self.next + 1) % len;
        }
        self.next
    }

    pub(super) fn next_page(&mut self) -> u8 {
        let pages = (self.orders.groups_len.get() as usize).div_ceil(CLAIMS_PER_FRAME).max(1);
        self.page = ((usize::from(self.page) + 1) % pages) as u8;
        self.page
    }

    pub(super) fn has_something(&self) -> bool {
        self.ask
            || self.pong.is_some()
            || self.taken.is_some()
            || self.line.is_urgent()
            || self.line.has_letter()
    }

    fn drop_frames(&self, number: u64) {
        self.line.counters.dropped.fetch_add(number, Ordering::Relaxed);
    }
}
