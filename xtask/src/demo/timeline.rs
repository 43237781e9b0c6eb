//! What the demo shows while it plays: one line per event, for a person.

use xbeat_tests::clock;

const BOLD: &str = "1";
const RED: &str = "31";
const GREEN: &str = "32";
const GREY: &str = "90";

/// What kind of news a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// Something was done to the cluster.
    Done,
    /// Something was broken.
    Broken,
    /// The service is (again) as it should be.
    Served,
}

/// Prints events with their time since the current act began.
#[derive(Debug)]
pub(crate) struct Timeline {
    colour: bool,
    quiet: bool,
    began: u64,
    owner: String,
}

impl Timeline {
    /// `colour` for terminals; `quiet` prints nothing at all.
    pub(crate) fn new(colour: bool, quiet: bool) -> Self {
        Self { colour, quiet, began: clock::now(), owner: "nobody".into() }
    }

    /// A line above everything.
    pub(crate) fn headline(&self, text: &str) {
        if !self.quiet {
            println!("{}", self.painted(BOLD, text));
        }
    }

    /// A new act begins at `began` (nanoseconds of [`clock::now`]); times are counted from there.
    pub(crate) fn act(&mut self, began: u64, title: &str) {
        self.began = began;
        if !self.quiet {
            println!("\n{}", self.painted(BOLD, title));
        }
    }

    /// Times are counted from `moment` (nanoseconds of [`clock::now`]).
    pub(crate) fn count_from(&mut self, moment: u64) {
        self.began = moment;
    }

    /// `node` answers the client now: it has the address.
    pub(crate) fn owner(&mut self, node: &str) {
        node.clone_into(&mut self.owner);
    }

    /// `text` happened at `at` (nanoseconds of [`clock::now`]).
    pub(crate) fn event(&self, at: u64, news: News, text: &str) {
        if self.quiet {
            return;
        }
        let ms = at.saturating_sub(self.began) as f64 / clock::MS as f64;
        let colour = match news {
            News::Done => None,
            News::Broken => Some(RED),
            News::Served => Some(GREEN),
        };
        // Padded before it is painted: escape codes take no room on the screen.
        let text = format!("{text:<66}");
        let text = match colour {
            Some(colour) => self.painted(colour, &text),
            None => text,
        };
        println!("{ms:>10.1} ms  {text}  {}", self.painted(GREY, &format!("VIP at {}", self.owner)));
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
