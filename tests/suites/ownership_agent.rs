//! At most one owner, whatever happens to the owner's agent: killed, frozen, restarted, alone.
//!
//! Dead times are long here (a minute, or more than a test waits), so that no takeover can come from silence: it must
//! come from the word of a kernel that has fenced. The arguments are in `docs/ownership.md`.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod ownership_support;
#[path = "ownership_agent/six.rs"]
mod six;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::programs::{TcAttachType, tc};
use nix::sys::signal::Signal;
use reflex::Verdict;
use tests::clock;
use tests::files::Files;
use tests::lan::{Network, VIP};
use tests::stage::{NODES, Stage, play};
use tests::wait::{eventually, pause};
use tests::wire::{self, Wire};

use ownership_support::connections::Connections;
use ownership_support::counters::Counters;
use ownership_support::{LIMIT, OTHER, OWNER, Peace, epoch, has_address, open, session, undisturbed};

/// 1 kHz.
const PERIOD: Duration = Duration::from_millis(1);

/// How-to 001, where neither silence nor the lease can end anything while a test waits.
fn patient() -> Files {
    let files = Files::howto_001().directive("keepalive", "10ms").directive("deadtime", "60s");
    files.directive("initdead", "60s").directive("auto_failback", "off")
}

/// The same, with a lease that ends soon.
fn leased(lease: &str) -> Files {
    patient().directive("lease", lease)
}

/// How-to 001 where a node is dead soon.
fn mortal() -> Files {
    let files = Files::howto_001().directive("keepalive", "10ms").directive("warntime", "200ms");
    let files = files.directive("deadtime", "500ms").directive("initdead", "60s");
    files.directive("lease", "500ms").directive("auto_failback", "off")
}

/// What the node sends in the name of the address, from now on until it certainly would have.
fn sent_in_its_name(stage: &Stage, wire: &Wire, counters: &Counters) -> Result<usize> {
    let closed = counters.count(Verdict::EgressClosed);
    wire.mark()?;
    // Its connections are still open and try: the gate has something to stop.
    eventually(LIMIT, "the egress gate keeps packets from leaving", || {
        counters.count(Verdict::EgressClosed) >= closed + 100
    })?;
    ensure!(has_address(stage, OWNER)?, "the address is still on the interface: otherwise nothing is shown");
    wire.mark()?;
    wire.until_mark()?;
    Ok(wire.until_mark()?.iter().filter(|sent| sent.from == VIP).count())
}

/// Waits until the closed node has refused traffic to the address and questions for it.
fn refuses_what_comes_in(stage: &Stage, counters: &Counters) -> Result<()> {
    let (traffic, asked) = (counters.count(Verdict::VipClosed), counters.count(Verdict::ArpClosed));
    // From one who still believes in the old owner.
    let (node, client) = (stage.lan.mac(OWNER, Network::Eth0), [0x02, 0x78, 0x62, 0xff, 1, 1]);
    let late = wire::request(node, client, VIP, tests::responder::PORT, b"anybody there?");
    eventually(LIMIT, "the ingress gate drops what comes for the address", || {
        wire::send_from_client(&stage.lan, &late).is_ok() && counters.count(Verdict::VipClosed) > traffic
    })?;
    eventually(LIMIT, "ARP for the address is dropped", || counters.count(Verdict::ArpClosed) > asked)
}

#[test]
fn a_killed_agents_node_says_so_and_nothing_leaves_it_in_the_name_of_the_address() {
    play(&patient(), PERIOD, |stage| {
        stage.start_all(OWNER)?;
        killed_it_sends_nothing(stage)
    });
}

/// How Linux before 6.6 has it, which refuses TCX: a filter outlives the agent without a pin.
#[test]
fn an_egress_gate_that_is_a_clsact_filter_outlives_the_agent_and_goes_with_it() {
    play(&patient().directive("egress", "clsact"), PERIOD, |stage| {
        // Somebody else's, there before us.
        let eth0 = Network::Eth0.interface();
        let add_clsact = move || tc::qdisc_add_clsact(eth0);
        let detach = move || tc::qdisc_detach_program(eth0, TcAttachType::Egress, "xbeat_egress");
        stage.lan.node(OWNER).run(add_clsact)??;
        stage.start_all(OWNER)?;
        let is_clsact = |status: &serde_json::Value| {
            status["egress"][0]["how"] == "clsact" && status["lost"].as_array().is_some_and(Vec::is_empty)
        };
        stage.shows(OWNER, "the filter", is_clsact)?;
        // The next agent puts its own in the place of this one's.
        stage.hosts[OWNER].command(&["stop", "--keep"])?.ok().context("xbeat stop --keep")?;
        let agent = stage.hosts[OWNER].agent()?;
        eventually(LIMIT, "the old agent is gone", || agent.exit_status().is_some())?;
        stage.hosts[OWNER].start_agent()?;
        stage.settles_on(OWNER)?;
        stage.shows(OWNER, "the filter of the next agent", is_clsact)?;
        killed_it_sends_nothing(stage)?;
        // So does one after a crash; at an orderly end it goes, and what it hung on stays.
        stage.hosts[OWNER].start_agent()?;
        stage.settles_on(OTHER)?;
        stage.hosts[OWNER].stop_agent(LIMIT)?;
        let gone = stage.lan.node(OWNER).run(detach)?;
        ensure!(gone.is_err(), "the filter is there although its agent has ended in order");
        ensure!(stage.lan.node(OWNER).run(add_clsact)?.is_err(), "the clsact of somebody else is gone");
        Ok(())
    });
}

