//! Where contents lie: one object for each blob, in a folder or a bucket.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use loomwork_core::RawId;
use loomwork_store::Id;
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, GetResult, GetResultPayload, ObjectStore, ObjectStoreExt as _,
};

use crate::error::FileError;
use crate::tables::Blob;

/// How much of a stream is gathered for one part of an object. Buckets take 10,000 parts at most, and
/// none below 5 MiB but the last.
pub(crate) const PART_BYTES: usize = 8 << 20;

/// How much of a local file is read at once.
const READ_BYTES: u64 = 256 * 1024;

/// How many parts are under way at once while the next one is gathered.
const PARTS_AT_ONCE: usize = 2;

/// Where the characters of an id begin that name its folder. They are random, so folders fill alike.
const SHARD: usize = 24;

/// A place for contents: a folder, memory, or any other object store. It belongs to one Loomwork store;
/// give each its own folder, or its own prefix of a bucket.
///
/// A key is made of an id that is never given again. So neither a name nor a content chooses a path, and
/// removing one object cannot hit another that was written since.
#[derive(Clone)]
pub struct Blobs {
    objects: Arc<dyn ObjectStore>,
    folder: Option<PathBuf>,
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blobs").field(&self.objects.to_string()).finish()
    }
}

impl Blobs {
    /// Contents in a local folder, which is made if it is not there, for its owner alone. What is written is synced.
    ///
    /// # Errors
    /// [`FileError::Folder`] when it cannot be made or used.
    pub fn folder(path: impl AsRef<FsPath>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let unusable = |source| FileError::Folder { path: path.to_owned(), source };
        let mut folder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
        folder.recursive(true).create(path).map_err(unusable)?;
        let folder = path.canonicalize().map_err(unusable)?;
        let objects = LocalFileSystem::new_with_prefix(&folder).map_err(failed("open its folder"))?;
        Ok(Self { objects: Arc::new(objects.with_fsync(true)), folder: Some(folder) })
    }

    /// Contents in memory, for tests and examples.
    pub fn memory() -> Self {
        Self::over(Arc::new(InMemory::new()))
    }

    /// Contents in an object store of your making: a bucket, or one with limits and retries around it.
    /// The features `s3`, `gcs` and `azure` bring their builders.
    pub fn over(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects, folder: None }
    }

    pub(crate) async fn put(&self, blob: Id<Blob>, content: Bytes) -> Result<(), FileError> {
        self.objects.put(&key(blob), content.into()).await.map_err(failed("write an object"))?;
        Ok(())
    }

    /// Returns a writer of an object, which appears when the writer is shut down.
    pub(crate) fn writer(&self, blob: Id<Blob>) -> BufWriter {
        BufWriter::with_capacity(self.objects.clone(), key(blob), PART_BYTES)
            .with_max_concurrency(PARTS_AT_ONCE)
    }

    pub(crate) async fn copy(&self, from: Id<Blob>, to: Id<Blob>) -> Result<(), FileError> {
        self.objects.copy(&key(from), &key(to)).await.map_err(failed("copy an object"))
    }

    /// Returns an object's size, or `None` if there is none.
    pub(crate) async fn size(&self, blob: Id<Blob>) -> Result<Option<u64>, FileError> {
        match self.objects.head(&key(blob)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("look at an object")(error)),
        }
    }

    /// Begins to read an object or a range of it, or returns `None` if there is none.
    pub(crate) async fn get(
        &self,
        blob: Id<Blob>,
        range: Option<Range<u64>>,
    ) -> Result<Option<Found>, FileError> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        match self.objects.get_opts(&key(blob), options).await {
            Ok(found) => Ok(Some(Found { size: found.meta.size, pieces: pieces(found) })),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("read an object")(error)),
        }
    }

    /// Removes an object, if there is one, and what a killed process has left of writing it.
    pub(crate) async fn remove(&self, blob: Id<Blob>) -> Result<(), FileError> {
        match self.objects.delete(&key(blob)).await {
            Ok(()) | Err(Error::NotFound { .. }) => self.remove_leftovers(blob).await,
            Err(error) => Err(failed("remove an object")(error)),
        }
    }

    /// A local object is written beside its place, under its name with `#` and a number, and then
    /// renamed. The object store hides such files, so nothing but this finds them.
    async fn remove_leftovers(&self, blob: Id<Blob>) -> Result<(), FileError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let object = folder.join(key(blob).as_ref());
        let removed = tokio::task::spawn_blocking(move || {
            for number in 1_u32.. {
                let mut leftover = object.clone().into_os_string();
                leftover.push(format!("#{number}"));
                match std::fs::remove_file(&leftover) {
                    Ok(()) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
                    Err(source) => return Err(FileError::Folder { path: leftover.into(), source }),
                }
            }
            Ok(())
        });
        match removed.await {
            Ok(removed) => removed,
            // The runtime is shutting down; the row stays, so the next attempt finds what is left.
            Err(_) => std::future::pending().await,
        }
    }

    /// Lists all objects.
    pub(crate) fn list(&self) -> BoxStream<'static, Result<Object, FileError>> {
        let listed = self.objects.list(None).map(|object| {
            let path = object.map_err(failed("list objects"))?.location;
            Ok(Object { blob: blob_of(&path), key: path.to_string() })
        });
        listed.boxed()
    }
}

