//! An agent that goes on where an earlier one stopped: nobody notices.

use std::vec;
use std::vec::Vec;

use reflex::{Claim, ClaimState, Reason, Status};

use super::node::{DEADTIME, INITDEAD, MS};
use crate::{Action, Cluster, Config, GateView, GroupConfig, Held, Input, NodeId, NodeView, Note, Phase};

const WELL: NodeView = NodeView {
    session: 5,
    alive: true,
    active: true,
    leaving: false,
    starved: false,
    hears_us: true,
    config_matches: true,
    complete: true,
    refused: false,
};

const OPEN: GateView = GateView { held: 3, seen: 2, open: true, fenced: None };

/// Node 0 of two resumes with group 0 open; both groups have this home. The actions that it begins with.
fn resumed(home: NodeId, phase: Phase) -> (Cluster, Vec<Action>) {
    resumed_with(home, phase, None)
}

/// The same, with what the agent before knew of the home's life.
fn resumed_with(home: NodeId, phase: Phase, stays: Option<u64>) -> (Cluster, Vec<Action>) {
    let config = Config {
        own: 0,
        nodes: 2,
        groups: vec![GroupConfig { home, hands_over: false }, GroupConfig { home, hands_over: false }],
        auto_failback: true,
        initdead: INITDEAD,
        deadtime: DEADTIME,
        damping: DEADTIME,
    };
    let mut cluster = Cluster::new(config, MS);
    cluster.resume(MS, vec![Held { group: 0, gate: OPEN, phase, stays }]);
    let actions = drain(&mut cluster);
    (cluster, actions)
}

fn drain(cluster: &mut Cluster) -> Vec<Action> {
    core::iter::from_fn(|| cluster.poll_action()).collect()
}

fn tell(cluster: &mut Cluster, view: NodeView, state: ClaimState, epoch: u32) -> Vec<Action> {
    let open = Claim { epoch: 4, state: ClaimState::Open as u8, ..Claim::default() };
    let said = Claim { epoch, state: state as u8, flags: Claim::WILLING | Claim::ARMED, ..Claim::default() };
    cluster.handle(2 * MS, Input::Node { node: 1, view, claims: vec![(0, said), (1, open)] });
    drain(cluster)
}

#[test]
fn what_is_up_stays_up_and_what_is_not_is_started() {
    for (phase, starts) in [(Phase::Started, false), (Phase::Stopped, true)] {
        let (cluster, actions) = resumed(0, phase);
        assert!(cluster.is_active());
        assert!(actions.contains(&Action::Status(Status::ACTIVE)));
        assert_eq!(actions.contains(&Action::Start(0)), starts, "{phase:?}");
        let grants = actions.iter().any(|action| matches!(action, Action::Grant { .. } | Action::Stop(_)));
        assert!(!grants, "{actions:?}");
    }
}

/// The tables still hold what the earlier agent ordered.
#[test]
fn orders_of_the_earlier_agent_are_replaced_not_believed() {
    let (mut cluster, actions) = resumed(0, Phase::Started);
    assert!(actions.contains(&Action::Arm { group: 0, armed: None }), "{actions:?}");
    for group in [0, 1] {
        let planned =
            actions.iter().any(|action| matches!(action, Action::Plan { group: g, .. } if *g == group));
        assert!(planned, "group {group}: {actions:?}");
    }
    // Group 1 is held by node 1, which is going down: this node is the heir, and says so whatever is in the table.
    let actions = tell(&mut cluster, WELL, ClaimState::None, 0);
    let armed = actions.iter().any(|action| matches!(action, Action::Arm { group: 1, armed: Some(_) }));
    assert!(armed, "{actions:?}");
}

#[test]
fn a_group_that_its_home_gave_away_or_lost_does_not_go_back() {
    for (state, epoch, moves) in
        [(ClaimState::Resigned, 2, false), (ClaimState::Fenced, 2, false), (ClaimState::None, 0, true)]
    {
        let (mut cluster, _) = resumed(1, Phase::Started);
        let actions = tell(&mut cluster, WELL, state, epoch);
        let moving = actions.iter().any(|action| matches!(action, Action::Note(Note::Moving { to: 1, .. })));
        assert_eq!(moving, moves, "{state:?}: {actions:?}");
    }
}

/// Found by the simulator: an operator had taken it, before its home ever held it in that life.
#[test]
fn a_group_that_the_agent_before_had_left_here_does_not_go_back() {
    for (stays, moves) in [(Some(WELL.session), false), (Some(WELL.session + 1), true), (None, true)] {
        let (mut cluster, _) = resumed_with(1, Phase::Started, stays);
        let actions = tell(&mut cluster, WELL, ClaimState::None, 0);
        let moving = actions.iter().any(|action| matches!(action, Action::Note(Note::Moving { to: 1, .. })));
        assert_eq!(moving, moves, "{stays:?}: {actions:?}");
        // What is on its way home, or due there, does not stay; what was left here does, also for the agent after this one.
        let report = cluster.report()[0].stays;
        assert_eq!(report, if moves { None } else { stays });
    }
}

/// The driver tells of nodes before it tells of gates.
#[test]
fn nothing_free_is_taken_before_the_first_look_is_over() {
    let (mut cluster, actions) = resumed(0, Phase::Started);
    let takes = |actions: &[Action]| {
        actions.iter().any(|action| matches!(action, Action::Grant { .. } | Action::Ask(_)))
    };
    assert!(!takes(&actions), "{actions:?}");
    let none = (0..2).map(|group| (group, Claim::default())).collect();
    cluster.handle(2 * MS, Input::Node { node: 1, view: WELL, claims: none });
    assert!(!takes(&drain(&mut cluster)));
    // Group 1 was held here, too, and lost.
    let gate = GateView { held: 7, seen: 7, open: false, fenced: Some(Reason::HigherEpoch) };
    cluster.handle(3 * MS, Input::Gate { group: 1, gate });
    assert!(!takes(&drain(&mut cluster)));
    let at = cluster.poll_timeout().expect("it waits for something");
    cluster.handle(at, Input::Timeout);
    let actions = drain(&mut cluster);
    assert!(actions.contains(&Action::Grant { group: 1, epoch: 8 }), "{actions:?}");
}

#[test]
fn home_that_comes_back_later_gets_its_group() {
    let (mut cluster, _) = resumed(1, Phase::Started);
    tell(&mut cluster, WELL, ClaimState::Resigned, 2);
    let actions = tell(&mut cluster, NodeView { session: 6, ..WELL }, ClaimState::None, 0);
    assert!(
        actions.iter().any(|action| matches!(action, Action::Note(Note::Moving { to: 1, .. }))),
        "{actions:?}"
    );
}

#[test]
fn an_answer_that_nobody_waits_for_any_more_is_no_news() {
    let (mut cluster, _) = resumed(0, Phase::Started);
    tell(&mut cluster, WELL, ClaimState::None, 0);
    cluster.handle(3 * MS, Input::Asked { group: 1, answered: true });
    assert_eq!(drain(&mut cluster), []);
}
