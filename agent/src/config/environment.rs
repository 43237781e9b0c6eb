//! What resource scripts see of ha.cf: every directive as `HA_<directive>`, as written or by default.

use super::check::Times;
use super::directives::DIRECTIVES;
use super::ha_cf::Draft;
use super::time::shown;

/// Names and values, each name once; `env` lines come last and win.
pub(super) fn variables(draft: &Draft, times: &Times) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for directive in DIRECTIVES {
        // Passwords of power switches do not belong into environments; `env` has names of its own.
        if matches!(directive.name, "stonith_host" | "env") {
            continue;
        }
        let last = draft.written.iter().rfind(|(name, _)| *name == directive.name);
        let value = match last {
            Some((_, value)) => Some(value.clone()),
            None => directive.default.map(str::to_owned).or_else(|| derived(directive.name, draft, times)),
        };
        // As in Heartbeat, scripts test `HA_debug` for being there.
        let value = value.filter(|_| directive.name != "debug" || draft.debug > 0);
        if let Some(value) = value {
            variables.push((format!("HA_{}", directive.name), value));
        }
    }
    for (name, value) in &draft.env {
        let name = format!("HA_{name}");
        variables.retain(|(other, _)| *other != name);
        variables.push((name, value.clone()));
    }
    variables
}

/// Defaults that follow from other values.
fn derived(name: &str, draft: &Draft, times: &Times) -> Option<String> {
    let time = match name {
        "keepalive" => times.keepalive,
        "deadtime" => times.deadtime,
        "warntime" => times.warntime,
        "initdead" => times.initdead,
        "deadping" => times.deadping,
        "lease" => times.lease,
        "starttime" => times.starttime,
        "stoptime" => times.stoptime,
        "udpport" => return Some(draft.udpport.to_string()),
        _ => return None,
    };
    Some(shown(time))
}
