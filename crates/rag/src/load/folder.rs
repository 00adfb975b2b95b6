//! Taking in whole folders.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::StreamExt as _;
use loomwork_files::Hash;
use loomwork_store::Row;
use serde_json::Value;

use crate::add::Target;
use crate::content::{NewEntry, content_hash};
use crate::rag::Rag;
use crate::sync::{Made, Step, SyncOptions, Synced, check_origin};
use crate::tables::NamespaceRow;
use crate::write::is_same;
use crate::{Error, Result, entries};

/// How a folder is taken in. New fields may come, so end a literal with `..FolderOptions::default()`.
#[derive(Clone, Debug, PartialEq)]
pub struct FolderOptions {
    /// The endings of the files that are read, in lower case; of all where there are none.
    pub endings: Vec<String>,
    /// How many files are read and embedded at the same time. Default: 4.
    pub at_once: usize,
    /// Deletes entries of this folder whose files are gone; those below a folder that cannot be read stay.
    /// Default: no.
    pub delete_missing: bool,
    /// What the entries are from, by a name that is its own in the namespace: those of another one are not touched.
    /// Default: `folder` with the folder's whole path, so that a folder that has moved needs its former name here.
    pub origin: Option<String>,
    /// What keys begin with, before the path from the folder: of two folders in one namespace, one needs some.
    /// Default: nothing.
    pub prefix: String,
    /// What the entries have in common: filter values, importance, user.
    pub entry: NewEntry,
}

impl Default for FolderOptions {
    fn default() -> Self {
        Self {
            endings: Vec::new(),
            at_once: 4,
            delete_missing: false,
            origin: None,
            prefix: String::new(),
            entry: NewEntry::default(),
        }
    }
}

/// What taking a folder in came to.
pub type Ingested = Synced;

impl Rag {
    /// Takes in the files of a folder and of those below it, each as an entry whose key is its path from
    /// there, behind [`FolderOptions::prefix`]. A key that another origin has is left to that. Files that were read before and have not changed cost no embedding, so that it goes on where
    /// it was interrupted. A file that cannot be read is told of at the end, and stops no other; one of a kind that
    /// is not read here is skipped. Hidden files and links are left out. `progress` hears of each file.
    ///
    /// # Errors
    /// When the folder cannot be read; when the store cannot be read or written.
    ///
    /// # Cancel safety
    /// It may be dropped at any time, and goes on when it is called again.
    pub async fn add_folder(
        &self,
        target: impl Into<Target>,
        folder: impl AsRef<Path>,
        options: FolderOptions,
        progress: impl FnMut(&Step),
    ) -> Result<Ingested> {
        let (folder, endings) = (folder.as_ref().to_path_buf(), options.endings);
        let listed = tokio::task::spawn_blocking(move || {
            let root = folder.canonicalize().map_err(|error| unreadable(&folder, error))?;
            Ok((list(&root, &endings)?, root))
        });
        let (things, root) = listed.await.unwrap_or(Err(Error::Panicked("listed a folder")))?;
        let origin = options.origin.unwrap_or_else(|| format!("folder {}", root.display()));
        let target = target.into();
        let namespace = self.namespace_of(target.clone()).await?;
        let sync = SyncOptions {
            at_once: options.at_once,
            delete_missing: options.delete_missing,
            ..SyncOptions::of(origin.clone())
        };
        let (common, prefix) = (options.entry, options.prefix);
        let made = futures_util::stream::iter(things).map(move |thing| {
            let (rag, origin, common, namespace, prefix) =
                (self.clone(), origin.clone(), common.clone(), namespace.clone(), prefix.clone());
            async move {
                let (below, path) = match thing {
                    Thing::File(below, path) => (below, path),
                    Thing::Closed(below, error) => return Made::Closed(format!("{prefix}{below}"), error),
                };
                let key = format!("{prefix}{below}");
                let mut new = NewEntry { key: Some(key.clone()), origin: Some(origin), ..common };
                new.metadata.insert("path".to_owned(), Value::String(below));
                let read = rag.read_file(&namespace, new, &key, &path).await;
                read.unwrap_or_else(|error| Made::Failed(Some(key), error))
            }
        });
        self.sync_made(target, sync, made, progress).await
    }

