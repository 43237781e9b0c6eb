//! Frames in and out: who is believed, what is stamped, what is answered.
//!
//! A node is *admitted* when it answers a challenge: a pong that names our session and a probe of ours that
//! was not answered before. Sessions are random per life, so recorded frames of an earlier life, ours or
//! its, fit nowhere (R6). Until then its probes are answered, so that it can admit us, and not believed.

use crate::frame::{Claim, Frame, Kind, Status};
use crate::gate;
use crate::layout::{Facts, LinkFacts, NodeFacts, Orders, at};
use crate::mac::{self, Scratch};
use crate::path::{self, Ip};
use crate::verdict::{Event, EventKind, Sink, Verdict};
use crate::word::Word;
use crate::{BUCKETS_MAX, CLAIMS_PER_FRAME, NODES_MAX, Sight, groups, letter};

/// The frame under work and what is known about its arrival: a per-CPU map value in the kernel.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Desk {
    /// The frame that came in; after an answering verdict, the answer.
    pub frame: Frame,
    /// When it came in (monotonic clock, ns).
    pub now: u64,
    /// Interface that it came in by.
    pub ifindex: u64,
    /// Hardware address that it came from, as [`crate::strangers::mac_word`] has it; 0: there is none, or it is not known.
    pub mac: u64,
    /// Address that it came from.
    pub address: Ip,
    /// 0: it came to us. Else to a broadcast or multicast address, which others hear as well: the index of its path, plus
    /// one.
    pub group: u64,
    /// 1: it came over IPv6.
    pub is_ipv6: u64,
    /// The link that it came by, in this node's count, plus one; 0: as its sender says. See [`Self::find_link`].
    pub link: u64,
    /// Room for the MAC.
    pub scratch: Scratch,
}

impl Desk {
    /// Finds out by which link the frame came: by how it came, as the other fields say. Sender and receiver need not count
    /// their links alike. Where no link fits, as when a packet took another way than its sender knows, what the frame says
    /// counts.
    #[inline(always)]
    pub fn find_link(&mut self, orders: &Orders) {
        self.link = match self.group {
            0 => path::link_of_one(orders, self.ifindex, self.is_ipv6 != 0),
            group => group,
        };
    }

    /// The index of the link that a probe came by. That of a pong is the one that was asked by.
    #[inline(always)]
    fn came_by(&self) -> u8 {
        match self.link {
            0 => self.frame.link(),
            link => (link - 1) as u8,
        }
    }
}

/// A node's newest word about itself, packed into [`NodeFacts::said`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// [`Status`] bits.
    pub status: u8,
    /// Nodes that it hears, bit by index.
    pub hears: u16,
    /// Digest of its configuration.
    pub config: u32,
}

impl Said {
    /// As one word; never 0.
    #[inline(always)]
    #[must_use]
    pub const fn pack(self) -> u64 {
        (self.config as u64) << 32 | (self.hears as u64) << 16 | (self.status as u64) << 8 | 1
    }

    /// From one word.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "takes the word apart")]
    pub const fn unpack(word: u64) -> Self {
        Self { status: (word >> 8) as u8, hears: (word >> 16) as u16, config: (word >> 32) as u32 }
    }
}

/// Time between two reports that a node's frames are refused, ns.
const REFUSED_REPORT_NS: u64 = 1_000_000_000;

/// Takes the frame on the desk. After a verdict that [`Verdict::answers`] the desk holds the answer to send back.
#[inline(always)]
pub fn on_frame<S: Sink>(orders: &Orders, facts: &Facts, desk: &mut Desk, sink: &mut S) -> Verdict {
    let Some(kind) = desk.frame.kind() else { return Verdict::BadFormat };
    let own = orders.own.get();
    let source = desk.frame.source();
    if desk.group != 0 {
        if u64::from(source) == own {
            return Verdict::Echo;
        }
        let to = u64::from(desk.frame.destination());
        if to != own && to < orders.nodes_len.get() {
            return Verdict::ForOther;
        }
    }
    if u64::from(desk.frame.destination()) != own
        || u64::from(source) == own
        || u64::from(source) >= orders.nodes_len.get()
        || source as usize >= NODES_MAX
    {
        return Verdict::BadNode;
    }
    let node = at!(facts.nodes, source);
    let Some(key) = orders.accepted_key(desk.frame.key()) else {
        refuse(node, source, desk.now, sink);
        return Verdict::UnknownKey;
    };
    if !mac::verify(key, &desk.frame, &mut desk.scratch) {
        refuse(node, source, desk.now, sink);
        return Verdict::BadMac;
    }
    // No life has this number; a node that we know nothing of has it in our table.
    if desk.frame.session() == 0 {
        return Verdict::Stale;
    }
    match kind {
        Kind::Probe => on_probe(orders, facts, desk, sink),
        Kind::Pong => on_pong(orders, facts, desk, sink),
        Kind::Letter => letter::on_letter(orders, facts, desk, sink),
        Kind::Taken => letter::on_taken(orders, facts, desk, sink),
    }
}

