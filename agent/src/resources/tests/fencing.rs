//! Resources that do not stop, and who is asked to see to it.

use super::groups::{Fake, group, impatient};
use super::*;

/// A script that says that it runs, until a file says otherwise.
fn undead(lab: &Lab) -> Group {
    group(vec![Resource::Script(
        lab.script("undead", "[ $1 = status ] && { [ -e $LAB/dead ] || echo running; exit 0; }; exit 1"),
    )])
}

fn script(lab: &Lab, body: &str) -> Fencing {
    let path = lab.file("fence");
    lab.write(&path, &format!("#!/bin/sh\n{body}\n"), 0o755);
    Fencing { script: Some((path, vec!["now".to_owned()])), ..Fencing::default() }
}

#[tokio::test]
async fn the_fence_script_is_told_who_and_what_and_may_end_it() {
    let lab = Lab::new();
    let group = undead(&lab);
    let mut fake = Fake::new(&lab);
    let left = stop_group(&lab.scripts, &mut fake, &group, &impatient()).await;
    let fencing = script(&lab, "echo \"$* [$HA_left]\" > $LAB/told; touch $LAB/dead");
    let by = lab.scripts.fence(&fencing, "www1", "192.0.2.3", &left).await.unwrap();
    assert!(by.ends_with("/fence"), "{by}");
    assert_eq!(fs::read_to_string(lab.file("told")).unwrap(), "now www1 192.0.2.3 [undead]\n");
    assert!(still_left(&lab.scripts, &mut fake, &group, &impatient(), left).await.is_empty());
}

#[tokio::test]
async fn a_fence_that_succeeds_without_ending_it_leaves_it_running() {
    let lab = Lab::new();
    let group = undead(&lab);
    let mut fake = Fake::new(&lab);
    let left = stop_group(&lab.scripts, &mut fake, &group, &impatient()).await;
    let fencing = Fencing { device: Some(Device::Null), ..Fencing::default() };
    lab.scripts.fence(&fencing, "www1", "192.0.2.3", &left).await.unwrap();
    assert_eq!(still_left(&lab.scripts, &mut fake, &group, &impatient(), left).await.len(), 1);
}

#[tokio::test]
async fn a_fence_that_fails_is_tried_again_and_then_the_device() {
    let lab = Lab::new();
    let agent = lab.file("fence_test");
    lab.write(&agent, "#!/bin/sh\ncat > $LAB/stdin\n", 0o755);
    let device = Device::Agent { program: agent, params: vec!["ip=10.0.0.9".to_owned()] };
    let fencing = Fencing { device: Some(device), ..script(&lab, "echo x >> $LAB/tries; exit 1") };
    let by = lab.scripts.fence(&fencing, "www1", "192.0.2.3", &[]).await.unwrap();
    assert!(by.ends_with("/fence_test"), "{by}");
    assert_eq!(fs::read_to_string(lab.file("tries")).unwrap().lines().count(), 3);
    let stdin = fs::read_to_string(lab.file("stdin")).unwrap();
    assert_eq!(stdin, "ip=10.0.0.9\naction=reboot\nplug=www1\nport=www1\nnodename=www1\n");

    let alone = script(&lab, "exit 3");
    let why = lab.scripts.fence(&alone, "www1", "192.0.2.3", &[]).await.unwrap_err();
    assert!(why.ends_with("/fence: return code 3"), "{why}");
}
