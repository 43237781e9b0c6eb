use nix::sys::socket::{SockProtocol, recvfrom};

use super::*;
use crate::datapath::testns::{in_namespace, lab, veth};

const MAC: [u8; 6] = [0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee];
const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

#[test]
fn request_form_is_an_arp_announcement() {
    #[rustfmt::skip]
    let expected = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x08, 0x06,
        0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01,
        0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 192, 0, 2, 100,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 192, 0, 2, 100,
    ];
    assert_eq!(gratuitous_arp(MAC, VIP, Form::Request), expected);
}

#[test]
fn reply_form_names_the_holder_twice() {
    #[rustfmt::skip]
    let expected = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x08, 0x06,
        0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x02,
        0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 192, 0, 2, 100,
        0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 192, 0, 2, 100,
    ];
    assert_eq!(gratuitous_arp(MAC, VIP, Form::Reply), expected);
}

#[test]
fn announcements_back_off_and_then_come_once_a_minute() {
    let taken = Instant::now();
    let mut schedule = Schedule::new(taken);
    let mut sent = Vec::new();
    for _ in 0..BACK_OFF.len() + 2 {
        let now = schedule.next();
        assert!(schedule.due(now));
        sent.push((now - taken).as_millis());
        assert!(!schedule.due(now), "twice at the same time");
    }
    assert_eq!(sent, [0, 10, 50, 250, 1000, 2000, 5000, 65_000, 125_000]);
}

#[test]
fn nothing_is_due_before_its_time() {
    let taken = Instant::now();
    let mut schedule = Schedule::new(taken);
    assert!(schedule.due(taken));
    assert!(!schedule.due(taken + Duration::from_micros(9_999)));
    assert!(schedule.due(taken + Duration::from_millis(10)));
}

#[test]
fn missed_announcements_are_not_made_up_for() {
    let taken = Instant::now();
    let mut schedule = Schedule::new(taken);
    assert!(schedule.due(taken + Duration::from_millis(300)));
    assert_eq!(schedule.next(), taken + Duration::from_secs(1));
    let late = taken + Duration::from_secs(1000);
    assert!(schedule.due(late));
    assert_eq!(schedule.next(), late + REFRESH);
}

/// Receives frames of a whole namespace.
struct Tap(OwnedFd);

impl Tap {
    fn new() -> Self {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        Self(socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).unwrap())
    }

    /// The next ARP frame that came in (and is not one of our own going out), with its interface's index.
    async fn arp(&self) -> (usize, Vec<u8>) {
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = match recvfrom::<LinkAddr>(self.0.as_raw_fd(), &mut buffer) {
                Ok((length, from)) => (length, from.unwrap()),
                Err(Errno::EAGAIN) => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                }
                Err(error) => panic!("recvfrom: {error}"),
            };
            let frame = &buffer[..length];
            if frame[12..14] == [0x08, 0x06] && from.pkttype() != libc::PACKET_OUTGOING {
                return (from.ifindex(), frame.to_vec());
            }
        }
    }
}

#[test]
fn both_forms_arrive_at_the_other_end_of_the_wire() {
    in_namespace(|| async {
        veth(&lab(), "xb0", "xb1").await;
        let tap = Tap::new();
        let announcer = Announcer::open("xb0").unwrap();
        announcer.announce(VIP).unwrap();

        let far = nix::net::if_::if_nametoindex("xb1").unwrap() as usize;
        for form in [Form::Request, Form::Reply] {
            let (index, frame) = tap.arp().await;
            assert_eq!(index, far);
            assert_eq!(frame, gratuitous_arp(announcer.mac(), VIP, form));
        }
    });
}

#[test]
fn interface_that_cannot_announce_is_refused_with_the_reason() {
    in_namespace(|| async {
        assert!(matches!(Announcer::open("xb9"), Err(AnnounceError::NoInterface(name)) if name == "xb9"));
        assert!(matches!(Announcer::open("lo"), Err(AnnounceError::NoHardwareAddress(_))));
    });
}

#[test]
fn announcing_on_an_interface_that_is_down_or_gone_is_an_error_not_a_crash() {
    in_namespace(|| async {
        let lab = lab();
        veth(&lab, "xb0", "xb1").await;
        let announcer = Announcer::open("xb0").unwrap();
        let down = rtnetlink::LinkUnspec::new_with_name("xb0").down().build();
        lab.link().set(down).execute().await.unwrap();
        let error = announcer.announce(VIP).unwrap_err();
        assert!(error.to_string().starts_with("cannot announce 192.0.2.100 on xb0: "), "{error}");

        let index = nix::net::if_::if_nametoindex("xb0").unwrap();
        lab.link().del(index).execute().await.unwrap();
        assert!(matches!(announcer.announce(VIP), Err(AnnounceError::Send { .. })));
    });
}