/// Notes that somebody uses this node's name without its key. Anybody can do that, so it changes nothing but
/// a counter and an alarm.
#[inline(always)]
fn refuse<S: Sink>(node: &NodeFacts, source: u8, now: u64, sink: &mut S) {
    node.refused.add(1);
    if now.saturating_sub(node.refused_at.get()) >= REFUSED_REPORT_NS || node.refused_at.get() == 0 {
        node.refused_at.set(now);
        sink.emit(event(EventKind::NodeRefused, source, now));
    }
}

/// A probe: believed if its sender was admitted and it is new; answered unless it is a replay.
#[inline(always)]
fn on_probe<S: Sink>(orders: &Orders, facts: &Facts, desk: &mut Desk, sink: &mut S) -> Verdict {
    let source = desk.frame.source();
    let node = at!(facts.nodes, source);
    let came_by = desk.came_by();
    let link = at!(node.links, came_by);
    let admitted = node.session.get() == desk.frame.session();
    if admitted {
        // What it sent before it was admitted was not believed then, and is no newer now. It counts by its own links.
        let seen = &at!(node.links, desk.frame.link()).seen;
        if desk.frame.at() < node.since.get() || !seen.raise(desk.frame.seq()) {
            return Verdict::Replayed;
        }
        if desk.frame.status() & Status::PONG_HEARD != 0 {
            link.unconfirmed.set(0);
        } else {
            link.unconfirmed.add(1);
        }
        believe(orders, facts, desk, came_by, sink);
    } else {
        link.unconfirmed.add(1);
    }
    // Whoever asks is there: a survivor is alone no longer, even if it cannot tell yet who that is.
    let lease = gate::check_lease_strictly(orders, facts, desk.now, sink);
    make_pong(orders, facts, desk, came_by, lease);
    if admitted { Verdict::ProbeAnswered } else { Verdict::ProbeUnproven }
}

/// A pong: fits this life and a probe that was not answered yet, or is refused. It admits its sender.
#[inline(always)]
fn on_pong<S: Sink>(orders: &Orders, facts: &Facts, desk: &mut Desk, sink: &mut S) -> Verdict {
    let source = desk.frame.source();
    let node = at!(facts.nodes, source);
    let link = at!(node.links, desk.frame.link());
    let sent = at!(at!(orders.nodes, source).links, desk.frame.link());
    if desk.frame.peer_session() != orders.session.get() {
        return Verdict::Stale;
    }
    let seq = desk.frame.seq();
    // Read before the number is spent: if another CPU admits a later life in between, this frame of the one
    // before must not be taken for a new life.
    let known = node.session.get();
    if seq > sent.sent.get() || !link.answered.raise(seq) {
        return Verdict::Replayed;
    }
    if known != desk.frame.session() {
        admit(orders, facts, desk, sink);
    }
    link.answered_count.add(1);
    link.pong_at.set(desk.now);
    if seq == sent.sent.get() {
        measure(link, desk.now.saturating_sub(sent.sent_at.get()));
    }
    let asked_by = desk.frame.link();
    believe(orders, facts, desk, asked_by, sink);
    Verdict::PongTaken
}

/// Notes a round trip, and how much it differs from the one before.
#[inline(always)]
fn measure(link: &LinkFacts, rtt: u64) {
    let (before, jitter) = (link.rtt.get(), link.jitter.get());
    if before != 0 {
        link.jitter.set(jitter - jitter / 16 + before.abs_diff(rtt) / 16);
    }
    link.rtt.set(rtt);
}

