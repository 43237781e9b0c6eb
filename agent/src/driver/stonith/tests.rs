//! Who is a suspect, and what becomes of it.

use super::super::runner::Rules;
use tokio::time::sleep;

use super::*;
use crate::resources::{Device, Fencing, Limits, Pseudo, Scripts};

const SESSION: u64 = 7;

/// Node 0 of two, which holds group 0 with epoch 2, and hears node 1 by link 0.
fn stonith(device: Option<Device>) -> Stonith {
    let orders = Arc::new(Table::<Orders>::private().unwrap());
    let facts = Arc::new(Table::<Facts>::private().unwrap());
    orders.nodes_len.set(2);
    orders.gates[0].granted.set(2);
    facts.nodes[1].session.set(SESSION);
    let fencing = Fencing {
        others: device.into_iter().map(|device| (1, device)).collect(),
        pause: Duration::from_millis(1),
        ..Fencing::default()
    };
    let scripts = Scripts {
        resource_d: "/nowhere".into(),
        init_d: "/nowhere".into(),
        env: Vec::new(),
        mailer: None,
        pseudo: Pseudo::default(),
    };
    let rules = Rules { limits: Limits::default(), scripts, fencing, node: "alpha".to_owned() };
    let rules = Rc::new(RefCell::new(Rc::new(rules)));
    let names = vec!["alpha".to_owned(), "beta".to_owned()];
    Stonith::new(0, names, vec!["web".to_owned()], (orders, facts), rules)
}

fn claims(stonith: &Stonith, state: ClaimState, flags: u8) {
    let claim = Claim { epoch: 1, state: state as u8, flags, ..Claim::default() };
    stonith.inner.facts.claims[1][0].set(claim.pack());
}

fn says(stonith: &Stonith, status: u8) {
    let said = Said { status, ..Said::unpack(0) };
    stonith.inner.facts.nodes[1].said.set(said.pack());
}

fn dies(stonith: &Stonith) {
    stonith.inner.facts.nodes[1].dead_at.set(1);
}

fn is_suspect(stonith: &Stonith) -> bool {
    !stonith.suspects(0).is_empty()
}

#[test]
fn who_may_run_a_group_besides_its_holder() {
    for (state, flags, status, dead, expected) in [
        (ClaimState::Open, 0, Status::LEASE, true, true),
        // Both hold it, and hear each other: that is settled by epochs in a moment, and then it is fenced.
        (ClaimState::Open, 0, Status::LEASE, false, false),
        (ClaimState::Fenced, 0, Status::LEASE, false, true),
        (ClaimState::Fenced, Claim::WILLING, Status::LEASE, false, false),
        // Killed: its last word is from before.
        (ClaimState::Fenced, Claim::WILLING, 0, false, true),
        (ClaimState::Fenced, 0, 0, true, true),
        (ClaimState::Fenced, 0, Status::LEAVING, true, false),
        (ClaimState::Resigned, 0, 0, true, false),
        (ClaimState::None, 0, 0, true, false),
    ] {
        let stonith = stonith(None);
        claims(&stonith, state, flags);
        says(&stonith, status);
        if dead {
            dies(&stonith);
        }
        assert_eq!(is_suspect(&stonith), expected, "{state:?} {flags} {status} {dead}");
    }
}

#[test]
fn who_was_never_heard_may_run_anything_and_a_new_life_runs_nothing() {
    let stonith = stonith(None);
    stonith.inner.facts.nodes[1].session.set(0);
    assert!(is_suspect(&stonith));
    stonith.inner.facts.nodes[1].session.set(SESSION + 1);
    assert!(!is_suspect(&stonith));
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        timeout(Duration::from_secs(60), test).await.expect("it takes for ever");
    });
}

#[test]
fn a_silent_holder_is_reset_once_and_then_the_group_is_clear() {
    let stonith = stonith(Some(Device::Null));
    claims(&stonith, ClaimState::Open, 0);
    dies(&stonith);
    run(async {
        assert_eq!(tokio::join!(stonith.clear(0), stonith.clear(0)), (true, true));
        assert!(!is_suspect(&stonith) && stonith.inner.cases.borrow().is_empty());
    });
}

fn broken() -> Device {
    Device::Agent { program: "/nowhere/fence_test".into(), params: Vec::new() }
}

#[test]
fn a_device_that_fails_is_told_of_and_an_operator_may_confirm() {
    let stonith = stonith(Some(broken()));
    claims(&stonith, ClaimState::Open, 0);
    assert!(stonith.confirm("beta").unwrap_err().contains("is heard"));
    dies(&stonith);
    run(async {
        let told = async {
            while stonith.report().is_empty() {
                sleep(Duration::from_millis(1)).await;
            }
            let report = stonith.report().join("");
            assert!(
                report.contains("beta has to be reset before web") && report.contains("fence_test"),
                "{report}"
            );
            assert!(stonith.confirm("gamma").is_err() && stonith.confirm("alpha").is_err());
            stonith.confirm("beta").unwrap();
        };
        assert!(tokio::join!(stonith.clear(0), told).0);
        assert!(stonith.report().is_empty());
    });
}

#[test]
fn without_a_device_nothing_is_waited_for_nor_when_the_group_has_gone() {
    let unprotected = stonith(None);
    claims(&unprotected, ClaimState::Open, 0);
    dies(&unprotected);
    run(async { assert!(unprotected.clear(0).await) });
    let gone = stonith(Some(broken()));
    claims(&gone, ClaimState::Open, 0);
    dies(&gone);
    run(async {
        let leave = async {
            while gone.report().is_empty() {
                sleep(Duration::from_millis(1)).await;
            }
            gone.inner.orders.gates[0].resigned.set(2);
        };
        assert!(!tokio::join!(gone.clear(0), leave).0);
    });
}
