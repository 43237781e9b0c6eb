//! The free voice's part in the kernel: strangers on an interface in doubt, and who uses ARP.

use reflex::strangers::{caller, mac_word};

use crate::fixture::{INTERFACE, Node, PASS, need_root};
use crate::packets::{CLIENT, CLIENT_MAC, OTHER, OTHER_MAC, arp, who_has};

fn stamps(node: &Node) -> Vec<bool> {
    node.facts.strangers.iter().map(|word| word.get() != 0).collect()
}

/// Any kind of frame counts, in doubt alone, on that interface alone, and of strangers alone.
#[test]
fn frames_of_strangers_are_stamped_while_the_interface_is_in_doubt() {
    need_root!("frames_of_strangers_are_stamped_while_the_interface_is_in_doubt");
    let mut node = Node::new();
    let mut frame = [0u8; 60];
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&CLIENT_MAC);
    // A type that nobody knows.
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    assert_eq!(node.run(&frame).action, PASS);
    assert_eq!(stamps(&node), [false; 4], "in peace");

    node.orders.doubts[2].set(u64::from(INTERFACE) + 1);
    node.orders.doubt.set(1);
    node.run(&frame);
    assert_eq!(stamps(&node), [false; 4], "another interface");

    node.orders.doubts[2].set(u64::from(INTERFACE));
    node.orders.macs[5].set(mac_word(CLIENT_MAC));
    node.run(&frame);
    assert_eq!(stamps(&node), [false; 4], "a node of the cluster");

    frame[6..12].copy_from_slice(&OTHER_MAC);
    assert_eq!(node.run(&frame).action, PASS);
    assert_eq!(stamps(&node), [false, false, true, false]);
}

/// Who asks for an address or answers by ARP is remembered with his interface, to be asked in doubt.
#[test]
fn who_uses_arp_is_remembered() {
    need_root!("who_uses_arp_is_remembered");
    let mut node = Node::new();
    node.run(&who_has(OTHER));
    let mut probe = arp(1, OTHER_MAC, OTHER, CLIENT);
    probe[28..32].fill(0);
    node.run(&probe);
    let known: Vec<_> = node.facts.callers.iter().filter_map(|word| caller(word.get())).collect();
    assert_eq!(known, [(INTERFACE, CLIENT.octets())], "and not a probe, which has no address yet");
}
