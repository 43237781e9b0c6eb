//! OCF resource agents (Open Cluster Framework, Resource Agent API 1.0): where they lie, what they are told, what their
//! exit codes mean.

use std::fs;
use std::path::PathBuf;

use super::Spec;
use super::lookup::{Call, Manner, is_executable, is_file_name};
use super::script::{Operation, ScriptError, Scripts};

/// `OCF_SUCCESS`.
pub(super) const SUCCESS: i32 = 0;
/// `OCF_ERR_INSTALLED`: what the agent needs is not on this machine.
pub(super) const NOT_INSTALLED: i32 = 5;
/// `OCF_NOT_RUNNING`.
pub(super) const NOT_RUNNING: i32 = 7;
/// `OCF_RUNNING_MASTER`.
pub(super) const RUNNING_PRIMARY: i32 = 8;

/// Where agents lie when nothing else is said.
const OCF_ROOT: &str = "/usr/lib/ocf";

/// What the agent's exit code means, for the log.
pub(super) const fn meaning(code: i32) -> Option<&'static str> {
    Some(match code {
        1 => "generic error",
        2 => "invalid argument",
        3 => "operation not implemented",
        4 => "insufficient privileges",
        NOT_INSTALLED => "not installed",
        6 => "not configured",
        NOT_RUNNING => "not running",
        RUNNING_PRIMARY => "running as primary",
        9 => "failed as primary",
        _ => return None,
    })
}

/// `ocf::PROVIDER::TYPE::NAME=VALUE…`.
pub(super) fn explicit(
    scripts: &Scripts,
    resource: &Spec,
    operation: Operation,
) -> Result<Call, ScriptError> {
    let wrong = |why: &str| ScriptError::BadOcf { word: resource.to_string(), why: why.to_owned() };
    let [provider, kind, params @ ..] = resource.args.as_slice() else {
        return Err(wrong("it has to be ocf::PROVIDER::TYPE::NAME=VALUE..."));
    };
    if !is_file_name(provider) || !is_file_name(kind) {
        return Err(wrong("provider and type are names of a directory and a file"));
    }
    let settings: Option<Vec<_>> = params.iter().map(|param| setting(param)).collect();
    let settings = settings.ok_or_else(|| wrong("parameters are NAME=VALUE"))?;
    let program = root(scripts).join("resource.d").join(provider).join(kind);
    let instance = format!("{kind}_{}", params.first().map_or("", String::as_str));
    call(scripts, program, Agent { provider, kind, instance: &instance }, settings, operation)
}

/// `OCF::TYPE::INSTANCE`, where no wrapper script of Heartbeat's is installed: the agent of the first provider that has
/// one, its settings from a file.
pub(super) fn by_instance(
    scripts: &Scripts,
    resource: &Spec,
    operation: Operation,
) -> Result<Call, ScriptError> {
    let wrong = |why: String| ScriptError::BadOcf { word: resource.to_string(), why };
    let [kind, instance] = resource.args.as_slice() else {
        return Err(wrong("it has to be OCF::TYPE::INSTANCE".to_owned()));
    };
    if !is_file_name(kind) || !is_file_name(instance) {
        return Err(wrong("type and instance are names of files".to_owned()));
    }
    let providers = root(scripts).join("resource.d");
    let mut found: Vec<PathBuf> = fs::read_dir(&providers)
        .into_iter()
        .flatten()
        .flatten()
        .map(|provider| provider.path().join(kind))
        .filter(|path| is_executable(path))
        .collect();
    found.sort();
    let program = found
        .into_iter()
        .next()
        .ok_or_else(|| wrong(format!("no provider in {} has an agent {kind}", providers.display())))?;
    let file = scripts.instance_file(kind, instance);
    let text = fs::read_to_string(&file)
        .map_err(|error| wrong(format!("cannot read its settings, {}: {error}", file.display())))?;
    let provider = program.parent().and_then(|dir| dir.file_name()?.to_str()).unwrap_or_default().to_owned();
    let agent = Agent { provider: &provider, kind, instance };
    call(scripts, program, agent, settings(&text), operation)
}

struct Agent<'a> {
    provider: &'a str,
    kind: &'a str,
    instance: &'a str,
}

fn call(
    scripts: &Scripts,
    program: PathBuf,
    agent: Agent<'_>,
    settings: Vec<(String, String)>,
    operation: Operation,
) -> Result<Call, ScriptError> {
    if !program.exists() {
        return Err(ScriptError::NoAgent(program));
    }
    if !is_executable(&program) {
        return Err(ScriptError::NotExecutable(program));
    }
    let interval = "0";
    let mut env: Vec<(String, String)> = [
        ("OCF_ROOT", root(scripts).display().to_string().as_str()),
        ("OCF_RA_VERSION_MAJOR", "1"),
        ("OCF_RA_VERSION_MINOR", "0"),
        ("OCF_RESOURCE_INSTANCE", agent.instance),
        ("OCF_RESOURCE_TYPE", agent.kind),
        ("OCF_RESOURCE_PROVIDER", agent.provider),
        ("OCF_CHECK_LEVEL", "0"),
        ("OCF_RESKEY_CRM_meta_name", Manner::Ocf.verb(operation)),
        ("OCF_RESKEY_CRM_meta_interval", interval),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    env.extend(settings);
    let (args, verb) = (Vec::new(), Some(Manner::Ocf.verb(operation)));
    Ok(Call { program, args, verb, unit: None, env, manner: Manner::Ocf, stdin: Vec::new() })
}

fn root(scripts: &Scripts) -> PathBuf {
    scripts.variable("OCF_ROOT").unwrap_or(OCF_ROOT).into()
}

/// `NAME=VALUE` as the variable that an agent reads.
fn setting(param: &str) -> Option<(String, String)> {
    let (name, value) = param.split_once('=')?;
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    good.then(|| (format!("OCF_RESKEY_{}", name.trim_start_matches("OCF_RESKEY_")), value.to_owned()))
}

/// The assignments of a settings file as Heartbeat's wrapper sources it: `NAME=VALUE`, with or without quotes, `#` begins
/// a comment.
fn settings(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines
        .filter_map(|line| {
            let (name, value) = setting(line.trim_start_matches("export ").trim_start())?;
            let quoted = |quote| value.strip_prefix(quote).and_then(|rest: &str| rest.strip_suffix(quote));
            let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(&value).to_owned();
            Some((name, value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_files_are_read_as_a_shell_would() {
        let text = "# of the web\nOCF_RESKEY_config=/etc/web.conf # here\n\nexport port=\"80\"\nname='a b'\nno line\n";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [
            pair("OCF_RESKEY_config", "/etc/web.conf"),
            pair("OCF_RESKEY_port", "80"),
            pair("OCF_RESKEY_name", "a b"),
        ];
        assert_eq!(settings(text), expected);
    }

    #[test]
    fn parameters_are_names_and_values() {
        assert_eq!(setting("ip=192.0.2.1").unwrap().0, "OCF_RESKEY_ip");
        assert_eq!(setting("options=a=b").unwrap().1, "a=b");
        for bad in ["ip", "=x", "a b=c", "a;b=c"] {
            assert_eq!(setting(bad), None, "{bad}");
        }
    }
}
