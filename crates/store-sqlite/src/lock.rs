//! One process owns a file for writing, and says who it is.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::fault::SqliteError;
use crate::private::private;

/// The lock beside a store's file. The system frees it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of the store at `path`.
    pub(crate) fn take(path: &Path) -> Result<Self, SqliteError> {
        let lock = beside(path);
        let cannot = |source| SqliteError::Lock { path: lock.clone(), source };
        let mut file =
            private().create(true).truncate(false).read(true).write(true).open(&lock).map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = match holder.trim() {
                    // It has the lock and not yet written its name.
                    "" => "another process".to_owned(),
                    holder => holder.to_owned(),
                };
                return Err(SqliteError::Held { path: path.to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(cannot(source)),
        }
        let program =
            std::env::current_exe().map_or("a program".to_owned(), |path| path.display().to_string());
        let holder = format!("process {} ({program})\n", std::process::id());
        // The name is for people. On a full disk there is no room for it, and the lock holds without.
        let written =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(holder.as_bytes()));
        if let Err(error) = written {
            tracing::warn!(%error, path = %lock.display(), "failed to write down who holds the store's file");
        }
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child that is just being started may hold the same open file.
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "failed to unlock the store's file");
        }
    }
}

/// The store's path with `.lock` behind it.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::Lock;

    #[test]
    fn a_lock_is_freed_although_a_child_still_holds_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let lock = Lock::take(&path).unwrap();
        // What a process has between its start and the moment it becomes another program.
        let inherited = lock.file.try_clone().unwrap();
        Lock::take(&path).unwrap_err();
        drop(lock);
        Lock::take(&path).unwrap();
        drop(inherited);
    }
}
