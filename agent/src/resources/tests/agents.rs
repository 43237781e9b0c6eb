//! What is found where: scripts, units, OCF agents; built-in resources beside them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use super::groups::{Fake, group, impatient};
use super::*;

/// A machine with a `systemctl` that knows one unit, `web.service`, and writes down what it is asked.
fn with_systemd() -> Lab {
    let mut lab = Lab::new();
    let body = "#!/bin/sh\necho \"$*\" >> $LAB/systemctl\nfor unit; do :; done\n\
        case $unit in web|web.service) ;; *) [ $1 = show ] && echo not-found; exit 4;; esac\n\
        case $1 in show) echo loaded;; start) touch $LAB/active;; stop) rm -f $LAB/active;;\n\
        is-active) if [ -e $LAB/active ]; then echo active; else echo inactive; exit 3; fi;; esac\n";
    let bin = lab.file("bin");
    fs::create_dir(&bin).unwrap();
    lab.write(&bin.join("systemctl"), body, 0o755);
    lab.scripts.env.push(("PATH".to_owned(), format!("{}:/usr/bin:/bin", bin.display())));
    lab
}

fn asked(lab: &Lab) -> Vec<String> {
    let text = fs::read_to_string(lab.file("systemctl")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_unit_is_started_stopped_and_asked_by_systemctl() {
    let lab = with_systemd();
    let unit = Spec::parse("systemd::web.service");
    assert_eq!(lab.run(&unit, Operation::Status).await.status(), Status::Stopped);
    assert!(lab.run(&unit, Operation::Start).await.succeeded());
    assert_eq!(lab.run(&unit, Operation::Status).await.status(), Status::Running);
    let stopped = lab.run(&unit, Operation::Stop).await;
    assert!(stopped.succeeded());
    assert!(lab.run(&unit, Operation::Status).await.is_surely_stopped());
    let expected = ["is-active", "start", "is-active", "stop", "is-active"];
    assert_eq!(asked(&lab), expected.map(|verb| format!("{verb} web.service")));
}

#[tokio::test]
async fn a_plain_name_is_a_script_first_and_a_unit_last() {
    let lab = with_systemd();
    let web = Spec::parse("web");
    assert!(lab.run(&web, Operation::Start).await.succeeded());
    assert_eq!(asked(&lab), ["show --property=LoadState --value web", "start web"]);
    // Units take no arguments.
    let missing = lab.run(&Spec::parse("web::x"), Operation::Start).await;
    assert!(matches!(missing.ending, Ending::NotRun(ScriptError::NotFound { .. })), "{:?}", missing.ending);
    let unknown = lab.run(&Spec::parse("db"), Operation::Start).await;
    assert!(matches!(unknown.ending, Ending::NotRun(ScriptError::NotFound { .. })), "{:?}", unknown.ending);
    let before = asked(&lab).len();
    lab.script("web", "exit 0");
    assert!(lab.run(&web, Operation::Start).await.succeeded());
    assert_eq!(asked(&lab).len(), before);
}

#[tokio::test]
async fn without_systemd_a_unit_is_an_error_that_says_so() {
    let mut lab = Lab::new();
    lab.scripts.env.push(("PATH".to_owned(), lab.dir.path().display().to_string()));
    let report = lab.run(&Spec::parse("systemd::web"), Operation::Start).await;
    assert!(matches!(report.ending, Ending::NotRun(ScriptError::NoSystemctl)), "{:?}", report.ending);
    let report = lab.run(&Spec::parse("systemd::--host=x"), Operation::Start).await;
    assert!(matches!(report.ending, Ending::NotRun(ScriptError::BadUnit(_))), "{:?}", report.ending);
}

/// A machine with an OCF agent `test/Thing` that writes down what it sees.
fn with_ocf() -> Lab {
    let mut lab = Lab::new();
    let root = lab.file("ocf");
    fs::create_dir_all(root.join("resource.d/test")).unwrap();
    let body = "#!/bin/sh\necho \"$* $OCF_RESKEY_size $OCF_RESOURCE_TYPE $OCF_RESOURCE_PROVIDER \
        $OCF_RESOURCE_INSTANCE $OCF_RESKEY_CRM_meta_timeout\" >> $LAB/calls\n\
        case $1 in start) touch $LAB/on;; stop) rm -f $LAB/on;; monitor) [ -e $LAB/on ] || exit 7;;\n\
        *) exit 3;; esac\n[ \"$OCF_RESKEY_size\" != bad ] || exit 2\n";
    lab.write(&root.join("resource.d/test/Thing"), body, 0o755);
    lab.scripts.env.push(("OCF_ROOT".to_owned(), root.display().to_string()));
    lab
}

#[tokio::test]
async fn an_ocf_agent_gets_its_parameters_and_is_judged_by_exit_code() {
    let lab = with_ocf();
    let thing = Spec::parse("ocf::test::Thing::size=9");
    assert_eq!(lab.run(&thing, Operation::Status).await.status(), Status::Stopped);
    assert!(lab.run(&thing, Operation::Start).await.succeeded());
    assert_eq!(lab.run(&thing, Operation::Status).await.status(), Status::Running);
    let about = format!("9 Thing test Thing_size=9 {}", AMPLE.as_millis());
    assert_eq!(lab.calls(), ["monitor", "start", "monitor"].map(|verb| format!("{verb} {about}")));
}

#[tokio::test]
async fn an_ocf_agents_error_is_told_in_its_words() {
    let lab = with_ocf();
    let group = group(vec![Resource::Script(Spec::parse("ocf::test::Thing::size=bad"))]);
    let failure = start_group(&lab.scripts, &mut Fake::new(&lab), &group, &impatient()).await.unwrap_err();
    assert_eq!(failure.reason.to_string(), "return code 2 (invalid argument)");
}

#[tokio::test]
async fn heartbeats_word_for_ocf_agents_reads_a_file_of_settings() {
    let lab = with_ocf();
    let word = Spec::parse("OCF::Thing::first");
    let missing = lab.run(&word, Operation::Start).await;
    assert!(
        matches!(&missing.ending, Ending::NotRun(ScriptError::BadOcf { why, .. }) if why.contains("settings"))
    );
    let settings = lab.file("conf/OCF/Thing");
    fs::create_dir_all(&settings).unwrap();
    fs::write(settings.join("first"), "OCF_RESKEY_size=7 # inches\n").unwrap();
    assert!(lab.run(&word, Operation::Start).await.succeeded());
    assert!(lab.calls()[0].starts_with("start 7 Thing test first "), "{:?}", lab.calls());
    // A wrapper script of that name wins.
    lab.script("OCF", "echo wrapped \"$@\" >> $LAB/calls");
    assert!(lab.run(&word, Operation::Start).await.succeeded());
    assert_eq!(lab.calls()[1], "wrapped Thing first start");
}

#[tokio::test]
async fn words_that_name_no_agent_are_told_apart() {
    let lab = with_ocf();
    for word in ["ocf::test", "ocf::test::Thing::size", "ocf::..::Thing", "OCF::Thing", "OCF::Nothing::x"] {
        let report = lab.run(&Spec::parse(word), Operation::Start).await;
        assert!(
            matches!(report.ending, Ending::NotRun(ScriptError::BadOcf { .. })),
            "{word}: {:?}",
            report.ending
        );
    }
    let report = lab.run(&Spec::parse("ocf::test::Other"), Operation::Start).await;
    assert!(matches!(report.ending, Ending::NotRun(ScriptError::NoAgent(_))), "{:?}", report.ending);
}

fn built_in(word: &str) -> Resource {
    Resource::Script(Spec::parse(word))
}

#[tokio::test]
async fn sources_and_announcements_go_to_the_addresses_and_no_script_is_run() {
    let lab = Lab::new();
    lab.script("IPsrcaddr", "touch $LAB/wrong");
    lab.script("SendArp", "touch $LAB/wrong");
    let group = group(vec![built_in("IPsrcaddr::192.0.2.3"), built_in("SendArp::192.0.2.4/eth0")]);
    let mut fake = Fake::new(&lab);
    start_group(&lab.scripts, &mut fake, &group, &impatient()).await.unwrap();
    assert!(stop_group(&lab.scripts, &mut fake, &group, &impatient()).await.is_empty());
    let expected = [
        "vip 0 source 192.0.2.3 true",
        "vip 0 announce 192.0.2.4 on eth0: true",
        "vip 0 announce 192.0.2.4 on eth0: false",
        "vip 0 source 192.0.2.3 false",
    ];
    assert_eq!(lab.calls(), expected);
    assert!(!lab.file("wrong").exists());
}

#[tokio::test]
async fn delay_waits_and_is_bounded_and_a_script_of_its_name_wins() {
    let lab = Lab::new();
    let mut fake = Fake::new(&lab);
    let began = std::time::Instant::now();
    let short = group(vec![built_in("Delay::0.2::0")]);
    start_group(&lab.scripts, &mut fake, &short, &impatient()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(200));
    let long = group(vec![built_in("Delay::1000")]);
    let limits = Limits { start: Duration::from_millis(50), ..impatient() };
    let failure = start_group(&lab.scripts, &mut fake, &long, &limits).await.unwrap_err();
    assert_eq!(failure.reason.to_string(), "not finished after 50ms");
    assert!(failure.left.is_empty(), "{:?}", failure.left);
    lab.script("Delay", "echo own $* >> $LAB/calls; [ $2 != status ] || echo stopped");
    start_group(&lab.scripts, &mut fake, &long, &limits).await.unwrap();
    assert_eq!(lab.calls(), ["own 1000 status", "own 1000 start"]);
}

#[tokio::test]
async fn a_built_in_word_that_nobody_understands_fails_its_start_and_says_what_would_be_right() {
    let lab = Lab::new();
    let group = group(vec![built_in("Delay::soon")]);
    let failure = start_group(&lab.scripts, &mut Fake::new(&lab), &group, &impatient()).await.unwrap_err();
    assert!(failure.to_string().contains("expected seconds"), "{failure}");
    assert!(failure.left.is_empty());
}

/// Answers as a relay does; the mail's lines.
fn one_mail(listener: &TcpListener) -> Vec<String> {
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"220 relay\r\n").unwrap();
    let (mut data, mut text) = (false, Vec::new());
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        let line = line.unwrap();
        let answer: &[u8] = match (data, line.as_str()) {
            (true, ".") => {
                data = false;
                b"250 taken\r\n"
            }
            (true, _) => b"",
            (false, "DATA") => {
                data = true;
                b"354 go on\r\n"
            }
            (false, "QUIT") => return text,
            (false, _) => b"250 fine\r\n",
        };
        stream.write_all(answer).unwrap();
        text.push(line);
    }
    text
}

