//! Lines and their forms, files that move, queues that fill.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use super::line::{Form, WallTime, lines};
use super::queue::Record;
use super::sinks::LogFile;
use super::*;

const LOCAL0: Facility = Facility { name: "local0", code: 16 };
const NOON: WallTime = WallTime { month: 0, day: 3, hour: 12, minute: 0, second: 7, millisecond: 45 };

fn record(level: Level, text: &str) -> Record {
    Record { time: SystemTime::UNIX_EPOCH, level, text: text.to_owned() }
}

#[test]
fn each_destination_has_its_form() {
    let pid = std::process::id();
    let file = Form::File { host: "server1".to_owned() };
    let syslog = Form::Syslog { facility: LOCAL0 };
    let cases = [
        (Level::INFO, &file, format!("Jan  3 12:00:07 server1 xbeat: [{pid}]: info: Link eth0 up.\n")),
        (Level::WARN, &file, format!("Jan  3 12:00:07 server1 xbeat: [{pid}]: WARN: Link eth0 up.\n")),
        (Level::ERROR, &syslog, format!("<131>Jan  3 12:00:07 xbeat[{pid}]: ERROR: Link eth0 up.\n")),
        (Level::TRACE, &Form::Terminal, "12:00:07.045 debug: Link eth0 up.\n".to_owned()),
        (Level::INFO, &Form::Journal, "<6>Link eth0 up.\n".to_owned()),
    ];
    for (level, form, expected) in cases {
        assert_eq!(lines(&record(level, "Link eth0 up."), NOON, form), [expected]);
    }
}

#[test]
fn no_text_forges_a_line() {
    let text = "first\nJan  3 12:00:07 server1 xbeat: [1]: info: forged\u{1b}[2J\r";
    let got = lines(&record(Level::INFO, text), NOON, &Form::Journal);
    assert_eq!(got, ["<6>first\n", "<6>Jan  3 12:00:07 server1 xbeat: [1]: info: forged\\u{1b}[2J\\r\n"]);
    let long = lines(&record(Level::INFO, &"é".repeat(1 << 20)), NOON, &Form::Terminal);
    assert!(long.iter().all(|line| line.len() < 4_096), "a pipe might take it in pieces");
}

#[test]
fn the_queue_keeps_order_and_drops_what_does_not_fit() {
    let queue = Queue::default();
    for number in 0..10_000 {
        queue.push(record(Level::INFO, &number.to_string()));
    }
    assert_eq!(queue.dropped(), 10_000 - 8 * 1024);
    queue.close();
    let mut texts = Vec::new();
    let mut told = 0;
    queue.drain(|records, dropped| {
        texts.extend(records.iter().map(|record| record.text.parse::<u32>().unwrap()));
        told += dropped;
    });
    assert_eq!(texts, (0..8 * 1024).collect::<Vec<_>>());
    assert_eq!(told, 10_000 - 8 * 1024);
}

#[test]
fn a_writer_that_hangs_holds_nobody_up() {
    let queue = Arc::new(Queue::default());
    let (entered, has_entered) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let reader = Arc::clone(&queue);
    let writer = std::thread::spawn(move || {
        let mut seen = 0;
        reader.drain(|records, dropped| {
            seen += records.len() as u64 + dropped;
            let _ = entered.send(());
            let _ = released.recv();
        });
        seen
    });
    queue.wake_with(Some(writer.thread().clone()));
    queue.push(record(Level::INFO, "first"));
    has_entered.recv_timeout(Duration::from_secs(60)).unwrap();
    // The writer hangs now; this must return all the same.
    for _ in 0..20_000 {
        queue.push(record(Level::INFO, "more"));
    }
    assert!(queue.dropped() > 0);
    drop(release);
    queue.close();
    assert_eq!(writer.join().unwrap(), 20_001);
}

#[test]
fn a_moved_file_is_opened_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ha-log");
    let moved = dir.path().join("ha-log.1");
    let mut file = LogFile::new(&path);
    file.put("one\n").unwrap();
    std::fs::rename(&path, &moved).unwrap();
    file.reopen_if_moved();
    file.put("two\n").unwrap();
    file.reopen_if_moved();
    file.put("three\n").unwrap();
    assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\n");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\nthree\n");
}

#[test]
fn a_pipe_without_reader_is_an_error_not_a_wait() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(LogFile::new(&path).put("text\n").is_err());
}

