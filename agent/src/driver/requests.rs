//! What operators want, by socket or by signal.

use anyhow::Result;
use cluster::{Command, GroupId, Input, Set};

use super::turn::Driver;
use crate::control::{self, Reply, Request, ResourceSet};
use crate::datapath::xdp::Kernel;

impl Driver<'_> {
    pub(super) fn on_terminate(&mut self) {
        if self.cluster.is_leaving() {
            tracing::warn!("told to stop twice: not waiting for the hand-over");
            self.exit = true;
            return;
        }
        tracing::info!("told to stop: handing over");
        let id = self.new_command();
        self.tell(Input::Command { id, command: Command::Stop });
    }

    /// What a service manager sends to restart the agent: as `xbeat stop --keep`.
    pub(super) fn on_restart(&mut self) {
        if self.cluster.is_leaving() {
            tracing::warn!("told to restart while handing over: first things first");
        } else if !self.end_and_keep() {
            tracing::warn!("nothing is pinned here: this restart is a hand-over");
            self.on_terminate();
        }
    }

    /// The agent ends, and what is open stays open for the next one; false if nothing would stay without it.
    fn end_and_keep(&mut self) -> bool {
        let pinned = self.kernel.borrow().as_ref().is_some_and(Kernel::is_pinned);
        if pinned {
            (self.keep, self.exit) = (true, true);
        }
        pinned
    }

    pub(super) fn new_command(&mut self) -> u64 {
        self.next_command += 1;
        self.next_command
    }

    pub(super) fn on_request(&mut self, request: Request) {
        use control::Command as Asked;
        let command = match request.command {
            Asked::Status => {
                let _ = request.reply.send(Reply::with_status(self.report()));
                return;
            }
            Asked::Confirm { node } => {
                let reply = self.stonith.confirm(&node).map_or_else(Reply::refused, Reply::done);
                let _ = request.reply.send(reply);
                return;
            }
            Asked::Reload => {
                self.reload(Some(request.reply));
                return;
            }
            Asked::Standby { set } => self.set(&set, Set::Foreign).map(Command::Standby),
            Asked::Takeover { set } => self.set(&set, Set::Local).map(Command::Takeover),
            Asked::Stop { keep: true } => {
                let reply = if self.end_and_keep() {
                    Reply::done("stopped; what is open stays open for the next agent")
                } else {
                    Reply::refused("nothing is pinned here: without its agent this node serves nothing")
                };
                let _ = request.reply.send(reply);
                return;
            }
            Asked::Stop { keep: false } => Ok(Command::Stop),
        };
        match command {
            Ok(command) => {
                let id = self.new_command();
                self.replies.insert(id, request.reply);
                self.tell(Input::Command { id, command });
            }
            Err(reason) => drop(request.reply.send(Reply::refused(reason))),
        }
    }

    /// The groups that were named; `failback` means those that are not where they belong.
    fn set(&self, set: &ResourceSet, failback: Set) -> Result<Set, String> {
        Ok(match set {
            ResourceSet::All => Set::All,
            ResourceSet::Local => Set::Local,
            ResourceSet::Foreign => Set::Foreign,
            ResourceSet::Failback => failback,
            ResourceSet::Group(key) => {
                let index = self.config.groups.iter().position(|group| group.key() == key);
                let index = index.ok_or_else(|| {
                    let keys: Vec<&str> = self.config.groups.iter().map(|group| group.key()).collect();
                    format!("there is no group {key}; there are: {}", keys.join(", "))
                })?;
                Set::Group(index as GroupId)
            }
        })
    }
}
