//! Nodes that count their links differently: what is link 0 for one is link 1 for the other.

use super::world::{Node, ask, pair};
use crate::frame::Status;
use crate::node::{self, Desk};
use crate::path::{self, NO_IP};
use crate::testing::MS;
use crate::verdict::Verdict;
use crate::watch;

#[test]
fn a_probe_counts_for_the_link_it_came_by_and_its_pong_for_the_one_that_was_asked() {
    let (mut a, mut b, _) = pair();
    let before = b.facts_of(0).links[0].heard_at.get();
    let probe = a.probe(1, 0, 5 * MS);
    let (verdict, pong) = b.receive_by(Some(1), &probe, 6 * MS);
    assert_eq!(verdict, Verdict::ProbeAnswered);
    let links = &b.facts_of(0).links;
    assert_eq!((links[0].heard_at.get(), links[1].heard_at.get()), (before, 6 * MS));
    let pong = pong.unwrap();
    assert_eq!((pong.link(), pong.seq()), (0, probe.seq()), "in the words of who asked");
    // By whatever way it comes.
    assert_eq!(a.receive_by(Some(3), &pong, 7 * MS).0, Verdict::PongTaken);
    let links = &a.facts_of(1).links;
    assert_eq!(
        (links[0].pong_at.get(), links[0].heard_at.get(), links[3].heard_at.get()),
        (7 * MS, 7 * MS, 0)
    );
}

/// Probes are numbered by link of their sender: who counts otherwise must neither refuse good ones nor take old ones.
#[test]
fn replays_are_refused_by_the_senders_count() {
    let (mut a, mut b, _) = pair();
    let (first, second) = (a.probe(1, 0, 5 * MS), a.probe(1, 1, 5 * MS));
    // Link 0 has come further than link 1, and they are the other way round here.
    assert!(first.seq() > second.seq());
    assert_eq!(b.receive_by(Some(1), &first, 6 * MS).0, Verdict::ProbeAnswered);
    assert_eq!(b.receive_by(Some(0), &second, 6 * MS).0, Verdict::ProbeAnswered);
    for link in [None, Some(0), Some(1), Some(7)] {
        assert_eq!(b.receive_by(link, &first, 7 * MS).0, Verdict::Replayed);
        assert_eq!(b.receive_by(link, &second, 7 * MS).0, Verdict::Replayed);
    }
}

fn is_dead_at(node: &mut Node, now: u64) -> bool {
    let events = &mut node.tables.events;
    watch::look(&node.tables.orders, &node.tables.facts, 1, now, &mut |event| events.push(event));
    node.facts_of(1).dead_at.get() != 0
}

/// The cable carries one way only, the network is silent: the cable's longer deadtime counts, although the sender's number for
/// it is that of the network here.
#[test]
fn a_cable_keeps_its_own_deadtime_whatever_its_sender_calls_it() {
    let (mut a, mut b, _) = pair();
    let (network, cable) = (0, 1);
    a.tables.orders.links[cable as usize].deadtime.set(100 * MS);
    for at in 2..10 {
        a.send(1, network, at * MS, true);
        a.send(1, cable, at * MS, true);
    }
    let probe = b.probe(0, network, 10 * MS);
    assert_eq!(a.receive_by(Some(cable), &probe, 10 * MS).0, Verdict::ProbeAnswered);
    for at in 11..200 {
        a.send(1, network, at * MS, true);
        a.send(1, cable, at * MS, true);
        assert_eq!(is_dead_at(&mut a, at * MS), at >= 110, "at {at} ms");
    }
}

/// Asked once by a cable that then leads to another node: it must not wait for ever for two more questions.
#[test]
fn a_cable_that_leads_elsewhere_holds_no_verdict() {
    let (network, cable) = (0, 1);
    for leads_elsewhere in [false, true] {
        let (mut a, mut b, _) = pair();
        ask(&mut a, &mut b, cable, 9 * MS);
        a.send(1, cable, 10 * MS, true);
        if leads_elsewhere {
            node::leads_elsewhere(&a.tables.orders, &a.tables.facts, 1, cable);
        }
        for at in 10..20 {
            a.send(1, network, at * MS, true);
        }
        assert_eq!(is_dead_at(&mut a, 20 * MS), leads_elsewhere);
        // Asked by it again, that counts as ever.
        a.send(1, cable, 20 * MS, true);
        a.send(1, cable, 21 * MS, true);
        assert!(is_dead_at(&mut a, 24 * MS));
    }
    let (a, ..) = pair();
    node::leads_elsewhere(&a.tables.orders, &a.tables.facts, 1, cable);
    let sent = &a.tables.orders.nodes[1].links[usize::from(cable)];
    assert_eq!((sent.asked.get(), sent.failed.get()), (0, 0), "it never led there");
}

#[test]
fn a_pong_says_whether_pongs_come_by_the_link_that_it_goes_by() {
    let (mut a, mut b, _) = pair();
    let probe = b.probe(0, 1, 3 * MS);
    let confirmed = |node: &mut Node, link, probe| {
        let pong = node.receive_by(Some(link), probe, 3 * MS).1.unwrap();
        pong.status() & Status::PONG_HEARD != 0
    };
    // Pongs came to it by its link 0 alone.
    assert!(confirmed(&mut a, 0, &probe));
    let probe = b.probe(0, 0, 3 * MS);
    assert!(!confirmed(&mut a, 1, &probe));
}

#[test]
fn the_link_is_found_by_how_the_frame_came() {
    let node = Node::new(0, 0xa1);
    let own = path::ipv4([192, 0, 2, 11]);
    for (path, (ifindex, group)) in
        node.tables.orders.paths.iter().zip([(3, path::ipv4([239, 0, 0, 1])), (3, NO_IP), (4, NO_IP)])
    {
        path.port.set(694);
        path.ifindex.set(ifindex);
        path.group.set(group);
        path.own.set(own);
    }
    let found = |ifindex, group| {
        let mut desk = Desk { ifindex, group, ..Desk::default() };
        desk.frame.set_link(5);
        desk.find_link(&node.tables.orders);
        desk.came_by()
    };
    assert_eq!([found(3, 0), found(4, 0)], [1, 2], "to this node");
    assert_eq!(found(3, 1), 0, "to the group of link 0");
    assert_eq!(found(9, 0), 5, "by none of the links: as its sender says");
}
