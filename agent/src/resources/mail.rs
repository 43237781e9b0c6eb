//! Sends the mails of `MailTo`, on a thread of its own: no group ever waits for a mail server.
//!
//! By a `sendmail` program, or by SMTP to a relay. A relay is spoken to without encryption and without a password: it is
//! meant to be this machine or one beside it. Whoever needs more has a mail program that can do more.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::extension::ClientId;
use lettre::{Message, SmtpTransport, Transport as _};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Mails that may wait. A group that flaps a hundred times has said enough.
const QUEUE_MAX: usize = 64;

/// Longest wait for one answer of a relay.
const ANSWER: Duration = Duration::from_secs(10);

/// Longest time for one run of `sendmail`.
const SENDMAIL: Duration = Duration::from_secs(30);

/// How mails leave this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// A program that takes a message on its standard input, called as `PROGRAM -i -f FROM -- TO...`.
    Sendmail(PathBuf),
    /// A relay.
    Smtp {
        /// Its name or address.
        host: String,
        /// Its port, 25 as a rule.
        port: u16,
    },
}

/// A mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Addresses, or users of this machine.
    pub to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// The text.
    pub body: String,
}

/// Takes mails and never waits.
#[derive(Debug, Clone)]
pub struct Mailer {
    queue: SyncSender<Mail>,
    pending: Arc<Pending>,
}

/// How many mails are not sent yet.
#[derive(Debug, Default)]
struct Pending {
    count: Mutex<usize>,
    less: Condvar,
}

impl Mailer {
    /// Starts the thread; it ends with the last handle. `from` is the sender's address.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub fn start(via: Via, from: String) -> std::io::Result<Self> {
        let (queue, mails) = sync_channel(QUEUE_MAX);
        let pending = Arc::new(Pending::default());
        let theirs = Arc::clone(&pending);
        std::thread::Builder::new()
            .name("xbeat-mail".into())
            .spawn(move || work(&via, &from, &mails, &theirs))?;
        Ok(Self { queue, pending })
    }

    /// Sends a mail before long. What goes wrong is logged.
    pub fn send(&self, mail: Mail) {
        self.pending.add(1);
        match self.queue.try_send(mail) {
            Ok(()) => {}
            Err(TrySendError::Full(mail) | TrySendError::Disconnected(mail)) => {
                self.pending.sub();
                tracing::error!("mail to {} is lost: {QUEUE_MAX} others wait", mail.to.join(", "));
            }
        }
    }

    /// Waits until every mail was sent or given up, for at most `limit`; false if some are left. Blocks the thread: for
    /// the end of the agent.
    pub fn drain(&self, limit: Duration) -> bool {
        let count = self.pending.count.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, _) = self
            .pending
            .less
            .wait_timeout_while(count, limit, |count| *count > 0)
            .unwrap_or_else(PoisonError::into_inner);
        *count == 0
    }
}

impl Pending {
    fn add(&self, number: usize) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += number;
    }

    fn sub(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.less.notify_all();
    }
}

fn work(via: &Via, from: &str, mails: &Receiver<Mail>, pending: &Pending) {
    for mail in mails {
        match send(via, from, &mail) {
            Ok(()) => tracing::info!("mail to {} sent: {}", mail.to.join(", "), mail.subject),
            Err(error) => tracing::error!("mail to {} not sent: {error:#}", mail.to.join(", ")),
        }
        pending.sub();
    }
}

fn send(via: &Via, from: &str, mail: &Mail) -> anyhow::Result<()> {
    use anyhow::Context as _;
    let message = message(from, mail)?;
    match via {
        Via::Sendmail(program) => {
            sendmail(program, from, mail, &message.formatted()).with_context(|| program.display().to_string())
        }
        Via::Smtp { host, port } => {
            let name = from.rsplit('@').next().unwrap_or("localhost").to_owned();
            let relay = SmtpTransport::builder_dangerous(host.as_str())
                .port(*port)
                .timeout(Some(ANSWER))
                .hello_name(ClientId::Domain(name))
                .build();
            relay.send(&message).with_context(|| format!("{host}:{port}"))?;
            Ok(())
        }
    }
}

