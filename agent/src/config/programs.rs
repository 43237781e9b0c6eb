//! The directives of ha.cf that name programs, their users, and devices of last resort.

use std::path::{Path, PathBuf};

use super::diagnostic::quoted;
use super::ha_cf::Reader;
use super::media::has_words;
use super::model::{Respawn, Stonith};
use super::names::World;
use super::scanner::Word;
use crate::resources::{Device, Via};

/// Whether a program is Heartbeat's `ipfail`, wherever it once was.
pub(super) fn is_ipfail(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == "ipfail")
}

/// `respawn USER /PATH ARGUMENTS...`.
pub(super) fn respawn(reader: &mut Reader<'_>, name: &Word, words: &[Word]) {
    let expected = "`respawn USER /PATH ARGUMENTS...`, such as `respawn root /usr/sbin/program`";
    if !has_words(reader, name, words, 2, expected) {
        return;
    }
    let [user, program, args @ ..] = words else { return };
    let child = Respawn {
        user: user.text.clone(),
        program: PathBuf::from(&program.text),
        args: args.iter().map(|word| word.text.clone()).collect(),
    };
    // What is built in runs as nobody else, and need not lie where old files say.
    let (mut is_good, is_ipfail) = (true, child.is_ipfail());
    if !is_ipfail && !reader.world.has_user(&user.text) {
        reader.error(user.place, format!("{}, which is no user here", quoted(&user.text)), "a user");
        is_good = false;
    }
    let expected = "the full path of a program that may be executed";
    if !child.program.is_absolute() {
        reader.error(program.place, quoted(&program.text), expected);
        is_good = false;
    } else if !is_ipfail && !reader.world.is_executable(&child.program) {
        let found = format!("{}, which is none here", quoted(&program.text));
        reader.error(program.place, found, expected);
        is_good = false;
    }
    if is_good {
        reader.draft.respawn.push(child);
    }
}

/// `failfast`: a program whose end should reset the whole machine.
pub(super) fn failfast(reader: &mut Reader<'_>, name: &Word, _words: &[Word]) {
    let expected = "`respawn`, which starts the program again, or a resource with `monitor`, which moves its group: xbeat \
                    resets no machine because one program has ended";
    reader.error(name.place, quoted(&name.text), expected);
}

/// `apiauth CLIENT uid=USER,... gid=GROUP,...`: checked and ignored. Who names users that are not here meant another machine.
pub(super) fn apiauth(reader: &mut Reader<'_>, name: &Word, words: &[Word]) {
    let expected = "`apiauth CLIENT uid=USER,... gid=GROUP,...`, at least one of the two lists";
    if !has_words(reader, name, words, 2, expected) {
        return;
    }
    let client = &words[0];
    if reader.draft.api_clients.contains(&client.text) {
        return reader.error(client.place, quoted(&client.text), "each client once");
    }
    reader.draft.api_clients.push(client.text.clone());
    let is_list =
        |word: &Word| word.text.split_once('=').is_some_and(|(kind, _)| matches!(kind, "uid" | "gid"));
    if let Some(word) = words[1..].iter().find(|word| !is_list(word)) {
        return reader.error(word.place, quoted(&word.text), "`uid=USER,...` or `gid=GROUP,...`");
    }
    let why = "there are no such clients: the commands ask by a socket that root alone may use";
    reader.warning(name.place, format!("{} is accepted and ignored: {why}", quoted(&name.text)), "");
}

pub(super) fn stonith(reader: &mut Reader<'_>, name: &Word, words: &[Word]) {
    if has_words(reader, name, words, 2, "`stonith TYPE FILE`") {
        reader.warn_of_surplus(words, 2);
        let path = PathBuf::from(&words[1].text);
        match reader.world.text(&path) {
            Ok(text) => {
                let params: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
                device(reader, &words[0], &params);
            }
            Err(why) => {
                reader.warning(words[1].place, format!("{} {why}", quoted(&words[1].text)), NO_DEVICE)
            }
        }
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
        let params: Vec<String> = words[2..].iter().map(|word| word.text.clone()).collect();
        device(reader, &words[1], &params);
        reader.draft.stonith = Some(Stonith::Host { kind: words[1].text.clone(), params });
    }
}

