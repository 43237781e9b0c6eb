//! The ring buffer in which the programs leave letters.

use aya::maps::{Map, MapData, RingBuf};
use reflex::Frame;
use tokio::io::unix::AsyncFd;

use super::Error;
use crate::sys::readiness;

/// Letters that are read at once, at most: the rest waits for the next turn of the loop.
const BATCH_MAX: usize = 64;

/// Letters that the kernel took.
pub struct Letters {
    ring: AsyncFd<RingBuf<MapData>>,
}

impl Letters {
    /// The ring buffer in that map.
    pub(super) fn new(map: Map) -> Result<Self, Error> {
        Ok(Self { ring: readiness::readable(RingBuf::try_from(map)?)? })
    }

    /// Waits until there is a letter; then passes some to `each`.
    ///
    /// Cancel safe: a letter is either passed or still there.
    ///
    /// # Errors
    /// When the runtime cannot wait.
    pub async fn next(&mut self, mut each: impl FnMut(Frame)) -> std::io::Result<()> {
        let mut guard = self.ring.readable_mut().await?;
        for _ in 0..BATCH_MAX {
            let Some(item) = guard.get_inner_mut().next() else {
                guard.clear_ready();
                break;
            };
            if let Ok(bytes) = (*item).try_into() {
                each(Frame { bytes });
            }
        }
        Ok(())
    }
}
