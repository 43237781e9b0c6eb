//! One election fed by hand: what it does when the others say what they rarely say.

use std::vec;
use std::vec::Vec;

use reflex::{Claim, ClaimState, Reason, Sight};

use super::node::{DEADTIME, INITDEAD, MS};
use crate::{
    Action, Cluster, Command, Config, Done, GateView, GroupConfig, Input, Instant, NodeId, NodeView, Note,
    Operation, Refusal, Set, Why,
};

const PATIENCE: u64 = 2_000 * MS;

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

/// Says `flags` of group 0 and never held it.
fn says(node: NodeId, flags: u8) -> Input {
    Input::Node { node, view: WELL, claims: vec![(0, Claim { flags, ..Claim::default() })] }
}

struct Hand {
    cluster: Cluster,
    now: Instant,
}

impl Hand {
    /// Node 0 of `nodes` holds group 0, its resources are up, and everybody else says `flags`.
    fn holding(nodes: usize, flags: u8) -> Self {
        let config = Config {
            own: 0,
            nodes,
            groups: vec![GroupConfig { home: 0, hands_over: false }],
            auto_failback: true,
            initdead: INITDEAD,
            deadtime: DEADTIME,
            damping: DEADTIME,
        };
        let mut hand = Self { cluster: Cluster::new(config, 0), now: MS };
        for node in 1..nodes as NodeId {
            hand.tell(says(node, flags));
        }
        hand.tell(Input::Gate { group: 0, gate: GateView { held: 1, seen: 0, open: true, fenced: None } });
        hand.tell(Input::Done { group: 0, operation: Operation::Start, outcome: Ok(()) });
        hand
    }

    fn tell(&mut self, input: Input) -> Vec<Action> {
        self.cluster.handle(self.now, input);
        core::iter::from_fn(|| self.cluster.poll_action()).collect()
    }

    fn order(&mut self, command: Command) -> Vec<Action> {
        self.tell(Input::Command { id: 1, command })
    }

    /// Sleeps until the election's next timeout.
    fn sleep(&mut self) -> Vec<Action> {
        self.now = self.cluster.poll_timeout().expect("something to wait for");
        self.tell(Input::Timeout)
    }
}

fn replied(actions: &[Action]) -> Option<&Result<Done, Refusal>> {
    actions.iter().find_map(|action| match action {
        Action::Reply { id: 1, result } => Some(result),
        _ => None,
    })
}

fn stops(actions: &[Action]) -> bool {
    actions.contains(&Action::Stop(0))
}

/// An heir that can take the group at once.
const FIT: u8 = Claim::WILLING | Claim::ARMED | Claim::READY;

#[test]
fn a_target_that_never_arms_aborts_the_move_and_the_group_stays() {
    let mut hand = Hand::holding(2, Claim::WILLING);
    let actions = hand.order(Command::Standby(Set::All));
    assert!(!stops(&actions) && replied(&actions).is_none(), "{actions:?}");
    let actions = hand.sleep();
    assert_eq!(hand.now, MS + PATIENCE);
    assert!(actions.contains(&Action::Note(Note::MoveAborted { group: 0, to: 1 })), "{actions:?}");
    assert_eq!(replied(&actions), Some(&Err(Refusal::NotReady { group: 0, node: 1 })), "{actions:?}");
    assert!(!stops(&actions), "{actions:?}");
    assert_eq!(hand.cluster.poll_timeout(), None);
}

#[test]
fn a_target_whose_addresses_do_not_come_up_aborts_the_move() {
    let mut hand = Hand::holding(2, Claim::WILLING | Claim::ARMED);
    assert!(!stops(&hand.order(Command::Standby(Set::All))));
    let actions = hand.sleep();
    assert_eq!(hand.now, MS + PATIENCE);
    assert_eq!(replied(&actions), Some(&Err(Refusal::NotReady { group: 0, node: 1 })), "{actions:?}");
    assert!(!stops(&actions), "{actions:?}");
}

