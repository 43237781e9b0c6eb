//! One word of haresources: a script and its arguments, and the virtual address where it is one.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::diagnostic::quoted;
use super::names::{INTERFACE_EXPECTED, is_interface, is_unicast};
use crate::resources::{Spec, builtin};

/// Longest address label the kernel takes (`IFNAMSIZ` less its NUL).
const LABEL_BYTES_MAX: usize = 15;

/// A resource: what a script in `resource.d` or `/etc/init.d` starts and stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Name of the script; `IPaddr` where only an address was written.
    pub name: String,
    /// Its arguments; the operation follows them.
    pub args: Vec<String>,
    word: String,
    vip: Option<VipSpec>,
    vip6: Option<Vip6Spec>,
}

/// An IPv6 virtual address as `IPv6addr` takes it: `address[/prefix[/interface]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vip6Spec {
    /// The address.
    pub address: Ipv6Addr,
    /// Prefix length, 1 to 128; none: that of the route to the address.
    pub prefix: Option<u8>,
    /// The interface; none: that of the route to the address.
    pub interface: Option<String>,
}

/// A virtual address as `IPaddr` and `IPaddr2` take it: `address[/prefix[/interface[:label]][/broadcast]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VipSpec {
    /// The address.
    pub address: Ipv4Addr,
    /// Prefix length, 1 to 32; none: that of the route to the address.
    pub prefix: Option<u8>,
    /// The interface; none: that of the route to the address.
    pub interface: Option<String>,
    /// Broadcast address; none: the one the prefix gives.
    pub broadcast: Option<Ipv4Addr>,
    /// The whole label as the kernel takes it (`eth0:web`), where one was written.
    pub label: Option<String>,
}

/// Why a word is no resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found {found}, expected {expected}")]
pub struct BadResource {
    /// Where in the word, in characters from 0.
    pub offset: usize,
    /// What stands there.
    pub found: String,
    /// What would be right.
    pub expected: String,
}

impl Resource {
    /// The word as it was written.
    pub fn word(&self) -> &str {
        &self.word
    }

    /// The address, for `IPaddr` and `IPaddr2`.
    pub fn vip(&self) -> Option<&VipSpec> {
        self.vip.as_ref()
    }

    /// The address, for `IPv6addr`.
    pub fn vip6(&self) -> Option<&Vip6Spec> {
        self.vip6.as_ref()
    }

    /// Whether it is a virtual address of either kind.
    pub fn is_address(&self) -> bool {
        self.vip.is_some() || self.vip6.is_some()
    }

    /// Whether both are the same resource, however written: `192.0.2.3` is `IPaddr::192.0.2.3`.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.args == other.args
    }
}

impl FromStr for Resource {
    type Err = BadResource;

    /// Reads a resource word. Empty arguments vanish, as they do in Heartbeat's shell.
    fn from_str(word: &str) -> Result<Self, BadResource> {
        let (name, arguments_at) = match word.find("::") {
            _ if looks_like_address(word) => ("IPaddr", 0),
            Some(at) => (&word[..at], at + 2),
            None => (word, word.len()),
        };
        check_name(name)?;
        let arguments = &word[arguments_at..];
        if name == "IPv6addr" {
            // The `::` of an address separates nothing.
            let vip6 = vip6(arguments).map_err(|bad| BadResource {
                offset: bad.offset + word[..arguments_at].chars().count(),
                ..bad
            })?;
            let (args, word) = (vec![arguments.to_owned()], word.to_owned());
            return Ok(Self { name: name.to_owned(), args, word, vip: None, vip6: Some(vip6) });
        }
        let args: Vec<String> =
            arguments.split("::").filter(|argument| !argument.is_empty()).map(str::to_owned).collect();
        check_arguments(name, &args)
            .map_err(|expected| bad(word[..arguments_at].chars().count(), quoted(arguments), &expected))?;
        let vip = match name {
            "IPaddr" | "IPaddr2" => {
                let address = args.first().map_or("", String::as_str);
                // The first argument begins behind the `::` that were empty.
                let skipped = arguments.len() - arguments.trim_start_matches("::").len();
                let before = word[..arguments_at + skipped].chars().count();
                Some(vip(address).map_err(|bad| BadResource { offset: bad.offset + before, ..bad })?)
            }
            _ => None,
        };
        Ok(Self { name: name.to_owned(), args, word: word.to_owned(), vip, vip6: None })
    }
}

/// Whether the word matches the shell pattern `[0-9]*.[0-9]*.[0-9]*.[0-9]*`, which makes it an address.
fn looks_like_address(word: &str) -> bool {
    let bytes = word.as_bytes();
    let dots_before_digits =
        bytes.windows(2).filter(|pair| pair[0] == b'.' && pair[1].is_ascii_digit()).count();
    bytes.first().is_some_and(u8::is_ascii_digit) && dots_before_digits >= 3
}

/// Checks the arguments of words that no script can take over.
fn check_arguments(name: &str, args: &[String]) -> Result<(), String> {
    match name {
        "IPsrcaddr" | "SendArp" => {
            let spec = Spec { name: name.to_owned(), args: args.to_vec() };
            builtin::parse(&spec).map_or(Ok(()), |parsed| parsed.map(drop))
        }
        "systemd" if args.len() != 1 => Err("one unit, such as `systemd::apache2.service`".to_owned()),
        "ocf" if args.len() < 2 => {
            Err("an OCF agent, such as `ocf::heartbeat::Dummy::state=/run/x`".to_owned())
        }
        _ => Ok(()),
    }
}

