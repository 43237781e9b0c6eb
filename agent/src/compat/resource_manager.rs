//! `ResourceManager`, `req_resource` and `mach_down`: Heartbeat's own tools for resource groups, which scripts call too.
//!
//! They ask the agent, which alone starts and stops resources: what moved them behind its back would be undone by it.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;

use super::{config_dir, order, say, state_dir, status, tell, words};
use crate::config::{self, Config, Resource, ResourceGroup};
use crate::control::{Command, ResourceSet};
use crate::resources::{self, Operation, Place, Pseudo, Scripts, Spec, Status, builtin};
use crate::status::{self as page, NodeStatus};

/// Resources may take their time; who is in a hurry ends the command, not what it began.
const MOVE_LIMIT: Duration = Duration::from_secs(3600);
/// For the agent's status, and for that of one resource.
const STATUS_LIMIT: Duration = Duration::from_secs(15);

const USAGE: &str = "\
Usage: ResourceManager listkeys NODE      the groups that are at home on NODE, by their first resource
       ResourceManager allkeys|ourkeys|otherkeys
       ResourceManager status RESOURCE    is it running here?
       ResourceManager statgroup KEY      ALL, SOME or NONE of its resources run here
       ResourceManager takegroup KEY      fetch the group: xbeat takeover KEY
       ResourceManager givegroup KEY      hand it over: xbeat standby KEY
       ResourceManager verifyallidle      says which groups run here; before the agent is started
";

pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let words = words(arguments);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["takegroup", key] => take("ResourceManager", key).into(),
        ["givegroup", key] => move_group("ResourceManager", key, |set| Command::Standby { set }).into(),
        ["listkeys", node] => keys(|home, _| home.eq_ignore_ascii_case(node)),
        ["allkeys"] => keys(|_, _| true),
        ["ourkeys"] => keys(|home, own| home == own),
        ["otherkeys"] => keys(|home, own| home != own),
        ["status", word] => with_config(|config| resource_status(config, word)),
        ["statgroup", key] => with_config(|config| group_status(config, key)),
        ["verifyallidle"] => with_config(verify_all_idle),
        _ => {
            tell(USAGE);
            ExitCode::FAILURE
        }
    }
}

/// `req_resource KEY`: fetches a group unless it is here.
pub(super) fn request(arguments: &[OsString]) -> ExitCode {
    let words = words(arguments);
    let [key] = words.as_slice() else {
        tell("Usage: req_resource KEY\n");
        return ExitCode::FAILURE;
    };
    take("req_resource", key).into()
}

/// `mach_down NODE`: Heartbeat took that node's groups by it. Here the kernel has them already.
pub(super) fn machine_down(arguments: &[OsString]) -> ExitCode {
    let words = words(arguments);
    let [name] = words.as_slice() else {
        tell("Usage: mach_down NODE\n");
        return ExitCode::FAILURE;
    };
    let found = match status(STATUS_LIMIT) {
        Ok(status) => status.nodes.into_iter().find(|node| node.name.eq_ignore_ascii_case(name)),
        Err(error) => {
            tell(&format!("mach_down: {error}\n"));
            return ExitCode::FAILURE;
        }
    };
    match found {
        None => tell(&format!("mach_down: there is no node {name}\n")),
        Some(node) if matches!(node.status, NodeStatus::Up | NodeStatus::Active) => {
            tell(&format!("mach_down: {name} is up: its groups are fetched by `hb_takeover foreign`\n"));
        }
        Some(_) => {
            say(&format!("mach_down: xbeat takes over from {name} by itself\n"));
            return ExitCode::SUCCESS;
        }
    }
    ExitCode::FAILURE
}

fn take(name: &str, key: &str) -> u8 {
    move_group(name, key, |set| Command::Takeover { set })
}

fn move_group(name: &str, key: &str, command: impl FnOnce(ResourceSet) -> Command) -> u8 {
    let known = status(STATUS_LIMIT).ok().and_then(|status| same_group(&status, key));
    // A key that nobody knows is the agent's to refuse.
    let set = ResourceSet::Group(known.unwrap_or_else(|| key.to_owned()));
    order(name, &command(set), MOVE_LIMIT)
}

