//! Programs that live as long as the agent.

use super::super::respawn::{Patience, Respawned};
use super::*;
use crate::config::Respawn;

const IMPATIENT: Patience = Patience { served: Duration::ZERO, pause: Duration::from_millis(1) };

/// A program in the lab that does this, as whoever runs the test.
fn program(lab: &Lab, name: &str, body: &str) -> Respawn {
    let path = lab.file(name);
    lab.write(&path, &format!("#!/bin/sh\n{body}\n"), 0o755);
    Respawn { user: nix::unistd::geteuid().to_string(), program: path, args: vec!["now".to_owned()] }
}

fn lines(lab: &Lab, name: &str) -> usize {
    fs::read_to_string(lab.file(name)).unwrap_or_default().lines().count()
}

async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(AMPLE, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn a_program_is_started_again_until_it_says_that_it_is_enough() {
    let lab = Lab::new();
    let body = "echo \"$1\" >> $LAB/runs; [ $(wc -l < $LAB/runs) -lt 15 ] && exit 1; exit 100";
    let respawned = Respawned::start(&[program(&lab, "mon", body)], &lab.scripts, IMPATIENT);
    eventually("it has had enough", || lines(&lab, "runs") == 15).await;
    respawned.stop().await;
    assert_eq!(lines(&lab, "runs"), 15);
}

#[tokio::test]
async fn a_program_that_ends_at_once_is_given_up() {
    let lab = Lab::new();
    let body = "echo >> $LAB/runs; kill -9 $$";
    let patience = Patience { served: AMPLE, ..IMPATIENT };
    let mut respawned = Respawned::start(&[program(&lab, "mon", body)], &lab.scripts, patience);
    // What cannot even be run counts the same.
    let absent = Respawn { user: "0".to_owned(), program: lab.file("absent"), args: Vec::new() };
    let mut absent = Respawned::start(&[absent], &lab.scripts, patience);
    tokio::time::timeout(AMPLE, async { tokio::join!(respawned.given_up(), absent.given_up()) })
        .await
        .unwrap();
    assert_eq!(lines(&lab, "runs"), 10);
}

#[tokio::test]
async fn programs_end_with_the_agent_and_all_that_they_started() {
    let lab = Lab::new();
    let bodies =
        ["echo $$ > $LAB/a; exec sleep 1000", "trap '' TERM; echo $$ > $LAB/b; sleep 1000; sleep 1000"];
    let programs = [program(&lab, "one", bodies[0]), program(&lab, "two", bodies[1])];
    let respawned = Respawned::start(&programs, &lab.scripts, IMPATIENT);
    let (one, two) = (pid_in(lab.file("a")).await, pid_in(lab.file("b")).await);
    respawned.stop().await;
    wait_until_gone(one).await;
    wait_until_gone(two).await;
    // An agent that has no time drops them.
    fs::remove_file(lab.file("a")).unwrap();
    let respawned = Respawned::start(&programs[..1], &lab.scripts, IMPATIENT);
    let one = pid_in(lab.file("a")).await;
    drop(respawned);
    wait_until_gone(one).await;
}

#[tokio::test]
async fn what_is_built_in_is_not_run() {
    let lab = Lab::new();
    let ipfail = Respawn { user: "nobody".to_owned(), program: "/nowhere/ipfail".into(), args: Vec::new() };
    let mut respawned = Respawned::start(&[ipfail], &lab.scripts, IMPATIENT);
    tokio::time::timeout(AMPLE, respawned.given_up()).await.unwrap();
}
