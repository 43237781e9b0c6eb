//! Does a script's `status` output mean that the resource runs here?
//!
//! Heartbeat judges the text and ignores the exit code; thirty years of scripts rely on it. Shell patterns, as
//! it applies them, in this order:
//!
//! ```text
//!   *[Nn][Oo][Tt] *[Rr]unning*    not running
//!   *[Rr]unning*  or  *OK*        running
//!   anything else, also nothing   not running
//! ```

/// What `status` says about a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It runs on this node.
    Running,
    /// It does not, or its script does not tell.
    Stopped,
}

/// Judges what a script printed to its standard output. As in the shell, `*` runs across lines, and `OK`
/// anywhere counts, also inside another word.
pub fn judge(output: &str) -> Status {
    let running = output.rfind("running").max(output.rfind("Running"));
    // Lower-casing ASCII changes no length, so offsets agree.
    let not = output.to_ascii_lowercase().find("not ");
    match (not, running) {
        (Some(not), Some(running)) if running > not => Status::Stopped,
        (_, Some(_)) => Status::Running,
        (_, None) if output.contains("OK") => Status::Running,
        (_, None) => Status::Stopped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_texts_are_judged_as_heartbeat_judges_them() {
        let table = [
            ("", Status::Stopped),
            ("\n", Status::Stopped),
            ("OK\n", Status::Running),
            ("running", Status::Running),
            ("Running\n", Status::Running),
            ("RUNNING", Status::Stopped),
            ("INFO:  Running OK", Status::Running),
            ("INFO:  Resource is stopped", Status::Stopped),
            ("apache is running (pid 77).", Status::Running),
            ("apache is not running", Status::Stopped),
            ("Not running", Status::Stopped),
            ("NOT Running", Status::Stopped),
            ("nOt really running", Status::Stopped),
            ("not\trunning", Status::Running),
            ("notrunning", Status::Running),
            ("not  OK", Status::Running),
            ("not here OK, running there", Status::Stopped),
            ("running, and not paused", Status::Running),
            ("is running\nbut not the helper\nwhich is running", Status::Stopped),
            ("web: not yet\nrunning: no", Status::Stopped),
            ("ok", Status::Stopped),
            ("BROKEN", Status::Running),
            ("lookOKout", Status::Running),
            ("active", Status::Stopped),
            ("unning", Status::Stopped),
            ("ünicode läuft: running", Status::Running),
        ];
        for (text, expected) in table {
            assert_eq!(judge(text), expected, "{text:?}");
        }
    }
}