#[test]
fn a_node_that_sees_more_and_never_arms_is_tried_again_after_a_pause() {
    let mut hand = Hand::holding(2, Claim::WILLING);
    let sees = Claim { flags: Claim::WILLING, sight: Sight::default().pinging(Some(1)), ..Claim::default() };
    hand.tell(Input::Sight { group: 0, sight: Sight::default().pinging(Some(0)) });
    hand.tell(Input::Node { node: 1, view: WELL, claims: vec![(0, sees)] });
    assert!(!stops(&hand.sleep()));
    assert_eq!(hand.now, MS + DEADTIME, "the damping");
    let actions = hand.sleep();
    assert_eq!(hand.now, MS + DEADTIME + PATIENCE);
    assert!(actions.contains(&Action::Note(Note::MoveAborted { group: 0, to: 1 })), "{actions:?}");
    let actions = hand.sleep();
    assert_eq!(hand.now, MS + 2 * DEADTIME + 2 * PATIENCE);
    assert!(
        actions.contains(&Action::Note(Note::Moving { group: 0, to: 1, why: Why::Blind })),
        "{actions:?}"
    );
}

#[test]
fn a_leaving_node_waits_once_for_an_heir_that_never_arms() {
    let mut hand = Hand::holding(2, Claim::WILLING);
    assert!(!stops(&hand.order(Command::Stop)));
    assert!(stops(&hand.sleep()));
    let actions = hand.tell(Input::Done { group: 0, operation: Operation::Stop, outcome: Ok(()) });
    assert!(actions.contains(&Action::Resign { group: 0, epoch: 1 }), "{actions:?}");
    assert!(actions.contains(&Action::Exit), "{actions:?}");
    assert_eq!(replied(&actions), Some(&Ok(Done::Stopped)));
}

#[test]
fn nothing_is_given_up_while_a_third_node_is_armed() {
    let mut hand = Hand::holding(3, Claim::WILLING | Claim::ARMED);
    // Node 2 wants it; node 1, which is next in line, has not yet disarmed.
    let wish = Claim { flags: FIT, heir: 3, ..Claim::default() };
    let actions = hand.tell(Input::Node { node: 2, view: WELL, claims: vec![(0, wish)] });
    assert!(actions.iter().any(|action| matches!(action, Action::Note(Note::Moving { to: 2, .. }))));
    assert!(!stops(&actions), "{actions:?}");
    assert!(stops(&hand.tell(says(1, Claim::WILLING))));
}

#[test]
fn an_heir_that_dies_while_the_resources_stop_is_not_given_the_group() {
    let mut hand = Hand::holding(2, FIT);
    assert!(stops(&hand.order(Command::Standby(Set::All))));
    let dead = NodeView { alive: false, ..WELL };
    hand.tell(Input::Node { node: 1, view: dead, claims: Vec::new() });
    let actions = hand.tell(Input::Done { group: 0, operation: Operation::Stop, outcome: Ok(()) });
    assert!(!actions.iter().any(|action| matches!(action, Action::Resign { .. })), "{actions:?}");
    assert!(matches!(replied(&actions), Some(Err(_))), "{actions:?}");
    assert!(actions.contains(&Action::Start(0)), "{actions:?}");
}

#[test]
fn a_failback_that_was_given_up_is_tried_again_after_a_while() {
    let mut hand = Hand::holding(2, Claim::WILLING);
    hand.cluster.groups[0].home = 1;
    hand.cluster.groups[0].failback_due = true;
    let moving = |actions: &[Action]| {
        actions.iter().any(|action| matches!(action, Action::Note(Note::Moving { to: 1, .. })))
    };
    assert!(moving(&hand.tell(Input::Timeout)));
    assert!(!moving(&hand.sleep()), "given up");
    assert!(moving(&hand.sleep()), "and begun again");
    assert_eq!(hand.now, MS + 2 * PATIENCE);
}

#[test]
fn what_an_operator_took_does_not_fail_back_at_once() {
    for asks in [false, true] {
        let mut hand = starting();
        hand.cluster.groups[0].home = 1;
        let held = Claim { epoch: 1, state: ClaimState::Open as u8, ..Claim::default() };
        let willing = Claim { flags: Claim::WILLING, epoch: 1, state: ClaimState::Fenced as u8, ..held };
        hand.tell(Input::Node { node: 1, view: WELL, claims: vec![(0, held)] });
        if asks {
            hand.order(Command::Takeover(Set::All));
        }
        hand.tell(Input::Node { node: 1, view: WELL, claims: vec![(0, willing)] });
        // Home was away for a moment, so that a failback is due.
        hand.cluster.groups[0].failback_due = true;
        hand.tell(Input::Gate { group: 0, gate: GateView { held: 2, seen: 1, open: true, fenced: None } });
        let actions = hand.tell(Input::Done { group: 0, operation: Operation::Start, outcome: Ok(()) });
        let moving = actions.iter().any(|action| matches!(action, Action::Note(Note::Moving { to: 1, .. })));
        assert_eq!(moving, !asks, "{actions:?}");
    }
}

