//! Empty reflex tables on the heap.

use std::boxed::Box;

use reflex::layout::{
    Facts, GateFacts, GateOrders, Key, LinkFacts, LinkOrders, NodeFacts, NodeOrders, Orders,
};
use reflex::word::Word;
use reflex::{BUCKETS_MAX, GROUPS_MAX, KEYS_MAX, LINKS_MAX, NODES_MAX};

const fn zero() -> Word {
    Word::new(0)
}

const fn zeros<const N: usize>() -> [Word; N] {
    [const { zero() }; N]
}

const fn link_orders() -> LinkOrders {
    LinkOrders { sent: zero(), sent_at: zero() }
}

const fn node_orders() -> NodeOrders {
    NodeOrders { heard_elsewhere_until: zero(), links: [const { link_orders() }; LINKS_MAX] }
}

const fn gate_orders() -> GateOrders {
    GateOrders { granted: zero(), resigned: zero(), armed: zero(), plan: zero() }
}

/// Orders to do nothing.
pub(super) fn orders() -> Box<Orders> {
    Box::new(Orders {
        layout: zero(),
        session: zero(),
        own: zero(),
        nodes_len: zero(),
        groups_len: zero(),
        port: zero(),
        addresses: zeros(),
        config: zero(),
        status: zero(),
        keepalive: zero(),
        deadtime: zero(),
        warntime: zero(),
        unanswered_min: zero(),
        grace: zero(),
        lease_until: zero(),
        key_current: zero(),
        keys: [Key::default(); KEYS_MAX],
        nodes: [const { node_orders() }; NODES_MAX],
        gates: [const { gate_orders() }; GROUPS_MAX],
    })
}

const fn link_facts() -> LinkFacts {
    LinkFacts {
        seen: zero(),
        answered: zero(),
        heard_at: zero(),
        pong_at: zero(),
        sent_when_heard: zero(),
        ifindex: zero(),
        rtt: zero(),
        unconfirmed: zero(),
        received: zero(),
        gaps: zeros::<BUCKETS_MAX>(),
    }
}

const fn node_facts() -> NodeFacts {
    NodeFacts {
        session: zero(),
        heard_at: zero(),
        dead_at: zero(),
        said_at: zero(),
        said: zero(),
        refused_at: zero(),
        refused: zero(),
        pages: zeros(),
        links: [const { link_facts() }; LINKS_MAX],
    }
}

const fn gate_facts() -> GateFacts {
    GateFacts {
        taken: zero(),
        fenced: zero(),
        rival: zero(),
        reason: zero(),
        taken_at: zero(),
        first_arp_at: zero(),
    }
}

/// Nothing is known.
pub(super) fn facts() -> Box<Facts> {
    Box::new(Facts {
        version: zero(),
        lease_fenced: zero(),
        nodes: [const { node_facts() }; NODES_MAX],
        gates: [const { gate_facts() }; GROUPS_MAX],
        claims: [const { zeros() }; NODES_MAX],
    })
}
