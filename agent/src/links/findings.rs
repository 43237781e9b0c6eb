//! Where threads of the agent leave what the reflex tells them, for the decision loop.

use reflex::{Event, Frame, Sink};
use tokio::sync::mpsc;

/// Letters that may wait; more are not taken, and come again.
const LETTERS_MAX: usize = 256;

/// The queues.
#[derive(Clone, Debug)]
pub struct Findings {
    events: mpsc::Sender<Event>,
    letters: mpsc::Sender<Frame>,
}

impl Findings {
    /// Leaves events in that queue, and letters in the one that is returned.
    #[must_use]
    pub fn new(events: mpsc::Sender<Event>) -> (Self, mpsc::Receiver<Frame>) {
        let (letters, queue) = mpsc::channel(LETTERS_MAX);
        (Self { events, letters }, queue)
    }
}

impl Sink for &Findings {
    fn emit(&mut self, event: Event) {
        // A full queue loses a wake-up, not what it is about: the loop looks at the tables.
        let _ = self.events.try_send(event);
    }

    fn letter(&mut self, letter: &Frame) -> bool {
        self.letters.try_send(*letter).is_ok()
    }
}
