//! Whole groups, with real scripts and made-up addresses.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::*;

pub(super) fn group(resources: Vec<Resource>) -> Group {
    Group { home: "www1".to_owned(), resources, monitors: BTreeMap::new() }
}

fn address(vip: usize) -> Resource {
    Resource::Address { vip, spec: Spec::parse("IPaddr::192.0.2.3") }
}

/// Tries at once, so that no test waits for a pause.
pub(super) fn impatient() -> Limits {
    Limits { stop_tries: 3, stop_pause: Duration::ZERO, ..Limits::default() }
}

/// Addresses that write into the same log file as the scripts.
pub(super) struct Fake<'a> {
    lab: &'a Lab,
    held: Vec<usize>,
    broken: bool,
    source: Option<Ipv4Addr>,
}

impl<'a> Fake<'a> {
    pub(super) fn new(lab: &'a Lab) -> Self {
        Self { lab, held: Vec::new(), broken: false, source: None }
    }

    fn log(&self, what: &str, vip: usize) {
        let mut calls = self.lab.calls();
        calls.push(format!("vip {vip} {what}\n"));
        fs::write(self.lab.file("calls"), calls.join("\n")).unwrap();
    }
}

impl Addresses for Fake<'_> {
    type Error = String;

    async fn acquire(&mut self, vip: usize) -> Result<(), String> {
        self.log("acquire", vip);
        if self.broken {
            return Err("no such interface".to_owned());
        }
        self.held.push(vip);
        Ok(())
    }

    async fn release(&mut self, vip: usize) -> Result<(), String> {
        self.log("release", vip);
        if self.broken {
            return Err("no such interface".to_owned());
        }
        self.held.retain(|held| *held != vip);
        Ok(())
    }

    async fn held(&mut self, vip: usize) -> bool {
        self.held.contains(&vip)
    }

    async fn set_source(&mut self, address: Ipv4Addr, on: bool) -> Result<(), String> {
        self.log(&format!("source {address} {on}"), 0);
        self.source = on.then_some(address);
        Ok(())
    }

    async fn is_source(&mut self, address: Ipv4Addr) -> bool {
        self.source == Some(address)
    }

    async fn announce(&mut self, address: Ipv4Addr, interface: &str, on: bool) -> Result<(), String> {
        self.log(&format!("announce {address} on {interface}: {on}"), 0);
        Ok(())
    }
}

#[tokio::test]
async fn group_starts_left_to_right_and_stops_right_to_left() {
    let lab = Lab::new();
    let group = group(vec![address(0), lab.service("Disk::/srv::ext4"), address(1), lab.service("web")]);
    assert_eq!(group.to_string(), "www1 IPaddr::192.0.2.3 Disk::/srv::ext4 IPaddr::192.0.2.3 web");
    let mut fake = Fake::new(&lab);

    start_group(&lab.scripts, &mut fake, &group, &impatient()).await.unwrap();
    let left = stop_group(&lab.scripts, &mut fake, &group, &impatient()).await;

    assert!(left.is_empty(), "{left:?}");
    let up = [
        "vip 0 acquire",
        "Disk /srv ext4 status",
        "Disk /srv ext4 start",
        "vip 1 acquire",
        "web status",
        "web start",
    ];
    let down = ["web stop", "vip 1 release", "Disk /srv ext4 stop", "vip 0 release"];
    assert_eq!(lab.calls(), [&up[..], &down[..]].concat());
}

#[tokio::test]
async fn running_resources_are_not_started_again() {
    let lab = Lab::new();
    let group = group(vec![address(0), lab.service("web")]);
    let mut fake = Fake::new(&lab);
    start_group(&lab.scripts, &mut fake, &group, &impatient()).await.unwrap();
    start_group(&lab.scripts, &mut fake, &group, &impatient()).await.unwrap();
    assert_eq!(lab.calls(), ["vip 0 acquire", "web status", "web start", "web status"]);
}

