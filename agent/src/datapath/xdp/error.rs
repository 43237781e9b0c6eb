//! What can go wrong with the kernel programs, with all causes on one line.

use aya::EbpfError;
use aya::programs::ProgramError;
use aya::programs::links::LinkError;

/// Why the kernel programs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refuses the object.
    #[error("the kernel refuses the programs: {}", chain(.0))]
    Load(#[from] EbpfError),
    /// The kernel refuses one program.
    #[error("the kernel refuses the programs: {}", chain(.0))]
    Program(#[from] ProgramError),
    /// A link cannot be adopted, pinned or replaced.
    #[error("the kernel's links: {}", chain(.0))]
    Link(#[from] LinkError),
    /// A link cannot be pinned.
    #[error("the kernel's links: {}", chain(.0))]
    Pin(#[from] aya::pin::PinError),
    /// A map is not what it should be.
    #[error("the kernel's maps: {0}")]
    Map(#[from] aya::maps::MapError),
    /// The object lacks a part: it was built from another source.
    #[error("the object has no `{0}`: it is not of this version; rebuild it with `cargo xtask ebpf`")]
    Missing(&'static str),
    /// Memory, files.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Verifier logs are pages long; their last lines say what is wrong.
        let message = error.to_string();
        let tail: Vec<&str> = message.lines().rev().take(3).collect();
        text += &format!(": {}", tail.into_iter().rev().collect::<Vec<_>>().join(" / "));
        cause = error.source();
    }
    text
}
