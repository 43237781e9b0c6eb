//! Resources that die while their group is up.

use std::cell::RefCell;

use super::groups::{Fake, group, impatient};
use super::*;

const EVERY: Duration = Duration::from_millis(20);

fn watched(mut group: Group, index: usize) -> Group {
    group.monitors.insert(index, EVERY);
    group
}

/// Watches a group until `done`; all that was reported.
async fn watch_until(
    lab: &Lab,
    fake: &mut Fake<'_>,
    group: &Group,
    done: impl Fn(&[Result<(), String>]) -> bool,
) -> Vec<Result<(), String>> {
    let reports = RefCell::new(Vec::new());
    let limits = impatient();
    let watching =
        watch_group(&lab.scripts, fake, group, &limits, |report| reports.borrow_mut().push(report));
    let waiting = async {
        while !done(&reports.borrow()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = watching => panic!("it gave up watching"),
        () = waiting => {}
        () = tokio::time::sleep(AMPLE) => panic!("{:?}; {:?}", reports.borrow(), lab.calls()),
    }
    reports.into_inner()
}

fn count(lab: &Lab, call: &str) -> usize {
    lab.calls().iter().filter(|known| *known == call).count()
}

#[tokio::test]
async fn a_resource_that_died_is_started_again_with_what_stands_behind_it() {
    let lab = Lab::new();
    let group = watched(group(vec![lab.service("a"), lab.service("db"), lab.service("web")]), 1);
    let mut fake = Fake::new(&lab);
    start_group(&lab.scripts, &mut fake, &group, &impatient()).await.unwrap();
    let killed = std::cell::Cell::new(false);
    let reports = watch_until(&lab, &mut fake, &group, |_| {
        // Seen running once, then it dies.
        if !killed.get() && count(&lab, "db status") >= 2 {
            killed.set(true);
            fs::remove_file(lab.file("db.on")).unwrap();
        }
        count(&lab, "web start") == 2
    })
    .await;
    assert_eq!(reports, []);
    assert!(lab.file("db.on").exists());
    assert_eq!((count(&lab, "a stop"), count(&lab, "web stop"), count(&lab, "db start")), (0, 1, 2));
}

#[tokio::test]
async fn a_restart_that_fails_is_reported_and_so_is_the_recovery() {
    let lab = Lab::new();
    let web = lab.script(
        "web",
        "echo \"web $1\" >> $LAB/calls\ncase $1 in status) [ -e $LAB/on ] && echo running;;\n\
         start) [ ! -e $LAB/broken ] && touch $LAB/on;; esac",
    );
    let group = watched(group(vec![Resource::Script(web)]), 0);
    let mut fake = Fake::new(&lab);
    start_group(&lab.scripts, &mut fake, &group, &impatient()).await.unwrap();
    let step = std::cell::Cell::new(0);
    let reports = watch_until(&lab, &mut fake, &group, |reports| {
        if step.get() == 0 && count(&lab, "web status") >= 2 {
            step.set(1);
            fs::write(lab.file("broken"), "").unwrap();
            fs::remove_file(lab.file("on")).unwrap();
        }
        if step.get() == 1 && reports.last().is_some_and(Result::is_err) {
            step.set(2);
            fs::remove_file(lab.file("broken")).unwrap();
        }
        step.get() == 2 && reports.last() == Some(&Ok(()))
    })
    .await;
    assert_eq!(reports[0], Err("web did not start again: return code 1".to_owned()));
}

#[tokio::test]
async fn one_that_dies_again_and_again_is_reported_although_it_starts() {
    let lab = Lab::new();
    // Up at every second look.
    let web = lab.script(
        "web",
        "[ $1 = status ] || exit 0\necho x >> $LAB/looks; [ $(($(wc -l < $LAB/looks) % 2)) = 1 ] || echo running",
    );
    let group = watched(group(vec![Resource::Script(web)]), 0);
    let mut fake = Fake::new(&lab);
    start_group(&lab.scripts, &mut fake, &group, &impatient()).await.unwrap();
    let reports = watch_until(&lab, &mut fake, &group, |reports| reports.iter().any(Result::is_err)).await;
    assert!(reports[0].as_ref().unwrap_err().contains("soon after it was started again"), "{reports:?}");
}

#[tokio::test]
async fn a_resource_that_never_says_that_it_runs_is_let_alone() {
    let lab = Lab::new();
    let silent = lab.script("silent", "echo \"silent $1\" >> $LAB/calls");
    let group = watched(group(vec![Resource::Script(silent)]), 0);
    let mut fake = Fake::new(&lab);
    start_group(&lab.scripts, &mut fake, &group, &impatient()).await.unwrap();
    let reports = watch_until(&lab, &mut fake, &group, |_| count(&lab, "silent status") >= 6).await;
    assert_eq!((reports.len(), count(&lab, "silent start")), (0, 1));
}
