//! The bytes on the wire, and the server against clients good, bad and absent, over real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::oneshot;

use super::client::{ClientError, call};
use super::protocol::encode;
use super::*;

/// Far more than anything here takes; only a hang reaches it.
const LIMIT: Duration = Duration::from_secs(60);

/// A server whose driver answers every command but those to the group `silent`.
struct Agent {
    dir: tempfile::TempDir,
    driver: Option<(JoinHandle<()>, oneshot::Sender<()>)>,
}

impl Agent {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = serve(dir.path()).unwrap();
        let (stop, stopped) = oneshot::channel();
        let driver = thread::spawn(move || drive(server, stopped));
        Self { dir, driver: Some((driver, stop)) }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(socket_path(self.dir.path())).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream
    }

    fn call(&self, command: &Command) -> Result<Reply, ClientError> {
        call(self.dir.path(), command, LIMIT, &mut |_| {})
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some((driver, stop)) = self.driver.take() {
            drop(stop);
            let ended = driver.join();
            assert!(thread::panicking() || ended.is_ok(), "the driver panicked");
        }
    }
}

fn drive(mut server: Server, mut stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut unanswered = Vec::new();
    runtime.block_on(async {
        loop {
            let request = tokio::select! {
                Some(request) = server.requests.recv() => request,
                _ = &mut stopped => return,
            };
            let silent = Command::Standby { set: ResourceSet::Group("silent".to_owned()) };
            if request.command == silent {
                unanswered.push(request.reply);
                continue;
            }
            let last = matches!(request.command, Command::Stop { .. });
            let _ = request.reply.send(Reply::done(format!("{:?}", request.command)));
            if last {
                return;
            }
        }
    });
}

