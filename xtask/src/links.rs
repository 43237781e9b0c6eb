//! Do the relative links of the documentation lead somewhere, and are the tests that it names there?

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// A name in `code` of so many words is a test's: nothing else has such long names.
const TEST_NAME_WORDS_MIN: usize = 4;

/// Checks every Markdown file of the workspace; the error lists each broken link, and each test that is named and not there,
/// with file and line.
pub(crate) fn check(workspace: &Path) -> Result<()> {
    let mut files = Vec::new();
    collect(workspace, "md", &mut files)?;
    let names = names_in_code(workspace)?;
    let mut broken = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let shown = file.strip_prefix(workspace).unwrap_or(file).display();
        for (line, target) in targets(&text) {
            if !file.with_file_name(&target).exists() {
                broken.push(format!("{shown}:{line}: {target} is not there"));
            }
        }
        for (line, name) in test_names(&text).filter(|(_, name)| !names.contains(*name)) {
            broken.push(format!("{shown}:{line}: there is no test {name}"));
        }
    }
    if !broken.is_empty() {
        bail!("links that lead nowhere, names of nothing:\n  {}", broken.join("\n  "));
    }
    println!("{} Markdown files, every relative link leads to a file, every test is there", files.len());
    Ok(())
}

/// Every long name that stands in the Rust code: that of a test among them, also where a macro makes it one.
fn names_in_code(workspace: &Path) -> Result<BTreeSet<String>> {
    let mut files = Vec::new();
    collect(workspace, "rs", &mut files)?;
    let mut names = BTreeSet::new();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        names.extend(words.filter(|word| is_test_name(word)).map(str::to_owned));
    }
    Ok(names)
}

fn is_test_name(word: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    word.split('_').count() >= TEST_NAME_WORDS_MIN && word.split('_').all(is_part)
}

/// The names of tests in `code`, with their lines.
fn test_names(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines());
    lines.flat_map(|(number, line)| {
        let code = line.split('`').skip(1).step_by(2);
        code.filter(|word| is_test_name(word)).map(move |word| (number, word))
    })
}

fn collect(directory: &Path, extension: &str, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_symlink() || name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            collect(&path, extension, files)?;
        } else if path.extension().is_some_and(|known| known == extension) {
            files.push(path);
        }
    }
    Ok(())
}

/// The relative targets of `[text](target)`, with their lines; code blocks and other schemes are left out.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Inside `code` nothing is a link.
        let prose: String = line.split('`').step_by(2).collect();
        for rest in prose.split("](").skip(1) {
            let target = rest.split([')', ' ', '#']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains(':') {
                all.push((index + 1, target.to_owned()));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_relative_links_in_prose_count() {
        let text = "[a](docs/a.md#part) [b](https://example.org/b) [c](#here)\n```\n[d](d.md)\n```\n`[e](e.md)` [f](f.md)";
        assert_eq!(targets(text), [(1, "docs/a.md".to_owned()), (5, "f.md".to_owned())]);
    }

    #[test]
    fn a_broken_link_is_named_with_file_and_line() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("docs")).unwrap();
        fs::write(directory.path().join("docs/a.md"), "\n[up](../README.md) [gone](gone.md)\n").unwrap();
        fs::write(directory.path().join("README.md"), "[a](docs/a.md)\n").unwrap();
        let error = check(directory.path()).unwrap_err().to_string();
        assert!(error.ends_with("docs/a.md:2: gone.md is not there"), "{error}");
        fs::write(directory.path().join("docs/gone.md"), "").unwrap();
        check(directory.path()).unwrap();
    }

    #[test]
    fn a_test_that_is_named_and_not_there_is_named_with_file_and_line() {
        let directory = tempfile::tempdir().unwrap();
        let page = "\n| x | `it_is_so_indeed`, `max_rexmit_delay`, `a_b_c_D` |\n";
        fs::write(directory.path().join("page.md"), page).unwrap();
        let error = check(directory.path()).unwrap_err().to_string();
        assert!(error.ends_with("page.md:2: there is no test it_is_so_indeed"), "{error}");
        fs::write(directory.path().join("code.rs"), "fn it_is_so_indeed() {}\n").unwrap();
        check(directory.path()).unwrap();
    }
}
