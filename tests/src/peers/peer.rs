//! What all peers have in common: a daemon on a [`Machine`].

use std::fmt::Debug;
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;

use super::Node;
use super::machine::Machine;
use crate::lan::Lan;

/// Far more than the end of any daemon takes, scripts included.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// What differs from peer to peer.
pub(super) trait Daemon: Debug + Send {
    /// [`Node::start`].
    fn start(&self, machine: &mut Machine) -> Result<()>;

    /// [`Node::stop`].
    fn stop(&self, machine: &mut Machine) -> Result<()> {
        machine.terminate(LIMIT)
    }

    /// [`Node::hand_over`].
    fn hand_over(&self, machine: &mut Machine) -> Result<()> {
        self.stop(machine)
    }
}

/// A node that runs a peer.
#[derive(Debug)]
pub(super) struct Peer<D> {
    machine: Machine,
    daemon: D,
}

impl<D: Daemon + 'static> Peer<D> {
    pub(super) fn node(machine: Machine, daemon: D) -> Box<dyn Node> {
        Box::new(Self { machine, daemon })
    }
}

impl<D: Daemon> Node for Peer<D> {
    fn start(&mut self) -> Result<()> {
        self.daemon.start(&mut self.machine)
    }

    fn stop(&mut self) -> Result<()> {
        self.daemon.stop(&mut self.machine)
    }

    fn hand_over(&mut self) -> Result<()> {
        self.daemon.hand_over(&mut self.machine)
    }

    fn kill(&mut self) -> Result<()> {
        self.machine.kill_all()
    }

    fn freeze(&mut self) -> Result<()> {
        self.machine.signal_all(Signal::SIGSTOP);
        Ok(())
    }

    fn thaw(&mut self) -> Result<()> {
        self.machine.signal_all(Signal::SIGCONT);
        Ok(())
    }

    fn power_off(&mut self) -> Result<()> {
        self.machine.kill_all()
    }

    fn boot(&mut self, lan: &mut Lan) -> Result<()> {
        self.machine.boot(lan)
    }

    fn is_settled(&mut self, _owner: usize) -> bool {
        self.machine.is_running()
    }

    fn log(&self) -> String {
        self.machine.log()
    }
}
