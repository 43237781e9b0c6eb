//! The real command: its words and its exit codes, which scripts rely on.

#![expect(clippy::unwrap_used, reason = "here a panic is the report")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use xbeat::control::{self, Reply};
use xbeat::status::{Lease, Realtime, Scheduling, State, Status};

fn xbeat(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_xbeat")).args(arguments).output();
    output.expect("the command was built with this test")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the command speaks UTF-8")
}

/// Runs the command against an agent that answers each request with the next of `replies`.
fn xbeat_with(replies: Vec<Reply>, arguments: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().to_str().unwrap().to_owned();
    let mut server = control::serve(dir.path()).unwrap();
    let agent = std::thread::spawn(move || {
        for reply in replies {
            let request = server.requests.blocking_recv().unwrap();
            request.reply.send(reply).unwrap();
        }
    });
    let output = xbeat(&[arguments, &["--run-dir", &run_dir]].concat());
    agent.join().unwrap();
    output
}

fn status() -> Status {
    Status {
        node: "server1".to_owned(),
        version: "0.1.0".to_owned(),
        state: State::Active,
        since_ms: 1,
        alone: false,
        unheard: Vec::new(),
        unfenced: Vec::new(),
        config_digest: String::new(),
        keepalive_us: 1_000,
        deadtime_us: 3_000,
        lease: Lease { length_us: 200_000, age_us: 1, valid: true },
        realtime: Realtime {
            probe: Scheduling::Normal,
            decision_loop: Scheduling::Normal,
            memory_locked: false,
        },
        nodes: Vec::new(),
        links: Vec::new(),
        groups: Vec::new(),
        pings: Vec::new(),
        ipfail: false,
        networks: Vec::new(),
        counters: Default::default(),
        egress: Vec::new(),
        lost: Vec::new(),
        warnings: Vec::new(),
        reloads: Default::default(),
        turns: Default::default(),
    }
}

#[test]
fn help_has_examples_and_exit_codes() {
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["check", "--help"],
        &["status", "--help"],
        &["standby", "--help"],
        &["takeover", "--help"],
        &["stop", "--help"],
        &["reload", "--help"],
        &["upgrade", "--help"],
    ] {
        let output = xbeat(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        let page = text(&output.stdout);
        assert!(page.contains("Examples:\n") && page.contains("Exit codes:\n"), "{arguments:?}: {page}");
        assert!(page.lines().all(|line| line.chars().count() <= 100), "{arguments:?} is wide: {page}");
    }
    assert_eq!(text(&xbeat(&["--version"]).stdout), concat!("xbeat ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn wrong_words_exit_2_and_are_named() {
    for (arguments, named) in [
        (&["dance"][..], "dance"),
        (&["status", "--xml"], "--xml"),
        (&["standby", "all", "local"], "local"),
        (&["standby", ""], "which groups?"),
        (&["stop", "--timeout", "0"], "above 0"),
        (&["stop", "--timeout", "-1"], "-1"),
        (&[], "Usage:"),
    ] {
        let output = xbeat(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(named), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn without_an_agent_every_order_exits_3() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().to_str().unwrap();
    for command in ["status", "standby", "takeover", "stop", "upgrade"] {
        let output = xbeat(&[command, "--run-dir", run_dir]);
        assert_eq!(output.status.code(), Some(3), "{command}");
        assert!(text(&output.stderr).contains("the agent is not running"), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_missing_configuration_exits_6() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("nowhere");
    let output = xbeat(&["check", "--config-dir", missing.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(6));
    assert!(!output.stderr.is_empty());
}

#[test]
fn status_exits_by_health() {
    let healthy = xbeat_with(vec![Reply::with_status(status())], &["status"]);
    assert_eq!(healthy.status.code(), Some(0), "{}", text(&healthy.stderr));
    assert!(text(&healthy.stdout).starts_with("server1 is active and has no groups to serve.\n"));

    let starting = Status { state: State::Starting, ..status() };
    let output = xbeat_with(vec![Reply::with_status(starting.clone())], &["status", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(serde_json::from_slice::<Status>(&output.stdout).unwrap(), starting);
    assert!(text(&output.stderr).contains("starting"), "{}", text(&output.stderr));
    // Colour is for terminals.
    assert!(!healthy.stdout.contains(&0x1b));
}

#[test]
fn orders_exit_by_their_answer() {
    let done = xbeat_with(vec![Reply::done("server2 has everything")], &["standby", "local"]);
    assert_eq!((done.status.code(), text(&done.stdout)), (Some(0), "server2 has everything\n".to_owned()));
    let refused = xbeat_with(vec![Reply::refused("server2 is dead")], &["takeover", "IPaddr::192.0.2.100"]);
    assert_eq!(
        (refused.status.code(), text(&refused.stderr)),
        (Some(1), "xbeat: server2 is dead\n".to_owned())
    );
    let stopped = xbeat_with(vec![Reply::done("")], &["stop"]);
    assert_eq!((stopped.status.code(), text(&stopped.stdout)), (Some(0), String::new()));
}

/// Whose running agent keeps nothing in the kernel, as far as the command can see.
#[test]
fn an_upgrade_that_would_close_everything_hands_over_first_or_says_what_it_costs() {
    let files = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("ha.cf", "node server1 server2\nucast lo 192.0.2.12\ndeadtime 10\ninitdead 17\n"),
        ("haresources", "server1 192.0.2.100/24/lo\n"),
        ("authkeys", "auth 1\n1 sha1 secret\n"),
    ] {
        let file = files.path().join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(file, PermissionsExt::from_mode(0o600)).unwrap();
    }
    let words = ["upgrade", "--node", "server1", "--config-dir", files.path().to_str().unwrap()];
    let done = xbeat_with(vec![Reply::done("done")], &words);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    assert!(text(&done.stdout).contains("all groups were handed over\nthe agent may be restarted now\n"));

    let alone = xbeat_with(vec![Reply::refused("no other node is up")], &words);
    assert_eq!(alone.status.code(), Some(0), "{}", text(&alone.stderr));
    let told = text(&alone.stderr);
    assert!(told.contains("no other node is up") && told.contains("`initdead` (17 s)"), "{told}");

    // Nothing is asked of the agent.
    std::fs::write(files.path().join("ha.cf"), "node server1 server2\nnonsense 7\n").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut server = control::serve(dir.path()).unwrap();
    let refused = xbeat(&[&words[..], &["--run-dir", dir.path().to_str().unwrap()]].concat());
    assert_eq!(refused.status.code(), Some(6));
    assert!(text(&refused.stderr).contains("nonsense") && text(&refused.stderr).contains("goes on"));
    assert!(server.requests.try_recv().is_err());
}

#[test]
fn the_examples_in_the_documentation_are_the_commands() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let page = std::fs::read_to_string(page).unwrap();
    for command in ["run", "check", "status", "standby", "takeover", "stop", "upgrade"] {
        assert!(
            page.contains(&format!("`xbeat {command}")),
            "docs/operations.md says nothing about {command}"
        );
    }
}
