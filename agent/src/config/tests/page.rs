//! The page for people says all that the table knows; the example works.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::{directives, load};
use super::Files;

const PAGE: &str = include_str!("../../../../docs/configuration.md");

#[test]
fn every_directive_has_its_row() {
    for directive in directives::DIRECTIVES {
        let row = format!("| `{}` |", directive.name);
        assert!(PAGE.contains(&row), "docs/configuration.md has no row for `{}`", directive.name);
    }
}

#[test]
fn the_example_loads_without_a_word() {
    let example =
        |name: &str| fs::read(format!("{}/../examples/ha.d/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let files = Files::new(example("ha.cf"), example("haresources"), example("authkeys"));
    for node in ["server1", "server2"] {
        let config = files.load(node).unwrap();
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }
    // The addresses are literal, so that it also loads where no name resolves.
    load(files.dir.path(), Some("server1")).unwrap();
    let script = format!("{}/../examples/ha.d/resource.d/failback.sh", env!("CARGO_MANIFEST_DIR"));
    assert!(fs::metadata(script).unwrap().permissions().mode() & 0o111 == 0o111);
}
