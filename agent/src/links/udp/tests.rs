use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use nix::net::if_::if_nametoindex;
use reflex::NODES_MAX;
use rtnetlink::Handle;
use rtnetlink::packet_route::neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState};

use super::{Reach, Settings, Socket};
use crate::datapath::testns::{in_namespace, lab, veth};

const FRAME: [u8; 144] = [0; 144];

const fn address(host: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, host))
}

/// The interface `one` with an address, nobody on its network, and a socket there.
async fn alone(lab: &Handle) -> (Socket, u32) {
    veth(lab, "one", "other").await;
    let ifindex = if_nametoindex("one").unwrap();
    lab.address().add(ifindex, address(1), 24).execute().await.unwrap();
    let settings = Settings { interface: "one", ifindex, port: 694, reach: Reach::Ipv4 };
    (Socket::open(&settings).unwrap(), ifindex)
}

#[test]
fn nodes_that_do_not_answer_arp_stand_in_nobodys_way() {
    in_namespace(|| async {
        let (socket, _) = alone(&lab()).await;
        // More than the kernel keeps for any of them.
        for round in 0..1_000 {
            for node in 2..=NODES_MAX as u8 {
                let sent = socket.send(&FRAME, Some(address(node)), false);
                assert!(sent.is_ok(), "frame {round} to node {node}: {sent:?}");
            }
        }
    });
}

async fn neighbour(lab: &Handle) -> NeighbourState {
    let all: Vec<NeighbourMessage> = lab.neighbours().get().execute().try_collect().await.unwrap();
    let has_mac = |message: &&NeighbourMessage| {
        message
            .attributes
            .iter()
            .any(|attribute| matches!(attribute, NeighbourAttribute::LinkLayerAddress(_)))
    };
    all.iter().find(has_mac).map_or(NeighbourState::Failed, |message| message.header.state)
}

/// A node whose kernel answers probes and not ARP: what it answers is what counts.
#[test]
fn a_node_that_answers_is_not_asked_for_its_hardware_address() {
    in_namespace(|| async {
        let lab = lab();
        let (socket, ifindex) = alone(&lab).await;
        let entry = lab.neighbours().add(ifindex, address(2)).link_layer_address(&[2, 0, 0, 0, 0, 2]);
        entry.state(NeighbourState::Stale).execute().await.unwrap();
        loop {
            socket.send(&FRAME, Some(address(2)), true).unwrap();
            match neighbour(&lab).await {
                NeighbourState::Reachable => break,
                NeighbourState::Stale | NeighbourState::Delay => {}
                other => panic!("the kernel asks, or has asked: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}
