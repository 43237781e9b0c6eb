//! The device: raw, 8N1, hardware flow control, exclusive. Reads and writes never wait.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serialport::{ClearBuffer, DataBits, FlowControl, Parity, SerialPort as _, StopBits, TTYPort};

use crate::sys::terminal;

/// A baud rate that is further off than this, in per cent, garbles bytes: the two sides may be off in opposite directions.
const RATE_TOLERANCE: u32 = 2;

/// An open device.
#[derive(Debug)]
pub struct Port {
    device: PathBuf,
    fd: OwnedFd,
    /// The same, for what is no reading or writing.
    control: TTYPort,
}

/// What the modem lines say of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signals {
    /// Clear to send: the other side's RTS.
    pub cts: bool,
    /// Data set ready: the other side's DTR.
    pub dsr: bool,
    /// Carrier detect, which a full null-modem cable joins to DSR.
    pub cd: bool,
}

impl Signals {
    /// Whether somebody is at the other end: a powered port raises at least one.
    #[must_use]
    pub const fn any(self) -> bool {
        self.cts || self.dsr || self.cd
    }
}

/// Why a device is not open, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is nothing of that name.
    #[error("there is no {0} now; the line is opened when it appears")]
    Missing(String),
    /// There is something else.
    #[error("{0} is no terminal: the full path of one, such as /dev/ttyS0, would be right")]
    NoTerminal(String),
    /// Access is refused.
    #[error("no permission to open {0}: run the agent as root, or as a member of the device's group")]
    NoPermission(String),
    /// Somebody else has it.
    #[error("{0} is in use by another program: a console or getty must not run on it")]
    InUse(String),
    /// Anything else.
    #[error("cannot open {device}: {why}")]
    Other {
        /// The device.
        device: String,
        /// What the system said.
        why: String,
    },
}

/// What can be said of a device without opening it.
///
/// # Errors
/// When it is missing, no terminal, or not ours to use.
pub fn examine(device: &Path) -> Result<(), Fault> {
    let name = || device.display().to_string();
    let metadata = fs::metadata(device).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Fault::Missing(name()),
        io::ErrorKind::PermissionDenied => Fault::NoPermission(name()),
        _ => Fault::Other { device: name(), why: error.to_string() },
    })?;
    if !metadata.file_type().is_char_device() {
        return Err(Fault::NoTerminal(name()));
    }
    let access = nix::unistd::AccessFlags::R_OK | nix::unistd::AccessFlags::W_OK;
    nix::unistd::access(device, access).map_err(|_| Fault::NoPermission(name()))
}

/// The same, and whether it is a terminal with hardware behind it.
///
/// # Errors
/// As [`examine`]; also when somebody else has it.
pub fn check(device: &Path) -> Result<(), Fault> {
    examine(device)?;
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let name = || device.display().to_string();
    let opened = nix::fcntl::open(device, flags, nix::sys::stat::Mode::empty());
    match opened.and_then(|fd| nix::sys::termios::tcgetattr(&fd)) {
        // In use, by an agent that runs already for one: it is there.
        Ok(_) | Err(Errno::EBUSY) => Ok(()),
        Err(errno) => Err(of_errno(name(), errno)),
    }
}

impl Port {
    /// Opens `device` at `baud` bits per second. What it refuses of the settings is returned in words: the line goes on
    /// without.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(device: &Path, baud: u32) -> Result<(Self, Vec<String>), Fault> {
        examine(device)?;
        let fault = |error: serialport::Error| of_error(device, &error);
        let mut refused = Vec::new();
        let builder = serialport::new(device.to_string_lossy(), baud)
            .data_bits(DataBits::Eight)
            .parity(Parity::None)
            .stop_bits(StopBits::One)
            .timeout(Duration::ZERO);
        // Without flow control first: a device that has none refuses everything together with it.
        let mut control = builder.open_native().map_err(fault)?;
        let flow = control.set_flow_control(FlowControl::Hardware).and_then(|()| control.flow_control());
        if !matches!(flow, Ok(FlowControl::Hardware)) {
            refused.push(
                "no hardware flow control (CRTSCTS): what the other side cannot take is lost".to_owned(),
            );
        }
        match control.baud_rate() {
            Ok(actual) if actual.abs_diff(baud) > baud / 100 * RATE_TOLERANCE => {
                refused.push(format!("the device runs at {actual} instead of {baud} baud"));
            }
            Ok(_) => {}
            Err(error) => refused.push(format!("it does not tell its speed ({error})")),
        }
        // Stale bytes of whoever used it before; also what is left of an earlier agent's frame.
        let _ = control.clear(ClearBuffer::All);
        // For who reads the lines at the other end; a pseudo terminal has none.
        let _ = control.write_request_to_send(true);
        let fd = terminal::descriptor(control.try_clone_native().map_err(fault)?);
        let flags = fcntl(&fd, FcntlArg::F_GETFL).map(OFlag::from_bits_retain);
        flags
            .and_then(|flags| fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)))
            .map_err(|errno| Fault::Other { device: device.display().to_string(), why: errno.to_string() })?;
        Ok((Self { device: device.to_owned(), fd, control }, refused))
    }

    /// Takes what has arrived, at most a buffer full; 0: nothing.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match nix::unistd::read(&self.fd, buffer) {
            // A terminal that waits says EAGAIN; one that hung up says "end of file".
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up")),
            Ok(len) => Ok(len),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Gives the device what it takes now; how much that was.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match nix::unistd::write(&self.fd, bytes) {
            Ok(len) => Ok(len),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Bytes that were written and have not left the driver yet, as far as it tells.
    #[must_use]
    pub fn unsent(&self) -> u32 {
        self.control.bytes_to_write().unwrap_or(0)
    }

    /// Forgets the bytes that were written and have not left.
    pub fn discard_unsent(&self) {
        let _ = self.control.clear(ClearBuffer::Output);
    }

    /// The modem lines, where the device has any.
    pub fn signals(&mut self) -> Option<Signals> {
        let cts = self.control.read_clear_to_send().ok()?;
        let dsr = self.control.read_data_set_ready().ok()?;
        let cd = self.control.read_carrier_detect().ok()?;
        Some(Signals { cts, dsr, cd })
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // Closing waits for what has not left, up to half a minute.
        self.discard_unsent();
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.device.display().fmt(f)
    }
}

fn of_error(device: &Path, error: &serialport::Error) -> Fault {
    let name = device.display().to_string();
    match (error.kind(), error.description.as_str()) {
        (serialport::ErrorKind::Io(io::ErrorKind::NotFound), _) => Fault::Missing(name),
        (serialport::ErrorKind::Io(io::ErrorKind::PermissionDenied), _) => Fault::NoPermission(name),
        // The crate says so of a device that another has opened exclusively or locked.
        (serialport::ErrorKind::NoDevice, _) => Fault::InUse(name),
        (_, why) if why == Errno::ENOTTY.desc() => of_errno(name, Errno::ENOTTY),
        (_, why) if why == Errno::EIO.desc() => of_errno(name, Errno::EIO),
        (_, why) => Fault::Other { device: name, why: why.to_owned() },
    }
}

fn of_errno(device: String, errno: Errno) -> Fault {
    match errno {
        Errno::ENOTTY => Fault::NoTerminal(device),
        Errno::EACCES | Errno::EPERM => Fault::NoPermission(device),
        // A name such as /dev/ttyS9, which the kernel makes for ports that a board might have.
        Errno::EIO => Fault::Other { device, why: "there is no hardware behind it".to_owned() },
        _ => Fault::Other { device, why: errno.desc().to_owned() },
    }
}