#[tokio::test]
async fn mail_to_tells_of_takeover_and_release_and_of_nothing_that_was_not_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut lab = Lab::new();
    let via = Via::Smtp { host: "127.0.0.1".to_owned(), port };
    let mailer = Mailer::start(via, "root@julius".to_owned()).unwrap();
    lab.scripts.mailer = Some(mailer.clone());
    lab.scripts.env.push(("HA_CURHOST".to_owned(), "julius".to_owned()));
    let group = group(vec![lab.service("web"), built_in("MailTo::alerts@example.org::JuliusCaesar")]);
    let mut fake = Fake::new(&lab);
    let subject = |mail: Vec<String>| mail.into_iter().find(|line| line.starts_with("Subject:")).unwrap();

    start_group(&lab.scripts, &mut fake, &group, &impatient()).await.unwrap();
    let up = subject(one_mail(&listener));
    assert!(up.starts_with("Subject: JuliusCaesar Takeover in progress at "), "{up}");
    assert!(stop_group(&lab.scripts, &mut fake, &group, &impatient()).await.is_empty());
    let down = subject(one_mail(&listener));
    assert!(down.starts_with("Subject: JuliusCaesar Migrating resource away at "), "{down}");

    lab.script("web", "[ $1 != start ]");
    start_group(&lab.scripts, &mut fake, &group, &impatient()).await.unwrap_err();
    assert!(mailer.drain(Duration::ZERO), "a mail about a group that was never up");
}
