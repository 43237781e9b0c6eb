//! Reads what Rust's test runner prints: counts, skips, and the part a person needs when something failed.

use std::{collections::BTreeMap, fmt, ops::AddAssign, process::ExitStatus};

use anyhow::{Result, bail};

use crate::process;

/// Counts of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Skipped for want of a means: a kernel feature, root.
    pub(crate) skipped: u64,
    /// Marked `#[ignore]` by their authors, who gave the reason there.
    pub(crate) ignored: u64,
    /// Of those that passed: only when they were played again, alone.
    pub(crate) unsteady: u64,
}

impl Tally {
    /// Success, or why not: in CI a test that lacks its means is a failure, because nobody would notice it there.
    pub(crate) fn verdict(self) -> Result<()> {
        if self.failed > 0 {
            bail!("{} failed; repeat one with `cargo xtask test NAME`", tests(self.failed));
        }
        if self.skipped > 0 && process::is_ci() {
            bail!("{} skipped, and in CI nothing may be skipped", tests(self.skipped));
        }
        Ok(())
    }
}

fn tests(count: u64) -> String {
    if count == 1 { "1 test".into() } else { format!("{count} tests") }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.ignored += other.ignored;
        self.unsteady += other.unsteady;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.skipped + self.ignored {
            0 => {}
            skipped => write!(f, ", {skipped} skipped")?,
        }
        match self.unsteady {
            0 => Ok(()),
            unsteady => write!(f, ", {unsteady} of them only when repeated"),
        }
    }
}

/// The output of one run, line by line.
#[derive(Default)]
pub(crate) struct Report {
    lines: Vec<String>,
    tally: Tally,
    /// Did the runner come to its closing line?
    closed: bool,
    /// Test whose shown output is being read, from its `---- name stdout ----` line.
    showing: Option<String>,
    /// Reason by test that said it skipped itself.
    skips: BTreeMap<String, String>,
    died: Option<ExitStatus>,
}

/// A line for one test, such as `test gate::sticky ... ok`.
pub(crate) fn is_result(line: &str) -> bool {
    line.starts_with("test ") && line.contains(" ... ")
}

impl Report {
    /// Takes the next line of the output.
    pub(crate) fn line(&mut self, line: String) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.tally += counts_of(counts);
            self.closed = true;
            self.showing = None;
        } else if let Some(test) =
            line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"))
        {
            self.showing = Some(test.to_owned());
        } else if let (Some(test), Some(reason)) = (&self.showing, skip_reason(&line)) {
            self.skips.insert(test.clone(), reason.to_owned());
        }
        self.lines.push(line);
    }

    /// The counts, once the run has ended. A run that did not finish its report, or failed without a failed
    /// test (a build error, a signal), counts as one failure.
    pub(crate) fn finish(&mut self, status: ExitStatus) -> Tally {
        let skipped = u64::try_from(self.skips.len()).unwrap_or(u64::MAX).min(self.tally.passed);
        self.tally.passed -= skipped;
        self.tally.skipped += skipped;
        if !self.closed {
            let ended =
                |word: &str| self.lines.iter().filter(|line| is_result(line) && line.ends_with(word)).count();
            self.tally.passed = u64::try_from(ended("... ok")).unwrap_or(0);
            self.tally.failed = u64::try_from(ended("... FAILED")).unwrap_or(0);
        }
        if !self.closed || (self.tally.failed == 0 && !status.success()) {
            self.tally.failed = self.tally.failed.max(1);
            self.died = Some(status);
        }
        self.tally
    }

    /// Whether the output has a line with `words`.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.lines.iter().any(|line| line.contains(words))
    }

    /// Prints why tests were skipped.
    pub(crate) fn print_skips(&self) {
        for (test, reason) in &self.skips {
            println!("  {test}: skipped: {reason}");
        }
    }

    /// Prints what failed, with its output.
    pub(crate) fn print_failures(&self, name: &str) {
        if let Some(status) = self.died {
            println!("{name} ended with {status} before its report was complete:");
            self.lines.iter().for_each(|line| println!("  {line}"));
        } else if self.tally.failed > 0 {
            println!("{name} failed:");
            let failures = self.lines.iter().skip_while(|line| *line != "failures:");
            failures.for_each(|line| println!("  {line}"));
        }
    }
}