/// A new life of a node: nothing that its last life said counts any more, and what that held is free.
///
/// Every challenge that is still out is void, on all links: only the last life can have answered one that was
/// sent before this, and a pong of it that a slow link holds would bring it back.
#[inline(never)]
fn admit<S: Sink>(orders: &Orders, facts: &Facts, desk: &Desk, sink: &mut S) {
    let source = desk.frame.source();
    let node = at!(facts.nodes, source);
    let had_a_life = node.session.get() != 0;
    let claims = at!(facts.claims, source);
    groups::for_each(orders.groups_len.get(), |group| at!(claims, group).set(0));
    for (link, sent) in node.links.iter().zip(&at!(orders.nodes, source).links) {
        link.seen.set(0);
        link.answered.raise(sent.sent.get());
        link.answered_count.set(0);
        link.sent_when_admitted.set(sent.sent.get());
    }
    for pages in &node.pages {
        pages.set(0);
    }
    for at in &node.page_at {
        at.set(0);
    }
    node.since.set(desk.frame.at());
    node.said_at.set(0);
    node.said.set(0);
    node.session.set(desk.frame.session());
    facts.version.add(1);
    sink.emit(event(EventKind::NodeAdmitted, source, desk.now));
    if had_a_life {
        gate::take_over_all(orders, facts, source, desk.now, sink);
    }
}

/// Stamps an authentic, fresh frame for a link and acts on its words.
#[inline(always)]
fn believe<S: Sink>(orders: &Orders, facts: &Facts, desk: &Desk, link_index: u8, sink: &mut S) {
    let (source, now) = (desk.frame.source(), desk.now);
    let node = at!(facts.nodes, source);
    let link = at!(node.links, link_index);
    let asked = at!(at!(orders.nodes, source).links, link_index).asked.get();
    stamp(link, desk, asked);
    let gap = now.saturating_sub(node.heard_at.get());
    if node.heard_at.get() != 0 && gap > orders.warntime_of(link_index) {
        sink.emit(Event { epoch: gap, ..event(EventKind::NodeLate, source, now) });
    }
    node.heard_at.set(now);
    node.heard_until.raise(now.saturating_add(orders.deadtime_of(link_index)));
    if node.dead_at.get() != 0 {
        node.dead_at.set(0);
        facts.version.add(1);
        sink.emit(event(EventKind::NodeAlive, source, now));
    }
    // Words of one source count in the order in which it spoke, whichever link was faster.
    let newest = is_newest(&node.said_at, desk);
    let mut news = false;
    if newest {
        let said =
            Said { status: desk.frame.status(), hears: desk.frame.hears(), config: desk.frame.config() };
        // Whether our pong arrived is no news.
        news = (said.pack() ^ node.said.get()) & !(u64::from(Status::PONG_HEARD) << 8) != 0;
        node.said.set(said.pack());
    }
    if is_newest(at!(node.page_at, desk.frame.page()), desk) {
        news |= hear_claims(orders, facts, desk, sink);
    }
    if news {
        facts.version.add(1);
        sink.emit(event(EventKind::NodeSaid, source, now));
    }
    // All its gates are fenced, also those that this page does not tell of.
    if newest && desk.frame.status() & Status::LEASE == 0 {
        gate::take_over_all(orders, facts, source, now, sink);
    }
}

/// Whether nothing was heard that was said later, going by `said_at`. What was said at the same moment is not older:
/// an agent reads the clock once for all links and pages.
#[inline(always)]
fn is_newest(said_at: &Word, desk: &Desk) -> bool {
    let at = desk.frame.at();
    said_at.raise(at) || said_at.get() == at
}

#[inline(always)]
fn stamp(link: &LinkFacts, desk: &Desk, asked: u64) {
    let now = desk.now;
    let before = link.heard_at.get();
    if before != 0 {
        let gap = now.saturating_sub(before) >> 10;
        at_bucket(link, gap);
    }
    link.heard_at.set(now);
    link.ifindex.set(desk.ifindex);
    link.mac.set(desk.mac);
    link.address.set(desk.address);
    link.asked_when_heard.set(asked);
    link.received.add(1);
}

