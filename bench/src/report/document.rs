//! The tables in docs/benchmarks.md, between marks.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::sections::Section;

const END: &str = "<!-- end of figures -->";

/// Puts the tables of `sections` where the document has their marks; says what became of each.
pub(super) fn update(path: &Path, sections: &[Section]) -> Result<Vec<String>> {
    let mut text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut told = Vec::new();
    for section in sections {
        match replace(&text, section.name, &section.markdown()) {
            Some(new) if new == text => told.push(format!("{} as before", section.name)),
            Some(new) => {
                text = new;
                told.push(format!("{} renewed", section.name));
            }
            None => told.push(format!("{} has no mark", section.name)),
        }
    }
    ensure!(!told.is_empty(), "nothing to put into {}", path.display());
    fs::write(path, text).with_context(|| path.display().to_string())?;
    Ok(told)
}

/// The document with `figures` between the marks of `name`; `None` without them.
fn replace(text: &str, name: &str, figures: &str) -> Option<String> {
    let mark = format!("<!-- figures: {name} -->\n");
    let start = text.find(&mark)? + mark.len();
    let end = start + text[start..].find(END)?;
    Some(format!("{}\n{figures}\n{}", &text[..start], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_go_between_their_marks_alone() {
        let text = "a\n<!-- figures: one -->\nold\n<!-- end of figures -->\nb\n<!-- figures: two -->\n<!-- end of figures -->\n";
        let new = replace(text, "one", "| new |").unwrap();
        let expected = "a\n<!-- figures: one -->\n\n| new |\n<!-- end of figures -->\nb\n<!-- figures: two -->\n<!-- end of figures -->\n";
        assert_eq!(new, expected);
        assert_eq!(replace(&new, "one", "| new |").unwrap(), expected, "the same again");
        assert_eq!(replace(text, "three", "x"), None);
    }
}
