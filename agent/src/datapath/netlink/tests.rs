use rtnetlink::LinkUnspec;
use tokio::sync::mpsc::Receiver;

use super::*;
use crate::datapath::testns::{in_namespace, lab, veth};

fn vip(address: [u8; 4]) -> VipSpec {
    VipSpec {
        address: address.into(),
        prefix: None,
        interface: None,
        broadcast: None,
        label: Label::FirstFree,
    }
}

fn interface_named(index: u32, name: &str, labels: &[([u8; 4], &str)]) -> Interface {
    let address = |(address, label): &([u8; 4], &str)| InterfaceAddress {
        address: (*address).into(),
        prefix: 24,
        broadcast: None,
        label: (*label).to_owned(),
        secondary: false,
    };
    Interface {
        index,
        name: name.to_owned(),
        mac: None,
        flags: 0,
        up: true,
        carrier: true,
        kind: None,
        controller: None,
        addresses: labels.iter().map(address).collect(),
        addresses6: Vec::new(),
    }
}

fn route_to(network: [u8; 4], prefix: u8, index: u32, metric: u32) -> Route {
    Route { network: network.into(), prefix, index, metric }
}

fn one(spec: VipSpec, interfaces: &[Interface], routes: &[Route]) -> Result<Placed, PlaceError> {
    place(&[spec], interfaces, routes).remove(0)
}

fn two_interfaces() -> [Interface; 2] {
    [
        interface_named(2, "eth0", &[([192, 0, 2, 1], "eth0")]),
        interface_named(3, "eth1", &[([198, 51, 100, 1], "eth1")]),
    ]
}

#[test]
fn interface_and_netmask_come_from_the_most_specific_route() {
    let routes = [
        route_to([0, 0, 0, 0], 0, 3, 0),
        route_to([192, 0, 0, 0], 16, 3, 0),
        route_to([192, 0, 2, 0], 24, 2, 100),
    ];
    let placed = one(vip([192, 0, 2, 100]), &two_interfaces(), &routes).unwrap();
    assert_eq!(placed.to_string(), "192.0.2.100/24 dev eth0 label eth0:0");
    assert_eq!((placed.index, placed.broadcast), (2, Some([192, 0, 2, 255].into())));
}

#[test]
fn lower_metric_wins_between_equal_routes() {
    let routes = [route_to([192, 0, 2, 0], 24, 3, 200), route_to([192, 0, 2, 0], 24, 2, 100)];
    assert_eq!(one(vip([192, 0, 2, 100]), &two_interfaces(), &routes).unwrap().interface, "eth0");
}

#[test]
fn default_route_names_the_interface_but_no_netmask() {
    let routes = [route_to([0, 0, 0, 0], 0, 3, 0)];
    let refused = one(vip([203, 0, 113, 5]), &two_interfaces(), &routes).unwrap_err();
    let expected = PlaceError::NoNetmask { address: [203, 0, 113, 5].into(), interface: "eth1".to_owned() };
    assert_eq!(refused, expected);
    let spec = VipSpec { prefix: Some(28), ..vip([203, 0, 113, 5]) };
    let placed = one(spec, &two_interfaces(), &routes).unwrap();
    assert_eq!((placed.interface.as_str(), placed.prefix), ("eth1", 28));
    assert_eq!(placed.broadcast, Some([203, 0, 113, 15].into()));
}

#[test]
fn given_interface_is_kept_and_its_own_route_tells_the_netmask() {
    let routes = [route_to([192, 0, 2, 0], 24, 2, 0), route_to([192, 0, 2, 0], 25, 3, 0)];
    let spec = VipSpec { interface: Some("eth0".to_owned()), ..vip([192, 0, 2, 100]) };
    let placed = one(spec, &two_interfaces(), &routes).unwrap();
    assert_eq!((placed.index, placed.prefix), (2, 24));

    let spec = VipSpec { interface: Some("eth1".to_owned()), ..vip([10, 0, 0, 1]) };
    let refused = one(spec, &two_interfaces(), &routes).unwrap_err();
    assert!(matches!(refused, PlaceError::NoNetmask { .. }), "{refused}");
}

#[test]
fn explicit_values_need_no_route() {
    let spec = VipSpec {
        prefix: Some(32),
        interface: Some("eth1".to_owned()),
        broadcast: Some([1, 2, 3, 4].into()),
        label: Label::Named("eth1:web".to_owned()),
        ..vip([10, 0, 0, 1])
    };
    let placed = one(spec, &two_interfaces(), &[]).unwrap();
    assert_eq!(placed.to_string(), "10.0.0.1/32 dev eth1 label eth1:web");
    assert_eq!(placed.broadcast, Some([1, 2, 3, 4].into()));
}