#[tokio::test]
async fn failed_start_stops_the_whole_group_and_names_the_culprit() {
    let lab = Lab::new();
    let bad = Resource::Script(lab.script("bad", "echo \"bad $1\" >> $LAB/calls; [ $1 != start ]"));
    let group = group(vec![address(0), lab.service("a"), bad, lab.service("z")]);
    let mut fake = Fake::new(&lab);

    let failure = start_group(&lab.scripts, &mut fake, &group, &impatient()).await.unwrap_err();

    assert_eq!((failure.index, failure.resource.as_str()), (2, "bad"));
    assert!(matches!(failure.reason, Reason::Script(Ending::Exited(1))));
    assert_eq!(failure.to_string(), "bad did not start: return code 1");
    assert!(failure.left.is_empty());
    let started = ["vip 0 acquire", "a status", "a start", "bad status", "bad start"];
    let stopped = ["z stop", "bad stop", "a stop", "vip 0 release"];
    assert_eq!(lab.calls(), [&started[..], &stopped[..]].concat());
    assert!(fake.held.is_empty());
}

#[tokio::test]
async fn missing_script_fails_the_start_but_leaves_nothing_behind() {
    let lab = Lab::new();
    let group = group(vec![lab.service("a"), Resource::Script(Spec::parse("misspelt"))]);
    let failure = start_group(&lab.scripts, &mut Fake::new(&lab), &group, &impatient()).await.unwrap_err();
    assert!(matches!(failure.reason, Reason::Script(Ending::NotRun(ScriptError::NotFound { .. }))));
    assert!(failure.left.is_empty(), "{:?}", failure.left);
    assert_eq!(lab.calls(), ["a status", "a start", "a stop"]);
}

#[tokio::test]
async fn failed_stop_is_retried_until_it_succeeds() {
    let lab = Lab::new();
    let slow = lab.script("slow", "echo $1 >> $LAB/calls; [ $(wc -l < $LAB/calls) -ge 3 ]");
    let group = group(vec![Resource::Script(slow)]);
    let left = stop_group(&lab.scripts, &mut Fake::new(&lab), &group, &impatient()).await;
    assert!(left.is_empty());
    assert_eq!(lab.calls(), ["stop", "stop", "stop"]);
}

#[tokio::test]
async fn stop_that_never_succeeds_leaves_what_still_runs_and_goes_on() {
    let lab = Lab::new();
    let stuck = "echo \"${0##*/} $1\" >> $LAB/calls; [ $1 = status ] && echo running; exit 1";
    let undead = Resource::Script(lab.script("undead", stuck));
    let clumsy = Resource::Script(lab.script("clumsy", "[ $1 = status ] && echo stopped; exit 1"));
    let group = group(vec![lab.service("a"), undead, clumsy]);

    let left = stop_group(&lab.scripts, &mut Fake::new(&lab), &group, &impatient()).await;

    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!((left[0].index, left[0].resource.as_str()), (1, "undead"));
    assert_eq!(lab.calls(), ["undead stop", "undead stop", "undead stop", "undead status", "a stop"]);
}

#[tokio::test]
async fn stop_whose_status_hangs_counts_as_still_running() {
    let lab = Lab::new();
    let hang = Resource::Script(lab.script("hang", "[ $1 = stop ] && exit 1; exec sleep 1000"));
    let limits = Limits { status: Duration::from_millis(200), ..impatient() };
    let left = stop_group(&lab.scripts, &mut Fake::new(&lab), &group(vec![hang]), &limits).await;
    assert_eq!(left.len(), 1);
}

#[tokio::test]
async fn stop_is_not_retried_for_ever_when_each_try_hangs() {
    let lab = Lab::new();
    let hang = Resource::Script(lab.script("hang", "echo $1 >> $LAB/calls; exec sleep 1000"));
    let brief = Duration::from_millis(200);
    let limits = Limits { stop: brief, status: brief, ..impatient() };
    let left = stop_group(&lab.scripts, &mut Fake::new(&lab), &group(vec![hang]), &limits).await;
    assert!(matches!(left[0].reason, Reason::Script(Ending::TimedOut(_))));
    assert_eq!(lab.calls(), ["stop", "status"]);
}

#[tokio::test]
async fn address_that_cannot_be_had_fails_the_group_in_its_place() {
    let lab = Lab::new();
    let group = group(vec![lab.service("a"), address(4), lab.service("z")]);
    let mut fake = Fake::new(&lab);
    fake.broken = true;
    let failure = start_group(&lab.scripts, &mut fake, &group, &impatient()).await.unwrap_err();
    assert_eq!(failure.index, 1);
    assert!(matches!(&failure.reason, Reason::Address(why) if why == "no such interface"));
    // Not held, so not left behind, whatever the release said.
    assert!(failure.left.is_empty(), "{:?}", failure.left);
    let releases = lab.calls().iter().filter(|call| *call == "vip 4 release").count();
    assert_eq!(releases, 3);
}