    /// Returns a file as an entry with its content. One that was read before and has not changed is not read as
    /// a document again.
    async fn read_file(
        &self,
        namespace: &Row<NamespaceRow>,
        new: NewEntry,
        key: &str,
        path: &Path,
    ) -> Result<Made> {
        let inner = &self.inner;
        let (at, name, most) = (path.to_path_buf(), key.to_owned(), inner.reader.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let file = fs::File::open(&at).map_err(|error| unreadable(&at, error))?;
            let length = file.metadata().map_err(|error| unreadable(&at, error))?.len();
            most.check_size(&name, length)?;
            let mut bytes = Vec::new();
            // It may have grown since.
            let read = file.take(most.limit() as u64 + 1).read_to_end(&mut bytes);
            read.map_err(|error| unreadable(&at, error))?;
            Ok(bytes)
        });
        let bytes = Bytes::from(reading.await.unwrap_or(Err(Error::Panicked("read a file")))?);
        let way = inner.reader.name(&*inner.chunker);
        let new = new.hashed(content_hash(format!("{way}\0{}", Hash::of(&bytes))));
        let (asked, id) = (key.to_owned(), namespace.id);
        let live = inner.store.query(move |tx| entries::by_key(tx, id, &asked)).await?;
        if let Some(live) = &live {
            check_origin(live, new.origin.as_deref())?;
        }
        if let (Some(live), Some(hash)) = (live, &new.content_hash) {
            let is_described = live.metadata == new.metadata && live.origin == new.origin;
            let is_titled = new.title.is_none() || new.title == live.title;
            if is_described && is_titled && is_same(&live, &new, hash) {
                return Ok(Made::Same(key.to_owned(), live.id));
            }
        }
        let user = new.user.as_deref();
        let (document, reading) = self.read_document(namespace, user, key, None, bytes).await?;
        let title = new.title.clone().or_else(|| document.title.clone());
        let content = inner.reader.content(document, &inner.chunker);
        Ok(Made::Entry(Box::new(NewEntry { title, ..new }), content, reading))
    }
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Io { path: path.display().to_string(), source }
}

/// Something in a folder.
enum Thing {
    File(String, PathBuf),
    /// A folder that cannot be read, by what the keys below it begin with.
    Closed(String, Error),
}

/// Returns what is below a folder by its keys, in the order of these.
fn list(root: &Path, endings: &[String]) -> Result<Vec<Thing>> {
    let (mut files, mut things) = (Vec::new(), Vec::new());
    let mut folders = look_into(root, root, endings, &mut files).map_err(|error| unreadable(root, error))?;
    while let Some(folder) = folders.pop() {
        match look_into(root, &folder, endings, &mut files) {
            Ok(below) => folders.extend(below),
            Err(error) => {
                let key = format!("{}/", key_of(root, &folder));
                things.push(Thing::Closed(key, unreadable(&folder, error)));
            }
        }
    }
    files.sort();
    things.extend(files.into_iter().map(|(key, path)| Thing::File(key, path)));
    Ok(things)
}

/// Adds the files of one folder, and returns the folders in it.
fn look_into(
    root: &Path,
    folder: &Path,
    endings: &[String],
    files: &mut Vec<(String, PathBuf)>,
) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let (kind, path) = (entry.file_type()?, entry.path());
        if kind.is_dir() {
            folders.push(path);
        } else if kind.is_file() && is_wanted(&path, endings) {
            files.push((key_of(root, &path), path));
        }
    }
    Ok(folders)
}

fn is_wanted(path: &Path, endings: &[String]) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    endings.is_empty() || ending.is_some_and(|ending| endings.contains(&ending))
}

/// The path from the root, with the same separator everywhere.
fn key_of(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}