#[test]
fn networks_of_one_or_two_addresses_have_no_broadcast_address() {
    for (prefix, broadcast) in [(32, None), (31, None), (30, Some([10, 0, 0, 3].into()))] {
        let spec = VipSpec { prefix: Some(prefix), interface: Some("eth0".to_owned()), ..vip([10, 0, 0, 1]) };
        assert_eq!(one(spec, &two_interfaces(), &[]).unwrap().broadcast, broadcast, "/{prefix}");
    }
}

#[test]
fn wrong_specs_are_refused_with_what_would_be_right() {
    let interfaces = two_interfaces();
    let nowhere = one(vip([10, 0, 0, 1]), &interfaces, &[]).unwrap_err();
    assert_eq!(nowhere, PlaceError::NoRoute { address: [10, 0, 0, 1].into() });
    let spec = VipSpec { interface: Some("eth7".to_owned()), ..vip([10, 0, 0, 1]) };
    let message = one(spec, &interfaces, &[]).unwrap_err().to_string();
    assert_eq!(message, "10.0.0.1: there is no interface eth7; there are: eth0, eth1");
    let spec = VipSpec { prefix: Some(33), ..vip([10, 0, 0, 1]) };
    assert!(matches!(one(spec, &interfaces, &[]), Err(PlaceError::BadPrefix { prefix: 33, .. })));
}

#[test]
fn labels_are_the_first_free_ones_and_nobody_gets_the_same() {
    let taken = [([192, 0, 2, 1], "eth0"), ([192, 0, 2, 9], "eth0:1")];
    let interfaces = [interface_named(2, "eth0", &taken)];
    let routes = [route_to([192, 0, 2, 0], 24, 2, 0)];
    let plain = VipSpec { label: Label::Interface, ..vip([192, 0, 2, 5]) };
    let specs = [vip([192, 0, 2, 3]), plain, vip([192, 0, 2, 4]), vip([192, 0, 2, 9])];
    let labels: Vec<_> =
        place(&specs, &interfaces, &routes).into_iter().map(|placed| placed.unwrap().label).collect();
    let expected = [Some("eth0:0"), None, Some("eth0:2"), Some("eth0:1")];
    assert_eq!(labels, expected.map(|label| label.map(str::to_owned)));
}

#[test]
fn interface_with_a_long_name_gets_no_label() {
    let interfaces = [interface_named(2, "enp216s0f1np1v3", &[])];
    let routes = [route_to([192, 0, 2, 0], 24, 2, 0)];
    assert_eq!(one(vip([192, 0, 2, 3]), &interfaces, &routes).unwrap().label, None);
}

async fn add(lab: &Handle, name: &str, address: [u8; 4], prefix: u8) {
    let index = nix::net::if_::if_nametoindex(name).unwrap();
    lab.address().add(index, Ipv4Addr::from(address).into(), prefix).execute().await.unwrap();
}

async fn addresses(netlink: &Netlink, name: &str) -> Vec<InterfaceAddress> {
    let interfaces = netlink.interfaces().await.unwrap();
    interfaces.into_iter().find(|interface| interface.name == name).unwrap().addresses
}

/// How-to 004: two addresses without any hint, on the node's network.
#[test]
fn bare_addresses_appear_as_secondary_aliases_and_go_again() {
    in_namespace(|| async {
        let lab = lab();
        veth(&lab, "eth0", "peer").await;
        add(&lab, "eth0", [192, 0, 2, 11], 24).await;
        let netlink = Netlink::new().unwrap();

        let placed = netlink.place(&[vip([192, 0, 2, 3]), vip([192, 0, 2, 4])]).await.unwrap();
        let placed: Vec<Placed> = placed.into_iter().map(Result::unwrap).collect();
        for placed in &placed {
            assert_eq!(netlink.add_address(placed).await.unwrap(), Change::Made);
            assert_eq!(netlink.add_address(placed).await.unwrap(), Change::NotNeeded);
        }
        let present = addresses(&netlink, "eth0").await;
        let expected = |last: u8, label: &str, secondary| InterfaceAddress {
            address: [192, 0, 2, last].into(),
            prefix: 24,
            broadcast: Some([192, 0, 2, 255].into()),
            label: label.to_owned(),
            secondary,
        };
        let aliases = [expected(11, "eth0", false), expected(3, "eth0:0", true), expected(4, "eth0:1", true)];
        assert_eq!(present, aliases);

        // A new start finds its own address under the label it has.
        let again = netlink.place(&[vip([192, 0, 2, 4])]).await.unwrap().remove(0).unwrap();
        assert_eq!(again.label.as_deref(), Some("eth0:1"));

        for placed in &placed {
            assert_eq!(netlink.delete_address(placed).await.unwrap(), Change::Made);
            assert_eq!(netlink.delete_address(placed).await.unwrap(), Change::NotNeeded);
        }
        assert_eq!(addresses(&netlink, "eth0").await, [expected(11, "eth0", false)]);
    });
}

