//! The `switchhook` binary: chooses a command and leaves the work to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    switchhook_gateway::cli::main()
}