/// What follows from a device that cannot be used.
const NO_DEVICE: &str = "a device that can be used; until then no node is reset";

/// Finds the device of a `stonith` line. What cannot be used is no reason to serve nothing: the gates keep the addresses at
/// one place without it.
fn device(reader: &mut Reader<'_>, kind: &Word, params: &[String]) {
    match Device::new(&kind.text, params, |path| reader.world.is_executable(path)) {
        Ok((device, hosts)) => reader.draft.devices.push((device, hosts, kind.place)),
        Err(why) => reader.warning(kind.place, format!("{}: {why}", quoted(&kind.text)), NO_DEVICE),
    }
}

/// How mails leave where nothing is said: by the usual program, or by a relay on this machine.
pub(super) fn usual_mailer(world: &dyn World) -> Via {
    let sendmail = PathBuf::from("/usr/sbin/sendmail");
    if world.is_executable(&sendmail) {
        Via::Sendmail(sendmail)
    } else {
        Via::Smtp { host: "localhost".to_owned(), port: 25 }
    }
}

/// `fence /PATH ARGUMENTS...`.
pub(super) fn fence(reader: &mut Reader<'_>, name: &Word, words: &[Word]) {
    if !has_words(reader, name, words, 1, "`fence /PATH ARGUMENTS...`") {
        return;
    }
    let [program, args @ ..] = words else { return };
    let path = PathBuf::from(&program.text);
    if !path.is_absolute() || !reader.world.is_executable(&path) {
        let expected = "the full path of a program that may be executed";
        return reader.error(program.place, quoted(&program.text), expected);
    }
    reader.draft.fence = Some((path, args.iter().map(|word| word.text.clone()).collect()));
}

/// `monitor RESOURCE INTERVAL`.
pub(super) fn monitor(reader: &mut Reader<'_>, name: &Word, words: &[Word]) {
    let expected = "`monitor RESOURCE INTERVAL`, RESOURCE as in haresources, its name alone, or `*`";
    if !has_words(reader, name, words, 2, expected) {
        return;
    }
    reader.warn_of_surplus(words, 2);
    if let Some(interval) = reader.time(&words[1]) {
        reader.draft.monitors.push((words[0].text.clone(), interval));
    }
}

/// `mailer /PATH` or `mailer HOST[:PORT]`.
pub(super) fn mailer(reader: &mut Reader<'_>, value: &Word) {
    let text = &value.text;
    if text.starts_with('/') {
        let program = PathBuf::from(text);
        if !reader.world.is_executable(&program) {
            let found = format!("{}, which is none here", quoted(text));
            return reader.error(value.place, found, "the full path of a program that may be executed");
        }
        reader.draft.mailer = Some(Via::Sendmail(program));
        return;
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, port.parse().ok().filter(|port| *port > 0)),
        _ => (text.as_str(), Some(25)),
    };
    match port {
        Some(port) if !host.is_empty() => {
            reader.draft.mailer = Some(Via::Smtp { host: host.to_owned(), port });
        }
        _ => reader.error(
            value.place,
            quoted(text),
            "`/usr/sbin/sendmail`, or a relay as `HOST` or `HOST:PORT`",
        ),
    }
}

/// `mailfrom ADDRESS`.
pub(super) fn mailfrom(reader: &mut Reader<'_>, value: &Word) {
    let good = value.text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    if !good || value.text.starts_with('-') {
        return reader.error(value.place, quoted(&value.text), "a mail address such as `ha@example.org`");
    }
    reader.draft.mailfrom = Some(value.text.clone());
}

pub(super) fn watchdog(reader: &mut Reader<'_>, value: &Word) {
    let device = PathBuf::from(&value.text);
    if !reader.world.is_character_device(&device) {
        let found = format!("{}, which is no character device here", quoted(&value.text));
        reader.warning(value.place, found, "a watchdog device such as `/dev/watchdog`");
    }
    reader.draft.watchdog = Some(device);
}