/// The owner's agent is killed while a hundred connections to the address are open.
fn killed_it_sends_nothing(stage: &mut Stage) -> Result<()> {
    let connections = Connections::open(&stage.lan, OWNER, 100)?;
    let wire = Wire::listen(&stage.lan, OWNER)?;
    let counters = Counters::of(stage.hosts[OWNER].agent()?.id())?;
    eventually(LIMIT, "all connections carry data", || connections.carried() > 1000)?;

    stage.hosts[OWNER].kill_agent()?;
    stage.serves(OTHER)?;

    let sent = sent_in_its_name(stage, &wire, &counters)?;
    ensure!(sent == 0, "{sent} frames left the fenced node in the name of {VIP}");
    refuses_what_comes_in(stage, &counters)?;
    // Its kernel goes on answering keepalives: the node is not dead, and nobody waited for that.
    stage.shows(OTHER, "that the node is there", |status| {
        status["nodes"][OWNER]["status"] == "active" && status["alone"] == false
    })?;
    ensure!(!stage.hosts[OTHER].found_dead(), "the takeover came from silence");
    Ok(())
}

/// Each holds the other dead, so each kernel serves on without its agent, and nobody asks.
#[test]
fn two_survivors_without_agents_are_settled_by_the_first_agent_that_starts() {
    play(&mortal(), PERIOD, |stage| {
        stage.start_all(OWNER)?;
        stage.partition(OWNER)?;
        stage.serves(OTHER)?;
        let mut counters = Vec::new();
        for node in [OWNER, OTHER] {
            stage.shows(node, "that it is alone", |status| status["alone"] == true)?;
            ensure!(open(stage, node)?, "each serves");
            counters.push(Counters::of(stage.hosts[node].agent()?.id())?);
        }
        stage.hosts[OWNER].kill_agent()?;
        stage.hosts[OTHER].kill_agent()?;
        stage.lan.heal(OWNER)?;
        let answered = |node: usize| {
            counters[node].count(Verdict::ArpAnswered) + counters[node].count(Verdict::ArpToStack)
        };
        let before = [answered(OWNER), answered(OTHER)];
        eventually(LIMIT, "both answer after the heal: what remains", || {
            answered(OWNER) > before[OWNER] && answered(OTHER) > before[OTHER]
        })?;

        let closed = counters[OWNER].count(Verdict::ArpClosed);
        stage.hosts[OTHER].start_agent()?;
        eventually(LIMIT, "the other kernel yields to its first frame", || {
            counters[OWNER].count(Verdict::ArpClosed) > closed
        })?;
        stage.reunited();
        stage.serves(OTHER)?;
        stage.hosts[OWNER].start_agent()?;
        stage.settles_on(OTHER)
    });
}

#[test]
fn after_a_crash_the_agent_finds_closed_gates_cleans_up_and_joins_as_a_stranger() {
    play(&patient(), PERIOD, |stage| {
        stage.start_all(OWNER)?;
        let (life, before) = (session(stage, OTHER, OWNER)?, epoch(stage, OTHER)?);
        let _connections = Connections::open(&stage.lan, OWNER, 10)?;
        stage.hosts[OWNER].kill_agent()?;
        stage.serves(OTHER)?;
        stage.shows(OTHER, "its own resources", |status| status["groups"][0]["state"] == "started")?;
        let calls = stage.hosts[OWNER].script_calls().len();

        // From the old programs to the new ones, and to the end of the old address, there is no moment in which it speaks.
        let wire = Wire::listen(&stage.lan, OWNER)?;
        wire.mark()?;
        stage.hosts[OWNER].start_agent()?;
        stage.settles_on(OTHER)?;
        wire.mark()?;
        wire.until_mark()?;
        let sent = wire.until_mark()?.iter().filter(|sent| sent.from == VIP).count();
        ensure!(sent == 0, "{sent} frames left the starting node in the name of {VIP}");
        eventually(LIMIT, "the address of the former life is removed", || {
            has_address(stage, OWNER).is_ok_and(|there| !there)
        })?;
        let stopped =
            || stage.hosts[OWNER].script_calls()[calls..].iter().any(|call| call.ends_with(" stop"));
        eventually(LIMIT, "the script of the former life is stopped", stopped)?;
        let after = epoch(stage, OTHER)?;
        ensure!(after == before + 1, "epoch {after} after {before}: the group moved more than once");
        ensure!(session(stage, OTHER, OWNER)? != life, "it is a new life");
        Ok(())
    });
}