/// Counts a gap of `gap` units of 1024 ns in the bucket of its highest bit.
#[inline(always)]
fn at_bucket(link: &LinkFacts, gap: u64) {
    // No leading-zeros instruction before BPF v4: halve the range instead.
    let (mut rest, mut bucket) = (gap, 0usize);
    for step in [16, 8, 4, 2, 1] {
        if rest >> step != 0 {
            rest >>= step;
            bucket += step as usize;
        }
    }
    if gap != 0 {
        bucket += 1;
    }
    if bucket >= BUCKETS_MAX {
        bucket = BUCKETS_MAX - 1;
    }
    link.gaps[bucket].add(1);
}

/// Stores the claims of a frame and acts on them; true if one changed.
#[inline(always)]
fn hear_claims<S: Sink>(orders: &Orders, facts: &Facts, desk: &Desk, sink: &mut S) -> bool {
    let source = desk.frame.source();
    let len = orders.groups_len.get();
    let first = u32::from(desk.frame.page()) * CLAIMS_PER_FRAME as u32;
    let claims = at!(facts.claims, source);
    let pages = at!(at!(facts.nodes, source).pages, desk.frame.page() >> 6);
    let page = 1u64 << (desk.frame.page() & 63);
    let mut changed = pages.get() & page == 0;
    if changed {
        pages.set(pages.get() | page);
    }
    for i in 0..CLAIMS_PER_FRAME {
        let group = first + i as u32;
        if u64::from(group) >= len {
            break;
        }
        let claim = desk.frame.claim(i);
        let word = at!(claims, group);
        if word.get() != claim.pack() {
            word.set(claim.pack());
            changed = true;
        }
        gate::on_claim(orders, facts, source, group, claim, desk.now, sink);
    }
    changed
}

/// Turns the probe on the desk, which came by link `came_by`, into its pong, signed. The link in it stays the sender's number.
#[inline(always)]
fn make_pong(orders: &Orders, facts: &Facts, desk: &mut Desk, came_by: u8, lease: bool) {
    let (to, from) = (desk.frame.source(), desk.frame.destination());
    let session = desk.frame.session();
    desk.frame.set_kind(Kind::Pong);
    desk.frame.set_source(from);
    desk.frame.set_destination(to);
    desk.frame.set_peer_session(session);
    write_state(orders, facts, desk, came_by, lease);
}

/// [`crate::layout::LinkOrders::asked_at`] while a probe that counts is on its way out: younger than any grace, so the watch
/// does not count it yet.
pub const BEING_SENT: u64 = u64::MAX;

/// Writes a probe to `to` onto the desk, signed. `seq` must be one more than the last on this link. Run by whoever sends,
/// so the orders are his to write; what came of it he says by [`was_sent`].
pub fn make_probe<S: Sink>(orders: &Orders, facts: &Facts, desk: &mut Desk, probe: &Probe, sink: &mut S) {
    desk.now = probe.now;
    let link = at!(at!(orders.nodes, probe.to).links, probe.link);
    let asked_at = link.asked_at.get();
    // Left so by an agent that was killed in the middle of it: that one is taken for this one.
    if asked_at != BEING_SENT
        && (asked_at == 0 || probe.now.saturating_sub(asked_at) >= orders.grace_of(probe.link))
    {
        // Before it is sent: whoever answers at once has answered this one too.
        link.asked.add(1);
        link.asked_at.set(BEING_SENT);
    }
    let lease = gate::check_lease(orders, facts, probe.now, sink);
    desk.frame = Frame::default();
    desk.frame.set_kind(Kind::Probe);
    desk.frame.set_source(orders.own.get() as u8);
    desk.frame.set_destination(probe.to);
    desk.frame.set_link(probe.link);
    desk.frame.set_seq(probe.seq);
    desk.frame.set_page(probe.page);
    desk.frame.set_peer_session(at!(facts.nodes, probe.to).session.get());
    write_state(orders, facts, desk, probe.link, lease);
}

/// What came of the probe that was made last on its link: it went out, or it could not be sent and asked nobody.
///
/// A link by which nothing can be sent bears no witness, see [`crate::watch`]. When it can be sent by again, silence is
/// asked for anew: what went unanswered before says nothing of the time between.
pub fn was_sent(orders: &Orders, facts: &Facts, probe: &Probe, went: bool) {
    let link = at!(at!(orders.nodes, probe.to).links, probe.link);
    let counts = link.asked_at.get() == BEING_SENT;
    if went {
        link.failed.set(0);
    } else if counts {
        link.asked.set(link.asked.get().saturating_sub(1));
        link.failed.add(1);
        if link.failed.get() >= orders.unanswered_min_of(probe.link) {
            ask_anew(orders, facts, probe.to, probe.link);
        }
    }
    if counts {
        link.asked_at.set(probe.now);
    }
}

