//! Systems that keep a virtual address on two nodes: xbeat, and what its users would take instead.
//!
//! Each is the real thing (Debian's packages, as installed) behind one small trait, so that whoever compares them plays
//! the same faults in the same networks. A [`pair::Pair`] is two nodes of one system with those who watch them.
//!
//! The peers run as on machines of their own: in namespaces, with private copies of every directory they write to
//! (`Machine`), and they end with the harness. What each needs beyond that is in its module.

pub mod frr;
pub mod heartbeat;
pub mod keepalived;
mod machine;
pub mod pair;
mod peer;
pub mod seen;
pub mod ucarp;
pub mod xbeat;

use std::fmt::Debug;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;

use crate::lan::Lan;

/// Something that keeps [`crate::lan::VIP`] on one of the two nodes [`crate::stage::NODES`]. The first is preferred and
/// gets it back when it returns.
pub trait System: Debug + Send + Sync {
    /// What it is called on the command line and in tables: a program, and its times if there are several.
    fn name(&self) -> &str;

    /// One line for a person: program, times, what is special.
    fn summary(&self) -> String;

    /// The configuration as its users would write it, for the report.
    fn settings(&self) -> String;

    /// What the program says of its own version, if it is there.
    fn version(&self) -> Option<String>;

    /// What has to be installed before it can run here; `None` if nothing is missing.
    fn missing(&self) -> Option<Missing>;

    /// How long it is left alone before it counts as settled, once it serves. For what nobody outside can see, such as a
    /// second node that is not ready yet.
    fn rest(&self) -> Duration;

    /// Whether both nodes answer ARP with one and the same (virtual) hardware address.
    fn shares_mac(&self) -> bool {
        false
    }

    /// Furnishes node `index` of `lan`: configured, nothing running.
    fn node(&self, lan: &Lan, index: usize) -> Result<Box<dyn Node>>;
}

/// One node of a [`System`].
pub trait Node: Debug + Send {
    /// Starts the daemon. Returns when it is started, which is long before it serves.
    fn start(&mut self) -> Result<()>;

    /// Ends the daemon as an administrator would, and waits until it is gone.
    fn stop(&mut self) -> Result<()>;

    /// Gives the address to the other node in the way that loses least: a command where there is one, else the end of the
    /// daemon.
    fn hand_over(&mut self) -> Result<()>;

    /// `kill -9` of all processes of the daemon, as the kernel does when memory is short. The machine goes on.
    fn kill(&mut self) -> Result<()>;

    /// SIGSTOP to all processes of the daemon.
    fn freeze(&mut self) -> Result<()>;

    /// SIGCONT to all of them.
    fn thaw(&mut self) -> Result<()>;

    /// Power fails. [`Lan::silence`] it first, as a dead machine is silent.
    fn power_off(&mut self) -> Result<()>;

    /// Power is back, with a new kernel's worth of network; the daemon is not started yet.
    fn boot(&mut self, lan: &mut Lan) -> Result<()>;

    /// Whether the node is at rest, as far as it can tell: `owner` has the address and the other could take it.
    fn is_settled(&mut self, owner: usize) -> bool;

    /// What the daemon has written so far.
    fn log(&self) -> String;
}

/// What has to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The program that is not there.
    pub program: String,
    /// The command that installs it on Debian.
    pub install: String,
}

/// All systems, in the order of tables. `xbeat` is the agent to compare.
pub fn all(xbeat: &Path) -> Vec<Box<dyn System>> {
    vec![
        Box::new(xbeat::Xbeat::new("xbeat", xbeat, "1ms", "3ms")),
        Box::new(xbeat::Xbeat::new("xbeat-250us", xbeat, "250us", "1ms")),
        Box::new(keepalived::Keepalived::tuned()),
        Box::new(keepalived::Keepalived::one_second()),
        Box::new(frr::Frr),
        Box::new(heartbeat::Heartbeat::fast()),
        Box::new(heartbeat::Heartbeat::how_to()),
        Box::new(ucarp::Ucarp),
    ]
}

/// [`System::missing`] for a system that needs `programs` (absolute paths) of Debian's `package`.
fn missing(package: &str, programs: &[&str]) -> Option<Missing> {
    let absent = programs.iter().find(|program| !Path::new(program).is_file())?;
    Some(Missing { program: (*absent).to_owned(), install: format!("apt-get install {package}") })
}

/// The first line that `program` writes when run with `argument`.
fn says(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output().ok()?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}
