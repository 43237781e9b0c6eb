//! authkeys: `auth N` and `N METHOD SECRET`. Nothing here ever shows a secret, nor a word that might be one.

use std::collections::BTreeMap;

use super::diagnostic::{Diagnostic, Severity, Source, quoted};
use super::model::{AuthKeys, Key, Method};
use super::scanner::{self, Line, Place, Word, is_blank};

/// Highest key number.
const KEY_NUMBER_MAX: u8 = 15;

const NUMBER_EXPECTED: &str = "the number of a key, 0 to 15";

/// Reads the file; none if it gives no key to sign with.
pub(super) fn parse(source: &Source, bytes: &[u8]) -> (Option<AuthKeys>, Vec<Diagnostic>) {
    let mut reader = Reader { source, diagnostics: Vec::new(), auth: Auth::Absent, keys: BTreeMap::new() };
    for line in scanner::lines(bytes) {
        reader.line(line);
    }
    let keys = reader.finish();
    (keys, reader.diagnostics)
}

/// The `auth` line.
#[derive(Clone, Copy)]
enum Auth {
    Absent,
    Given(u8, Place),
    Bad,
}

struct Reader<'a> {
    source: &'a Source,
    diagnostics: Vec<Diagnostic>,
    auth: Auth,
    /// The keys and where they stand; none for a key that went wrong.
    keys: BTreeMap<u8, (Option<Key>, Place)>,
}

