//! Resources that need no script, beside the virtual addresses: `Delay`, `MailTo`, `SendArp`, `IPsrcaddr`.
//!
//! `SendArp` and `IPsrcaddr` act on addresses and are always these: a script would know nothing of the gates. A script of
//! the name of one of the others wins.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::mail::Mail;
use super::script::Operation;
use super::{Spec, Status};

/// What a `Delay` waits before start and stop where nothing is said, as the OCF agent does.
const DELAYS: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(30));

/// Words that are always built in, the virtual addresses included.
pub const ALWAYS: [&str; 5] = ["IPaddr", "IPaddr2", "IPv6addr", "IPsrcaddr", "SendArp"];

/// A built-in resource, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuiltIn {
    /// Waits.
    Delay {
        /// At start.
        start: Duration,
        /// At stop.
        stop: Duration,
    },
    /// Tells somebody.
    MailTo {
        /// Whom.
        to: Vec<String>,
        /// What the subject begins with.
        subject: String,
    },
    /// Announces an address that something else looks after.
    SendArp {
        /// Which.
        address: Ipv4Addr,
        /// On which interface.
        interface: String,
    },
    /// Makes an address the source of what this node sends by its default route.
    Source(Ipv4Addr),
}

/// Reads a resource word; `None` if it is not one of these.
///
/// # Errors
///
/// What would be right.
pub fn parse(spec: &Spec) -> Option<Result<BuiltIn, String>> {
    let args: Vec<&str> = spec.args.iter().map(String::as_str).collect();
    Some(match spec.name.as_str() {
        "Delay" => delay(&args),
        "MailTo" => mail_to(&args),
        "SendArp" => send_arp(&args),
        "IPsrcaddr" => match args.as_slice() {
            [address] => address
                .parse()
                .map(BuiltIn::Source)
                .map_err(|_| "an IPv4 address, such as IPsrcaddr::192.0.2.3".to_owned()),
            _ => Err("one address, such as IPsrcaddr::192.0.2.3".to_owned()),
        },
        _ => return None,
    })
}

fn delay(args: &[&str]) -> Result<BuiltIn, String> {
    let expected = || "seconds, such as Delay::20 or Delay::20::5 (start and stop)".to_owned();
    let time = |text: &str| seconds(text).ok_or_else(expected);
    let (start, stop) = match args {
        [] => DELAYS,
        [start] => (time(start)?, DELAYS.1),
        // The third is how long a status takes; it takes none.
        [start, stop] | [start, stop, _] => (time(start)?, time(stop)?),
        _ => return Err(expected()),
    };
    Ok(BuiltIn::Delay { start, stop })
}

/// A time as `sleep(1)` takes it.
fn seconds(text: &str) -> Option<Duration> {
    let unit = |factor: f64| move |number: &str| Some(number.parse::<f64>().ok()? * factor);
    let seconds = match text.strip_suffix(['s', 'm', 'h']) {
        None => unit(1.0)(text),
        Some(number) if text.ends_with('s') => unit(1.0)(number),
        Some(number) if text.ends_with('m') => unit(60.0)(number),
        Some(number) => unit(3600.0)(number),
    };
    Duration::try_from_secs_f64(seconds?).ok()
}

fn mail_to(args: &[&str]) -> Result<BuiltIn, String> {
    let ([to] | [to, _]) = args else {
        return Err("addresses and perhaps a subject, such as MailTo::root,a@example.org::Web".to_owned());
    };
    let to: Vec<String> =
        to.split([',', ';']).filter(|address| !address.is_empty()).map(str::to_owned).collect();
    // An address that begins with a dash would be an option of a mail program.
    if to.is_empty()
        || to.iter().any(|address| address.starts_with('-') || address.contains(char::is_whitespace))
    {
        return Err("addresses, separated by commas".to_owned());
    }
    let subject = args.get(1).filter(|subject| subject.len() > 1).unwrap_or(&"Resource Group");
    Ok(BuiltIn::MailTo { to, subject: (*subject).to_owned() })
}

fn send_arp(args: &[&str]) -> Result<BuiltIn, String> {
    let expected = || "an address and an interface, such as SendArp::192.0.2.3/eth0".to_owned();
    let (address, interface) = match args {
        [both] => both.split_once('/').ok_or_else(expected)?,
        [address, interface] => (*address, *interface),
        _ => return Err(expected()),
    };
    let address = address.parse().map_err(|_| expected())?;
    if interface.is_empty() {
        return Err(expected());
    }
    Ok(BuiltIn::SendArp { address, interface: interface.to_owned() })
}