/// The group's key as it stands in haresources: an address may be named with `IPaddr::` and without.
fn same_group(status: &page::Status, key: &str) -> Option<String> {
    let bare = |key: &str| key.strip_prefix("IPaddr::").unwrap_or(key).to_owned();
    let found = status.groups.iter().find(|group| bare(&group.key) == bare(key))?;
    Some(found.key.clone())
}

fn with_config(answer: impl FnOnce(&Config) -> ExitCode) -> ExitCode {
    match config::load(&config_dir(), None) {
        Ok(config) => answer(&config),
        Err(errors) => {
            tell(&config::render(&errors));
            ExitCode::from(6)
        }
    }
}

/// Prints the keys of the groups whose home is wanted; it is asked with that and with this node's name.
fn keys(wanted: impl Fn(&str, &str) -> bool) -> ExitCode {
    with_config(|config| {
        let is_wanted = |group: &&ResourceGroup| wanted(&config.nodes[group.home], &config.nodes[config.own]);
        let lines: String =
            config.groups.iter().filter(is_wanted).map(|group| format!("{}\n", group.key())).collect();
        say(&lines);
        ExitCode::SUCCESS
    })
}

fn resource_status(config: &Config, word: &str) -> ExitCode {
    let Ok(resource) = word.parse::<Resource>() else {
        tell(&format!("ResourceManager: {word} is no resource\n"));
        return ExitCode::FAILURE;
    };
    let is_running = runs(config, &resource);
    say(if is_running { "running\n" } else { "stopped\n" });
    if is_running { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn group_status(config: &Config, key: &str) -> ExitCode {
    let Some(group) = config.groups.iter().find(|group| group.key() == key) else {
        tell(&format!("ResourceManager: there is no group {key}\n"));
        return ExitCode::FAILURE;
    };
    let running = group.resources.iter().filter(|resource| runs(config, resource)).count();
    say(match running {
        0 => "NONE\n",
        all if all == group.resources.len() => "ALL\n",
        _ => "SOME\n",
    });
    ExitCode::SUCCESS
}

fn verify_all_idle(config: &Config) -> ExitCode {
    for resource in config.groups.iter().filter_map(|group| group.resources.first()) {
        if runs(config, resource) {
            tell(&format!("CRITICAL: Resource {} is active, and should not be!\n", resource.word()));
        }
    }
    ExitCode::SUCCESS
}

/// Whether a resource runs here, as far as this machine tells: the agent may be down.
fn runs(config: &Config, resource: &Resource) -> bool {
    let vip = resource.vip().map(|vip| vip.address.to_string());
    if let Some(address) = vip.or_else(|| resource.vip6().map(|vip| vip.address.to_string())) {
        let is_it = |known: nix::ifaddrs::InterfaceAddress| {
            let ip = known.address?;
            let four = ip.as_sockaddr_in().map(|four| four.ip().to_string());
            four.or_else(|| ip.as_sockaddr_in6().map(|six| six.ip().to_string()))
        };
        return getifaddrs().is_ok_and(|mut all| all.any(|known| is_it(known) == Some(address.clone())));
    }
    let spec = Spec { name: resource.name.clone(), args: resource.args.clone() };
    let scripts = scripts(config);
    if builtin::parse(&spec).is_some() && scripts.locate(&spec.name).is_err() {
        // The agent alone knows, and it is down or will say.
        return false;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = runtime.map(|runtime| runtime.block_on(scripts.run(&spec, Operation::Status, STATUS_LIMIT)));
    asked.is_ok_and(|report| report.status() == Status::Running)
}

fn scripts(config: &Config) -> Scripts {
    let (config_dir, state_dir) = (config_dir(), state_dir());
    let place = Place {
        config_dir: &config_dir,
        state_dir: &state_dir,
        node: &config.nodes[config.own],
        logfile: config.logfile.as_deref(),
        debugfile: config.debugfile.as_deref(),
        logfacility: config.logfacility.map(|facility| facility.name),
    };
    let variables = config.env.iter();
    let directives: Vec<(String, String)> = variables
        .map(|(name, value)| (name.strip_prefix("HA_").unwrap_or(name).to_owned(), value.clone()))
        .collect();
    Scripts {
        resource_d: config_dir.join("resource.d"),
        init_d: "/etc/init.d".into(),
        env: resources::environment(&place, &directives, &[]),
        mailer: None,
        pseudo: Pseudo::default(),
    }
}
