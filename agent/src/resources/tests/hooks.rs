//! Hooks in rc.d.

use super::super::hooks::{Event, Hooks};
use super::*;

fn event(kind: &str, fields: &[(&str, &str)]) -> Event {
    let fields = fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    Event { kind: kind.to_owned(), fields }
}

fn hook(lab: &Lab, name: &str, body: &str, mode: u32) {
    let dir = lab.file("rc.d");
    fs::create_dir_all(&dir).unwrap();
    lab.write(&dir.join(name), &format!("#!/bin/sh\n{body}\n"), mode);
}

/// Waits for the line that the last hook of a test writes; all that was written.
async fn told(lab: &Lab) -> Vec<String> {
    let waiting = async {
        loop {
            let calls = lab.calls();
            if calls.last().is_some_and(|last| last == "last") {
                return calls;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(AMPLE, waiting).await.unwrap()
}

#[tokio::test]
async fn a_hook_sees_the_fields_of_its_event_and_the_next_one_runs_after_it() {
    let lab = Lab::new();
    hook(
        &lab,
        "status",
        "sleep 0.1; echo \"$1 $HA_src is $HA_st, was $HA_OSTATUS\" >> $LAB/calls; exit 3",
        0o755,
    );
    hook(&lab, "last", "echo last >> $LAB/calls", 0o755);
    let hooks = Hooks::start();
    let fields = [("src", "server2"), ("st", "dead"), ("OSTATUS", "active")];
    hooks.tell(&lab.scripts, event("status", &fields));
    // None of these is a hook, and none leads out of the directory.
    hook(&lab, "noexec", "echo noexec >> $LAB/calls", 0o644);
    lab.script("outside", "echo outside >> $LAB/calls");
    for kind in ["noexec", "absent", "../resource.d/outside", "..", "", "a\0b"] {
        hooks.tell(&lab.scripts, event(kind, &[]));
    }
    hooks.tell(&lab.scripts, event("last", &[]));
    assert_eq!(told(&lab).await, ["status server2 is dead, was active", "last"]);
}

/// Heartbeat's own would take resources over, and the election would know nothing of it.
#[tokio::test]
async fn heartbeats_own_hooks_are_not_run() {
    let lab = Lab::new();
    hook(
        &lab,
        "status",
        "echo status >> $LAB/calls\nif [ $HA_st = dead ]; then $HA_BIN/mach_down $HA_src; fi",
        0o755,
    );
    hook(&lab, "last", "echo last >> $LAB/calls", 0o755);
    let hooks = Hooks::start();
    hooks.tell(&lab.scripts, event("status", &[("st", "dead")]));
    hooks.tell(&lab.scripts, event("last", &[]));
    assert_eq!(told(&lab).await, ["last"]);
}

#[tokio::test]
async fn without_the_directory_nothing_happens() {
    let lab = Lab::new();
    let hooks = Hooks::start();
    hooks.tell(&lab.scripts, event("status", &[]));
    hook(&lab, "last", "echo last >> $LAB/calls", 0o755);
    hooks.tell(&lab.scripts, event("last", &[]));
    assert_eq!(told(&lab).await, ["last"]);
}
