//! `hb_standby` and `hb_takeover`.
//!
//! In Heartbeat they dropped a message and came back at once, with 0 whatever became of it. Here they come back when it is
//! done, and 1 says that it was not.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use super::{order, say, tell, words};
use crate::control::{Command, ResourceSet};

/// Resources may take their time; who is in a hurry ends the command, not what it began.
const LIMIT: Duration = Duration::from_secs(3600);

pub(super) fn standby(arguments: &[OsString]) -> ExitCode {
    // Failback gives back what is at home elsewhere.
    run("hb_standby", "Going standby", arguments, ResourceSet::Foreign, |set| Command::Standby { set })
}

pub(super) fn takeover(arguments: &[OsString]) -> ExitCode {
    // Failback fetches what is at home here. (Heartbeat took everything then: `failback` was no word of its rc.d script.)
    run("hb_takeover", "Taking over", arguments, ResourceSet::Local, |set| Command::Takeover { set })
}

fn run(
    name: &str,
    doing: &str,
    arguments: &[OsString],
    failback: ResourceSet,
    command: impl FnOnce(ResourceSet) -> Command,
) -> ExitCode {
    let set = match which(&words(arguments), failback) {
        Ok(set) => set,
        Err(problem) => {
            tell(&format!("{problem}usage:\n{name} [all|foreign|local|failback]\n"));
            return 1.into();
        }
    };
    say(&format!("{doing} [{set}].\n"));
    order(name, &command(set), LIMIT).into()
}

/// The groups that are meant, or what is wrong with the words.
fn which(words: &[String], failback: ResourceSet) -> Result<ResourceSet, String> {
    match words {
        [] => Ok(ResourceSet::All),
        [word] => match word.as_str() {
            "all" => Ok(ResourceSet::All),
            "foreign" => Ok(ResourceSet::Foreign),
            "local" => Ok(ResourceSet::Local),
            "failback" => Ok(failback),
            "--help" | "-h" => Err(String::new()),
            other => Err(format!("wrong resources({other}).\n")),
        },
        _ => Err("too many arguments\n".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[&str]) -> Result<ResourceSet, String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        which(&words, ResourceSet::Foreign)
    }

    #[test]
    fn the_four_words_and_none_are_sets_and_all_else_is_usage() {
        assert_eq!(set(&[]), Ok(ResourceSet::All));
        assert_eq!(set(&["all"]), Ok(ResourceSet::All));
        assert_eq!(set(&["local"]), Ok(ResourceSet::Local));
        assert_eq!(set(&["foreign"]), Ok(ResourceSet::Foreign));
        assert_eq!(set(&["failback"]), Ok(ResourceSet::Foreign));
        assert!(set(&["192.0.2.100"]).is_err(), "the key of a group is a word of `xbeat standby`");
        assert!(set(&["--help"]).is_err() && set(&["all", "local"]).is_err() && set(&[""]).is_err());
    }
}
