//! The program `loomwork`.

use std::process::ExitCode;

fn main() -> ExitCode {
    loomwork::cli::main()
}
