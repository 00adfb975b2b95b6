//! Files that are their owner's alone: what they hold is not for the other users of a machine.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Returns the options of a file which, if it is made, nobody but its owner reads or writes.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes an empty file, which SQLite takes for a new one; its log gets the same mode. One that is there is left as it
/// is: whoever runs the store may have opened it to others.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    match private().create_new(true).write(true).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