#[test]
fn interfaces_are_described() {
    in_namespace(|| async {
        let lab = lab();
        veth(&lab, "eth0", "peer").await;
        lab.link().set(LinkUnspec::new_with_name("peer").down().build()).execute().await.unwrap();
        let netlink = Netlink::new().unwrap();
        let interfaces = netlink.interfaces().await.unwrap();
        let named = |name: &str| interfaces.iter().find(|interface| interface.name == name).unwrap();
        let eth0 = named("eth0");
        assert_eq!(eth0.kind.as_deref(), Some("veth"));
        assert_eq!(eth0.index, nix::net::if_::if_nametoindex("eth0").unwrap());
        assert_ne!(eth0.mac.unwrap(), [0; 6]);
        assert!(eth0.up && !eth0.carrier && eth0.addresses.is_empty());
        assert!(!named("peer").up);
        assert_eq!((named("lo").kind.as_deref(), named("lo").up), (None, false));
    });
}

#[test]
fn interface_that_went_away_is_explained() {
    in_namespace(|| async {
        let netlink = Netlink::new().unwrap();
        let gone = Placed {
            index: 4711,
            interface: "eth9".to_owned(),
            address: [192, 0, 2, 3].into(),
            prefix: 24,
            broadcast: None,
            label: None,
        };
        let error = netlink.add_address(&gone).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot add 192.0.2.3/24 dev eth9: there is no such interface (any more)"
        );
        assert_eq!(netlink.delete_address(&gone).await.unwrap(), Change::NotNeeded);
    });
}

/// The library takes silence for consent.
#[test]
fn address_is_not_believed_added_when_the_connection_is_closed() {
    in_namespace(|| async {
        let lab = lab();
        veth(&lab, "eth0", "peer").await;
        let mut netlink = Netlink::new().unwrap();
        let spec = VipSpec { prefix: Some(24), interface: Some("eth0".to_owned()), ..vip([192, 0, 2, 3]) };
        let placed = netlink.place(&[spec]).await.unwrap().remove(0).unwrap();
        netlink.connection.close();
        let error = netlink.add_address(&placed).await.unwrap_err();
        assert!(matches!(error, NetlinkError::Closed { .. }), "{error}");
        assert!(netlink.interfaces().await.is_err());
    });
}

async fn until(events: &mut Receiver<Event>, wanted: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = events.recv().await.expect("the watch ended");
        if wanted(&event) {
            return event;
        }
    }
}

#[test]
fn lost_carrier_deleted_address_and_deleted_interface_are_reported() {
    in_namespace(|| async {
        let lab = lab();
        veth(&lab, "eth0", "peer").await;
        let index = nix::net::if_::if_nametoindex("eth0").unwrap();
        let mut events = watch().unwrap();
        add(&lab, "eth0", [192, 0, 2, 3], 24).await;
        let added = until(&mut events, |event| matches!(event, Event::AddressAdded { .. })).await;
        let Event::AddressAdded { address, .. } = added else { panic!("{added:?}") };
        assert_eq!((address.address, address.prefix), ([192, 0, 2, 3].into(), 24));

        lab.link().set(LinkUnspec::new_with_name("peer").down().build()).execute().await.unwrap();
        let lost = |event: &Event| matches!(event, Event::Link { name, up: true, carrier: false, .. } if name == "eth0");
        until(&mut events, lost).await;

        lab.link().del(index).execute().await.unwrap();
        let expected = Event::AddressRemoved { index, address };
        until(&mut events, |event| *event == expected).await;
        until(&mut events, |event| *event == Event::LinkGone { index, name: "eth0".to_owned() }).await;
    });
}

#[test]
fn dropping_the_receiver_ends_the_watch() {
    in_namespace(|| async {
        let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        drop(watch().unwrap());
        while tokio::runtime::Handle::current().metrics().num_alive_tasks() > before {
            tokio::task::yield_now().await;
        }
    });
}