/// An object that is being read.
pub(crate) struct Found {
    /// The size of the whole object, whatever range of it is read.
    pub(crate) size: u64,
    pub(crate) pieces: Pieces,
}

pub(crate) type Pieces = BoxStream<'static, Result<Bytes, FileError>>;

/// The pieces of what was found. A local file is read in larger ones than the object store would: each
/// costs a visit to another thread.
fn pieces(found: GetResult) -> Pieces {
    match found.payload {
        GetResultPayload::Stream(pieces) => pieces.map_err(failed("read an object")).boxed(),
        GetResultPayload::File(file, _) => {
            let reading = (file, found.range);
            futures_util::stream::try_unfold(reading, |(file, left)| read_piece(file, left)).boxed()
        }
    }
}

/// Reads the next piece of a file, and returns what is left of it.
async fn read_piece(
    mut file: File,
    left: Range<u64>,
) -> Result<Option<(Bytes, (File, Range<u64>))>, FileError> {
    if left.is_empty() {
        return Ok(None);
    }
    let read = tokio::task::spawn_blocking(move || {
        let end = left.end.min(left.start + READ_BYTES);
        let mut piece = vec![0; (end - left.start) as usize];
        file.seek(SeekFrom::Start(left.start))?;
        file.read_exact(&mut piece)?;
        Ok((Bytes::from(piece), (file, end..left.end)))
    });
    match read.await {
        Ok(Ok(read)) => Ok(Some(read)),
        Ok(Err(error)) => {
            let error: std::io::Error = error;
            Err(failed("read an object")(Error::Generic { store: "folder", source: error.into() }))
        }
        // The runtime is shutting down, and takes this future with it.
        Err(_) => std::future::pending().await,
    }
}

/// An object that is there.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) key: String,
    /// The blob that it is of, if its key is one of ours.
    pub(crate) blob: Option<Id<Blob>>,
}

fn key(blob: Id<Blob>) -> Path {
    let id = blob.raw().to_string();
    Path::from(format!("{}/{id}", &id[SHARD..]))
}

fn blob_of(path: &Path) -> Option<Id<Blob>> {
    let raw: RawId = path.filename()?.parse().ok()?;
    let blob = Id::from_raw(raw);
    (key(blob) == *path).then_some(blob)
}

pub(crate) fn failed(action: &'static str) -> impl Fn(Error) -> FileError {
    move |source| FileError::Blobs { action, source }
}
