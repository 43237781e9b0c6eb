//! The same for IPv6: unsolicited neighbour advertisements (RFC 4861, 7.2.6), as the reflex makes them.

use std::net::Ipv6Addr;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{MsgFlags, send};
use reflex::nd;

use super::{AnnounceError, Announcer};

impl Announcer {
    /// Announces an IPv6 address; `is_router` as in [`nd::Nd::answer`]. Never waits, as [`Self::announce`].
    ///
    /// # Errors
    ///
    /// When it was not sent.
    pub fn advertise(&self, address: Ipv6Addr, is_router: bool) -> Result<(), AnnounceError> {
        let message = nd::advertisement(self.mac, address.octets(), is_router);
        let sent = send(self.socket.as_raw_fd(), &message.bytes, MsgFlags::MSG_DONTWAIT);
        sent.map(drop).map_err(|error| AnnounceError::Send {
            address: address.into(),
            interface: self.interface.clone(),
            source: error.into(),
        })
    }
}
