//! Writes the seeds of the corpora that are no text: real frames and ARP packets, made by the reflex itself, and
//! recordings of elections. Run in `fuzz/`, by hand, when their form has changed:
//!
//! ```sh
//! cargo run --example seeds -- corpus
//! ```

use std::fs;
use std::io;
use std::path::Path;

use cluster::{
    Action, Cluster, Command, Config, GateView, GroupConfig, Held, Input, NodeView, Operation, Phase, Set,
};
use fuzz::Stage;
use reflex::Sight;
use reflex::frame::{Claim, ClaimState, FRAME_LEN, Frame, Kind, Status};
use xbeat::links::serial::framing::encode;
use xbeat::record::{Line, VERSION};

const MS: u64 = 1_000_000;

fn main() -> io::Result<()> {
    let corpus = std::env::args().nth(1).unwrap_or_else(|| "corpus".to_owned());
    let corpus = Path::new(&corpus);
    for (name, frames) in frames() {
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes).collect();
        write(&corpus.join("frames"), name, &bytes)?;
    }
    for (name, line) in lines() {
        write(&corpus.join("serial"), name, &line)?;
    }
    for (name, operation) in [("request", 1), ("reply", 2)] {
        write(&corpus.join("arp"), name, &arp(operation))?;
    }
    for (name, bytes) in neighbours() {
        write(&corpus.join("nd"), name, &bytes)?;
    }
    for (name, lines) in recordings() {
        let mut text = String::new();
        for line in &lines {
            text += &serde_json::to_string(line)?;
            text.push('\n');
        }
        write(&corpus.join("recording"), name, text.as_bytes())?;
    }
    Ok(())
}

fn write(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join(format!("seed-{name}")), bytes)
}

/// Frames that the target's node believes, or refuses for one reason each.
fn frames() -> Vec<(&'static str, Vec<Frame>)> {
    let stage = Stage::new(1);
    let sign = |mut frame: Frame, key: u8| {
        frame.set_key(key);
        stage.sign(&mut frame, key);
        frame
    };
    let probe = |seq: u64| {
        let mut frame = stage.frame(Kind::Probe, 0);
        frame.set_seq(seq);
        frame.set_hears(0b10);
        frame.set_claim(0, Claim { epoch: 3, state: ClaimState::Open as u8, ..Claim::default() });
        frame
            .set_claim(1, Claim { epoch: 2, state: ClaimState::Fenced as u8, reason: 1, ..Claim::default() });
        frame
    };
    let mut fenced = probe(3);
    fenced.set_status(Status::ACTIVE);
    let mut stranger = probe(1);
    stranger.set_source(2);
    let mut pong = stage.frame(Kind::Pong, 2);
    pong.set_seq(1);
    let forged = Frame { bytes: sign(probe(1), 1).bytes.map(|byte| byte ^ u8::from(byte == 3)) };
    vec![
        ("probes", vec![sign(probe(1), 1), sign(probe(2), 2), sign(fenced, 1)]),
        ("replay", vec![sign(probe(1), 1), sign(probe(1), 1)]),
        ("stranger", vec![sign(stranger, 1)]),
        ("pong", vec![sign(pong, 1)]),
        ("forged", vec![forged]),
    ]
}

/// What comes in by a serial line: those frames, whole and broken.
fn lines() -> Vec<(&'static str, Vec<u8>)> {
    let encoded = |frames: &[Frame]| -> Vec<u8> {
        frames.iter().flat_map(|frame| encode(frame).bytes().to_vec()).collect()
    };
    let frames: Vec<Frame> = frames().into_iter().flat_map(|(_, frames)| frames).collect();
    let (first, rest) = (encoded(&frames[..1]), encoded(&frames[1..3]));
    let half = &first[..first.len() / 2];
    let mut changed = first.clone();
    changed[20] ^= 0x11;
    // A packed frame without its check: the target gives it one.
    let packed = [0b0001_1111, b'x', b'b', 2, 1, 1, 0, 3, 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 0, 13];
    vec![
        ("frames", [first.clone(), rest.clone()].concat()),
        ("cut", [half, &rest].concat()),
        ("changed", [changed, rest.clone()].concat()),
        ("noise", [&[0x55; 300][..], &[0, 0, 1, 2, 0], &first].concat()),
        ("full", encoded(&[Frame { bytes: [0xff; FRAME_LEN] }])),
        ("packed", packed.to_vec()),
    ]
}

/// An ARP packet (RFC 826) about 192.0.2.100.
fn arp(operation: u8) -> Vec<u8> {
    let (asker, address) = ([2, 0, 0, 0, 0, 9], [192, 0, 2, 100]);
    let parts: [&[u8]; 9] = [
        &[0xff; 6],
        &asker,
        &[8, 6, 0, 1, 8, 0, 6, 4],
        &[0, operation],
        &asker,
        &[192, 0, 2, 1],
        &[0; 6],
        &address,
        &[],
    ];
    parts.concat()
}

