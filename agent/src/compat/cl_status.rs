//! `cl_status`: how things stand, one question at a time, for scripts.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use super::{config_dir, say, tell, words};
use crate::config;
use crate::control::client::ClientError;
use crate::status::{GroupState, NodeStatus, PingStatus, State, Status};

/// As long as Heartbeat's own waited.
const LIMIT: Duration = Duration::from_secs(5);

/// Exit codes.
const OK: u8 = 0;
const NEGATIVE: u8 = 1;
const PARAMETER: u8 = 11;
const TIMEOUT: u8 = 12;
const UNKNOWN: u8 = 13;

/// What Heartbeat says of every node whose weight or site nobody has set. Here nobody can.
const WEIGHT: &str = "100";
const SITE: &str = "";

const HELP: &str = "\
Usage: cl_status SUBCOMMAND [OPTIONS] [PARAMETERS]

  hbstatus [-v]                      does Heartbeat run here?  -v: listnodes -v, too
  listnodes [-p] [-n] [-v]           the nodes; -p: ping nodes, -n: no ping nodes, -v: status and links, too
  nodestatus NODE                    its status
  nodetype NODE                      normal or ping
  nodeweight NODE, nodesite NODE     its weight (100), its site (none)
  listhblinks NODE [-v]              its links; -v: their status, too
  hblinkstatus NODE LINK             up or dead
  clientstatus NODE CLIENT [MILLISECONDS]
                                     online or offline
  rscstatus                          what this node holds: none, local, foreign, all or transition
  hbparameter -p NAME                the value of a directive of ha.cf

-m with any of them: in a sentence.
Exit codes: 0 yes, 1 no, 11 wrong words, 12 no answer, 13 no such thing.
";

/// What came of a question: lines for stdout and stderr, and the exit code.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    out: String,
    err: String,
    code: u8,
}

impl Answer {
    fn new(out: impl Into<String>, code: u8) -> Self {
        Self { out: out.into(), err: String::new(), code }
    }

    fn error(err: impl Into<String>, code: u8) -> Self {
        Self { out: String::new(), err: err.into(), code }
    }
}

/// A question: flags and words, as `getopt` would cut them.
#[derive(Debug, Default)]
struct Question {
    flags: Vec<char>,
    /// What `-p` names, where it names something.
    named: Option<String>,
    words: Vec<String>,
}

impl Question {
    /// Cuts the words behind the subcommand; none if there is a flag that is not in `known`.
    fn new(arguments: &[String], known: &str, p_names: bool) -> Option<Self> {
        let mut question = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.strip_prefix('-').filter(|flags| !flags.is_empty()) {
                None => question.words.push(argument.clone()),
                Some("-") => question.words.extend(arguments.by_ref().cloned()),
                Some(flags) => {
                    for (at, flag) in flags.char_indices() {
                        if !known.contains(flag) {
                            return None;
                        }
                        question.flags.push(flag);
                        if p_names && flag == 'p' {
                            let rest = &flags[at + 1..];
                            question.named = if rest.is_empty() {
                                arguments.next().cloned()
                            } else {
                                Some(rest.to_owned())
                            };
                            question.named.as_ref()?;
                            break;
                        }
                    }
                }
            }
        }
        Some(question)
    }

    fn has(&self, flag: char) -> bool {
        self.flags.contains(&flag)
    }

    /// The short form, or with `-m` the sentence.
    fn form(&self, short: &str, sentence: String) -> String {
        if self.has('m') { sentence + "\n" } else { format!("{short}\n") }
    }
}

pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let answer = ask(&words(arguments), || super::status(LIMIT), parameter);
    say(&answer.out);
    tell(&answer.err);
    answer.code.into()
}

/// The value of a directive, as a script would find it in its environment.
fn parameter(node: &str, name: &str) -> Result<Option<String>, String> {
    let config = config::load(&config_dir(), Some(node)).map_err(|errors| config::render(&errors))?;
    let name = format!("HA_{name}");
    Ok(config.env.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value))
}

