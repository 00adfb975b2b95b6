//! Where derived state is kept, and how a file gets there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Where derived state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In memory: it is made anew at each start.
    Memory,
    /// In a folder, which may be deleted while no program uses it.
    Folder(PathBuf),
}

impl Place {
    /// Returns the place of a part of the state.
    pub(crate) fn join(&self, name: &str) -> Self {
        match self {
            Self::Memory => Self::Memory,
            Self::Folder(folder) => Self::Folder(folder.join(name)),
        }
    }
}

/// Bytes of the checksum at the end of a file.
const SUM: usize = 4;

/// Writes a file so that it has these bytes or does not exist, after a crash at any moment too.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.write_all(&crc32fast::hash(bytes).to_le_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    // The name is in the folder, and the folder is a file of its own.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Reads a file that [`write_whole`] wrote; `None` if it is not there or not what was written.
pub(crate) fn read_whole(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(end) = bytes.len().checked_sub(SUM) else { return Ok(None) };
    let sum = crc32fast::hash(&bytes[..end]).to_le_bytes();
    let fits = bytes[end..] == sum;
    bytes.truncate(end);
    Ok(fits.then_some(bytes))
}
