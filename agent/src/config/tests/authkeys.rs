//! authkeys: keys, permissions, and that no secret is shown.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::{Method, render};
use super::{Files, HA_CF, HARESOURCES, assert_error, warnings};

fn files(authkeys: impl AsRef<[u8]>) -> Files {
    Files::new(HA_CF, HARESOURCES, authkeys)
}

#[test]
fn keys_are_read_with_all_methods_and_any_bytes() {
    let text = b"# keys\n auth 3\n1 crc\n2 md5 a # old\n\n3 sha1 gr\xfcn#1\r\n15 sha256 #x\n0 crc # none\n";
    let config = files(text).load("server1").unwrap();
    assert_eq!(config.keys.current, 3);
    let keys: Vec<(u8, Method, &[u8])> =
        config.keys.keys.iter().map(|(&number, key)| (number, key.method, key.secret.as_slice())).collect();
    assert_eq!(
        keys,
        [
            (0, Method::Crc, b"".as_slice()),
            (1, Method::Crc, b""),
            (2, Method::Md5, b"a"),
            (3, Method::Sha1, b"gr\xfcn#1"),
            (15, Method::Sha256, b"#x"),
        ]
    );
    assert_eq!(config.warnings.len(), 3, "{:?}", config.warnings);
}

#[test]
fn others_must_not_read_the_keys() {
    let files = files(super::AUTHKEYS);
    for (mode, is_good) in
        [(0o600, true), (0o400, true), (0o622, true), (0o640, false), (0o604, false), (0o644, false)]
    {
        fs::set_permissions(files.path("authkeys"), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(files.load("server1").is_ok(), is_good, "{mode:o}");
    }
    let command = format!("`chmod 600 {}`", files.path("authkeys").display());
    assert_error(&files, &["1:1:", "mode 0644", "mode 0600", &command]);
}

#[test]
fn bad_lines_are_told() {
    for (text, parts) in [
        ("auth 1\n1 sha7 x\n", ["2:3: found `sha7`", "`sha1`, `sha256`, `md5` or `crc`"]),
        ("auth 1\n1 sha1\n", ["2:3: found no secret", "a secret"]),
        ("auth 1\n1 sha1 #\n", ["2:3: found no secret", "a secret"]),
        ("auth 1\n1\n", ["2:1: found key 1 without a method", "`sha1`"]),
        ("auth 1\n1 crc x\n", ["2:7: found a secret for `crc`", "takes none"]),
        ("auth 1\n1 sha1 x\n16 sha1 x\n", ["3:1: found `16`", "0 to 15"]),
        ("auth 16\n1 sha1 x\n", ["1:6: found `16`", "0 to 15"]),
        ("auth\n1 sha1 x\n", ["1:1: found `auth` without a number", "0 to 15"]),
        ("1 sha1 x\n", ["1:1: found no `auth` line", "`auth N`"]),
        ("auth 2\n1 sha1 x\n", ["1:6: found `auth 2` without key 2", "`2 sha1 SECRET`"]),
        ("1 sha1 x\nauth 1\n", ["2:6: found `auth 1` below key 1", "above the keys"]),
    ] {
        assert_error(&files(text), &parts);
    }
}

#[test]
fn later_lines_win_and_odd_ones_are_warned_of() {
    let config = files("auth 2\nauht 1\n1 sha1 a\n1 sha1 b c\n").load("server1").unwrap();
    assert_eq!(config.keys.current_key().unwrap().secret, b"b");
    assert_eq!(
        warnings(&config),
        [
            "2:1: found a word that begins with `a`, expected `auth`, which it is taken for",
            "2:1: `auth` stands in line 1 already: this line wins",
            "4:10: words behind the secret are ignored: a secret has no blanks",
            "4:1: key 1 stands in line 3 already: this line wins",
        ]
    );
}

#[test]
fn no_message_shows_a_secret() {
    for text in [
        "auth 1\n1 Sesame\n",
        "auth 1\n1 sha1 Sesame more\n1 sha1 Sesame\n",
        "auth 1\n1 crc Sesame\n",
        "auth 1\n1 sha7 Sesame\n",
        "auth 1\nSesame sha1\n",
        "auth Sesame\n1 sha1 Sesame\n",
        "auth 1\nadSesame 1\n1 sha1 Sesame\n",
        "1 sha1 Sesame\nauth 1\n",
        "auth 2\n1 sha1 Sesame\n",
        "auth 1\n1 md5 Sesame\n",
        "auth 1\n1 SesameOpenTheDoor Sesame\n",
        "auth 1\n1 Sesame # the key\n",
        "auth 1\n1 shaSesame\n",
        "auth 1\nauSesame\n1 sha1 Sesame\n",
    ] {
        let files = files(text);
        let shown = match files.load("server1") {
            Ok(config) => format!("{config:?}{}", render(&config.warnings)),
            Err(diagnostics) => format!("{diagnostics:?}{}", render(&diagnostics)),
        };
        assert!(!shown.contains("Sesame"), "{text}: {shown}");
    }
}
