//! Which program a resource word stands for, how it is called and how its answer is judged.
//!
//! ```text
//!   systemd::UNIT                      systemctl start|stop|is-active UNIT
//!   ocf::PROVIDER::TYPE::NAME=VALUE…   <OCF_ROOT>/resource.d/PROVIDER/TYPE start|stop|monitor
//!   NAME::ARG…     1. <config-dir>/resource.d/NAME ARG… start|stop|status
//!                  2. /etc/init.d/NAME             ARG… start|stop|status
//!   OCF::TYPE::INSTANCE                3. as ocf, settings in <config-dir>/conf/OCF/TYPE/INSTANCE
//!   NAME                               4. systemd::NAME, where systemd knows such a unit
//! ```

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ocf;
use super::script::{Ending, Operation, ScriptError, Scripts};
use super::{Spec, Status, judge};

/// How long systemd may take to say whether it knows a unit.
const ASK: Duration = Duration::from_secs(5);

/// By which contract a program is called and judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Heartbeat's: `status` is judged by what it prints.
    Script,
    /// OCF's: `monitor` is judged by its exit code.
    Ocf,
    /// systemctl's: `is-active` is judged by its exit code.
    Systemd,
}

impl Manner {
    /// The operation's name.
    pub(super) const fn verb(self, operation: Operation) -> &'static str {
        match (operation, self) {
            (Operation::Start, _) => "start",
            (Operation::Stop, _) => "stop",
            (Operation::Status, Self::Script) => "status",
            (Operation::Status, Self::Ocf) => "monitor",
            (Operation::Status, Self::Systemd) => "is-active",
        }
    }

    /// What an answer to the question for the status means; `code` is the exit code.
    pub(super) fn judge(self, code: Option<i32>, text: &str) -> Status {
        let running = match self {
            Self::Script => return judge(text),
            Self::Ocf => matches!(code, Some(ocf::SUCCESS | ocf::RUNNING_PRIMARY)),
            Self::Systemd => code == Some(0),
        };
        if running { Status::Running } else { Status::Stopped }
    }

    /// Whether that answer leaves no doubt that nothing runs: after a stop that failed, an agent that is confused is no
    /// proof.
    pub(super) fn is_surely_stopped(self, code: Option<i32>, text: &str) -> bool {
        match self {
            Self::Script => code.is_some() && judge(text) == Status::Stopped,
            Self::Ocf => matches!(code, Some(ocf::NOT_RUNNING | ocf::NOT_INSTALLED)),
            // Not "activating", "deactivating", or anything that is still to be invented.
            Self::Systemd => matches!(text.trim(), "inactive" | "failed" | "unknown"),
        }
    }
}

/// A program with all that it is called with.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) program: PathBuf,
    /// Before the operation.
    pub(super) args: Vec<String>,
    /// The operation, in the contract's word.
    pub(super) verb: Option<&'static str>,
    /// Behind the operation.
    pub(super) unit: Option<String>,
    /// Added to the environment of every script.
    pub(super) env: Vec<(String, String)>,
    pub(super) manner: Manner,
    /// Written to its standard input.
    pub(super) stdin: Vec<u8>,
}

impl Call {
    fn script(program: PathBuf, resource: &Spec, operation: Operation) -> Self {
        let verb = Some(Manner::Script.verb(operation));
        let args = resource.args.clone();
        Self { program, args, verb, unit: None, env: Vec::new(), manner: Manner::Script, stdin: Vec::new() }
    }

    fn systemd(program: PathBuf, unit: &str, operation: Operation) -> Self {
        let verb = Some(Manner::Systemd.verb(operation));
        let (args, env, unit) = (Vec::new(), Vec::new(), Some(unit.to_owned()));
        Self { program, args, verb, unit, env, manner: Manner::Systemd, stdin: Vec::new() }
    }

    /// The question whether systemd knows a unit, to the same `systemctl`.
    fn load_state(unit: &Self, name: &str) -> Self {
        Self {
            args: ["show", "--property=LoadState", "--value"].map(str::to_owned).to_vec(),
            verb: None,
            unit: Some(name.to_owned()),
            ..unit.clone()
        }
    }
}

/// What stands for a word.
enum Found {
    /// A program that is there.
    Program(Call),
    /// Perhaps a unit: to be asked.
    Unit {
        call: Call,
        /// What to say if it is none.
        missing: ScriptError,
    },
}

impl Scripts {
    /// Finds what to run for an operation on a resource.
    ///
    /// # Errors
    ///
    /// When there is no such program, or the word names none.
    pub(super) async fn find(&self, resource: &Spec, operation: Operation) -> Result<Call, ScriptError> {
        let (scripts, spec) = (self.clone(), resource.clone());
        // Files may be on a disk that hangs: not in the decision loop.
        let found = tokio::task::spawn_blocking(move || scripts.look_up(&spec, operation)).await;
        let found = found.map_err(|error| ScriptError::Spawn {
            path: resource.name.clone().into(),
            source: std::io::Error::other(error),
        })?;
        match found? {
            Found::Program(call) => Ok(call),
            Found::Unit { call, missing } => {
                let question = Call::load_state(&call, &resource.name);
                if self.is_unit(&resource.name, question).await? { Ok(call) } else { Err(missing) }
            }
        }
    }

