//! `send_arp [-i MILLISECONDS] [-r COUNT] [-p PIDFILE] DEVICE ADDRESS MAC|auto BROADCAST NETMASK`: tells a network where an
//! address is now, as scripts of a service ask for it. Broadcast address and netmask are ignored, as they were.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser;

use super::tell;
use crate::datapath::announce::Announcer;

/// Announce an IPv4 address by gratuitous ARP, a request and a reply each time.
#[derive(Debug, Parser)]
#[command(name = "send_arp", disable_version_flag = true)]
struct Options {
    /// Between two announcements
    #[arg(short, value_name = "MILLISECONDS", default_value_t = 500)]
    interval: u64,
    /// How often
    #[arg(short, value_name = "COUNT", default_value_t = 1)]
    repeat: u32,
    /// File for the process id while it runs
    #[arg(short, value_name = "FILE")]
    pidfile: Option<PathBuf>,
    /// The interface
    device: String,
    /// The address that is announced
    address: Ipv4Addr,
    /// Where it is: a hardware address, or `auto` for that of the interface
    #[arg(value_parser = hardware_address)]
    mac: HardwareAddress,
    /// Ignored
    broadcast: String,
    /// Ignored
    netmask: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HardwareAddress {
    Auto,
    Given([u8; 6]),
}

/// `auto`, or twelve hexadecimal digits with or without colons.
fn hardware_address(text: &str) -> Result<HardwareAddress, String> {
    if text == "auto" {
        return Ok(HardwareAddress::Auto);
    }
    let digits: String = text.chars().filter(|&c| c != ':').collect();
    let number = u64::from_str_radix(&digits, 16).ok();
    match number.filter(|_| digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        Some(number) => {
            let [_, _, mac @ ..] = number.to_be_bytes();
            Ok(HardwareAddress::Given(mac))
        }
        None => Err("expected `auto` or twelve hexadecimal digits, as 0200c0000264".to_owned()),
    }
}

pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let arguments = std::iter::once(OsString::from("send_arp")).chain(arguments.iter().cloned());
    let options = match Options::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) => {
            tell(&error.to_string());
            return 1.into();
        }
    };
    match run(&options) {
        Ok(()) => 0.into(),
        Err(reason) => {
            tell(&format!("send_arp: {reason}\n"));
            1.into()
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    if let Some(file) = &options.pidfile {
        std::fs::write(file, format!("{}\n", std::process::id()))
            .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    let sent = announce(options);
    if let Some(file) = &options.pidfile {
        // Nobody misses a file that is gone already.
        let _ = std::fs::remove_file(file);
    }
    sent
}

fn announce(options: &Options) -> Result<(), String> {
    let announcer = Announcer::open(&options.device).map_err(|error| error.to_string())?;
    let announcer = match options.mac {
        HardwareAddress::Auto => announcer,
        HardwareAddress::Given(mac) => announcer.of(mac),
    };
    for round in 0..options.repeat {
        if round > 0 {
            thread::sleep(Duration::from_millis(options.interval));
        }
        announcer.announce(options.address).map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_how_to_is_understood() {
        let line = "send_arp -r 10 eth1 192.0.2.100 auto 192.0.2.255 255.255.255.0";
        let options = Options::try_parse_from(line.split(' ')).unwrap();
        assert_eq!((options.repeat, options.interval), (10, 500));
        assert_eq!((options.device.as_str(), options.address), ("eth1", Ipv4Addr::new(192, 0, 2, 100)));
        assert_eq!(options.mac, HardwareAddress::Auto);
    }

    #[test]
    fn hardware_addresses_with_and_without_colons() {
        let mac = HardwareAddress::Given([2, 0, 0xc0, 0, 2, 0x64]);
        assert_eq!(hardware_address("0200c0000264"), Ok(mac));
        assert_eq!(hardware_address("02:00:C0:00:02:64"), Ok(mac));
        for wrong in ["", "0200c000026", "0200c00002640", "+200c0000264", "automatic", "02:00:c0:00:02"] {
            assert!(hardware_address(wrong).is_err(), "{wrong}");
        }
    }
}
