//! The directives of ha.cf that name programs, their users, and devices of last resort.

use std::path::PathBuf;

use super::diagnostic::quoted;
use super::ha_cf::Reader;
use super::media::has_words;
use super::model::{ApiAuth, Respawn, Stonith};
use super::scanner::Word;

pub(super) fn respawn(reader: &mut Reader<'_>, name: &Word, words: &[Word]) {
    child(reader, name, words, false);
}

pub(super) fn failfast(reader: &mut Reader<'_>, name: &Word, words: &[Word]) {
    child(reader, name, words, true);
}

fn child(reader: &mut Reader<'_>, name: &Word, words: &[Word], is_failfast: bool) {
    let expected = format!("`{0} USER /PATH ARGUMENTS...`, such as `{0} root /usr/sbin/program`", name.text);
    if !has_words(reader, name, words, 2, &expected) {
        return;
    }
    let [user, program, args @ ..] = words else { return };
    let child = Respawn {
        user: user.text.clone(),
        program: PathBuf::from(&program.text),
        args: args.iter().map(|word| word.text.clone()).collect(),
        is_failfast,
    };
    let is_used = reader.is_used(&name.text);
    let mut is_good = true;
    if is_used && !reader.world.has_user(&user.text) {
        reader.error(user.place, format!("{}, which is no user here", quoted(&user.text)), "a user");
        is_good = false;
    }
    let expected = "the full path of a program that may be executed";
    if !child.program.is_absolute() {
        reader.error(program.place, quoted(&program.text), expected);
        is_good = false;
    } else if is_used && !child.is_ipfail() && !reader.world.is_executable(&child.program) {
        let found = format!("{}, which is none here", quoted(&program.text));
        reader.error(program.place, found, expected);
        is_good = false;
    }
    if is_good {
        reader.draft.respawn.push(child);
    }
}

pub(super) fn apiauth(reader: &mut Reader<'_>, name: &Word, words: &[Word]) {
    let expected = "`apiauth CLIENT uid=USER,... gid=GROUP,...`, at least one of the two lists";
    if !has_words(reader, name, words, 2, expected) {
        return;
    }
    let mut entry = ApiAuth { client: words[0].text.clone(), users: Vec::new(), groups: Vec::new() };
    if reader.draft.api_auth.iter().any(|other| other.client == entry.client) {
        return reader.error(words[0].place, quoted(&entry.client), "each client once");
    }
    let mut is_good = true;
    for word in &words[1..] {
        is_good &= match word.text.split_once('=') {
            Some(("uid", list)) => members(reader, word, list, &mut entry.users, Kind::User),
            Some(("gid", list)) => members(reader, word, list, &mut entry.groups, Kind::Group),
            _ => {
                reader.error(word.place, quoted(&word.text), "`uid=USER,...` or `gid=GROUP,...`");
                false
            }
        };
    }
    if is_good {
        reader.draft.api_auth.push(entry);
    }
}

#[derive(Clone, Copy)]
enum Kind {
    User,
    Group,
}

/// Reads the names behind `uid=` or `gid=`; whether all are right.
fn members(reader: &mut Reader<'_>, word: &Word, list: &str, into: &mut Vec<String>, kind: Kind) -> bool {
    let expected = match kind {
        Kind::User => "users, separated by commas",
        Kind::Group => "groups, separated by commas",
    };
    // Both `uid=` and `gid=` have four characters.
    let mut offset = 4;
    let mut is_good = true;
    for member in list.split(',') {
        let exists = match kind {
            _ if !reader.is_used("apiauth") => true,
            Kind::User => reader.world.has_user(member),
            Kind::Group => reader.world.has_group(member),
        };
        if member.is_empty() || !exists {
            reader.error(word.place_within(offset), quoted(member), expected);
            is_good = false;
        }
        into.push(member.to_owned());
        offset += member.chars().count() + 1;
    }
    is_good
}

pub(super) fn stonith(reader: &mut Reader<'_>, name: &Word, words: &[Word]) {
    if has_words(reader, name, words, 2, "`stonith TYPE FILE`") {
        reader.warn_of_surplus(words, 2);
        let path = PathBuf::from(&words[1].text);
        reader.draft.stonith = Some(Stonith::File { kind: words[0].text.clone(), path });
    }
}

/// `stonith_host HOST TYPE PARAMETERS...`; a line for another host is left out, the last for this one wins.
pub(super) fn stonith_host(reader: &mut Reader<'_>, name: &Word, words: &[Word]) {
    if !has_words(reader, name, words, 2, "`stonith_host HOST TYPE PARAMETERS...`, HOST a node or `*`") {
        return;
    }
    let host = &words[0].text;
    if host == "*" || host.eq_ignore_ascii_case(reader.own_name) {
        let params = words[2..].iter().map(|word| word.text.clone()).collect();
        reader.draft.stonith = Some(Stonith::Host { kind: words[1].text.clone(), params });
    }
}

pub(super) fn watchdog(reader: &mut Reader<'_>, value: &Word) {
    let device = PathBuf::from(&value.text);
    if reader.is_used("watchdog") && !reader.world.is_character_device(&device) {
        let found = format!("{}, which is no character device here", quoted(&value.text));
        reader.warning(value.place, found, "a watchdog device such as `/dev/watchdog`");
    }
    reader.draft.watchdog = Some(device);
}
