//! Do the relative links of the documentation lead somewhere?

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// Checks every Markdown file of the workspace; the error lists each broken link with file and line.
pub(crate) fn check(workspace: &Path) -> Result<()> {
    let mut files = Vec::new();
    collect(workspace, &mut files)?;
    let mut broken = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let shown = file.strip_prefix(workspace).unwrap_or(file).display();
        for (line, target) in targets(&text) {
            if !file.with_file_name(&target).exists() {
                broken.push(format!("{shown}:{line}: {target} is not there"));
            }
        }
    }
    if !broken.is_empty() {
        bail!("links that lead nowhere:\n  {}", broken.join("\n  "));
    }
    println!("{} Markdown files, every relative link leads to a file", files.len());
    Ok(())
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_symlink() || name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else if name.ends_with(".md") {
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
}
