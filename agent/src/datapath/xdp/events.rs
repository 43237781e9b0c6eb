//! The ring buffers by which the programs tell the agent.

use aya::maps::{Map, MapData, RingBuf};
use reflex::Event;
use tokio::io::unix::AsyncFd;

use super::Error;
use crate::sys::readiness;

/// What the kernel tells of gates that open, for a thread that has yet to begin.
pub struct Opened(RingBuf<MapData>);

impl Opened {
    /// The ring buffer in that map.
    pub(super) fn new(map: Map) -> Result<Self, Error> {
        Ok(Self(RingBuf::try_from(map)?))
    }

    /// To be waited for on the calling thread's runtime.
    ///
    /// # Errors
    /// When that cannot wait.
    pub fn listen(self) -> std::io::Result<Events> {
        Ok(Events { ring: readiness::readable(self.0)? })
    }
}

/// What the kernel tells.
pub struct Events {
    ring: AsyncFd<RingBuf<MapData>>,
}

impl Events {
    /// The ring buffer in that map.
    pub(super) fn new(map: Map) -> Result<Self, Error> {
        Ok(Self { ring: readiness::readable(RingBuf::try_from(map)?)? })
    }

    /// Waits until there is an event; then passes all there are to `each`.
    ///
    /// Cancel safe: an event is either passed or still there.
    ///
    /// # Errors
    /// When the runtime cannot wait.
    pub async fn next(&mut self, mut each: impl FnMut(Event)) -> std::io::Result<()> {
        let mut guard = self.ring.readable_mut().await?;
        while let Some(item) = guard.get_inner_mut().next() {
            if let Some(event) = Event::from_bytes(&item) {
                each(event);
            }
        }
        guard.clear_ready();
        Ok(())
    }
}
