//! Hooks: what an administrator wants to be run when something happens, `rc.d/TYPE` in the configuration directory.
//!
//! They run one after the other, each for a bounded time, and nothing waits for them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use super::lookup::{Call, Manner, is_executable, is_file_name};
use super::script::{Operation, Scripts};

/// Longest time for one hook.
const LIMIT: Duration = Duration::from_secs(60);

/// Events that wait for hooks; more are lost, and said to be.
const WAITING_MAX: usize = 256;

/// Programs by which Heartbeat's own hooks moved resources. A hook that names one of them is Heartbeat's machinery: it would
/// start here what the election, which knows more, has just started elsewhere.
const MACHINERY: [&str; 6] =
    ["mach_down", "ResourceManager", "req_resource", "hb_standby", "hb_takeover", "ip-request-resp"];

/// Something that happened: its type, and its fields by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The name of the hook.
    pub kind: String,
    /// What the hook sees as `HA_NAME`.
    pub fields: Vec<(String, String)>,
}

/// Runs hooks.
#[derive(Debug, Clone)]
pub struct Hooks {
    events: mpsc::Sender<(Scripts, Event)>,
}

impl Hooks {
    /// Starts the task that runs them. Must be called within a runtime.
    #[must_use]
    pub fn start() -> Self {
        let (events, mut queue) = mpsc::channel::<(Scripts, Event)>(WAITING_MAX);
        tokio::spawn(async move {
            let mut told = Vec::new();
            while let Some((scripts, event)) = queue.recv().await {
                run(&scripts, event, &mut told).await;
            }
        });
        Self { events }
    }

    /// Something happened. Never waits.
    pub fn tell(&self, scripts: &Scripts, event: Event) {
        if !scripts.rc_d().is_dir() {
            return;
        }
        if let Err(error) = self.events.try_send((scripts.clone(), event)) {
            let (_, event) = error.into_inner();
            tracing::warn!("rc.d/{} is not run: {WAITING_MAX} events wait for their hooks", event.kind);
        }
    }
}

/// Runs the hook of that event, if there is one. `told`: of which of Heartbeat's own was said that they are not run.
async fn run(scripts: &Scripts, event: Event, told: &mut Vec<String>) {
    if !is_file_name(&event.kind) {
        return;
    }
    let program = scripts.rc_d().join(&event.kind);
    if !is_executable(&program) {
        return;
    }
    if let Some(name) = names_machinery(&program) {
        if !told.contains(&event.kind) {
            tracing::info!("{} is not run: it calls {name}, whose work xbeat does itself", program.display());
            told.push(event.kind);
        }
        return;
    }
    let name = format!("rc.d/{}", event.kind);
    let env = event.fields.into_iter().map(|(name, value)| (format!("HA_{name}"), value)).collect();
    let (args, manner) = (vec![event.kind], Manner::Script);
    let call = Call { program, args, verb: None, unit: None, env, manner, stdin: Vec::new() };
    let report = scripts.execute(call, name.as_str().into(), Operation::Start, LIMIT).await;
    if !report.succeeded() {
        tracing::warn!("{name}: {}", report.ending);
    }
}

/// Which of Heartbeat's own programs a hook calls, if any.
fn names_machinery(program: &Path) -> Option<&'static str> {
    let text = fs::read(program).ok()?;
    let names = |name: &str| text.windows(name.len()).any(|part| part == name.as_bytes());
    MACHINERY.into_iter().find(|name| names(name))
}

impl Scripts {
    /// `<config-dir>/rc.d`.
    fn rc_d(&self) -> PathBuf {
        self.resource_d.with_file_name("rc.d")
    }
}