#[test]
fn a_dead_nodes_old_epoch_is_not_followed() {
    let mut hand = Hand::holding(2, Claim::WILLING);
    let old = Claim { epoch: 1, state: ClaimState::Open as u8, ..Claim::default() };
    let dead = NodeView { alive: false, ..WELL };
    hand.tell(Input::Node { node: 1, view: dead, claims: vec![(0, old)] });
    // We held it with epoch 2 since, and were fenced.
    let gate = GateView { held: 2, seen: 2, open: false, fenced: Some(Reason::Lease) };
    assert!(stops(&hand.tell(Input::Gate { group: 0, gate })));
    let actions = hand.tell(Input::Done { group: 0, operation: Operation::Stop, outcome: Ok(()) });
    assert!(!actions.iter().any(|action| matches!(action, Action::Arm { .. })), "{actions:?}");
    assert!(actions.contains(&Action::Ask(0)), "{actions:?}");
}

/// Node 0 of two, just started: group 0 is at home here.
fn starting() -> Hand {
    let mut hand = Hand::holding(2, Claim::WILLING);
    hand.cluster = Cluster::new(hand.cluster.config.clone(), hand.now);
    hand
}

#[test]
fn a_node_whose_claims_are_not_all_known_is_waited_for() {
    let mut hand = starting();
    let view = NodeView { complete: false, ..WELL };
    hand.tell(Input::Node { node: 1, view, claims: Vec::new() });
    hand.now += 2 * INITDEAD;
    let actions = hand.tell(Input::Timeout);
    assert!(actions.contains(&Action::Note(Note::Active { alone: true })), "{actions:?}");
    assert!(!actions.contains(&Action::Ask(0)), "{actions:?}");
    let actions = hand.tell(Input::Node { node: 1, view: WELL, claims: Vec::new() });
    assert!(actions.contains(&Action::Grant { group: 0, epoch: 1 }), "{actions:?}");
}

#[test]
fn a_free_group_is_left_to_the_node_that_asks_for_it() {
    let mut hand = starting();
    let wish = Claim { flags: Claim::WILLING, heir: 2, ..Claim::default() };
    let actions = hand.tell(Input::Node { node: 1, view: WELL, claims: vec![(0, wish)] });
    assert!(hand.cluster.is_active());
    assert!(!actions.iter().any(|action| matches!(action, Action::Grant { .. })), "{actions:?}");
    let actions = hand.tell(says(1, Claim::WILLING));
    assert!(actions.contains(&Action::Grant { group: 0, epoch: 1 }), "{actions:?}");
}

#[test]
fn a_node_with_another_configuration_is_given_nothing() {
    let mut hand = Hand::holding(2, FIT);
    let view = NodeView { config_matches: false, ..WELL };
    hand.tell(Input::Node { node: 1, view, claims: Vec::new() });
    let actions = hand.order(Command::Standby(Set::All));
    assert_eq!(replied(&actions), Some(&Err(Refusal::Unwilling { group: 0, node: 1 })));
    assert!(!stops(&actions));
}

#[test]
fn inputs_about_what_does_not_exist_change_nothing() {
    let mut hand = Hand::holding(2, Claim::WILLING);
    let gate = GateView { held: u32::MAX, seen: u32::MAX, open: true, fenced: None };
    let claim = Claim { epoch: u32::MAX, state: 1, flags: 255, heir: 255, reason: 255, sight: Sight(255) };
    for input in [
        Input::Node { node: 9, view: WELL, claims: vec![(0, claim)] },
        Input::Node { node: 1, view: WELL, claims: vec![(9, claim)] },
        Input::Gate { group: 9, gate },
        Input::Done { group: 9, operation: Operation::Stop, outcome: Ok(()) },
        Input::Asked { group: 9, answered: false },
        Input::Monitored { group: 9, outcome: Err("dead".into()) },
    ] {
        assert_eq!(hand.tell(input), []);
    }
}

