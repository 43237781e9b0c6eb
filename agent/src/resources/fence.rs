//! What is done about resources that do not stop: somebody else is asked to make sure that they do no harm.
//!
//! Here: the script of `fence`, then the device that resets this node. On another node, which is silent: the device that resets
//! that one ([`Scripts::reset`]). Devices come from `stonith_host` and `stonith` lines and are driven by the common interface of
//! fence agents: `key=value` lines on standard input, exit code 0 for success.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;

use super::group::Left;
use super::lookup::{Call, Manner, is_file_name};
use super::script::{Operation, Scripts};

/// Where fence agents lie.
const AGENTS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The parameter that is ours and not the agent's.
const HOSTS: &str = "hosts=";

/// How often one means is tried: a power switch may be busy with somebody else.
const TRIES: u32 = 3;

/// Between two tries, as Heartbeat's.
pub const FENCE_PAUSE: Duration = Duration::from_secs(5);

/// Longest time for one try: a power switch that takes longer than a minute is broken.
const LIMIT: Duration = Duration::from_secs(60);

/// The means against resources that do not stop, in the order in which they are used.
#[derive(Debug, Clone, Default)]
pub struct Fencing {
    /// The script of `fence` and its arguments.
    pub script: Option<(PathBuf, Vec<String>)>,
    /// The device that resets this node.
    pub device: Option<Device>,
    /// The devices that reset others, by node.
    pub others: BTreeMap<u8, Device>,
    /// Between two tries.
    pub pause: Duration,
}

/// A device that switches this machine off. Its parameters hold passwords: not shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Device {
    /// Does nothing and is content: for tests, as in Heartbeat.
    Null,
    /// A fence agent.
    Agent {
        /// Its program.
        program: PathBuf,
        /// `key=value` lines.
        params: Vec<String>,
    },
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Agent { program, .. } => {
                f.debug_struct("Agent").field("program", program).finish_non_exhaustive()
            }
        }
    }
}

/// A device and the nodes that it resets, in lower case; none: all.
pub type DeviceAndHosts = (Device, Option<Vec<String>>);

impl Device {
    /// The device of that type, by the names of fence agents: `fence_ipmilan`, or without the `fence_`.
    ///
    /// It has to say by `hosts=NAME,...` which nodes it resets: the wrong one, reset because something does not stop here, would
    /// be the one that can still serve.
    ///
    /// # Errors
    ///
    /// What would be right. It repeats no parameter. `exists` tells programs.
    pub fn new(
        kind: &str,
        params: &[String],
        exists: impl Fn(&Path) -> bool,
    ) -> Result<DeviceAndHosts, String> {
        if kind == "null" {
            return Ok((Self::Null, None));
        }
        let name = if kind.starts_with("fence_") { kind.to_owned() } else { format!("fence_{kind}") };
        let program = AGENTS.iter().map(|dir| Path::new(dir).join(&name)).find(|path| exists(path));
        let program = program.filter(|_| is_file_name(&name)).ok_or_else(|| {
            format!(
                "there is no fence agent {name} in {}: install it, or use `fence SCRIPT`",
                AGENTS.join(" or ")
            )
        })?;
        let good = |param: &String| {
            param.split_once('=').is_some_and(|(name, _)| !name.is_empty()) && !param.contains(['\n', '\0'])
        };
        if !params.iter().all(good) {
            return Err(format!(
                "the parameters of {name} have to be NAME=VALUE, as its manual page names them"
            ));
        }
        let (hosts, params): (Vec<String>, Vec<String>) =
            params.iter().cloned().partition(|param| param.starts_with(HOSTS));
        let named = hosts.iter().flat_map(|hosts| hosts[HOSTS.len()..].split(','));
        let named: Vec<String> = named.filter(|host| !host.is_empty()).map(str::to_ascii_lowercase).collect();
        if named.is_empty() {
            return Err(format!("it does not say by `{HOSTS}NODE,...` which nodes it resets"));
        }
        Ok((Self::Agent { program, params }, Some(named)))
    }

    /// What people know it by.
    fn name(&self) -> String {
        match self {
            Self::Null => "the null device".to_owned(),
            Self::Agent { program, .. } => program.display().to_string(),
        }
    }

    /// How it is told to reset that node; nothing for the null device.
    fn call(&self, node: &str) -> Option<Call> {
        let Self::Agent { program, params } = self else { return None };
        let own = |name: &str| params.iter().any(|param| param.starts_with(name));
        let mut lines: Vec<String> = params.clone();
        if !own("action=") {
            lines.push("action=reboot".to_owned());
        }
        // Old agents say `port`, new ones `plug`; each ignores what it does not know.
        if !own("plug=") && !own("port=") {
            lines.extend([format!("plug={node}"), format!("port={node}")]);
        }
        lines.push(format!("nodename={node}"));
        let stdin = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"]).flatten().copied().collect();
        let (args, env, manner) = (Vec::new(), Vec::new(), Manner::Script);
        Some(Call { program: program.clone(), args, verb: None, unit: None, env, manner, stdin })
    }
}