/// The link leads to that node no longer: somebody else is at the other end of the cable. As one by which nothing can be sent,
/// it bears no witness until it does again.
pub fn leads_elsewhere(orders: &Orders, facts: &Facts, to: u8, link: u8) {
    let sent = at!(at!(orders.nodes, to).links, link);
    if sent.asked.get() != 0 {
        sent.failed.set(sent.failed.get().max(orders.unanswered_min_of(link).max(1)));
        ask_anew(orders, facts, to, link);
    }
}

/// What was asked since the node was last heard by the link counts no more.
fn ask_anew(orders: &Orders, facts: &Facts, to: u8, link: u8) {
    let sent = at!(at!(orders.nodes, to).links, link);
    let heard = at!(at!(facts.nodes, to).links, link).asked_when_heard.get();
    // Not down to 0: that is a link that was never in use.
    sent.asked.set(sent.asked.get().min(heard.max(1)));
}

/// What is particular to one probe.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Node that it goes to.
    pub to: u8,
    /// Link that it goes by.
    pub link: u8,
    /// Its number.
    pub seq: u64,
    /// Groups that it tells of and asks for.
    pub page: u8,
    /// Now (monotonic clock, ns).
    pub now: u64,
}

/// Writes what every frame says of its sender, and signs it. Destination, link and page are there already; `goes_by` is the
/// link in this node's count.
#[inline(always)]
fn write_state(orders: &Orders, facts: &Facts, desk: &mut Desk, goes_by: u8, lease: bool) {
    let now = desk.now;
    let node = at!(facts.nodes, desk.frame.destination());
    let link = at!(node.links, goes_by);
    let deadtime = orders.deadtime_of(goes_by);
    let mut status = orders.status.get() as u8 & (Status::ACTIVE | Status::LEAVING);
    if lease {
        status |= Status::LEASE;
    }
    if link.pong_at.get() != 0 && now.saturating_sub(link.pong_at.get()) < deadtime {
        status |= Status::PONG_HEARD;
    }
    desk.frame.set_status(status);
    desk.frame.set_session(orders.session.get());
    desk.frame.set_at(now);
    desk.frame.set_config(orders.config.get() as u32);
    desk.frame.set_hears(hears(orders, facts, now));
    // An agent that is not there plans nothing, also where a sole survivor goes on serving without it.
    let plans = gate::lease_valid(orders, facts, now);
    let len = orders.groups_len.get();
    let first = u32::from(desk.frame.page()) * CLAIMS_PER_FRAME as u32;
    for i in 0..CLAIMS_PER_FRAME {
        let group = first + i as u32;
        let mut claim =
            if u64::from(group) < len { gate::claim(orders, facts, group) } else { Claim::default() };
        if !plans {
            claim.flags = 0;
            claim.heir = 0;
            claim.sight = Sight::default();
        }
        desk.frame.set_claim(i, claim);
    }
    let number = orders.key_current.get();
    desk.frame.set_key(number as u8);
    mac::sign(orders.signing_key(number), &mut desk.frame, &mut desk.scratch);
}

/// The nodes that this one heard on any link within that link's deadtime, bit by index.
#[inline(always)]
pub fn hears(orders: &Orders, facts: &Facts, now: u64) -> u16 {
    let len = orders.nodes_len.get();
    let mut bits = 0u16;
    for i in 0..NODES_MAX {
        if i as u64 >= len {
            break;
        }
        let node = at!(facts.nodes, i);
        if node.session.get() != 0 && now < node.heard_until.get() {
            bits |= 1 << i;
        }
    }
    bits
}

#[inline(always)]
pub(crate) fn event(kind: EventKind, node: u8, at: u64) -> Event {
    Event { at, epoch: 0, kind: kind as u32, node: u32::from(node), group: 0, detail: 0 }
}

#[cfg(test)]
pub(crate) mod tests;