#[test]
fn the_writer_sorts_by_destination_and_says_what_was_lost() {
    let dir = tempfile::tempdir().unwrap();
    let logfile = dir.path().join("ha-log");
    let debugfile = dir.path().join("ha-debug");
    let options = LogOptions {
        logfile: Some(logfile.clone()),
        debugfile: Some(debugfile.clone()),
        host: "server1".to_owned(),
        ..LogOptions::default()
    };
    let mut sinks = sinks::Sinks::new(&options);
    sinks.write(&[record(Level::INFO, "plain"), record(Level::DEBUG, "detail")], 3);
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let (log, debug) = (read(&logfile), read(&debugfile));
    assert!(log.contains(" server1 xbeat: ") && log.contains("info: plain\n"), "{log}");
    assert!(!log.contains("detail"), "{log}");
    assert!(debug.contains("info: plain\n") && debug.contains("debug: detail\n"), "{debug}");
    for text in [log, debug] {
        assert!(text.ends_with("WARN: 3 log lines lost: the log's queue was full\n"), "{text}");
    }
}

#[test]
fn a_destination_that_returns_says_what_it_missed() {
    let dir = tempfile::tempdir().unwrap();
    let late = dir.path().join("not/yet");
    let path = late.join("ha-log");
    let options = LogOptions { logfile: Some(path.clone()), ..LogOptions::default() };
    let mut sinks = sinks::Sinks::new(&options);
    sinks.write(&[record(Level::INFO, "lost"), record(Level::INFO, "lost too")], 0);
    std::fs::create_dir_all(&late).unwrap();
    sinks.write(&[record(Level::INFO, "back")], 0);
    let file = std::fs::File::open(path).unwrap();
    let lines: Vec<String> = BufReader::new(file).lines().map(Result::unwrap).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with("WARN: 2 log lines lost: this destination did not take them"), "{lines:?}");
    assert!(lines[1].ends_with("info: back"), "{lines:?}");
}

#[test]
fn syslog_gets_one_datagram_per_line_and_may_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut sink = sinks::syslog(&path, LOCAL0);
    let mut failures = Vec::new();
    for round in 0..2 {
        let daemon = UnixDatagram::bind(&path).unwrap();
        daemon.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // The first line after a restart finds the old socket dead.
        if round > 0 {
            sink.put(&record(Level::INFO, "into the void"), NOON, &mut failures);
        }
        sink.put(&record(Level::WARN, "Late heartbeat"), NOON, &mut failures);
        let mut buffer = [0; 256];
        let mut got = String::new();
        while !got.contains("Late heartbeat") {
            let count = daemon.recv(&mut buffer).unwrap();
            got = String::from_utf8(buffer[..count].to_vec()).unwrap();
        }
        assert!(got.starts_with("<132>Jan  3 12:00:07 xbeat["), "{got}");
        assert!(got.ends_with("]: WARN: Late heartbeat"), "{got}");
        drop(daemon);
        std::fs::remove_file(&path).unwrap();
    }
    assert_eq!(failures.len(), 1, "{failures:?}");
}

/// The only test that takes over the process's logging.
#[test]
fn events_reach_the_file_by_level_and_origin() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ha-log");
    let options =
        LogOptions { debugfile: Some(path.clone()), host: "server1".to_owned(), ..LogOptions::default() };
    let logging = init(&options).unwrap();
    let event = || tracing::debug!(target: "xbeat::tests", "hidden, then not");
    event();
    tracing::info!(target: "xbeat::tests", node = "server2", late_ms = 12, "Late heartbeat");
    tracing::info!(target: "somebody::else", "chatter");
    tracing::warn!(target: "somebody::else", "warning");
    logging.set_debug(1);
    event();
    assert_eq!((logging.debug(), logging.dropped()), (1, 0));
    assert!(matches!(init(&options), Err(LogError::Taken(_))));
    drop(logging);
    let text = std::fs::read_to_string(path).unwrap();
    let texts: Vec<&str> = text
        .lines()
        .map(|line| line.split_once("]: ").unwrap().1)
        // Other tests of this process log too.
        .filter(|text| ["Late", "chatter", "warning", "hidden"].iter().any(|ours| text.contains(ours)))
        .collect();
    assert_eq!(
        texts,
        ["info: Late heartbeat node=server2 late_ms=12", "WARN: warning", "debug: hidden, then not"]
    );
}
