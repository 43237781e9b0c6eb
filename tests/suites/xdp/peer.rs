//! Another node, as far as its frames go: it signs whatever a test wants it to say.

use reflex::letter::Piece;
use reflex::mac::{self, Scratch};
use reflex::{Claim, ClaimState, Frame, Kind, Status};

use crate::fixture::{KEY_SHA1, SESSION, key};
use crate::packets::carrying;

/// Node `index`, in one of its lives.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) index: u8,
    pub(crate) to: u8,
    pub(crate) link: u8,
    pub(crate) session: u64,
    /// Number of its last probe.
    pub(crate) seq: u64,
    /// Its clock: one tick per frame.
    pub(crate) at: u64,
    pub(crate) key: u8,
    pub(crate) status: u8,
    pub(crate) page: u8,
    pub(crate) claims: [Claim; 8],
}

impl Peer {
    /// A healthy node that holds nothing, and talks to node 0.
    pub(crate) fn new(index: u8) -> Self {
        Self {
            index,
            to: 0,
            link: 0,
            session: 0xbeef_0000 + u64::from(index),
            seq: 0,
            at: 1000,
            key: KEY_SHA1,
            status: Status::ACTIVE | Status::LEASE | Status::PONG_HEARD,
            page: 0,
            claims: [Claim::default(); 8],
        }
    }

    /// From now on claims slot `i` of its page with `epoch`.
    pub(crate) fn claim(&mut self, i: usize, state: ClaimState, epoch: u32) {
        self.claims[i] = Claim { epoch, state: state as u8, ..Claim::default() };
    }

    /// The next probe, in a packet.
    pub(crate) fn probe(&mut self) -> Vec<u8> {
        carrying(&self.probe_frame())
    }

    /// The next probe.
    pub(crate) fn probe_frame(&mut self) -> Frame {
        self.seq += 1;
        self.frame(Kind::Probe, self.seq, 0)
    }

    /// The pong to our probe number `seq`, in a packet.
    pub(crate) fn pong(&mut self, seq: u64) -> Vec<u8> {
        carrying(&self.frame(Kind::Pong, seq, SESSION))
    }

    /// Letter `number`, with a piece that is a whole message.
    pub(crate) fn letter(&mut self, number: u64, text: &[u8]) -> Frame {
        let mut frame = self.frame(Kind::Letter, number, SESSION);
        frame.set_piece(Piece { text, first: true, last: true });
        sign(&mut frame, self.key);
        frame
    }

    /// Any frame, signed.
    pub(crate) fn frame(&mut self, kind: Kind, seq: u64, peer_session: u64) -> Frame {
        self.at += 1;
        let mut frame = Frame::default();
        frame.set_kind(kind);
        frame.set_source(self.index);
        frame.set_destination(self.to);
        frame.set_link(self.link);
        frame.set_session(self.session);
        frame.set_peer_session(peer_session);
        frame.set_seq(seq);
        frame.set_at(self.at);
        frame.set_status(self.status);
        frame.set_page(self.page);
        for (i, claim) in self.claims.iter().enumerate() {
            frame.set_claim(i, *claim);
        }
        sign(&mut frame, self.key);
        frame
    }
}

/// Signs `frame` as key `number` does; the key number in it becomes that one.
pub(crate) fn sign(frame: &mut Frame, number: u8) {
    frame.set_key(number);
    mac::sign(&key(number), frame, &mut Scratch::default());
}
