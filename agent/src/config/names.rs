//! Names that the world gives a meaning: hosts, interfaces, users, files. The lookups stand behind a trait, so that
//! tests and the fuzzer decide what exists.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use crate::links::serial::port::{self, Fault};

/// Longest interface name the kernel takes (`IFNAMSIZ` less its NUL).
const INTERFACE_BYTES_MAX: usize = 15;

/// What an interface name looks like, for messages.
pub(super) const INTERFACE_EXPECTED: &str =
    "the name of a network interface such as `eth0`, of at most 15 characters, without `/` and `:`";

/// Whether the kernel would take it as an interface name (`dev_valid_name`).
pub(super) fn is_interface(name: &str) -> bool {
    (1..=INTERFACE_BYTES_MAX).contains(&name.len())
        && name != "."
        && name != ".."
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
}

/// Whether one machine can have the address.
pub(super) fn is_unicast(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_multicast() || address.is_broadcast())
}

/// What the configuration asks of the machine and the network: all that [`super::load`] learns, it learns by this.
pub trait World {
    /// The permission bits of a configuration file, and what is in it.
    ///
    /// # Errors
    /// As the system says it; `NotFound` where there is no such file.
    fn read(&self, path: &Path) -> io::Result<(u32, Vec<u8>)> {
        let mut bytes = Vec::new();
        let mut file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode() & 0o7777;
        file.read_to_end(&mut bytes)?;
        Ok((mode, bytes))
    }

    /// Address of a host.
    ///
    /// # Errors
    /// Why there is none, in words.
    fn resolve(&self, host: &str) -> Result<Ipv4Addr, String>;

    /// IPv6 address of a host.
    ///
    /// # Errors
    /// Why there is none, in words.
    fn resolve_v6(&self, host: &str) -> Result<Ipv6Addr, String>;

    /// Whether there is a user with this name or number.
    fn has_user(&self, name: &str) -> bool;

    /// Whether the file is a program.
    fn is_executable(&self, path: &Path) -> bool;

    /// Whether the file is a terminal or another device of characters.
    fn is_character_device(&self, path: &Path) -> bool;
    /// A small file's text.
    ///
    /// # Errors
    /// Why there is none, in words.
    fn text(&self, path: &Path) -> Result<String, String>;

    /// Whether a terminal could be opened now; else why not.
    fn terminal(&self, path: &Path) -> Result<(), Fault>;
}

/// The machine we run on.
pub(super) struct Machine;

impl World for Machine {
    fn resolve(&self, host: &str) -> Result<Ipv4Addr, String> {
        addresses(host)?
            .find_map(|address| match address {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            })
            .ok_or_else(|| "it has no IPv4 address".into())
    }

    fn resolve_v6(&self, host: &str) -> Result<Ipv6Addr, String> {
        addresses(host)?
            .find_map(|address| match address {
                IpAddr::V6(address) => Some(address),
                IpAddr::V4(_) => None,
            })
            .ok_or_else(|| "it has no IPv6 address".into())
    }

    fn has_user(&self, name: &str) -> bool {
        name.parse::<u32>().is_ok() || matches!(nix::unistd::User::from_name(name), Ok(Some(_)))
    }

    fn is_executable(&self, path: &Path) -> bool {
        path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    }

    fn text(&self, path: &Path) -> Result<String, String> {
        const SIZE_MAX: u64 = 64 << 10;
        let meta = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
        if !meta.is_file() || meta.len() > SIZE_MAX {
            return Err("is no small file".to_owned());
        }
        std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))
    }

    fn is_character_device(&self, path: &Path) -> bool {
        path.metadata().is_ok_and(|file| file.file_type().is_char_device())
    }

    fn terminal(&self, path: &Path) -> Result<(), Fault> {
        port::check(path)
    }
}

fn addresses(host: &str) -> Result<impl Iterator<Item = IpAddr>, String> {
    let found = (host, 0u16).to_socket_addrs().map_err(|error| {
        // "failed to lookup address information: Name or service not known": the second half says it.
        let text = error.to_string();
        text.rsplit(": ").next().unwrap_or_default().to_lowercase()
    })?;
    Ok(found.map(|address| address.ip()))
}

/// The IPv4 address of a host name, or of an address as written; else what is wrong with it.
///
/// Abbreviated addresses (`192.0.2`, `10`), which the C library would expand to something unintended, are refused.
pub(super) fn host_v4(world: &dyn World, host: &str) -> Result<Ipv4Addr, String> {
    let address = match host.parse() {
        Ok(address) => address,
        Err(_) if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => {
            return Err("is no IPv4 address".into());
        }
        Err(_) => world.resolve(host).map_err(|why| format!("does not resolve: {why}"))?,
    };
    if is_unicast(address) {
        Ok(address)
    } else {
        Err(format!("is {address}, which is no address of one machine"))
    }
}

/// The IPv6 address of a host name, or of an address as written; else what is wrong with it.
pub(super) fn host_v6(world: &dyn World, host: &str) -> Result<Ipv6Addr, String> {
    let address: Ipv6Addr = match host.parse() {
        Ok(address) => address,
        Err(_) => world.resolve_v6(host).map_err(|why| format!("does not resolve: {why}"))?,
    };
    if address.is_unspecified() || address.is_multicast() {
        return Err(format!("is {address}, which is no address of one machine"));
    }
    Ok(address)
}
