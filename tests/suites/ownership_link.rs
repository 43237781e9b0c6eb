//! At most one owner, whatever happens to the network: the owner isolated and heard again, one direction cut.
//!
//! Two nodes that hear nothing of each other both serve: no third voice tells them who is cut off. What these tests show
//! is the rest: that each serves, that the first frame ends it, that the winner never stops. The arguments are in
//! `docs/ownership.md`.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod ownership_support;

use std::time::Duration;

use anyhow::{Result, ensure};
use tests::clock;
use tests::files::Files;
use tests::lan::{Direction, Network};
use tests::stage::{Stage, play};
use tests::wait::{eventually, pause};

use ownership_support::{LIMIT, OTHER, OWNER, epoch, has_address, open};

/// 1 kHz.
const PERIOD: Duration = Duration::from_millis(1);

/// How-to 001 with brisk times, where a group stays where it is.
fn files() -> Files {
    let files = Files::howto_001().directive("keepalive", "10ms").directive("warntime", "200ms");
    let files = files.directive("deadtime", "500ms").directive("initdead", "60s");
    files.directive("lease", "5s").directive("auto_failback", "off")
}

/// What a node logs that yields to another one.
const YIELDED: &str = "is fenced here: another node holds it with a higher epoch";

/// Isolates the owner until both serve.
fn isolate(stage: &mut Stage) -> Result<()> {
    stage.partition(OWNER)?;
    stage.serves(OTHER)?;
    ensure!(open(stage, OWNER)? && open(stage, OTHER)?, "each serves those that it reaches");
    for (node, unheard) in [(OWNER, "server2"), (OTHER, "server1")] {
        stage.shows(node, "that it may not be alone", |status| {
            status["alone"] == true && status["unheard"][0] == unheard
        })?;
        stage.logs_after(node, 0, &format!("may not be alone: it serves, and does not hear {unheard}"))?;
    }
    stage.shows(OTHER, "its own resources", |status| status["groups"][0]["state"] == "started")
}

#[test]
fn a_partition_is_ended_by_its_first_frame_and_the_winner_never_stops_answering() {
    let played = play(&files(), PERIOD, |stage| {
        stage.start_all(OWNER)?;
        let before = epoch(stage, OTHER)?;
        isolate(stage)?;
        pause(Duration::from_secs(2))?;

        let (from, log) = (clock::now(), stage.hosts[OWNER].log().len());
        stage.lan.heal(OWNER)?;
        stage.logs_after(OWNER, log, YIELDED)?;
        stage.reunited();
        stage.settles_on(OTHER)?;
        eventually(LIMIT, "the loser removes the address", || {
            has_address(stage, OWNER).is_ok_and(|there| !there)
        })?;
        pause(Duration::from_millis(500))?;
        let to = clock::now();
        stage.logs_after(OTHER, 0, "hears server1 again")?;
        stage.logs_after(OWNER, log, "serves nothing any more: there is no conflict with server2")?;
        ensure!(stage.hosts[OWNER].script_calls().last().is_some_and(|call| !call.ends_with(" start")));
        ensure!(epoch(stage, OWNER)? == before + 1, "the partition's epoch is the one that stays");
        ensure!(!stage.hosts[OTHER].log().contains("is fenced here"), "the winner was fenced");
        Ok((from, to))
    });
    let Some(((from, to), seen)) = played else { return };
    assert_eq!(
        seen.missed(OTHER, from, to),
        (0, 0),
        "requests lost, and answered by the loser, since the heal"
    );
}

#[test]
fn partitions_that_follow_one_another_are_settled_one_by_one() {
    play(&files(), PERIOD, |stage| {
        stage.start_all(OWNER)?;
        let before = epoch(stage, OTHER)?;
        for owner in [OWNER, OTHER, OWNER] {
            let log = stage.hosts[owner].log().len();
            stage.partition(owner)?;
            stage.serves(1 - owner)?;
            stage.lan.heal(owner)?;
            stage.logs_after(owner, log, YIELDED)?;
            stage.reunited();
            stage.settles_on(1 - owner)?;
        }
        ensure!(epoch(stage, OWNER)? == before + 3, "one epoch for each move");
        Ok(())
    });
}

#[test]
fn an_owner_that_is_heard_by_nobody_but_hears_is_fenced_at_once() {
    let played = play(&files(), PERIOD, |stage| {
        stage.start_all(OWNER)?;
        let log = stage.hosts[OWNER].log().len();
        // No partition: it hears the higher epoch, so there are never two that answer.
        stage.lan.cut(OWNER, Network::Eth0, Direction::FromNode)?;
        stage.serves(OTHER)?;
        stage.logs_after(OWNER, log, YIELDED)?;
        ensure!(!open(stage, OWNER)?, "its gate is shut");
        stage.shows(OWNER, "that the other does not hear it", |status| {
            let other = &status["nodes"][OTHER];
            other["hears_us"] == false && other["note"].as_str().is_some_and(|note| note.contains("one-way"))
        })?;
        eventually(LIMIT, "the loser removes the address", || {
            has_address(stage, OWNER).is_ok_and(|there| !there)
        })?;
        let from = clock::now();
        stage.lan.heal(OWNER)?;
        stage.settles_on(OTHER)?;
        Ok((from, clock::now()))
    });
    let Some(((from, to), seen)) = played else { return };
    assert_eq!(
        seen.missed(OTHER, from, to),
        (0, 0),
        "requests lost, and answered by the other, since the heal"
    );
}

#[test]
fn an_owner_that_hears_nobody_but_is_heard_stays_the_only_one() {
    play(&files(), PERIOD, |stage| {
        stage.start_all(OWNER)?;
        let before = epoch(stage, OWNER)?;
        stage.lan.cut(OWNER, Network::Eth0, Direction::ToNode)?;
        stage.shows(OWNER, "that it hears nobody", |status| status["nodes"][OTHER]["status"] == "dead")?;
        stage.shows(OTHER, "that the owner does not hear it", |status| {
            let owner = &status["nodes"][OWNER];
            owner["hears_us"] == false && owner["note"].as_str().is_some_and(|note| note.contains("one-way"))
        })?;
        stage.logs_after(OTHER, 0, "Link server1:eth0 is one-way: server2 hears server1 by it")?;
        // Several dead times.
        pause(Duration::from_secs(2))?;
        ensure!(open(stage, OWNER)?, "it goes on serving those that hear it");
        ensure!(!open(stage, OTHER)?, "the other hears that it does");
        stage.lan.heal(OWNER)?;
        stage.settles_on(OWNER)?;
        ensure!(epoch(stage, OTHER)? == before, "nothing has moved");
        Ok(())
    });
}