impl Fencing {
    /// Whether there is anything to be tried.
    pub fn is_empty(&self) -> bool {
        self.script.is_none() && self.device.is_none()
    }
}

impl Scripts {
    /// Tries every means until one succeeds, and says which. `group` is the group's key, `left` what still runs.
    ///
    /// Takes at most three tries of a minute, and the pauses between them, for each means.
    ///
    /// # Errors
    ///
    /// What became of each.
    pub async fn fence(
        &self,
        fencing: &Fencing,
        node: &str,
        group: &str,
        left: &[Left],
    ) -> Result<String, String> {
        let mut failed = Vec::new();
        for (name, call) in calls(fencing, node, group, left) {
            for tried in 1..=TRIES {
                match self.try_reset(&name, call.as_ref(), node).await {
                    Ok(()) => return Ok(name),
                    Err(why) if tried == TRIES => failed.push(format!("{name}: {why}")),
                    Err(_) => {
                        tracing::info!("Retrying...");
                        sleep(fencing.pause).await;
                    }
                }
            }
        }
        Err(failed.join("; "))
    }

    /// Has another node reset, once: takes at most a minute.
    ///
    /// # Errors
    ///
    /// Why that is not known to be done.
    pub async fn reset(&self, device: &Device, node: &str) -> Result<(), String> {
        let name = device.name();
        let done = self.try_reset(&name, device.call(node).as_ref(), node).await;
        done.map_err(|why| format!("{name}: {why}"))
    }

    /// Asks one of the means once; `call` is nothing for the null device.
    async fn try_reset(&self, name: &str, call: Option<&Call>, node: &str) -> Result<(), String> {
        tracing::warn!("Resetting node {node} with [{name}]");
        if let Some(call) = call {
            let report = self.execute(call.clone(), name.into(), Operation::Stop, LIMIT).await;
            if !report.succeeded() {
                tracing::error!("STONITH of {node} by {name} failed: {}", report.ending);
                return Err(report.ending.to_string());
            }
        }
        tracing::warn!("node {node} now reset.");
        Ok(())
    }
}

/// What to run, in order, and its name.
fn calls(fencing: &Fencing, node: &str, group: &str, left: &[Left]) -> Vec<(String, Option<Call>)> {
    let names: Vec<&str> = left.iter().map(|left| left.resource.as_str()).collect();
    let env = vec![("HA_left".to_owned(), names.join(" "))];
    let script = fencing.script.iter().map(|(program, args)| {
        let args = args.iter().cloned().chain([node.to_owned(), group.to_owned()]).collect();
        let (env, manner, stdin) = (env.clone(), Manner::Script, Vec::new());
        let call = Call { program: program.clone(), args, verb: None, unit: None, env, manner, stdin };
        (program.display().to_string(), Some(call))
    });
    let device = fencing.device.iter().map(|device| {
        let call = device.call(node).map(|call| Call { env: env.clone(), ..call });
        (device.name(), call)
    });
    script.chain(device).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_a_fence_agent_with_named_parameters() {
        let params = ["ipaddr=10.0.0.9", "passwd=secret", "hosts=www1,WWW3"].map(str::to_owned);
        let there = |path: &Path| path == Path::new("/usr/sbin/fence_ipmilan");
        for kind in ["ipmilan", "fence_ipmilan"] {
            let (device, hosts) = Device::new(kind, &params, there).unwrap();
            assert_eq!(hosts.unwrap(), ["www1", "www3"]);
            assert!(!format!("{device:?}").contains("secret"));
            let stdin = String::from_utf8(device.call("www1").unwrap().stdin).unwrap();
            let expected =
                "ipaddr=10.0.0.9\npasswd=secret\naction=reboot\nplug=www1\nport=www1\nnodename=www1\n";
            assert_eq!(stdin, expected);
        }
        assert!(Device::new("baytech", &params, there).unwrap_err().contains("fence_baytech"));
        assert!(Device::new("../ipmilan", &params, |_| true).is_err());
        // Which of two machines it would reset nobody could guess.
        let wrong = Device::new("ipmilan", &params[..2], there).unwrap_err();
        assert!(wrong.contains("hosts=NODE") && !wrong.contains("secret"), "{wrong}");
        let positional = ["10.0.0.9".to_owned(), "secret".to_owned()];
        let wrong = Device::new("ipmilan", &positional, there).unwrap_err();
        assert!(wrong.contains("NAME=VALUE") && !wrong.contains("secret"), "{wrong}");
        assert_eq!(Device::new("null", &[], there).unwrap(), (Device::Null, None));
    }
}
