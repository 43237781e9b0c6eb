use std::fs;

use cluster::{Action, Cluster, Command, GateView, GroupConfig, NodeView, Set};
use reflex::{Claim, ClaimState};

use super::*;

const MS: u64 = 1_000_000;

fn config() -> Config {
    Config {
        own: 0,
        nodes: 2,
        groups: vec![GroupConfig { home: 0, hands_over: false }],
        auto_failback: true,
        initdead: 1_000 * MS,
        deadtime: 100 * MS,
        damping: 300 * MS,
    }
}

/// What an election is told in its first moments, and what is recorded of it.
fn story() -> Vec<Line> {
    let view = NodeView {
        session: u64::MAX,
        alive: true,
        active: true,
        config_matches: true,
        complete: true,
        hears_us: true,
        ..NodeView::default()
    };
    let claim = Claim { flags: Claim::WILLING, state: ClaimState::None as u8, ..Claim::default() };
    let inputs = [
        Input::Node { node: 1, view, claims: vec![(0, claim)] },
        Input::Gate { group: 0, gate: GateView { held: 1, seen: 1, open: true, fenced: None } },
        Input::Done { group: 0, operation: cluster::Operation::Start, outcome: Err("no such script".into()) },
        Input::Monitored { group: 0, outcome: Err("web is dead".into()) },
        Input::Asked { group: 0, answered: true },
        Input::Command { id: 7, command: Command::Standby(Set::Group(0)) },
        Input::Rules { auto_failback: false, initdead: 1, deadtime: 2, damping: 3 },
        Input::Timeout,
    ];
    let begin =
        Line::Begin { version: VERSION, at: 5 * MS, config: config(), resumed: None, left: Vec::new() };
    let told = (6..).zip(inputs).map(|(ms, input)| Line::Input { at: ms * MS, input });
    std::iter::once(begin).chain(told).collect()
}

#[test]
fn stamps_are_passed_over() {
    let lines = |story: Vec<Line>| -> String {
        story.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect()
    };
    let stamps = [
        Stamp::Verdict { node: 1, stamped: 8, heard: 5 },
        Stamp::Opened { group: 0, stamped: 8 },
        Stamp::Added { group: 0 },
        Stamp::Said,
    ];
    let mut stamped = story();
    stamped.extend(stamps.map(|stamp| Line::Stamp { at: 20 * MS, stamp }));
    assert_eq!(replayed(&lines(stamped)).0, replayed(&lines(story())).0);
}

fn replayed(recording: &str) -> (String, Result<(), Error>) {
    let mut out = Vec::new();
    let result = replay(recording.as_bytes(), &mut out);
    (String::from_utf8(out).unwrap(), result)
}

#[test]
fn what_was_added_is_in_the_file_when_the_recorder_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("recording");
    let recorder = Recorder::start(&file).unwrap();
    story().into_iter().for_each(|line| recorder.add(line));
    drop(recorder);
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, story());
}

#[test]
fn what_does_not_fit_is_dropped_and_counted() {
    let (queue, lines) = mpsc::sync_channel(2);
    let dropped = Arc::new(AtomicU64::new(0));
    let recorder = Recorder { queue: Some(queue), dropped: Arc::clone(&dropped), writer: None };
    story().into_iter().for_each(|line| recorder.add(line));
    let mut file = Vec::new();
    assert!(write_waiting(&mut file, &lines, &dropped).unwrap());
    drop(recorder);
    assert!(!write_waiting(&mut file, &lines, &dropped).unwrap());
    let text = String::from_utf8(file).unwrap();
    let last: Line = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((text.lines().count(), last), (3, Line::Dropped(story().len() as u64 - 2)));
}

