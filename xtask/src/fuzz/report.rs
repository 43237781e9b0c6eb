//! What libFuzzer said, in the words of a person.

use std::{fmt, process::ExitStatus};

/// Lines of a failing target that are shown.
const SHOWN: usize = 40;

/// What came of one target.
#[derive(Debug)]
pub(super) struct Report {
    target: String,
    /// Inputs of the kept corpus.
    kept: usize,
    runs: u64,
    /// Edges and features that were reached.
    coverage: Option<(u64, u64)>,
    ended: Ended,
}

#[derive(Debug)]
enum Ended {
    Well,
    /// With the input that did it, if there is one, and the last lines.
    Badly {
        status: String,
        input: Option<String>,
        lines: Vec<String>,
    },
}

impl Report {
    pub(super) fn new(target: &str, kept: usize, status: ExitStatus, output: &[u8]) -> Self {
        Self::read(target, kept, status.success(), &status.to_string(), &String::from_utf8_lossy(output))
    }

    fn read(target: &str, kept: usize, is_success: bool, status: &str, output: &str) -> Self {
        let lines: Vec<&str> = output.lines().collect();
        let number = |text: &str| text.split_whitespace().next().and_then(|number| number.parse().ok());
        let after = |line: &str, name: &str| line.split_once(name).and_then(|(_, rest)| number(rest));
        let progress = lines.iter().rev().find(|line| line.starts_with('#') && line.contains(" cov: "));
        let coverage = progress.and_then(|line| Some((after(line, " cov: ")?, after(line, " ft: ")?)));
        let counted = lines.iter().find_map(|line| after(line, "stat::number_of_executed_units:"));
        // Without its statistics, by the number of the last line of progress.
        let runs = counted.or_else(|| number(progress?.trim_start_matches('#'))).unwrap_or(0);
        let ended = if is_success {
            Ended::Well
        } else {
            let input =
                lines.iter().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path);
            let lines = what_went_wrong(&lines).iter().map(|line| (*line).to_owned()).collect();
            Ended::Badly { status: status.to_owned(), input: input.map(|path| path.trim().to_owned()), lines }
        };
        Self { target: target.to_owned(), kept, runs, coverage, ended }
    }

    pub(super) fn failed(&self) -> bool {
        matches!(self.ended, Ended::Badly { .. })
    }
}

/// The panic without its backtrace, which playing the input again shows; where there is none, the last lines.
fn what_went_wrong<'a, 'b>(lines: &'a [&'b str]) -> &'a [&'b str] {
    let Some(panic) = lines.iter().position(|line| line.contains(" panicked at ")) else {
        return &lines[lines.len().saturating_sub(SHOWN)..];
    };
    let said = &lines[panic..];
    let ends = |line: &&str| {
        line.starts_with("stack backtrace:") || line.starts_with("note: ") || line.starts_with("==")
    };
    let end = said.iter().position(ends).unwrap_or(said.len());
    &said[..end.min(SHOWN)]
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, kept, runs, coverage, ended } = self;
        let reached = match coverage {
            Some((edges, features)) => format!("{edges} edges and {features} features reached"),
            None => "nothing reached".to_owned(),
        };
        let verdict = if self.failed() { "FAILED" } else { "ok" };
        writeln!(f, "{target:<12} {verdict:<6} {runs:>9} runs from {kept} kept inputs, {reached}")?;
        if let Ended::Badly { status, input, lines } = ended {
            lines.iter().try_for_each(|line| writeln!(f, "    {line}"))?;
            match input {
                Some(input) => writeln!(f, "  again: cargo xtask fuzz {target} --input {input}")?,
                None => writeln!(f, "  it left no input, and ended with {status}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRESS: &str = "INFO: Seed: 1\n#2\tINITED cov: 10 ft: 11 corp: 1/1b exec/s: 0 rss: 30Mb\n\
                            #4096\tpulse  cov: 120 ft: 343 corp: 8/90b exec/s: 2048 rss: 31Mb\n";

    #[test]
    fn a_run_is_told_by_its_statistics() {
        let output = format!(
            "{PROGRESS}#5000\tDONE   cov: 121 ft: 350 corp: 9/99b\nstat::number_of_executed_units: 5001\n"
        );
        let report = Report::read("ha_cf", 7, true, "exit status: 0", &output);
        assert!(!report.failed());
        assert_eq!(
            report.to_string(),
            "ha_cf        ok          5001 runs from 7 kept inputs, 121 edges and 350 features reached\n"
        );
    }

    #[test]
    fn a_crash_is_told_with_its_panic_and_how_to_repeat_it() {
        let output = format!(
            "{PROGRESS}thread '<unnamed>' panicked at src/files.rs:9:9:\nline 0\nstack backtrace:\n   0: x\n\
             SUMMARY: libFuzzer: deadly signal\nartifact_prefix='a/'; Test unit written to a/crash-12\nBase64: aa==\n"
        );
        let text = Report::read("ha_cf", 7, false, "signal: 6", &output).to_string();
        assert!(text.starts_with("ha_cf        FAILED      4096 runs"), "{text}");
        assert!(text.contains(":9:9:\n    line 0\n  again:"), "{text}");
        assert!(text.ends_with("  again: cargo xtask fuzz ha_cf --input a/crash-12\n"), "{text}");
    }
}