    fn look_up(&self, resource: &Spec, operation: Operation) -> Result<Found, ScriptError> {
        let name = resource.name.as_str();
        let program = match name {
            "systemd" => self.unit(resource.args.first().map_or("", String::as_str), operation),
            "ocf" => ocf::explicit(self, resource, operation),
            _ => match self.locate(name) {
                Ok(path) => Ok(Call::script(path, resource, operation)),
                Err(ScriptError::NotFound { .. }) if name == "OCF" => {
                    ocf::by_instance(self, resource, operation)
                }
                Err(missing @ ScriptError::NotFound { .. }) if resource.args.is_empty() => {
                    // Without systemd, or where that could not be a unit's name, it is simply missing.
                    let Ok(call) = self.unit(name, operation) else { return Err(missing) };
                    return Ok(Found::Unit { call, missing });
                }
                Err(error) => Err(error),
            },
        };
        program.map(Found::Program)
    }

    /// Finds the script of this name.
    ///
    /// # Errors
    ///
    /// When it is missing, not executable, or the name is a path.
    pub fn locate(&self, name: &str) -> Result<PathBuf, ScriptError> {
        if !is_file_name(name) {
            return Err(ScriptError::BadName(name.to_owned()));
        }
        let candidates = [self.resource_d.join(name), self.init_d.join(name)];
        if let Some(found) = candidates.iter().find(|path| is_executable(path)) {
            return Ok(found.clone());
        }
        match candidates.into_iter().find(|path| path.exists()) {
            Some(present) => Err(ScriptError::NotExecutable(present)),
            None => Err(ScriptError::NotFound {
                name: name.to_owned(),
                resource_d: self.resource_d.clone(),
                init_d: self.init_d.clone(),
            }),
        }
    }

    /// The value that scripts see of a variable.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.env.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The settings of an `OCF::TYPE::INSTANCE`, `<config-dir>/conf/OCF/TYPE/INSTANCE`.
    pub(super) fn instance_file(&self, kind: &str, instance: &str) -> PathBuf {
        self.resource_d.with_file_name("conf").join("OCF").join(kind).join(instance)
    }

    fn unit(&self, unit: &str, operation: Operation) -> Result<Call, ScriptError> {
        if !is_unit_name(unit) {
            return Err(ScriptError::BadUnit(unit.to_owned()));
        }
        let systemctl = self.systemctl().ok_or(ScriptError::NoSystemctl)?;
        Ok(Call::systemd(systemctl, unit, operation))
    }

    /// `systemctl`, on the `PATH` of scripts.
    fn systemctl(&self) -> Option<PathBuf> {
        let path =
            self.variable("PATH").map_or_else(|| std::env::var("PATH").unwrap_or_default(), str::to_owned);
        std::env::split_paths(&path).map(|dir| dir.join("systemctl")).find(|program| is_executable(program))
    }

    /// Whether systemd has a unit of this name.
    async fn is_unit(&self, name: &str, question: Call) -> Result<bool, ScriptError> {
        let report = self.execute(question, name.into(), Operation::Status, ASK).await;
        match report.ending {
            Ending::Exited(_) => Ok(report.stdout.text().trim() == "loaded"),
            ending => Err(ScriptError::UnitUnknown { name: name.to_owned(), why: ending.to_string() }),
        }
    }
}

/// Whether a name can be looked up in a directory without leading out of it.
pub(super) fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

/// Whether systemd would take this for the name of a unit (`systemd.unit(5)`); an option is none.
pub(super) fn is_unit_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    !name.is_empty() && name.len() < 256 && !name.starts_with(['-', '.']) && name.chars().all(allowed)
}

pub(super) fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_names_and_no_options() {
        for good in ["apache2", "apache2.service", "srv-data.mount", "getty@tty1.service", r"a\x2db"] {
            assert!(is_unit_name(good), "{good}");
        }
        for bad in ["", "-H", "--host=x", "../etc", "a b", ".hidden", "a\nb"] {
            assert!(!is_unit_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn each_contract_judges_in_its_own_way() {
        use Manner::{Ocf, Script, Systemd};
        let table = [
            (Script, Some(0), "running", Status::Running, false),
            (Script, Some(3), "stopped", Status::Stopped, true),
            (Script, None, "", Status::Stopped, false),
            (Ocf, Some(0), "", Status::Running, false),
            (Ocf, Some(8), "", Status::Running, false),
            (Ocf, Some(7), "running", Status::Stopped, true),
            (Ocf, Some(5), "", Status::Stopped, true),
            // An error is no proof of anything.
            (Ocf, Some(1), "", Status::Stopped, false),
            (Ocf, None, "", Status::Stopped, false),
            (Systemd, Some(0), "active\n", Status::Running, false),
            (Systemd, Some(3), "inactive\n", Status::Stopped, true),
            (Systemd, Some(3), "failed\n", Status::Stopped, true),
            (Systemd, Some(3), "deactivating\n", Status::Stopped, false),
            (Systemd, Some(1), "", Status::Stopped, false),
        ];
        for (manner, code, text, status, surely) in table {
            assert_eq!(manner.judge(code, text), status, "{manner:?} {code:?} {text}");
            assert_eq!(manner.is_surely_stopped(code, text), surely, "{manner:?} {code:?} {text}");
        }
    }
}
