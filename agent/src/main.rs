//! The xbeat command; all of it is in the library ([`xbeat::cli`]).

use std::process::ExitCode;

fn main() -> ExitCode {
    xbeat::cli::main()
}
