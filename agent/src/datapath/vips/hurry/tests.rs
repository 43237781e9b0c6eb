use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::super::{Deed, Entry, Gates, Vips};
use crate::datapath::netlink::{Netlink, Placed};
use crate::datapath::testns::{in_namespace, lab, veth};
use crate::resources::Addresses as _;
use crate::sys::{Table, clock};

const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

/// One leading address of group 0 on an interface of a namespace of its own, and the gate before it.
struct Scene {
    vips: Vips,
    gates: Gates,
    netlink: Rc<Netlink>,
}

impl Scene {
    async fn new() -> Self {
        veth(&lab(), "one", "other").await;
        let netlink = Rc::new(Netlink::new().unwrap());
        let interfaces = netlink.interfaces().await.unwrap();
        let index = interfaces.iter().find(|interface| interface.name == "one").unwrap().index;
        let placed =
            Placed { index, interface: "one".into(), address: VIP, prefix: 24, broadcast: None, label: None };
        let tables = || (Arc::new(Table::private().unwrap()), Arc::new(Table::private().unwrap()));
        let (orders, facts) = tables();
        let gates = || Gates { orders: Arc::clone(&orders), facts: Arc::clone(&facts) };
        let kernel = Rc::new(RefCell::new(None));
        let vips = Vips::new(
            Rc::clone(&netlink),
            kernel,
            gates(),
            (vec![Entry::new(placed, 0, true)], vec![]),
            None,
        );
        vips.note_deeds();
        Self { vips, gates: gates(), netlink }
    }

    fn open(&self) {
        self.gates.orders.nodes_len.set(1);
        self.gates.orders.lease_until.set(clock::now() + 3_600_000_000_000);
        self.gates.orders.gates[0].granted.set(1);
    }

    fn shut(&self) {
        self.gates.facts.gates[0].fenced.set(1);
    }

    async fn is_there(&self) -> bool {
        let interfaces = self.netlink.interfaces().await.unwrap();
        interfaces.iter().any(|interface| interface.addresses.iter().any(|address| address.address == VIP))
    }

    /// Waits until the address is there, or is not; the test has a limit of its own.
    async fn until_there(&self, there: bool) {
        while self.is_there().await != there {
            self.vips.settle();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn deeds(&self) -> Vec<Deed> {
        self.vips.take_deeds().into_iter().map(|(_, _, deed)| deed).collect()
    }
}

fn play<F: Future<Output = ()>>(act: impl FnOnce(Scene) -> F + Send + 'static) {
    in_namespace(|| async {
        tokio::task::LocalSet::new().run_until(async { act(Scene::new().await).await }).await
    });
}

#[test]
fn who_starts_the_group_finds_the_address_there_and_announced() {
    play(|mut scene| async move {
        scene.open();
        scene.vips.hurry(0, 1);
        scene.vips.acquire(0).await.unwrap();
        assert!(scene.is_there().await && scene.vips.held(0).await);
        assert_eq!(scene.deeds(), [Deed::Woken, Deed::Added, Deed::Announced], "once");
        scene.vips.release(0).await.unwrap();
        assert!(!scene.is_there().await);
    });
}

#[test]
fn the_same_news_by_another_way_is_no_news() {
    play(|scene| async move {
        scene.open();
        scene.vips.hurry(0, 1);
        scene.vips.hurry(0, 1);
        assert!(scene.vips.fetch(0).await && !scene.vips.fetch(0).await);
        assert_eq!(scene.deeds(), [Deed::Woken, Deed::Added, Deed::Announced]);
        scene.vips.hurry(0, 2);
        assert!(scene.vips.fetch(0).await);
        assert_eq!(scene.deeds(), [Deed::Woken, Deed::Announced], "claimed again");
    });
}

#[test]
fn what_was_taken_off_meanwhile_is_put_up_by_who_fetches_it() {
    play(|mut scene| async move {
        scene.open();
        scene.vips.hurry(0, 1);
        scene.until_there(true).await;
        scene.vips.take_off(0).await.unwrap();
        scene.vips.acquire(0).await.unwrap();
        assert!(scene.is_there().await);
    });
}

#[test]
fn what_nobody_fetches_is_taken_off_when_the_gate_is_shut() {
    play(|scene| async move {
        scene.open();
        scene.vips.hurry(0, 1);
        scene.until_there(true).await;
        scene.shut();
        scene.until_there(false).await;
    });
}

#[test]
fn a_stop_that_comes_at_once_has_the_last_word() {
    play(|mut scene| async move {
        scene.open();
        scene.vips.hurry(0, 1);
        scene.shut();
        scene.vips.release(0).await.unwrap();
        assert!(!scene.is_there().await);
        assert!(!scene.vips.fetch(0).await, "nothing is on its way");
    });
}

#[test]
fn a_shut_gate_hurries_nobody() {
    play(|scene| async move {
        scene.vips.hurry(0, 1);
        assert!(!scene.vips.fetch(0).await);
        assert!(!scene.is_there().await);
    });
}
