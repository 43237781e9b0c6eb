//! The words, moment by moment.

use std::io;
use std::sync::{Arc, Mutex};

use super::*;

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Said {
    /// The lines since the last look.
    fn take(&self) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }
}

/// server1 of how-to 001, which serves its group 0 and hears server2; what it says.
fn owner(test: impl FnOnce(&mut OldLines, &Names<'_>, &Said)) {
    let files = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("ha.cf", "node server1 server2\nucast eth0 192.0.2.12\nauto_failback on\n");
    write("haresources", "server1 192.0.2.100\nserver2 192.0.2.101\n");
    write("authkeys", "auth 1\n1 sha1 x\n");
    let config = crate::config::load(files.path(), Some("server1")).unwrap();
    let said = Said::default();
    let writer = said.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_level(false)
        .with_target(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let names = Names(&config);
        let mut lines = OldLines::new(0, 2, vec![true, false]);
        lines.on_input(&names, &node(7, true));
        let gate = cluster::GateView { open: true, held: 3, ..cluster::GateView::default() };
        lines.on_input(&names, &Input::Gate { group: 0, gate });
        said.take();
        test(&mut lines, &names, &said);
    });
}

fn node(session: u64, alive: bool) -> Input {
    let view = NodeView { session, alive, active: true, ..NodeView::default() };
    Input::Node { node: 1, view, claims: Vec::new() }
}

fn claim(state: ClaimState, heir: u8) -> Input {
    let Input::Node { node, view, .. } = node(7, true) else { unreachable!() };
    Input::Node {
        node,
        view,
        claims: vec![(0, Claim { epoch: 4, state: state as u8, heir, ..Claim::default() })],
    }
}

fn note(note: Note) -> Action {
    Action::Note(note)
}

#[test]
fn a_hand_over_is_told_from_its_order_to_its_end() {
    owner(|lines, names, said| {
        lines.on_input(names, &Input::Command { id: 1, command: Command::Standby(Set::All) });
        lines.on_action(names, &note(Note::Moving { group: 0, to: 1, why: Why::Standby }));
        lines.on_action(names, &Action::Stop(0));
        lines.on_action(names, &note(Note::Resigned { group: 0, to: Some(1) }));
        lines.on_input(names, &claim(ClaimState::Open, 0));
        let expected = [
            "Going standby [all].",
            "server1 wants to go standby [local]",
            "standby: server2 can take our local resources",
            "give up local HA resources (standby).",
            "Other node completed standby takeover of local resources.",
            "remote resource transition completed.",
        ];
        assert_eq!(said.take(), expected);
        // And back again.
        lines.on_input(names, &claim(ClaimState::Open, 1));
        lines.on_action(names, &note(Note::TookOver { group: 0, epoch: 5 }));
        lines.on_action(names, &note(Note::Started(0)));
        let expected =
            ["server2 wants to go standby [foreign]", "Standby resource acquisition done [foreign]."];
        assert_eq!(said.take(), expected);
    });
}

#[test]
fn a_heir_that_does_not_get_ready_is_no_reply() {
    owner(|lines, names, said| {
        lines.on_action(names, &note(Note::Moving { group: 0, to: 1, why: Why::Standby }));
        lines.on_action(names, &note(Note::MoveAborted { group: 0, to: 1 }));
        let expected = [
            "server1 wants to go standby [local]",
            "No reply to standby request.  Standby request cancelled.",
        ];
        assert_eq!(said.take(), expected);
    });
}

#[test]
fn a_node_that_returns_is_the_same_or_another_life() {
    owner(|lines, names, said| {
        lines.on_input(names, &node(7, false));
        lines.on_input(names, &node(7, true));
        assert_eq!(said.take(), ["Cluster node server2 returning after partition."]);
        lines.on_input(names, &node(7, false));
        lines.on_input(names, &node(8, true));
        let expected = ["Heartbeat restart on node server2", "Status update for node server2: status active"];
        assert_eq!(said.take(), expected);
    });
}

#[test]
fn two_owners_and_none_are_told_by_class() {
    owner(|lines, names, said| {
        lines.on_input(names, &claim(ClaimState::Open, 0));
        lines.on_input(names, &claim(ClaimState::Fenced, 0));
        lines.on_action(names, &note(Note::Fenced { group: 1, reason: Reason::HigherEpoch }));
        lines.on_action(names, &note(Note::Fenced { group: 1, reason: Reason::Lease }));
        lines.on_action(names, &note(Note::Resigned { group: 0, to: None }));
        let expected = [
            "Both machines own our resources!",
            "Both machines own foreign resources!",
            "No one owns our local resources!",
        ];
        assert_eq!(said.take(), expected);
        // A node that goes down last means it.
        lines.on_input(names, &Input::Command { id: 1, command: Command::Stop });
        lines.on_action(names, &note(Note::Resigned { group: 1, to: None }));
        assert_eq!(said.take(), ["Heartbeat shutdown in progress.", "Giving up all HA resources."]);
    });
}