#[test]
fn the_last_epoch_of_all_does_not_panic() {
    let mut hand = Hand::holding(2, Claim::WILLING);
    let claim = Claim { epoch: u32::MAX, state: 1, flags: 255, heir: 255, reason: 255, sight: Sight(255) };
    hand.tell(Input::Node { node: 1, view: WELL, claims: vec![(0, claim)] });
    let gate = GateView { held: u32::MAX, seen: u32::MAX, open: false, fenced: None };
    hand.tell(Input::Gate { group: 0, gate });
    hand.tell(Input::Done { group: 0, operation: Operation::Stop, outcome: Ok(()) });
    let dead = NodeView { alive: false, ..WELL };
    hand.tell(Input::Node { node: 1, view: dead, claims: Vec::new() });
    hand.now += 10 * PATIENCE;
    hand.tell(Input::Timeout);
}

#[test]
fn what_an_earlier_agent_left_running_is_stopped_before_this_node_wants_the_group() {
    let config = Config {
        own: 0,
        nodes: 2,
        groups: vec![GroupConfig { home: 0, hands_over: false }],
        auto_failback: true,
        initdead: INITDEAD,
        deadtime: DEADTIME,
        damping: DEADTIME,
    };
    let mut cluster = Cluster::new(config, 0);
    cluster.clean_up(0, [0]);
    let actions =
        |cluster: &mut Cluster| -> Vec<Action> { core::iter::from_fn(|| cluster.poll_action()).collect() };
    let willing = |actions: &[Action]| {
        actions.iter().rev().find_map(|action| match action {
            Action::Plan { plan, .. } => Some(plan.flags & Claim::WILLING != 0),
            _ => None,
        })
    };
    let first = actions(&mut cluster);
    assert!(first.contains(&Action::Stop(0)), "{first:?}");
    assert_ne!(willing(&first), Some(true));
    cluster.handle(1, Input::Done { group: 0, operation: Operation::Stop, outcome: Ok(()) });
    assert_eq!(willing(&actions(&mut cluster)), Some(true));
}

#[test]
fn who_has_lost_the_interface_takes_nothing_until_it_is_back() {
    let config = Config {
        own: 0,
        nodes: 2,
        groups: vec![GroupConfig { home: 0, hands_over: false }],
        auto_failback: true,
        initdead: INITDEAD,
        deadtime: DEADTIME,
        damping: DEADTIME,
    };
    let mut hand = Hand { cluster: Cluster::new(config, 0), now: MS };
    // Alone, with nobody who answers for the address: it would be its turn.
    let is_granted = |hand: &mut Hand, up: bool| -> bool {
        let mut actions = hand.tell(Input::Reach { group: 0, up });
        (0..20).any(|_| {
            if actions.contains(&Action::Ask(0)) {
                actions = hand.tell(Input::Asked { group: 0, answered: false });
            } else {
                hand.now += PATIENCE;
                actions = hand.tell(Input::Timeout);
            }
            actions.iter().any(|action| matches!(action, Action::Grant { group: 0, .. }))
        })
    };
    assert!(!is_granted(&mut hand, false), "granted without an interface");
    assert!(is_granted(&mut hand, true), "never granted");
}

/// While the cable was out the other node may have taken the group over; what it said before is old.
#[test]
fn whose_interface_was_down_asks_before_it_takes() {
    let config = Config {
        own: 0,
        nodes: 2,
        groups: vec![GroupConfig { home: 0, hands_over: false }],
        auto_failback: true,
        initdead: INITDEAD,
        deadtime: DEADTIME,
        damping: DEADTIME,
    };
    let mut hand = Hand { cluster: Cluster::new(config, 0), now: MS };
    hand.tell(Input::Reach { group: 0, up: false });
    let view = NodeView {
        session: 7,
        alive: true,
        active: true,
        complete: true,
        config_matches: true,
        hears_us: true,
        ..NodeView::default()
    };
    hand.tell(Input::Node { node: 1, view, claims: Vec::new() });
    let actions = hand.tell(Input::Reach { group: 0, up: true });
    let granted = |actions: &[Action]| actions.iter().any(|action| matches!(action, Action::Grant { .. }));
    assert!(!granted(&actions) && actions.contains(&Action::Ask(0)), "{actions:?}");
    let actions = hand.tell(Input::Asked { group: 0, answered: true });
    assert!(!granted(&actions), "somebody answers for it");
    hand.now += PATIENCE;
    let actions = hand.tell(Input::Timeout);
    assert!(actions.contains(&Action::Ask(0)), "{actions:?}");
    assert!(granted(&hand.tell(Input::Asked { group: 0, answered: false })));
}
