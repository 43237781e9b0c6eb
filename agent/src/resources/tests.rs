//! Real scripts in a directory of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::*;

mod agents;
mod fencing;
mod groups;
mod hooks;
mod monitors;
mod respawn;

/// Far longer than anything here takes, also on a machine that is busy with other things.
const AMPLE: Duration = Duration::from_secs(60);

struct Lab {
    dir: tempfile::TempDir,
    scripts: Scripts,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let scripts = Scripts {
            resource_d: dir.path().join("resource.d"),
            init_d: dir.path().join("init.d"),
            env: vec![("LAB".to_owned(), dir.path().display().to_string())],
            mailer: None,
            pseudo: Pseudo::default(),
        };
        fs::create_dir(&scripts.resource_d).unwrap();
        fs::create_dir(&scripts.init_d).unwrap();
        Self { dir, scripts }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, path: &PathBuf, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A script in resource.d that does this.
    fn script(&self, name: &str, body: &str) -> Spec {
        self.write(&self.scripts.resource_d.join(name), &format!("#!/bin/sh\n{body}\n"), 0o755);
        Spec::parse(name)
    }

    /// A script that keeps a file while it runs and writes each call to the log file.
    fn service(&self, name: &str) -> Resource {
        let body = "me=${0##*/}; for op; do :; done; echo \"$me $*\" >> $LAB/calls\n\
            case $op in start) touch $LAB/$me.on;; stop) rm -f $LAB/$me.on;;\n\
            status) [ -e $LAB/$me.on ] && echo running || echo stopped;; esac";
        let script = Spec::parse(name).name;
        self.script(&script, body);
        Resource::Script(Spec::parse(name))
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.file("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    async fn run(&self, spec: &Spec, operation: Operation) -> Report {
        self.scripts.run(spec, operation, AMPLE).await
    }
}

/// Waits for a file that holds a process id, and reads it.
async fn pid_in(path: PathBuf) -> Pid {
    loop {
        let text = fs::read_to_string(&path).unwrap_or_default();
        if let Some(line) = text.strip_suffix('\n') {
            return Pid::from_raw(line.parse().unwrap());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Gone, or a zombie that only its new parent still has to bury.
fn gone(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    kill(pid, None) == Err(Errno::ESRCH) || stat.contains(") Z ") || stat.is_empty()
}

async fn wait_until_gone(pid: Pid) {
    let waiting = async {
        while !gone(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(AMPLE, waiting).await.expect("the process is still there");
}

#[test]
fn words_of_haresources_are_split_at_double_colons() {
    let spec = Spec::parse("Filesystem::/dev/sdb1::/srv::ext4");
    assert_eq!((spec.name.as_str(), spec.args.len()), ("Filesystem", 3));
    assert_eq!(spec.to_string(), "Filesystem::/dev/sdb1::/srv::ext4");
    assert_eq!(Spec::parse("apache"), Spec { name: "apache".to_owned(), args: vec![] });
    assert_eq!(Spec::parse("a::::c").args, ["", "c"]);
}

#[tokio::test]
async fn exit_code_and_both_streams_are_reported() {
    let lab = Lab::new();
    let spec = lab.script("web", "echo out; echo err >&2; exit 7");
    let report = lab.run(&spec, Operation::Start).await;
    assert!(matches!(report.ending, Ending::Exited(7)), "{:?}", report.ending);
    assert!(!report.succeeded());
    assert_eq!((report.stdout.text().as_str(), report.stderr.text().as_str()), ("out\n", "err\n"));
    assert_eq!(report.ending.to_string(), "return code 7");
}

#[tokio::test]
async fn arguments_come_before_the_operation_and_stdin_is_empty() {
    let lab = Lab::new();
    lab.script("web", "echo \"$#:$1:$2:$3\"; pwd; cat; echo $LAB; echo \"[$NOTIFY_SOCKET]\"");
    let report = lab.run(&Spec::parse("web::/srv/a b::x"), Operation::Stop).await;
    assert!(report.succeeded());
    assert_eq!(report.stdout.text(), format!("3:/srv/a b:x:stop\n/\n{}\n[]\n", lab.dir.path().display()));
}

#[tokio::test]
async fn status_is_judged_by_stdout_not_by_exit_code() {
    let lab = Lab::new();
    let cases = [
        ("echo running; exit 3", Status::Running),
        ("echo is not running; exit 0", Status::Stopped),
        ("echo running >&2; exit 0", Status::Stopped),
        ("exit 0", Status::Stopped),
    ];
    for (body, expected) in cases {
        let spec = lab.script("web", body);
        assert_eq!(lab.run(&spec, Operation::Status).await.status(), expected, "{body}");
    }
}

#[tokio::test]
async fn resource_d_comes_before_init_d_and_files_that_cannot_run_do_not_count() {
    let lab = Lab::new();
    let (ours, theirs) = (lab.scripts.resource_d.join("web"), lab.scripts.init_d.join("web"));
    assert!(matches!(lab.scripts.locate("web"), Err(ScriptError::NotFound { .. })));

    lab.write(&ours, "", 0o644);
    let refused = lab.scripts.locate("web").unwrap_err();
    assert!(matches!(&refused, ScriptError::NotExecutable(path) if *path == ours), "{refused}");

    lab.write(&theirs, "", 0o755);
    assert_eq!(lab.scripts.locate("web").unwrap(), theirs);

    lab.write(&ours, "", 0o755);
    assert_eq!(lab.scripts.locate("web").unwrap(), ours);

    fs::create_dir(lab.scripts.resource_d.join("dir")).unwrap();
    assert!(matches!(lab.scripts.locate("dir"), Err(ScriptError::NotExecutable(_))));
    for name in ["", ".", "..", "../web", "/bin/sh", "a\0b"] {
        assert!(matches!(lab.scripts.locate(name), Err(ScriptError::BadName(_))), "{name:?}");
    }
}

#[tokio::test]
async fn missing_script_and_bad_interpreter_are_told_apart() {
    let lab = Lab::new();
    let missing = lab.run(&Spec::parse("nix"), Operation::Start).await;
    assert!(matches!(missing.ending, Ending::NotRun(ScriptError::NotFound { .. })));
    lab.write(&lab.scripts.resource_d.join("bad"), "#!/no/such/interpreter\n", 0o755);
    let bad = lab.run(&Spec::parse("bad"), Operation::Start).await;
    assert!(matches!(bad.ending, Ending::NotRun(ScriptError::Spawn { .. })), "{:?}", bad.ending);
}

#[tokio::test]
async fn script_without_interpreter_line_runs_as_shell_script() {
    let lab = Lab::new();
    lab.write(&lab.scripts.resource_d.join("old"), "echo OK\n", 0o755);
    let report = lab.run(&Spec::parse("old"), Operation::Status).await;
    assert_eq!(report.status(), Status::Running, "{:?}", report.ending);
}

#[tokio::test]
async fn death_by_signal_is_reported_as_such() {
    let lab = Lab::new();
    let spec = lab.script("web", "kill -SEGV $$");
    let report = lab.run(&spec, Operation::Start).await;
    assert!(matches!(report.ending, Ending::Signalled(libc::SIGSEGV)), "{:?}", report.ending);
    assert_eq!(report.ending.to_string(), "killed by SIGSEGV");
}

#[tokio::test]
async fn hanging_script_is_killed_with_its_children() {
    let lab = Lab::new();
    let spec = lab.script("web", "sleep 1000 & echo $! > $LAB/pid; echo begun; wait");
    let limit = Duration::from_millis(300);
    let report = lab.scripts.run(&spec, Operation::Start, limit).await;
    assert!(matches!(report.ending, Ending::TimedOut(after) if after == limit), "{:?}", report.ending);
    assert!(!report.succeeded());
    wait_until_gone(pid_in(lab.file("pid")).await).await;
}

#[tokio::test]
async fn script_that_ignores_sigterm_is_killed_after_the_grace() {
    let lab = Lab::new();
    let spec = lab.script("web", "trap '' TERM; echo $$ > $LAB/pid; while :; do sleep 1; done");
    let report = lab.scripts.run(&spec, Operation::Stop, Duration::from_millis(300)).await;
    assert!(matches!(report.ending, Ending::TimedOut(_)), "{:?}", report.ending);
    assert!(report.took >= GRACE, "{:?}", report.took);
    wait_until_gone(pid_in(lab.file("pid")).await).await;
}

#[tokio::test]
async fn script_may_tidy_up_on_sigterm() {
    let lab = Lab::new();
    let spec = lab.script("web", "trap 'touch $LAB/tidy; exit 0' TERM; while :; do sleep 0.05; done");
    let report = lab.scripts.run(&spec, Operation::Start, Duration::from_millis(500)).await;
    assert!(matches!(report.ending, Ending::TimedOut(_)), "{:?}", report.ending);
    assert!(lab.file("tidy").exists());
}

#[tokio::test]
async fn a_child_with_a_session_of_its_own_is_killed_too() {
    let lab = Lab::new();
    let spec = lab.script("web", "setsid sh -c 'echo $$ > $LAB/pid; exec sleep 1000' & wait; sleep 1000");
    let report = lab.scripts.run(&spec, Operation::Start, Duration::from_millis(500)).await;
    assert!(matches!(report.ending, Ending::TimedOut(_)), "{:?}", report.ending);
    wait_until_gone(pid_in(lab.file("pid")).await).await;
}

#[tokio::test]
async fn a_service_started_by_an_earlier_operation_survives_the_next_ones_end() {
    let lab = Lab::new();
    let start =
        "[ $1 = start ] && { setsid sh -c 'echo $$ > $LAB/pid; exec sleep 1000' & exit 0; }; sleep 1000";
    let spec = lab.script("web", start);
    assert!(lab.run(&spec, Operation::Start).await.succeeded());
    let service = pid_in(lab.file("pid")).await;
    let hung = lab.scripts.run(&spec, Operation::Status, Duration::from_millis(200)).await;
    assert!(matches!(hung.ending, Ending::TimedOut(_)), "{:?}", hung.ending);
    assert_eq!(kill(service, None), Ok(()), "the service died with a status that hung");
    kill(service, nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn dropped_run_kills_the_script() {
    let lab = Lab::new();
    let spec = lab.script("web", "echo $$ > $LAB/pid; exec sleep 1000");
    let pid = tokio::select! {
        report = lab.run(&spec, Operation::Start) => panic!("ended: {:?}", report.ending),
        pid = pid_in(lab.file("pid")) => pid,
    };
    wait_until_gone(pid).await;
}

/// The service must survive the script, and also its own next words after we stopped listening.
#[tokio::test]
async fn background_service_that_keeps_stdout_neither_blocks_nor_dies() {
    let lab = Lab::new();
    let service = "(while [ ! -e $LAB/end ]; do echo tick; sleep 0.02; done; echo bye; touch $LAB/bye) &";
    let spec = lab.script("web", &format!("{service}\necho started; exit 0"));
    let report = lab.run(&spec, Operation::Start).await;
    assert!(report.succeeded(), "{:?}", report.ending);
    assert!(report.stdout.text().contains("started"));

    fs::write(lab.file("end"), "").unwrap();
    let waiting = async {
        while !lab.file("bye").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(AMPLE, waiting).await.expect("the service died with its script");
}

#[tokio::test]
async fn service_that_never_stops_talking_does_not_hold_up_the_runner() {
    let lab = Lab::new();
    let spec = lab.script("web", "yes & echo $! > $LAB/pid; exit 0");
    let report = lab.run(&spec, Operation::Start).await;
    kill(pid_in(lab.file("pid")).await, nix::sys::signal::Signal::SIGKILL).unwrap();
    assert!(report.succeeded(), "{:?}", report.ending);
}

#[tokio::test]
async fn megabytes_of_output_do_not_block_and_are_bounded() {
    let lab = Lab::new();
    let spec = lab.script("web", "echo first; head -c 5000000 /dev/zero; echo; echo last");
    let report = lab.run(&spec, Operation::Start).await;
    assert!(report.succeeded(), "{:?}", report.ending);
    let text = report.stdout.text();
    assert!(text.starts_with("first\n") && text.ends_with("\nlast\n"));
    assert_eq!(report.stdout.omitted(), 6 + 5_000_000 + 6 - 2 * capture::KEPT as u64);
}

#[test]
fn environment_holds_the_directories_every_directive_and_the_message() {
    let place = Place {
        config_dir: "/etc/ha.d".as_ref(),
        state_dir: "/var/lib/heartbeat".as_ref(),
        node: "www1",
        logfile: None,
        debugfile: Some("/var/log/ha-debug".as_ref()),
        logfacility: None,
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let env = environment(
        &place,
        &[pair("deadtime", "6000ms"), pair("st", "from ha.cf")],
        &[pair("st", "dead"), pair("bad name", "x"), pair("nul", "a\0b"), pair("", "x")],
    );
    let last = |name: &str| env.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    assert_eq!(last("HA_RESOURCEDIR"), Some("/etc/ha.d/resource.d"));
    assert_eq!(last("HA_FIFO"), Some("/var/lib/heartbeat/fifo"));
    assert_eq!(last("HA_CURHOST"), Some("www1"));
    assert_eq!(last("HA_DEBUGLOG"), Some("/var/log/ha-debug"));
    assert_eq!(last("HA_LOGFILE"), None);
    assert_eq!(last("HA_deadtime"), Some("6000ms"));
    assert_eq!(last("HA_st"), Some("dead"));
    assert!(last("PATH").unwrap().starts_with("/usr/lib/heartbeat:/etc/ha.d:"));
    for absent in ["HA_bad name", "HA_nul", "HA_"] {
        assert_eq!(last(absent), None);
    }
}
