//! Programs that live as long as the agent (`respawn`): started when this node takes part in the cluster, started again when
//! they end, ended with the agent. Nobody waits for them.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{Gid, Uid, User};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::process::{MARK, Process, mark};
use super::script::{Ending, Scripts, forget_the_service_manager, log_output};
use crate::config::Respawn;

/// A program that ends with this exit code is not started again: it has said that it is not needed.
const ENOUGH: i32 = 100;

/// A program that lived for less has not served.
const SERVED: Duration = Duration::from_secs(30);

/// How often in a row a program may end without having served.
const TRIES: u32 = 10;

/// Before it is started again: what ends at once must not keep the machine busy.
const PAUSE: Duration = Duration::from_secs(1);

/// How the programs are looked after; tests are impatient.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// What lived for less has not served.
    pub served: Duration,
    /// Before the next start.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { served: SERVED, pause: PAUSE }
    }
}

/// The programs that run. Dropping it kills them.
#[derive(Debug)]
pub struct Respawned {
    tasks: JoinSet<()>,
    /// Says that all shall end, when it is dropped.
    end: watch::Sender<()>,
}

impl Respawned {
    /// Starts every program of the list but the built-in one. Must be called within a runtime.
    pub fn start(programs: &[Respawn], scripts: &Scripts, patience: Patience) -> Self {
        let (end, ending) = watch::channel(());
        let mut tasks = JoinSet::new();
        for program in programs.iter().filter(|program| !program.is_ipfail()) {
            let keeper = Keeper { program: program.clone(), env: scripts.env.clone(), patience };
            tasks.spawn(keeper.serve(ending.clone()));
        }
        Self { tasks, end }
    }

    /// Waits until none of them runs and none will be started again.
    #[cfg(test)]
    pub(super) async fn given_up(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// Ends them all: `SIGTERM`, and `SIGKILL` for those that take longer than [`super::GRACE`].
    pub async fn stop(self) {
        let Self { mut tasks, end } = self;
        drop(end);
        while tasks.join_next().await.is_some() {}
    }
}

/// Looks after one program.
struct Keeper {
    program: Respawn,
    env: Vec<(String, String)>,
    patience: Patience,
}

impl Keeper {
    async fn serve(self, mut end: watch::Receiver<()>) {
        let name: Arc<str> = self.program.program.display().to_string().into();
        let mut in_vain = 0;
        loop {
            let began = Instant::now();
            match self.spawn() {
                Ok(process) => match Self::attend(process, &name, &mut end).await {
                    Some(Ending::Exited(ENOUGH)) => {
                        return tracing::info!("{name} exited with {ENOUGH}: it is not started again");
                    }
                    Some(ending) => tracing::warn!("Managed {name} process ended: {ending}"),
                    None => return,
                },
                Err(why) => tracing::error!("cannot run {name}: {why}"),
            }
            in_vain = if began.elapsed() < self.patience.served { in_vain + 1 } else { 0 };
            if in_vain >= TRIES {
                return tracing::error!(
                    "Client {name} respawning too fast: it ended {TRIES} times within {:?}, and is given up",
                    self.patience.served
                );
            }
            tokio::select! {
                _ = end.changed() => return,
                () = sleep(self.patience.pause) => {}
            }
            tracing::error!("Respawning client {name}");
        }
    }

    /// Waits for the end of the program; if that of all is wanted, brings it about and says nothing.
    async fn attend(mut process: Process, name: &Arc<str>, end: &mut watch::Receiver<()>) -> Option<Ending> {
        log_output(&mut process, name);
        tokio::select! {
            ending = process.finish(Duration::MAX) => return Some(ending),
            _ = end.changed() => {}
        }
        process.finish(Duration::ZERO).await;
        None
    }

    fn spawn(&self) -> Result<Process, String> {
        let Respawn { user, program, args } = &self.program;
        let (uid, gid) = user_of(user)?;
        let mark = mark().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.args(args).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        forget_the_service_manager(&mut command);
        command.envs(self.env.iter().map(|(name, value)| (name, value))).env(MARK, &mark);
        // Setting the one that we have already takes a privilege, too.
        if (uid, gid) != (Uid::effective(), Gid::effective()) {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        crate::sys::script::make_ordinary(&mut command).map_err(|error| error.to_string())?;
        let child = command.spawn().map_err(|error| error.to_string())?;
        tracing::info!("Starting child client \"{}\" ({uid},{gid})", program.display());
        Ok(Process::new(child, mark))
    }
}

/// A user by name or number, with the group that belongs to it.
fn user_of(name: &str) -> Result<(Uid, Gid), String> {
    let known = match name.parse() {
        Ok(number) => User::from_uid(Uid::from_raw(number)),
        Err(_) => User::from_name(name),
    };
    match known.map_err(|error| error.to_string())? {
        Some(user) => Ok((user.uid, user.gid)),
        None => Err(format!("there is no user {name}")),
    }
}