impl Reader<'_> {
    fn line(&mut self, line: Line<'_>) {
        let words = line.words_from(0, is_blank);
        let Some((first, rest)) = words.split_first() else { return };
        if first.text.starts_with('#') {
            return;
        }
        if first.text.starts_with('a') { self.auth(first, rest) } else { self.key(line, first, rest) }
    }

    fn auth(&mut self, name: &Word, rest: &[Word]) {
        // Heartbeat takes every word that begins with `a`; it may be half a secret, so it is not repeated.
        let shown = if name.text == "auth" { Shown::Yes } else { Shown::No };
        if name.text != "auth" {
            let found = "a word that begins with `a`";
            self.say(Severity::Warning, name, shown, found, "`auth`, which it is taken for");
        }
        if let Auth::Given(_, first) = self.auth {
            let message = format!("`auth` stands in line {} already: this line wins", first.line);
            self.say(Severity::Warning, name, shown, message, "");
        }
        let Some(number) = rest.first() else {
            self.auth = Auth::Bad;
            return self.say(Severity::Error, name, shown, "`auth` without a number", NUMBER_EXPECTED);
        };
        self.auth = match key_number(&number.text) {
            Some(value) => Auth::Given(value, number.place),
            None => {
                self.bad_number(number);
                Auth::Bad
            }
        };
    }

    fn key(&mut self, line: Line<'_>, first: &Word, rest: &[Word]) {
        let Some(number) = key_number(&first.text) else { return self.bad_number(first) };
        let Some((method, rest)) = rest.split_first() else {
            let found = format!("key {number} without a method");
            self.keys.insert(number, (None, first.place));
            return self.say(Severity::Error, first, Shown::Yes, found, "`sha1`, `sha256`, `md5` or `crc`");
        };
        let key = self.method(method).and_then(|kind| self.secret(line, kind, method, rest));
        if let Some((_, place)) = self.keys.insert(number, (key, first.place)) {
            let message = format!("key {number} stands in line {} already: this line wins", place.line);
            self.say(Severity::Warning, first, Shown::Yes, message, "");
        }
    }

    fn method(&mut self, word: &Word) -> Option<Method> {
        let method = match word.text.as_str() {
            "crc" => Method::Crc,
            "md5" => Method::Md5,
            "sha1" => Method::Sha1,
            "sha256" => Method::Sha256,
            text => {
                let (shown, found) = if looks_like_method(text) {
                    (Shown::Yes, quoted(text))
                } else {
                    (Shown::No, "a word that is no method".into())
                };
                self.say(
                    Severity::Error,
                    word,
                    shown,
                    found,
                    "`sha1`, `sha256`, `md5` or `crc`, then the secret",
                );
                return None;
            }
        };
        let weakness = match method {
            Method::Sha1 | Method::Sha256 => return Some(method),
            Method::Md5 => "`md5`, which is weak by now",
            Method::Crc => {
                "`crc`, which has no secret: whoever reaches this port can take the addresses away from us"
            }
        };
        self.say(Severity::Warning, word, Shown::Yes, weakness, "`sha1` or `sha256`");
        Some(method)
    }

    fn secret(&mut self, line: Line<'_>, method: Method, name: &Word, rest: &[Word]) -> Option<Key> {
        // A word that is only `#` begins a comment; `#x` may well be a secret.
        let secret = rest.first().filter(|word| word.text != "#");
        match (method, secret) {
            (Method::Crc, Some(word)) if !word.text.starts_with('#') => {
                self.say(Severity::Error, word, Shown::No, "a secret for `crc`", "nothing: `crc` takes none");
                None
            }
            (Method::Crc, _) => Some(Key { method, secret: Vec::new() }),
            (Method::Md5 | Method::Sha1 | Method::Sha256, None) => {
                let found = format!("no secret behind {}", quoted(&name.text));
                self.say(Severity::Error, name, Shown::Yes, found, "a secret without blanks");
                None
            }
            (Method::Md5 | Method::Sha1 | Method::Sha256, Some(_)) => {
                if let Some(surplus) = rest.get(1).filter(|word| !word.text.starts_with('#')) {
                    let message = "words behind the secret are ignored: a secret has no blanks";
                    let place = surplus.place;
                    self.push(Severity::Warning, place, String::new(), message.into(), String::new());
                }
                Some(Key { method, secret: raw_word(line, 2)?.to_vec() })
            }
        }
    }

    fn bad_number(&mut self, word: &Word) {
        let is_number = word.text.len() <= 5 && word.text.bytes().all(|byte| byte.is_ascii_digit());
        let (shown, found) = if is_number {
            (Shown::Yes, quoted(&word.text))
        } else {
            (Shown::No, "a word that is no number".into())
        };
        self.say(Severity::Error, word, shown, found, NUMBER_EXPECTED);
    }

    fn finish(&mut self) -> Option<AuthKeys> {
        let (current, place) = match self.auth {
            Auth::Given(current, place) => (current, place),
            Auth::Bad => return None,
            Auth::Absent => {
                let expected = "`auth N` and below it `N sha1 SECRET`";
                let file = &self.source.path;
                self.diagnostics.push(Diagnostic::of_file(Severity::Error, file, "no `auth` line", expected));
                return None;
            }
        };
        let source = format!("{}auth {current}", " ".repeat((place.column as usize).saturating_sub(6)));
        match self.keys.get(&current) {
            None => {
                let found = format!("`auth {current}` without key {current}");
                let expected = format!("a line `{current} sha1 SECRET` below it");
                self.push(Severity::Error, place, source, found, expected);
            }
            Some((_, key)) if key.line < place.line => {
                let found =
                    format!("`auth {current}` below key {current}, which stands in line {}", key.line);
                self.push(Severity::Error, place, source, found, "the `auth` line above the keys".into());
            }
            Some(_) => {}
        }
        let keys = self.keys.iter().filter_map(|(&number, (key, _))| Some((number, key.clone()?))).collect();
        Some(AuthKeys { current, keys })
    }

    /// A diagnostic at a word, with as much of its line as may be seen.
    fn say(
        &mut self,
        severity: Severity,
        word: &Word,
        shown: Shown,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let full = self.source.diagnostic(severity, word.place, "", "").source;
        let before = (word.place.column as usize).saturating_sub(1);
        let (visible, rest) = match shown {
            Shown::Yes => (before + word.text.chars().count(), ""),
            Shown::No => (before, "..."),
        };
        let mut source: String = full.chars().take(visible).collect();
        source.push_str(rest);
        self.push(severity, word.place, source, found.into(), expected.into());
    }

    fn push(&mut self, severity: Severity, place: Place, source: String, found: String, expected: String) {
        let diagnostic = self.source.diagnostic(severity, place, found, expected);
        self.diagnostics.push(Diagnostic { source, ..diagnostic });
    }
}

/// Whether a word may be repeated in a message.
#[derive(Clone, Copy)]
enum Shown {
    Yes,
    No,
}

/// Whether a word was meant as a method, in contrast to a secret whose method was forgotten.
fn looks_like_method(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let rest = ["hmac", "sha", "md", "crc"].iter().find_map(|name| text.strip_prefix(name));
    rest.is_some_and(|rest| rest.len() <= 4 && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'))
}

fn key_number(text: &str) -> Option<u8> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number| *number <= KEY_NUMBER_MAX)
}

/// The bytes of a word as they stand in the file: a secret need not be UTF-8.
fn raw_word(line: Line<'_>, index: usize) -> Option<&[u8]> {
    let mut at = 0;
    for _ in 0..index {
        at = scanner::next_word(line.bytes, at, is_blank)?.1;
    }
    let (from, to) = scanner::next_word(line.bytes, at, is_blank)?;
    Some(&line.bytes[from..to])
}
