//! What happens to the links and addresses of this network namespace, as it happens.

use std::net::Ipv6Addr;

use futures_util::StreamExt as _;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::{InterfaceAddress, NetlinkError, interface, interface_address, interface_address6};

/// Events that may wait for the reader. A node has a handful of interfaces; a burst that overruns this (a
/// container host starting up) is better read as a new listing.
pub const EVENTS_MAX: usize = 256;

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An interface is new or changed.
    Link {
        /// Its number.
        index: u32,
        /// Its name.
        name: String,
        /// Its hardware address.
        mac: Option<[u8; 6]>,
        /// Switched on by the administrator.
        up: bool,
        /// Connected to something.
        carrier: bool,
    },
    /// An interface is gone.
    LinkGone {
        /// Its number.
        index: u32,
        /// Its name.
        name: String,
    },
    /// An address appeared, also by ourselves.
    AddressAdded {
        /// Number of its interface.
        index: u32,
        /// The address.
        address: InterfaceAddress,
    },
    /// An address disappeared, also by ourselves.
    AddressRemoved {
        /// Number of its interface.
        index: u32,
        /// The address.
        address: InterfaceAddress,
    },
    /// An IPv6 address appeared, disappeared, or became usable.
    Address6 {
        /// Number of its interface.
        index: u32,
        /// The one that disappeared, also by ourselves.
        removed: Option<Ipv6Addr>,
    },
    /// Events were lost, in the kernel or here: list everything again.
    Lost,
}

/// Reports changes of links and addresses in the network namespace of the calling thread, from now on. To miss
/// nothing, begin to watch and then list ([`super::Netlink::interfaces`]). Must be called within a tokio runtime with
/// IO; ends when the receiver is dropped. If the receiver ends, the connection broke: begin anew.
///
/// A socket of its own, because the kernel's notices carry the sequence numbers of the requests that
/// caused them, which on a shared socket could be taken for answers.
///
/// # Errors
///
/// When the system gives no socket.
pub fn watch() -> Result<mpsc::Receiver<Event>, NetlinkError> {
    let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
    let (connection, handle, messages) =
        rtnetlink::new_multicast_connection(&groups).map_err(NetlinkError::Open)?;
    let (sender, receiver) = mpsc::channel(EVENTS_MAX);
    tokio::spawn(async move {
        // The connection lives as long as its handle; it must end with the reader.
        let _handle = handle;
        let events = messages.filter_map(|(message, _)| std::future::ready(event(message.payload)));
        tokio::select! {
            () = connection => {}
            () = forward(events, &sender) => {}
            () = sender.closed() => {}
        }
    });
    Ok(receiver)
}

/// Never waits for the reader with events in hand: what does not fit is dropped and reported as lost.
async fn forward(events: impl futures_util::Stream<Item = Event>, sender: &mpsc::Sender<Event>) {
    let mut events = std::pin::pin!(events);
    let mut lost = false;
    loop {
        tokio::select! {
            biased;
            room = sender.reserve(), if lost => match room {
                Ok(room) => {
                    room.send(Event::Lost);
                    lost = false;
                }
                Err(_) => return,
            },
            event = events.next() => match event {
                // A new listing will show it.
                Some(_) if lost => {}
                Some(event) => match sender.try_send(event) {
                    Ok(()) => {}
                    Err(TrySendError::Full(_)) => lost = true,
                    Err(TrySendError::Closed(_)) => return,
                },
                None => return,
            },
        }
    }
}

fn event(payload: NetlinkPayload<RouteNetlinkMessage>) -> Option<Event> {
    let message = match payload {
        NetlinkPayload::InnerMessage(message) => message,
        NetlinkPayload::Overrun(_) => return Some(Event::Lost),
        _ => return None,
    };
    match message {
        RouteNetlinkMessage::NewLink(link) => {
            let link = interface(&link);
            let (up, carrier) = (link.up, link.carrier);
            Some(Event::Link { index: link.index, name: link.name, mac: link.mac, up, carrier })
        }
        RouteNetlinkMessage::DelLink(link) => {
            let link = interface(&link);
            Some(Event::LinkGone { index: link.index, name: link.name })
        }
        RouteNetlinkMessage::NewAddress(message) if message.header.family == AddressFamily::Inet6 => {
            Some(Event::Address6 { index: message.header.index, removed: None })
        }
        RouteNetlinkMessage::DelAddress(message) if message.header.family == AddressFamily::Inet6 => {
            let removed = interface_address6(&message).map(|(_, address)| address);
            Some(Event::Address6 { index: message.header.index, removed })
        }
        RouteNetlinkMessage::NewAddress(message) => {
            interface_address(&message).map(|(index, address)| Event::AddressAdded { index, address })
        }
        RouteNetlinkMessage::DelAddress(message) => {
            interface_address(&message).map(|(index, address)| Event::AddressRemoved { index, address })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(index: u32) -> Event {
        Event::LinkGone { index, name: format!("eth{index}") }
    }

    #[tokio::test]
    async fn overflow_is_reported_once_there_is_room_and_nothing_waits() {
        let (sender, mut receiver) = mpsc::channel(2);
        // The stream stays open, as the kernel's does: `Lost` must come without a further event.
        let burst = futures_util::stream::iter((0..5).map(gone)).chain(futures_util::stream::pending());
        let forwarder = tokio::spawn(async move { forward(burst, &sender).await });
        let mut seen = Vec::new();
        while seen.last() != Some(&Event::Lost) {
            // Let the burst overrun the channel before the first is taken out.
            tokio::task::yield_now().await;
            seen.push(receiver.recv().await.unwrap());
        }
        assert_eq!(seen, [gone(0), gone(1), Event::Lost]);
        forwarder.abort();
    }
}