/// The mail of a `MailTo`, in the words of Heartbeat's. `date` is now.
pub fn mail(to: &[String], subject: &str, operation: Operation, date: &str, node: &str, group: &str) -> Mail {
    let (what, done) = match operation {
        Operation::Stop => {
            (format!("{subject} Migrating resource away at {date} from {node}"), "is being released by")
        }
        Operation::Start | Operation::Status => {
            (format!("{subject} Takeover in progress at {date} on {node}"), "is being taken over by")
        }
    };
    let body = format!("{what}\n\nThe resource group\n\n    {group}\n\n{done} {node}.\n");
    Mail { to: to.to_vec(), subject: what, body }
}

/// Which of the resources that are nothing but their operations are up: by group and place in it.
#[derive(Debug, Clone, Default)]
pub struct Pseudo(Arc<Mutex<BTreeMap<(String, usize), bool>>>);

impl Pseudo {
    /// The group is about to be started: what has not been started yet is down.
    pub(super) fn begin(&self, group: &str, len: usize) {
        let mut up = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for index in 0..len {
            up.entry((group.to_owned(), index)).or_insert(false);
        }
    }

    pub(super) fn set(&self, group: &str, index: usize, is_up: bool) {
        let mut up = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        up.insert((group.to_owned(), index), is_up);
    }

    /// `None` where this agent has neither started nor stopped it.
    pub(super) fn get(&self, group: &str, index: usize) -> Option<bool> {
        let up = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        up.get(&(group.to_owned(), index)).copied()
    }

    pub(super) fn status(&self, group: &str, index: usize) -> Status {
        if self.get(group, index) == Some(true) { Status::Running } else { Status::Stopped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: &str) -> Option<Result<BuiltIn, String>> {
        parse(&Spec::parse(word))
    }

    fn delay_of(start: u64, stop: u64) -> BuiltIn {
        BuiltIn::Delay { start: Duration::from_millis(start), stop: Duration::from_millis(stop) }
    }

    #[test]
    fn words_are_read_as_heartbeats_scripts_read_them() {
        assert_eq!(read("apache"), None);
        assert_eq!(read("Delay"), Some(Ok(delay_of(20_000, 30_000))));
        assert_eq!(read("Delay::5"), Some(Ok(delay_of(5_000, 30_000))));
        assert_eq!(read("Delay::0.5::2m"), Some(Ok(delay_of(500, 120_000))));
        let address = Ipv4Addr::new(192, 0, 2, 3);
        assert_eq!(read("IPsrcaddr::192.0.2.3"), Some(Ok(BuiltIn::Source(address))));
        let arp = BuiltIn::SendArp { address, interface: "eth0".to_owned() };
        assert_eq!(read("SendArp::192.0.2.3/eth0"), Some(Ok(arp.clone())));
        assert_eq!(read("SendArp::192.0.2.3::eth0"), Some(Ok(arp)));
        let to = |to: &[&str], subject: &str| BuiltIn::MailTo {
            to: to.iter().map(|&to| to.to_owned()).collect(),
            subject: subject.to_owned(),
        };
        assert_eq!(
            read("MailTo::alerts@example.org::JuliusCaesar"),
            Some(Ok(to(&["alerts@example.org"], "JuliusCaesar")))
        );
        assert_eq!(
            read("MailTo::root,a@example.org"),
            Some(Ok(to(&["root", "a@example.org"], "Resource Group")))
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = [
            "Delay::soon",
            "Delay::-1",
            "Delay::1::2::3::4",
            "MailTo",
            "MailTo::-oQ/tmp",
            "MailTo::,",
            "MailTo::a::b::c",
            "SendArp::192.0.2.3",
            "SendArp::192.0.2.3/",
            "SendArp::x/eth0",
            "IPsrcaddr",
            "IPsrcaddr::x",
        ];
        for word in wrong {
            assert!(matches!(read(word), Some(Err(_))), "{word}");
        }
    }

    #[test]
    fn mails_say_what_heartbeats_say() {
        let to = ["root".to_owned()];
        let up = mail(&to, "Web", Operation::Start, "Nov 20 12:00:00", "julius", "julius web");
        assert_eq!(up.subject, "Web Takeover in progress at Nov 20 12:00:00 on julius");
        let down = mail(&to, "Web", Operation::Stop, "Nov 20 12:00:00", "julius", "julius web");
        assert_eq!(down.subject, "Web Migrating resource away at Nov 20 12:00:00 from julius");
        assert!(down.body.contains("is being released by julius."), "{}", down.body);
    }
}