fn ask(
    arguments: &[String],
    status: impl FnOnce() -> Result<Status, ClientError>,
    parameter: impl FnOnce(&str, &str) -> Result<Option<String>, String>,
) -> Answer {
    let Some((command, rest)) = arguments.split_first().filter(|(first, _)| *first != "-h") else {
        return Answer::new(HELP, OK);
    };
    let (known, needed) = match command.as_str() {
        "hbstatus" => ("mv", 0),
        "listnodes" => ("mpnv", 0),
        "rscstatus" => ("m", 0),
        "hbparameter" => ("mp", 0),
        "listhblinks" => ("mv", 1),
        "nodestatus" | "nodeweight" | "nodesite" | "nodetype" => ("m", 1),
        "hblinkstatus" | "clientstatus" => ("m", 2),
        _ => {
            return Answer::error(format!("cl_status: ERROR: {command}: invalid sub-command.\n"), PARAMETER);
        }
    };
    let status = match status() {
        Ok(status) => status,
        Err(ClientError::TimedOut { .. }) => {
            return Answer::error("cl_status: ERROR: the agent does not answer\n", TIMEOUT);
        }
        Err(ClientError::NotRunning { .. }) if command == "hbstatus" => {
            return Answer::new("Heartbeat is stopped on this machine.\n", NEGATIVE);
        }
        Err(error) if command == "hbstatus" => {
            let out = "Heartbeat is apparently running on this machine, but refuses my connection\n";
            return Answer { out: out.into(), err: format!("cl_status: {error}\n"), code: OK };
        }
        Err(error) => {
            let err = format!(
                "cl_status: ERROR: Cannot signon with heartbeat\ncl_status: ERROR: REASON: {error}\n"
            );
            return Answer::error(err, NEGATIVE);
        }
    };
    let Some(question) = Question::new(rest, known, command == "hbparameter") else {
        return Answer::error(format!("cl_status: ERROR: {command}: unknown option\n"), PARAMETER);
    };
    if question.words.len() < needed {
        return Answer::error("Not enough parameters.\n", PARAMETER);
    }
    match command.as_str() {
        "hbstatus" => running(&status, &question),
        "listnodes" => Answer::new(nodes(&status, &question, question.has('v')), OK),
        "rscstatus" => {
            let held = held(&status);
            Answer::new(question.form(held, format!("This node is holding {held} resources.")), OK)
        }
        "hbparameter" => directive(&status, &question, parameter),
        "listhblinks" => links(&status, &question),
        "hblinkstatus" => link(&status, &question),
        "clientstatus" => client(&status, &question),
        command => node(&status, &question, command),
    }
}

fn running(status: &Status, question: &Question) -> Answer {
    if !question.has('v') {
        return Answer::new("Heartbeat is running on this machine.\n", OK);
    }
    let version = &status.version;
    let mut out = if question.has('m') {
        format!("Heartbeat version {version} (xbeat)\nResources controlled by \"haresources\"\n")
    } else {
        format!("version:\t{version} (xbeat)\nmanaged by:\t\"haresources\"\n")
    };
    out.push_str(&nodes(status, question, true));
    Answer::new(out, OK)
}

/// The names of all nodes with their types, in the order in which Heartbeat walks them: the last of ha.cf first.
fn all(status: &Status) -> Vec<(&str, &'static str)> {
    let pings = status.pings.iter().rev().map(|ping| (ping.name.as_str(), "ping"));
    let nodes = status.nodes.iter().rev().map(|node| (node.name.as_str(), "normal"));
    pings.chain(nodes).collect()
}

fn nodes(status: &Status, question: &Question, verbose: bool) -> String {
    let mut out = String::new();
    if question.has('m') {
        out.push_str("The nodes are as follow:\n");
    }
    let only = match (question.has('n'), question.has('p')) {
        (true, false) => Some("normal"),
        (false, true) => Some("ping"),
        _ => None,
    };
    for (name, kind) in all(status).into_iter().filter(|(_, kind)| only.is_none_or(|only| only == *kind)) {
        if !verbose {
            let _ = writeln!(out, "{name}");
            continue;
        }
        let _ = writeln!(out, "\n{name}\t{}\t(nodetype: {kind})", state(status, name).unwrap_or("dead"));
        out.push_str(&link_lines(status, question, name, true));
    }
    out
}

/// The status of a node of either kind, in Heartbeat's words.
fn state(status: &Status, name: &str) -> Option<&'static str> {
    let same = |known: &str| known.eq_ignore_ascii_case(name);
    if let Some(node) = status.nodes.iter().find(|node| same(&node.name)) {
        return Some(match node.status {
            // Who was not heard by the end of initdead is dead, as in Heartbeat.
            NodeStatus::Init if status.state == State::Active => "dead",
            NodeStatus::Init => "init",
            NodeStatus::Up => "up",
            NodeStatus::Active => "active",
            // Who is not believed is not there.
            NodeStatus::Dead | NodeStatus::Refused => "dead",
        });
    }
    status.pings.iter().find(|ping| same(&ping.name)).map(|ping| match ping.status {
        PingStatus::Init => "init",
        PingStatus::Ping => "ping",
        PingStatus::Dead => "dead",
    })
}

fn node(status: &Status, question: &Question, command: &str) -> Answer {
    let name = question.words[0].as_str();
    let Some(state) = state(status, name) else {
        return Answer::error("Error. May be due to incorrect node name\n", PARAMETER);
    };
    match command {
        "nodestatus" => {
            let code = if matches!(state, "active" | "up" | "ping") { OK } else { NEGATIVE };
            Answer::new(question.form(state, format!("The cluster node {name} is {state}")), code)
        }
        "nodetype" => {
            let kind = if status.nodes.iter().any(|node| node.name.eq_ignore_ascii_case(name)) {
                "normal"
            } else {
                "ping"
            };
            Answer::new(question.form(kind, format!("The node {name}'s type: {kind}")), OK)
        }
        "nodeweight" => Answer::new(
            question.form(WEIGHT, format!("The weight of the cluster node {name} is {WEIGHT}")),
            OK,
        ),
        _ => Answer::new(question.form(SITE, format!("The site of the cluster node {name} is {SITE}")), OK),
    }
}

