use std::fmt;

use loomwork_store::{Error, Result, Store, Tx};

/// An error that does not implement `Fault`.
#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refused {}

fn admit() -> Result<(), Refused> {
    Err(Refused)
}

fn enter(_: &mut Tx) -> Result<()> {
    admit()?;
    Ok(())
}

fn take(error: Error) -> Option<Refused> {
    error.downcast().ok()
}

fn main() {
    let _ = (enter, take, Store::memory());
}
