//! The environment that Heartbeat gives every script.

use std::path::Path;

/// Where Debian's resource-agents and old scripts look for helpers such as `send_arp`.
const HELPERS: &str = "/usr/lib/heartbeat";

/// When the agent itself was started without one.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the variables that are no directives tell.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// `/etc/ha.d`, or what takes its place.
    pub config_dir: &'a Path,
    /// `/var/lib/heartbeat`, or what takes its place; holds the FIFO.
    pub state_dir: &'a Path,
    /// This node's name.
    pub node: &'a str,
    /// `logfile`, if any.
    pub logfile: Option<&'a Path>,
    /// `debugfile`, if any.
    pub debugfile: Option<&'a Path>,
    /// `logfacility`, if any.
    pub logfacility: Option<&'a str>,
}

/// Builds the variables: the fixed ones, `HA_NAME` for each directive as written in `ha.cf`, and `HA_FIELD` for
/// each field of the message that led to the operation. Later ones win. Names that no shell could read and values
/// that no process can be given (a NUL byte) are left out; both can only come from messages.
pub fn environment(
    place: &Place<'_>,
    directives: &[(String, String)],
    fields: &[(String, String)],
) -> Vec<(String, String)> {
    let mut env = fixed(place);
    let named =
        directives.iter().chain(fields).filter(|(name, value)| is_name(name) && !value.contains('\0'));
    env.extend(named.map(|(name, value)| (format!("HA_{name}"), value.clone())));
    env
}

fn fixed(place: &Place<'_>) -> Vec<(String, String)> {
    let config = place.config_dir.display();
    // Where agents lie elsewhere, the service is started with another one.
    let ocf_root = std::env::var("OCF_ROOT").unwrap_or_else(|_| "/usr/lib/ocf".to_owned());
    let path = std::env::var("PATH").unwrap_or_else(|_| DEFAULT_PATH.to_owned());
    let mut env = vec![
        ("HA_DIR", config.to_string()),
        ("HA_FUNCS", format!("{config}/shellfuncs")),
        ("HA_RCDIR", format!("{config}/rc.d")),
        ("HA_RESOURCEDIR", format!("{config}/resource.d")),
        ("HA_BIN", HELPERS.to_owned()),
        ("HA_DOCDIR", "/usr/share/doc/heartbeat".to_owned()),
        ("HA_FIFO", place.state_dir.join("fifo").display().to_string()),
        ("HA_CURHOST", place.node.to_owned()),
        ("HA_DATEFMT", "%Y/%m/%d_%T ".to_owned()),
        ("HA_LOGD", "no".to_owned()),
        ("HA_NICEFAILBACK", "yes".to_owned()),
        ("OCF_ROOT", ocf_root.clone()),
        ("OCF_AGENTS", format!("{ocf_root}/resource.d/heartbeat")),
        ("PATH", format!("{HELPERS}:{config}:{path}")),
    ];
    env.extend(place.logfile.map(|file| ("HA_LOGFILE", file.display().to_string())));
    env.extend(place.debugfile.map(|file| ("HA_DEBUGLOG", file.display().to_string())));
    env.extend(place.logfacility.map(|facility| ("HA_LOGFACILITY", facility.to_owned())));
    env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
