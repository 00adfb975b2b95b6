//! Taking in whole folders.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::StreamExt as _;
use loomwork_files::Hash;
use serde_json::Value;

use crate::add::Target;
use crate::content::{NewEntry, content_hash};
use crate::rag::Rag;
use crate::sync::{Made, Step, SyncOptions, Synced};
use crate::tables::NamespaceId;
use crate::write::is_same;
use crate::{Error, Result, entries};

/// How a folder is taken in. New fields may come, so end a literal with `..FolderOptions::default()`.
#[derive(Clone, Debug, PartialEq)]
pub struct FolderOptions {
    /// The endings of the files that are read, in lower case; of all where there are none.
    pub endings: Vec<String>,
    /// How many files are read and embedded at the same time. Default: 4.
    pub at_once: usize,
    /// Deletes entries of this folder whose files are gone. Default: no.
    pub delete_missing: bool,
    /// What the entries have in common: filter values, importance, user.
    pub entry: NewEntry,
}

impl Default for FolderOptions {
    fn default() -> Self {
        Self { endings: Vec::new(), at_once: 4, delete_missing: false, entry: NewEntry::default() }
    }
}

/// What taking a folder in came to.
pub type Ingested = Synced;

impl Rag {
    /// Takes in the files of a folder and of those below it, each as an entry whose key is its path from
    /// there. Files that were read before and have not changed cost no embedding, so that it goes on where
    /// it was interrupted. A file that cannot be read is told of at the end, and stops no other. Hidden files
    /// and links are left out. `progress` hears of each file.
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
        let folder = folder.as_ref().to_path_buf();
        let (root, endings) = (folder.clone(), options.endings.clone());
        let listed = tokio::task::spawn_blocking(move || list(&root, &endings));
        let files = listed.await.unwrap_or(Err(Error::Panicked("listed a folder")))?;
        let origin = format!("folder {}", folder.display());
        let namespace = self.namespace_of(target.into()).await?.id;
        let sync = SyncOptions {
            at_once: options.at_once,
            delete_missing: options.delete_missing,
            ..SyncOptions::of(origin.clone())
        };
        let common = options.entry;
        let documents = futures_util::stream::iter(files).map(move |(key, path)| {
            let mut new = NewEntry { key: Some(key.clone()), origin: Some(origin.clone()), ..common.clone() };
            new.metadata.insert("path".to_owned(), Value::String(key.clone()));
            let rag = self.clone();
            async move { rag.read_file(namespace, new, &key, &path).await }
        });
        self.sync_made(namespace, sync, documents.map(Ok), progress).await
    }

    /// Returns a file as an entry with its content. One that was read before and has not changed is not read as
    /// a document again.
    async fn read_file(&self, namespace: NamespaceId, new: NewEntry, key: &str, path: &Path) -> Result<Made> {
        let at = path.to_path_buf();
        let reading =
            tokio::task::spawn_blocking(move || fs::read(&at).map_err(|error| unreadable(&at, error)));
        let bytes = Bytes::from(reading.await.unwrap_or(Err(Error::Panicked("read a file")))?);
        let inner = &self.inner;
        let way = inner.reader.name(&*inner.chunker);
        let new = new.hashed(content_hash(format!("{way}\0{}", Hash::of(&bytes))));
        let asked = key.to_owned();
        let live = inner.store.query(move |tx| entries::by_key(tx, namespace, &asked)).await?;
        if let (Some(live), Some(hash)) = (live, &new.content_hash) {
            let is_described = live.metadata == new.metadata && live.origin == new.origin;
            let is_titled = new.title.is_none() || new.title == live.title;
            if is_described && is_titled && is_same(&live, &new, hash) {
                return Ok(Made::Same(key.to_owned(), live.id));
            }
        }
        let document = inner.reader.read(key, None, bytes).await?;
        let title = new.title.clone().or_else(|| document.title.clone());
        Ok(Made::Entry(Box::new(NewEntry { title, ..new }), inner.reader.content(document, &inner.chunker)))
    }
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Io { path: path.display().to_string(), source }
}

/// Returns the files below a folder by their keys, in the order of these.
fn list(root: &Path, endings: &[String]) -> Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| unreadable(&folder, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&folder, error))?;
            let kind = entry.file_type().map_err(|error| unreadable(&entry.path(), error))?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            let path = entry.path();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && is_wanted(&path, endings) {
                files.push((key_of(root, &path), path));
            }
        }
    }
    files.sort();
    Ok(files)
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