/// The links by which a node is reached, each once, and whether it is heard there; none if there is no such node. A ping
/// node is its own link, and this node hears itself where its link is up.
fn links_of<'a>(status: &'a Status, name: &str) -> Option<Vec<(&'a str, bool)>> {
    let same = |known: &str| known.eq_ignore_ascii_case(name);
    if let Some(ping) = status.pings.iter().find(|ping| same(&ping.name)) {
        return Some(vec![(&ping.name, ping.status == PingStatus::Ping)]);
    }
    let node = status.nodes.iter().find(|node| same(&node.name))?;
    let mut links: Vec<(&str, bool)> = Vec::new();
    for link in &status.links {
        let up =
            if node.own { link.up } else { link.peers.iter().any(|peer| peer.node == node.name && peer.up) };
        match links.iter_mut().find(|(known, _)| *known == link.name) {
            Some((_, known)) => *known |= up,
            None => links.push((&link.name, up)),
        }
    }
    Some(links)
}

const fn up_or_dead(up: bool) -> &'static str {
    if up { "up" } else { "dead" }
}

fn link_lines(status: &Status, question: &Question, node: &str, verbose: bool) -> String {
    let mut out = String::new();
    if question.has('m') {
        out.push_str("\tthis node has the following heartbeat links:\n");
    }
    for (link, up) in links_of(status, node).unwrap_or_default() {
        let _ =
            if verbose { writeln!(out, "\t{link}\t{}", up_or_dead(up)) } else { writeln!(out, "\t{link}") };
    }
    out
}

fn links(status: &Status, question: &Question) -> Answer {
    let node = &question.words[0];
    if links_of(status, node).is_none() {
        let err = "cl_status: ERROR: Cannot start heartbeat link interface walk.\n";
        return Answer::error(err, UNKNOWN);
    }
    Answer::new(link_lines(status, question, node, question.has('v')), OK)
}

fn link(status: &Status, question: &Question) -> Answer {
    let (node, link) = (&question.words[0], &question.words[1]);
    let links = links_of(status, node).unwrap_or_default();
    let Some((_, up)) = links.into_iter().find(|(known, _)| known == link) else {
        return Answer::error("cl_status: ERROR: Cannot get heartbeat link status\n", UNKNOWN);
    };
    let state = up_or_dead(up);
    let sentence = format!("The node {node}'s heartbeat link {link} is {state}");
    Answer::new(question.form(state, sentence), if up { OK } else { NEGATIVE })
}

/// The only client of old that is here is ipfail, which is built in: it is online where its node is.
fn client(status: &Status, question: &Question) -> Answer {
    let (node, client) = (&question.words[0], &question.words[1]);
    let Some(state) = state(status, node) else {
        let err = format!("cl_status: ERROR: Cannot get heartbeat client {client}'s status\n");
        return Answer::error(err, UNKNOWN);
    };
    let online = client == "ipfail" && status.ipfail && state == "active";
    if online { Answer::new("online\n", OK) } else { Answer::new("offline\n", NEGATIVE) }
}

/// What this node holds. As in Heartbeat, who takes part and has no group of its own holds those (`local`); and who is
/// alone holds those of the others also if they have none.
fn held(status: &Status) -> &'static str {
    let moving = |state| matches!(state, GroupState::Starting | GroupState::Stopping);
    if status.state != State::Active || status.groups.iter().any(|group| moving(group.state)) {
        return "transition";
    }
    let holds = |home_here: bool, if_none: bool| {
        let mut groups =
            status.groups.iter().filter(|group| (group.home == status.node) == home_here).peekable();
        if groups.peek().is_none() {
            return if_none;
        }
        groups.any(|group| group.owner.as_deref() == Some(&*status.node))
    };
    match (holds(true, true), holds(false, status.alone)) {
        (true, true) => "all",
        (true, false) => "local",
        (false, true) => "foreign",
        (false, false) => "none",
    }
}

fn directive(
    status: &Status,
    question: &Question,
    parameter: impl FnOnce(&str, &str) -> Result<Option<String>, String>,
) -> Answer {
    let Some(name) = &question.named else {
        return Answer::error("cl_status: ERROR: parameter name required\n", PARAMETER);
    };
    match parameter(&status.node, name) {
        Ok(Some(value)) => {
            Answer::new(question.form(&value, format!("Heartbeat parameter {name}'s value: {value}")), OK)
        }
        Ok(None) => {
            Answer::error(format!("cl_status: ERROR: Cannot get parameter {name}'s value\n"), NEGATIVE)
        }
        Err(errors) => Answer::error(errors, NEGATIVE),
    }
}

#[cfg(test)]
mod tests;
