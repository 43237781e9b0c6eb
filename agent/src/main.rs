//! The xbeat command; all of it is in the library ([`xbeat::cli`]).

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    xbeat::compat::run(&arguments).unwrap_or_else(xbeat::cli::main)
}