#[test]
fn a_frozen_agent_is_fenced_by_its_lease_and_stops_its_resources_before_it_is_elected_again() {
    let files = leased("500ms").directive("auto_failback", "on");
    play(&files, PERIOD, |stage| {
        stage.start_all(OWNER)?;
        let connections = Connections::open(&stage.lan, OWNER, 10)?;
        let wire = Wire::listen(&stage.lan, OWNER)?;
        let counters = Counters::of(stage.hosts[OWNER].agent()?.id())?;
        eventually(LIMIT, "all connections carry data", || connections.carried() > 100)?;
        let calls = stage.hosts[OWNER].script_calls().len();

        stage.hosts[OWNER].agent()?.signal(Signal::SIGSTOP)?;
        stage.serves(OTHER)?;
        let sent = sent_in_its_name(stage, &wire, &counters)?;
        ensure!(sent == 0, "{sent} frames left the fenced node in the name of {VIP}");
        refuses_what_comes_in(stage, &counters)?;
        ensure!(!stage.hosts[OTHER].found_dead(), "the takeover came from silence");

        let log = stage.hosts[OWNER].log().len();
        stage.hosts[OWNER].agent()?.signal(Signal::SIGCONT)?;
        stage.logs_after(OWNER, log, "is fenced here: the agent did not renew its lease in time")?;
        // It prefers to be here: it comes back, but only when it is clean.
        stage.settles_on(OWNER)?;
        let calls = stage.hosts[OWNER].script_calls()[calls..].to_vec();
        let place = |what: &str| calls.iter().position(|call| call.ends_with(what));
        let (stopped, started) = (place(" stop"), place(" start"));
        ensure!(stopped.is_some() && stopped < started, "{calls:?}");
        let status = stage.status(OWNER)?;
        ensure!(status["counters"]["egress_closed"].as_u64() > Some(0), "{}", status["counters"]);
        ensure!(status["counters"]["vip_closed"].as_u64() > Some(0), "{}", status["counters"]);
        Ok(())
    });
}

#[test]
fn a_thawed_agent_without_failback_stays_without_the_address() {
    play(&leased("500ms"), PERIOD, |stage| {
        stage.start_all(OWNER)?;
        let before = epoch(stage, OTHER)?;
        stage.hosts[OWNER].agent()?.signal(Signal::SIGSTOP)?;
        stage.serves(OTHER)?;
        stage.hosts[OWNER].agent()?.signal(Signal::SIGCONT)?;
        stage.settles_on(OTHER)?;
        eventually(LIMIT, "the address is removed", || has_address(stage, OWNER).is_ok_and(|there| !there))?;
        ensure!(!open(stage, OWNER)?, "a late renewal has opened the gate again");
        ensure!(epoch(stage, OTHER)? == before + 1, "the group moved more than once");
        Ok(())
    });
}

#[test]
fn nobody_notices_a_planned_restart() {
    let played = play(&patient(), PERIOD, |stage| {
        stage.start_all(OWNER)?;
        let peace = Peace::before(stage)?;
        stage.hosts[OWNER].command(&["stop", "--keep"])?.ok().context("xbeat stop --keep")?;
        let agent = stage.hosts[OWNER].agent()?;
        eventually(LIMIT, "the old agent is gone", || agent.exit_status().is_some())?;
        stage.hosts[OWNER].start_agent()?;
        stage.settles_on(OWNER)?;
        // A little of the new agent's ordinary work.
        pause(Duration::from_millis(300))?;
        peace.holds(stage)
    });
    undisturbed(played);
}

#[test]
fn an_agent_that_does_not_come_back_from_its_restart_is_fenced_by_the_lease() {
    play(&leased("500ms"), PERIOD, |stage| {
        stage.start_all(OWNER)?;
        let counters = Counters::of(stage.hosts[OWNER].agent()?.id())?;
        stage.hosts[OWNER].command(&["stop", "--keep"])?.ok().context("xbeat stop --keep")?;
        stage.serves(OTHER)?;
        refuses_what_comes_in(stage, &counters)?;
        ensure!(!stage.hosts[OTHER].found_dead(), "the takeover came from silence");
        // When it comes at last, there is nothing to go on with.
        stage.hosts[OWNER].start_agent()?;
        stage.settles_on(OTHER)?;
        eventually(LIMIT, "the address is removed", || has_address(stage, OWNER).is_ok_and(|there| !there))
    });
}

