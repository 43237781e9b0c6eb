//! The xbeat command.
fn main() {}
