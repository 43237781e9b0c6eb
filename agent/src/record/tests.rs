use std::fs;

use cluster::{Action, Cluster, Command, GroupConfig, NodeView, Set};
use reflex::{Claim, ClaimState};

use super::*;

const MS: u64 = 1_000_000;

fn config() -> Config {
    Config {
        own: 0,
        nodes: 2,
        groups: vec![GroupConfig { home: 0 }],
        auto_failback: true,
        initdead: 1_000 * MS,
        deadtime: 100 * MS,
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
        Input::Asked { group: 0, answered: true },
        Input::Command { id: 7, command: Command::Standby(Set::Group(0)) },
        Input::Timeout,
    ];
    let begin =
        Line::Begin { version: VERSION, at: 5 * MS, config: config(), resumed: None, left: Vec::new() };
    let told = (6..).zip(inputs).map(|(ms, input)| Line::Input { at: ms * MS, input });
    std::iter::once(begin).chain(told).collect()
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
            Line::Dropped(_) => {}
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
    let newer = begin.replace("\"version\":1", "\"version\":2");
    for (recording, found) in [
        ("hello".to_owned(), "line 1: expected"),
        (format!("{begin}\n{input}\nhello"), "line 3: expected"),
        (input.clone(), "line 1: an input before any election began"),
        (newer, "line 1: a recording of version 2; this xbeat replays 1"),
        (format!("{begin}\n{}", &input[..9]), "line 2: EOF"),
    ] {
        let error = replayed(&recording).1.unwrap_err().to_string();
        assert!(error.starts_with(found), "{error}");
    }
}