/// The other node loses power, and the owner knows that it is alone.
fn leave_alone(stage: &mut Stage) -> Result<()> {
    stage.lan.silence(OTHER)?;
    stage.hosts[OTHER].power_off()?;
    stage.shows(OWNER, "that it is alone", |status| {
        status["alone"] == true && status["nodes"][OTHER]["status"] == "dead"
    })
}

/// The other node gets its power back and takes over from a survivor without an agent, at the first frame.
fn other_comes_back_and_takes_over(stage: &mut Stage) -> Result<()> {
    stage.hosts[OTHER].boot(&mut stage.lan)?;
    stage.start(OTHER)?;
    stage.serves(OTHER)
}

#[test]
fn a_sole_survivor_serves_on_when_its_agent_is_killed_and_yields_to_the_first_who_comes() {
    let played = play(&mortal(), PERIOD, |stage| {
        stage.start_all(OWNER)?;
        leave_alone(stage)?;
        let counters = Counters::of(stage.hosts[OWNER].agent()?.id())?;
        stage.hosts[OWNER].kill_agent()?;
        let from = clock::now();
        // Several leases.
        pause(Duration::from_secs(2))?;
        let to = clock::now();
        other_comes_back_and_takes_over(stage)?;
        refuses_what_comes_in(stage, &counters)?;
        Ok((from, to))
    });
    let Some(((from, to), seen)) = played else { return };
    assert_eq!(seen.missed(OWNER, from, to), (0, 0), "requests lost, and answered by somebody else");
}

#[test]
fn a_sole_survivor_serves_on_when_its_agent_is_frozen_and_yields_to_the_first_who_comes() {
    let played = play(&mortal(), PERIOD, |stage| {
        stage.start_all(OWNER)?;
        leave_alone(stage)?;
        stage.hosts[OWNER].agent()?.signal(Signal::SIGSTOP)?;
        let from = clock::now();
        pause(Duration::from_secs(2))?;
        let to = clock::now();
        other_comes_back_and_takes_over(stage)?;
        stage.hosts[OWNER].agent()?.signal(Signal::SIGCONT)?;
        stage.settles_on(OTHER)?;
        eventually(LIMIT, "the address is removed", || has_address(stage, OWNER).is_ok_and(|there| !there))?;
        Ok((from, to))
    });
    let Some(((from, to), seen)) = played else { return };
    assert_eq!(seen.missed(OWNER, from, to), (0, 0), "requests lost, and answered by somebody else");
}

#[test]
fn an_agent_that_is_restarted_on_a_sole_survivor_goes_on_with_what_is_open() {
    let played = play(&mortal(), PERIOD, |stage| {
        stage.start_all(OWNER)?;
        leave_alone(stage)?;
        let before = epoch(stage, OWNER)?;
        let from = clock::now();
        stage.hosts[OWNER].kill_agent()?;
        pause(Duration::from_secs(1))?;
        stage.hosts[OWNER].start_agent()?;
        stage.shows(OWNER, "the group started", |status| {
            status["state"] == "active" && status["groups"][0]["state"] == "started"
        })?;
        pause(Duration::from_millis(300))?;
        let to = clock::now();
        ensure!(epoch(stage, OWNER)? == before, "the epoch is the same");
        ensure!(open(stage, OWNER)?, "the gate is open");
        // And it is a member as any other: the next to come joins it, and takes over from it.
        stage.hosts[OTHER].boot(&mut stage.lan)?;
        stage.start(OTHER)?;
        stage.settles_on(OWNER)?;
        stage.hosts[OWNER].kill_agent()?;
        stage.serves(OTHER)?;
        Ok((from, to))
    });
    let Some(((from, to), seen)) = played else { return };
    assert_eq!(seen.missed(OWNER, from, to), (0, 0), "requests lost, and answered by somebody else");
}

#[test]
fn the_witness_had_eyes() {
    let played = play(&patient(), PERIOD, |stage| {
        stage.start_all(OWNER)?;
        pause(Duration::from_millis(200))
    });
    let Some(((), seen)) = played else { return };
    let answered = seen.sightings.rounds.iter().filter(|round| round.answers.len() == 1).count();
    assert!(answered > 0, "{} of {} rounds were answered", answered, seen.sightings.rounds.len());
    assert_eq!(NODES.len(), 2);
}