/// `skipped: REASON`, or with the test's name before it, as the harness prints it.
fn skip_reason(line: &str) -> Option<&str> {
    let (before, reason) = line.split_once("skipped: ")?;
    let test = before.strip_suffix(": ").unwrap_or(before);
    (before.is_empty() || (before.len() > test.len() && !test.contains(' '))).then_some(reason)
}

/// `ok. 3 passed; 0 failed; 1 ignored; …` → counts.
fn counts_of(text: &str) -> Tally {
    let count = |what: &str| {
        let before = text.split(what).next().filter(|before| before.len() < text.len());
        before.and_then(|before| before.trim_end().rsplit(' ').next()?.parse().ok()).unwrap_or(0)
    };
    Tally {
        passed: count(" passed;"),
        failed: count(" failed;"),
        skipped: 0,
        ignored: count(" ignored;"),
        unsteady: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn read(output: &str, wait_status: i32) -> (Tally, Report) {
        let mut report = Report::default();
        output.lines().for_each(|line| report.line(line.to_owned()));
        (report.finish(ExitStatus::from_raw(wait_status)), report)
    }

    #[test]
    fn counts_come_from_every_closing_line() {
        let output = "test a ... ok\ntest result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out\n\
                      test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let (tally, _) = read(output, 101 << 8);
        assert_eq!(tally, Tally { passed: 13, failed: 2, skipped: 0, ignored: 3, unsteady: 0 });
        assert_eq!(tally.to_string(), "13 passed, 2 failed, 3 skipped");
    }

    #[test]
    fn a_run_that_dies_before_its_report_is_one_failure() {
        let (tally, report) = read("test a ... ok\n", 6);
        assert_eq!(tally, Tally { passed: 1, failed: 1, ..Tally::default() });
        assert!(report.died.is_some());
        let (tally, _) = read("error: could not compile\n", 101 << 8);
        assert_eq!(tally.failed, 1);
    }

    #[test]
    fn a_run_that_fails_after_a_clean_report_is_one_failure() {
        let output = "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let (tally, _) = read(output, 11);
        assert_eq!(tally, Tally { passed: 4, failed: 1, ..Tally::default() });
    }

    #[test]
    fn a_test_that_says_it_skipped_is_not_a_pass() {
        let output = "test a ... ok\ntest b ... ok\n\nsuccesses:\n\n---- a stdout ----\na: skipped: no /dev/kvm\n\
                      skipped: again\n\nsuccesses:\n    a\n    b\n\n\
                      test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let (tally, report) = read(output, 0);
        assert_eq!(tally, Tally { passed: 1, failed: 0, skipped: 1, ..Tally::default() });
        assert!(report.died.is_none());
    }

    #[test]
    fn a_skip_is_told_from_a_log_line() {
        assert_eq!(skip_reason("skipped: no root"), Some("no root"));
        assert_eq!(skip_reason("vip_moves: skipped: it needs root"), Some("it needs root"));
        assert_eq!(skip_reason("INFO script skipped: done already"), None);
        assert_eq!(skip_reason("INFO group web: skipped: done already"), None);
    }

    #[test]
    fn skipped_outside_a_tests_output_means_nothing() {
        let output =
            "skipped: by somebody else\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured\n";
        assert_eq!(read(output, 0).0, Tally { passed: 1, failed: 0, ..Tally::default() });
    }

    #[test]
    fn only_failures_and_skips_in_ci_fail_the_run() {
        assert!(Tally { passed: 1, failed: 0, ..Tally::default() }.verdict().is_ok());
        assert!(Tally { passed: 1, failed: 1, ..Tally::default() }.verdict().is_err());
    }
}