#[test]
fn a_replay_decides_what_was_decided() {
    let mut election = None::<Cluster>;
    let mut decided = Vec::new();
    for line in story() {
        match line {
            Line::Begin { at, config, .. } => election = Some(Cluster::new(config, at)),
            Line::Input { at, input } => election.as_mut().unwrap().handle(at, input),
            Line::Stamp { .. } | Line::Dropped(_) => {}
        }
        let election = election.as_mut().unwrap();
        while let Some(action) = election.poll_action() {
            decided.push(action);
        }
    }
    assert!(decided.iter().any(|action| matches!(action, Action::Grant { .. })), "{decided:?}");
    let recording: Vec<String> = story().iter().map(|line| serde_json::to_string(line).unwrap()).collect();
    let (text, result) = replayed(&recording.join("\n"));
    result.unwrap();
    let shown: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("-> ")).collect();
    let orders: Vec<String> = decided
        .iter()
        .filter(|action| !matches!(action, Action::Note(_)))
        .map(|action| format!("{action:?}"))
        .collect();
    assert_eq!(shown, orders);
    assert!(text.contains("1.000  Node { node: 1"), "{text}");
}

#[test]
fn a_hole_is_shown() {
    let begin = serde_json::to_string(&story()[0]).unwrap();
    let (text, result) = replayed(&format!("{begin}\n{{\"dropped\":12}}\n"));
    result.unwrap();
    assert!(text.contains("12 inputs are missing"), "{text}");
}

#[test]
fn what_is_no_recording_is_refused_with_its_line() {
    let begin = serde_json::to_string(&story()[0]).unwrap();
    let input = serde_json::to_string(&story()[6]).unwrap();
    let begins = |from: &str, to: &str| begin.replace(from, to);
    let input_of = |from: &str, to: &str| {
        let node = serde_json::to_string(&story()[1]).unwrap();
        assert!(node.contains(from), "{from} is not in {node}");
        format!("{begin}\n{}", node.replace(from, to))
    };
    for (recording, found) in [
        ("hello".to_owned(), "line 1, column 1: found `hello`, expected JSON, one object per line"),
        (format!("{begin}\n{input}\n\nhello"), "line 4, column 1: found `hello`, expected JSON"),
        (format!("{begin} x"), "found `x`, expected JSON"),
        (input.clone(), "line 1: found an input before any election began, expected a `begin` line first"),
        (
            begins("\"version\":2", "\"version\":3"),
            "line 1: found a recording of version 3, expected version 2, which this xbeat replays",
        ),
        (
            format!("{begin}\n{}", &input[..9]),
            "line 2, column 10: found the end of the line behind `{\"input\":`, expected the rest of it",
        ),
        ("{\"begun\":1}".to_owned(), "found unknown variant `begun`, expected one of `begin`, `input`"),
        (begins("\"at\":5000000", "\"at\":\"now\""), "found invalid type: string \"now\", expected u64"),
        (
            begins("\"at\":5000000,", ""),
            "found missing field `at`, expected a line of a recording of version 2",
        ),
        (begins("\"nodes\":2", "\"nodes\":17"), "line 1: found 17 nodes, expected 1 to 16"),
        (begins("\"own\":0", "\"own\":2"), "line 1: found node 2, expected one of 0 to 1"),
        (begins("\"home\":0", "\"home\":9"), "line 1: found node 9, expected one of 0 to 1"),
        (begins("\"left\":[]", "\"left\":[1]"), "line 1: found group 1, expected one of the 1 groups"),
        (input_of("\"node\":1", "\"node\":2"), "line 2: found node 2, expected one of 0 to 1"),
        (
            input_of("\"node\":1", "\"node\":0"),
            "line 2: found an input about node 0, whose recording this is",
        ),
        (input_of("[[0,", "[[1,"), "line 2: found group 1, expected one of the 1 groups"),
    ] {
        let error = replayed(&recording).1.unwrap_err().to_string();
        assert!(error.starts_with("line ") && error.contains(found), "{error}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_line() {
    let error = replay(b"\n\xff\xfe\x1b[2J".as_slice(), &mut Vec::new()).unwrap_err().to_string();
    assert!(error.starts_with("line 2, column 1: found `\u{fffd}\u{fffd}\u{fffd}[2J`"), "{error}");
    // Found by the fuzzer: an escape in JSON, which the parser's own message repeats.
    let error = replay(br#"{"\u001b[2J":1}"#.as_slice(), &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("found unknown variant `\u{fffd}[2J`, expected one of"), "{error}");
}