fn reply(stream: &UnixStream) -> Reply {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn commands() -> impl Strategy<Value = Command> {
    let set = prop_oneof![
        Just(ResourceSet::All),
        Just(ResourceSet::Local),
        Just(ResourceSet::Foreign),
        Just(ResourceSet::Failback),
        "IPaddr::[0-9a-f.:/]{1,30}".prop_map(ResourceSet::Group),
    ];
    prop_oneof![
        Just(Command::Status),
        set.clone().prop_map(|set| Command::Standby { set }),
        set.prop_map(|set| Command::Takeover { set }),
        any::<bool>().prop_map(|keep| Command::Stop { keep }),
    ]
}

proptest! {
    #[test]
    fn commands_survive_the_wire(command in commands()) {
        let line = encode(&command).unwrap();
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        prop_assert_eq!(Command::decode(&line), Ok(command));
    }

    #[test]
    fn replies_survive_the_wire(ok: bool, message: String) {
        let reply = Reply { ok, message, status: None };
        let line = encode(&reply).unwrap();
        prop_assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
        prop_assert_eq!(serde_json::from_slice::<Reply>(&line).unwrap(), reply);
    }

    #[test]
    fn any_bytes_decode_or_are_refused_in_words(bytes: Vec<u8>) {
        if let Err(reason) = Command::decode(&bytes) {
            prop_assert!(reason.starts_with("not a command"), "{}", reason);
        }
    }
}

#[test]
fn commands_have_the_documented_form() {
    let local = Command::Standby { set: ResourceSet::Local };
    assert_eq!(encode(&Command::Status).unwrap(), b"{\"command\":\"status\"}\n");
    assert_eq!(encode(&local).unwrap(), b"{\"command\":\"standby\",\"set\":\"local\"}\n");
    for bad in [
        "",
        "{}",
        "7",
        r#"{"command":"dance"}"#,
        r#"{"command":"standby"}"#,
        r#"{"command":"standby","set":" "}"#,
    ] {
        assert!(Command::decode(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn every_command_reaches_the_driver_and_its_answer_the_client() {
    let agent = Agent::start();
    for command in [
        Command::Status,
        Command::Standby { set: ResourceSet::Group("IPaddr::192.0.2.100".to_owned()) },
        Command::Takeover { set: ResourceSet::Failback },
    ] {
        assert_eq!(agent.call(&command).unwrap(), Reply::done(format!("{command:?}")));
    }
}

#[test]
fn one_connection_may_ask_many_times_and_half_close() {
    let agent = Agent::start();
    let mut stream = agent.connect();
    // No line feed at the end: closing the half ends the line.
    stream
        .write_all(b"{\"command\":\"status\"}\nnonsense\n{\"command\":\"takeover\",\"set\":\"all\"}")
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let replies: Vec<Reply> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(replies.len(), 3, "{text}");
    assert_eq!([replies[0].ok, replies[1].ok, replies[2].ok], [true, false, true], "{text}");
}

#[test]
fn hostile_bytes_get_an_answer_and_hurt_nobody() {
    let agent = Agent::start();
    let nested = [b"[".repeat(60_000), b"\n".to_vec()].concat();
    for bytes in [&b"\xff\xfe\0\0\n"[..], b"\n", b"{\"command\":\n", b"\0\n", &nested] {
        let mut stream = agent.connect();
        stream.write_all(bytes).unwrap();
        let reply = reply(&stream);
        assert!(!reply.ok && reply.message.starts_with("not a command"), "{reply:?}");
    }
    assert!(agent.call(&Command::Status).unwrap().ok);
}

#[test]
fn an_endless_request_is_cut() {
    let agent = Agent::start();
    let mut stream = agent.connect();
    let blanks = vec![b' '; REQUEST_BYTES_MAX];
    // The server may close while this still writes.
    let _ = stream.write_all(&blanks).and_then(|()| stream.write_all(&blanks));
    let reply = reply(&stream);
    assert!(!reply.ok && reply.message.contains("longer than 65536"), "{reply:?}");
    assert!(agent.call(&Command::Status).unwrap().ok);
}

#[test]
fn the_seventeenth_client_is_turned_away_and_leavers_make_room() {
    let agent = Agent::start();
    // A command that stays unanswered keeps its connection, as long as its client does.
    let waiting: Vec<UnixStream> = (0..16)
        .map(|_| {
            let mut stream = agent.connect();
            stream.write_all(b"{\"command\":\"standby\",\"set\":\"silent\"}\n").unwrap();
            stream
        })
        .collect();
    let refused = agent.call(&Command::Status).unwrap();
    assert!(!refused.ok && refused.message.contains("16 clients"), "{refused:?}");
    drop(waiting);
    wait_for("room for another client", || agent.call(&Command::Status).unwrap().ok);
}

#[test]
fn a_slow_command_tells_its_client_that_it_waits_and_times_out() {
    let agent = Agent::start();
    let silent = Command::Standby { set: ResourceSet::Group("silent".to_owned()) };
    let mut ticks = 0;
    let limit = Duration::from_millis(2_500);
    let error = call(agent.dir.path(), &silent, limit, &mut |_| ticks += 1).unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { after } if after == limit), "{error}");
    assert!(ticks > 0);
}

#[test]
fn stop_returns_when_the_directory_is_free() {
    let mut agent = Agent::start();
    assert!(agent.call(&Command::Stop { keep: false }).unwrap().ok);
    assert!(!socket_path(agent.dir.path()).exists());
    let next = serve(agent.dir.path()).unwrap();
    drop(next);
    agent.driver.take().unwrap().0.join().unwrap();
    assert!(matches!(agent.call(&Command::Status), Err(ClientError::NotRunning { .. })));
}

#[test]
fn what_is_not_answered_when_the_agent_ends_is_refused() {
    let mut agent = Agent::start();
    let mut stream = agent.connect();
    stream.write_all(b"{\"command\":\"standby\",\"set\":\"silent\"}\n").unwrap();
    assert!(agent.call(&Command::Status).unwrap().ok);
    let (driver, stop) = agent.driver.take().unwrap();
    drop(stop);
    // Either word says the same; which one depends on whether the driver had the request yet.
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.is_empty() || text.contains("the agent is ending"), "{text}");
    driver.join().unwrap();
}

#[test]
fn a_second_agent_is_refused_and_the_first_goes_on() {
    let agent = Agent::start();
    let error = serve(agent.dir.path()).unwrap_err();
    let expected = format!("another agent runs in this directory: {}", agent.dir.path().display());
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert!(error.to_string().contains(&format!("(process {})", std::process::id())), "{error}");
    // Nor does it help to delete the lock.
    std::fs::remove_file(lock_path(agent.dir.path())).unwrap();
    assert!(matches!(serve(agent.dir.path()), Err(ServeError::Busy { owner: None, .. })));
    assert!(agent.call(&Command::Status).unwrap().ok);
}

#[test]
fn what_a_dead_agent_left_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("new/run");
    std::fs::create_dir_all(&run_dir).unwrap();
    drop(UnixListener::bind(socket_path(&run_dir)).unwrap());
    std::fs::write(lock_path(&run_dir), "4294967295 and more than that\n").unwrap();
    assert!(matches!(
        call(&run_dir, &Command::Status, LIMIT, &mut |_| {}),
        Err(ClientError::NotRunning { .. })
    ));
    let server = serve(&run_dir).unwrap();
    let mode = std::fs::metadata(socket_path(&run_dir)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(lock_path(&run_dir)).unwrap(), format!("{}\n", std::process::id()));
    drop(server);
    assert!(!socket_path(&run_dir).exists());
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let until = std::time::Instant::now() + LIMIT;
    while !condition() {
        assert!(std::time::Instant::now() < until, "no {what} within {LIMIT:?}");
        thread::sleep(Duration::from_millis(20));
    }
}