/// Messages of neighbour discovery (RFC 4861) about 2001:db8::100.
fn neighbours() -> Vec<(&'static str, Vec<u8>)> {
    let (asker, address) = ([2, 0, 0, 0, 0, 9], [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    let duplicate = reflex::nd::question(asker, address, [1, 2, 3, 4, 5, 6]).bytes;
    let mut asked = duplicate;
    asked[22..38].copy_from_slice(&address);
    asked[37] = 1;
    asked[78..80].copy_from_slice(&[1, 1]);
    asked[80..].copy_from_slice(&asker);
    let mut direct = asked;
    direct[19] = 24;
    direct[38..54].copy_from_slice(&address);
    let claim = reflex::nd::advertisement(asker, address, true).bytes;
    [("duplicate", duplicate), ("asked", asked), ("direct", direct), ("claim", claim)]
        .map(|(name, bytes)| (name, bytes.to_vec()))
        .to_vec()
}

/// What an election is told from its start to its end, as the recorder writes it.
fn recordings() -> Vec<(&'static str, Vec<Line>)> {
    let config = |groups: usize| Config {
        own: 0,
        nodes: 3,
        groups: (0..groups)
            .map(|group| GroupConfig { home: (group % 3) as u8, hands_over: group % 2 == 0 })
            .collect(),
        auto_failback: true,
        initdead: 1_000 * MS,
        deadtime: 100 * MS,
        damping: 50 * MS,
    };
    let begin = |groups, resumed, left| Line::Begin {
        version: VERSION,
        at: 5 * MS,
        config: config(groups),
        resumed,
        left,
    };
    let view = NodeView {
        session: 7,
        alive: true,
        active: true,
        config_matches: true,
        complete: true,
        hears_us: true,
        ..NodeView::default()
    };
    let claim = Claim { flags: Claim::WILLING, ..Claim::default() };
    let open = GateView { held: 1, seen: 0, open: true, fenced: None };
    let rules =
        Input::Rules { auto_failback: false, initdead: 2_000 * MS, deadtime: 50 * MS, damping: 70 * MS };
    let inputs = [
        Input::Node { node: 1, view, claims: vec![(0, claim)] },
        Input::Node { node: 2, view, claims: vec![] },
        Input::Gate { group: 0, gate: open },
        Input::Done { group: 0, operation: Operation::Start, outcome: Err("no such script".to_owned()) },
        Input::Monitored { group: 0, outcome: Err("it died".to_owned()) },
        Input::Sight { group: 0, sight: Sight::default() },
        Input::Asked { group: 0, answered: true },
        Input::Reach { group: 0, up: false },
        Input::Command { id: 7, command: Command::Standby(Set::Group(0)) },
        Input::Command { id: 8, command: Command::Takeover(Set::All) },
        rules,
        Input::Timeout,
        Input::Command { id: 9, command: Command::Stop },
    ];
    let told = |at: u64, input: &Input| Line::Input { at: at * MS, input: input.clone() };
    let mut story = vec![begin(2, None, vec![])];
    story.extend((6..).zip(&inputs).map(|(at, input)| told(at, input)));
    let mut resumed = vec![begin(
        2,
        Some(vec![Held { group: 0, gate: open, phase: Phase::Started, stays: Some(7) }]),
        vec![1],
    )];
    resumed.extend((6..).step_by(700).zip(&inputs).map(|(at, input)| told(at, input)));
    vec![
        ("story", story),
        ("resumed", resumed),
        ("hole", vec![begin(1, None, vec![]), Line::Dropped(12), told(9, &Input::Timeout)]),
        ("alone", alone(config(1))),
    ]
}

/// A node that hears nobody: it is told what its own actions lead to.
fn alone(config: Config) -> Vec<Line> {
    let mut lines =
        vec![Line::Begin { version: VERSION, at: 0, config: config.clone(), resumed: None, left: vec![] }];
    let mut election = Cluster::new(config, 0);
    let mut now = 0;
    for _ in 0..12 {
        let mut inputs = Vec::new();
        while let Some(action) = election.poll_action() {
            match action {
                Action::Ask(group) => inputs.push(Input::Asked { group, answered: false }),
                Action::Grant { group, epoch } => {
                    let gate = GateView { held: epoch, seen: epoch - 1, open: true, fenced: None };
                    inputs.push(Input::Gate { group, gate });
                }
                Action::Start(group) => {
                    inputs.push(Input::Done { group, operation: Operation::Start, outcome: Ok(()) });
                }
                _ => {}
            }
        }
        if inputs.is_empty() {
            let Some(at) = election.poll_timeout() else { break };
            now = at;
            inputs.push(Input::Timeout);
        }
        for input in inputs {
            lines.push(Line::Input { at: now, input: input.clone() });
            election.handle(now, input);
        }
    }
    lines
}