/// A name is looked up in two directories: it must not lead out of them.
fn check_name(name: &str) -> Result<(), BadResource> {
    let leads_out = name.starts_with('/') || name.split('/').any(|part| part == ".." || part == ".");
    if name.is_empty() || leads_out || name.ends_with('/') {
        return Err(bad(0, quoted(name), "the name of a script in `resource.d` or `/etc/init.d`"));
    }
    Ok(())
}

/// Reads `address[/prefix[/interface[:label]][/broadcast]]`; a part left empty counts as not given.
fn vip(argument: &str) -> Result<VipSpec, BadResource> {
    let mut parts = Parts { rest: Some(argument), offset: 0 };
    let (address, offset) = parts.next().unwrap_or(("", 0));
    let address = address
        .parse()
        .ok()
        .filter(|&address| is_unicast(address))
        .ok_or_else(|| bad(offset, quoted(address), "an IPv4 address such as `192.0.2.3`"))?;
    let mut vip = VipSpec { address, prefix: None, interface: None, broadcast: None, label: None };
    if let Some((part, offset)) = parts.next().filter(|(part, _)| !part.is_empty()) {
        let prefix = prefix(part);
        vip.prefix = Some(
            prefix.ok_or_else(|| bad(offset, quoted(part), "a prefix length of 1 to 32, such as `24`"))?,
        );
    }
    let mut third = parts.next();
    if let Some((part, offset)) = third.filter(|(part, _)| !part.starts_with(|c: char| c.is_ascii_digit())) {
        if !part.is_empty() {
            (vip.interface, vip.label) = interface(part, offset)?;
        }
        third = parts.next();
    }
    if let Some((part, offset)) = third.filter(|(part, _)| !part.is_empty()) {
        let broadcast = part.parse();
        vip.broadcast = Some(
            broadcast.map_err(|_| bad(offset, quoted(part), "a broadcast address such as `192.0.2.255`"))?,
        );
    }
    if let Some((part, offset)) = parts.next() {
        let expected = "nothing behind `address/prefix/interface/broadcast`";
        return Err(bad(offset, quoted(part), expected));
    }
    Ok(vip)
}

/// Reads `address[/prefix[/interface]]` of IPv6.
fn vip6(argument: &str) -> Result<Vip6Spec, BadResource> {
    let mut parts = Parts { rest: Some(argument), offset: 0 };
    let (address, offset) = parts.next().unwrap_or(("", 0));
    let parsed = address.parse().ok();
    let parsed: Option<Ipv6Addr> =
        parsed.filter(|a: &Ipv6Addr| !a.is_multicast() && !a.is_unspecified() && !a.is_loopback());
    // An IPv4 address in IPv6's clothes is no address of a network.
    let parsed = parsed.filter(|address| address.to_ipv4_mapped().is_none());
    let address =
        parsed.ok_or_else(|| bad(offset, quoted(address), "an IPv6 address such as `2001:db8::3`"))?;
    let mut vip = Vip6Spec { address, prefix: None, interface: None };
    if let Some((part, offset)) = parts.next().filter(|(part, _)| !part.is_empty()) {
        let prefix = part.parse().ok().filter(|prefix| (1..=128).contains(prefix));
        vip.prefix = Some(
            prefix.ok_or_else(|| bad(offset, quoted(part), "a prefix length of 1 to 128, such as `64`"))?,
        );
    }
    if let Some((part, offset)) = parts.next().filter(|(part, _)| !part.is_empty()) {
        if !is_interface(part) {
            return Err(bad(offset, quoted(part), INTERFACE_EXPECTED));
        }
        vip.interface = Some(part.to_owned());
    }
    if let Some((part, offset)) = parts.next() {
        return Err(bad(offset, quoted(part), "nothing behind `address/prefix/interface`"));
    }
    Ok(vip)
}

/// A prefix length, or a netmask in dotted form, which `IPaddr` takes too.
fn prefix(part: &str) -> Option<u8> {
    if let Ok(length) = part.parse::<u8>() {
        return Some(length).filter(|length| (1..=32).contains(length));
    }
    let mask = u32::from(part.parse::<Ipv4Addr>().ok()?);
    let is_contiguous = mask.leading_ones() + mask.trailing_zeros() == u32::BITS;
    u8::try_from(mask.leading_ones()).ok().filter(|_| is_contiguous && mask != 0)
}

/// `eth0` or `eth0:label`: the interface, and the whole label where there is one.
fn interface(part: &str, offset: usize) -> Result<(Option<String>, Option<String>), BadResource> {
    let (interface, label) = part.split_once(':').unwrap_or((part, ""));
    if !is_interface(interface) {
        return Err(bad(offset, quoted(interface), INTERFACE_EXPECTED));
    }
    if part.len() > LABEL_BYTES_MAX {
        let expected = "an interface and label of at most 15 characters together";
        return Err(bad(offset, quoted(part), expected));
    }
    Ok((Some(interface.to_owned()), (!label.is_empty()).then(|| part.to_owned())))
}

fn bad(offset: usize, found: String, expected: &str) -> BadResource {
    BadResource { offset, found, expected: expected.to_owned() }
}

/// The parts between slashes, each with its place in characters.
struct Parts<'a> {
    rest: Option<&'a str>,
    offset: usize,
}

impl<'a> Iterator for Parts<'a> {
    type Item = (&'a str, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest?;
        let (part, behind) = rest.split_once('/').map_or((rest, None), |(part, behind)| (part, Some(behind)));
        let offset = self.offset;
        self.rest = behind;
        self.offset += part.chars().count() + 1;
        Some((part, offset))
    }
}