fn message(from: &str, mail: &Mail) -> anyhow::Result<Message> {
    use anyhow::Context as _;
    let mailbox = |address: &str| -> anyhow::Result<Mailbox> {
        let whole = if address.contains('@') { address.to_owned() } else { format!("{address}@localhost") };
        let address = whole.parse().with_context(|| format!("{whole} is no mail address"))?;
        Ok(Mailbox::new(None, address))
    };
    let host = from.rsplit('@').next().unwrap_or("localhost");
    let number = getrandom::u64().map_err(std::io::Error::other)?;
    let mut builder = Message::builder()
        .from(mailbox(from)?)
        .message_id(Some(format!("<{number:016x}.xbeat@{host}>")))
        .subject(mail.subject.clone())
        .header(ContentType::TEXT_PLAIN);
    for address in &mail.to {
        builder = builder.to(mailbox(address)?);
    }
    Ok(builder.body(mail.body.clone())?)
}

fn sendmail(program: &Path, from: &str, mail: &Mail, message: &[u8]) -> anyhow::Result<()> {
    // Tokio's, because that is what is made ordinary; it is started without a runtime.
    let mut command = tokio::process::Command::new(program);
    command.args(["-i", "-f", from, "--"]).args(&mail.to).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    crate::sys::script::make_ordinary(&mut command)?;
    let mut child = command.as_std_mut().spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // Far less than a pipe holds. A program that ends without reading says why by its exit code.
        let _ = stdin.write_all(message);
    }
    let until = Instant::now() + SENDMAIL;
    loop {
        if let Some(status) = child.try_wait()? {
            anyhow::ensure!(status.success(), "{status}");
            return Ok(());
        }
        if Instant::now() >= until {
            let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
            child.wait()?;
            anyhow::bail!("not finished after {SENDMAIL:?}, killed");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const AMPLE: Duration = Duration::from_secs(60);

    fn mail() -> Mail {
        Mail {
            to: vec!["alerts@example.org".to_owned(), "root".to_owned()],
            subject: "Grüße Takeover in progress".to_owned(),
            body: "It is up.".to_owned(),
        }
    }

    /// Takes one mail as RFC 5321 wants it; what the client said, line by line.
    fn relay(listener: &TcpListener) -> Vec<String> {
        let (mut stream, _) = listener.accept().unwrap();
        let mut said = Vec::new();
        stream.write_all(b"220 relay\r\n").unwrap();
        let mut data = false;
        for line in BufReader::new(stream.try_clone().unwrap()).lines() {
            let line = line.unwrap();
            let answer = match line.as_str() {
                "." => {
                    data = false;
                    "250 taken"
                }
                _ if data => "",
                "DATA" => {
                    data = true;
                    "354 go on"
                }
                "QUIT" => "221 bye",
                _ => "250 fine",
            };
            if !answer.is_empty() {
                stream.write_all(format!("{answer}\r\n").as_bytes()).unwrap();
            }
            said.push(line);
            if answer.starts_with("221") {
                break;
            }
        }
        said
    }

    #[test]
    fn a_relay_gets_sender_recipients_and_subject() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let via = Via::Smtp { host: "127.0.0.1".to_owned(), port };
        let mailer = Mailer::start(via, "root@julius".to_owned()).unwrap();
        mailer.send(mail());
        let said = relay(&listener);
        assert!(mailer.drain(AMPLE));
        assert!(said.contains(&"MAIL FROM:<root@julius>".to_owned()), "{said:#?}");
        assert!(said.contains(&"RCPT TO:<alerts@example.org>".to_owned()), "{said:#?}");
        assert!(said.contains(&"RCPT TO:<root@localhost>".to_owned()), "{said:#?}");
        assert!(said.iter().any(|line| line.starts_with("Date: ")), "{said:#?}");
        assert!(said.contains(&"It is up.".to_owned()), "{said:#?}");
    }

    #[test]
    fn sendmail_gets_addresses_and_message() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("sendmail");
        let out = dir.path().join("out");
        fs::write(&program, format!("#!/bin/sh\necho \"$@\" > {0}\ncat >> {0}\n", out.display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let mailer = Mailer::start(Via::Sendmail(program), "root@julius".to_owned()).unwrap();
        mailer.send(mail());
        assert!(mailer.drain(AMPLE));
        let text = fs::read_to_string(out).unwrap();
        assert!(text.starts_with("-i -f root@julius -- alerts@example.org root\n"), "{text}");
        assert!(text.contains("To: alerts@example.org, root@localhost"), "{text}");
        assert!(text.contains("Subject: =?utf-8?"), "{text}");
    }

    #[test]
    fn a_relay_that_never_answers_holds_up_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mailer =
            Mailer::start(Via::Smtp { host: "127.0.0.1".to_owned(), port }, "root@julius".to_owned())
                .unwrap();
        for _ in 0..2 * QUEUE_MAX {
            mailer.send(mail());
        }
        assert!(!mailer.drain(Duration::from_millis(50)));
    }
}
