//! A description over a file that is opened later, as the command line does: to read it, or to own it.

use std::collections::BTreeMap;
use std::path::Path;

use loomwork_core::Secret;
use loomwork_rate_limiter::Limit;
use loomwork_store::{Memory, Result, Store};
use loomwork_store_sqlite::Sqlite;

use super::Builder;
use super::start::{Work, tables};
use crate::agents::Agents;
use crate::api::Operation;
use crate::app::App;

impl Builder {
    /// Begins the description of an app over a file that is not opened yet.
    pub(crate) fn at(path: &Path) -> Self {
        Self::new(Store::builder(Memory::new()), Some(path))
    }

    /// Opens the file, which makes this process its owner.
    pub(crate) async fn open(mut self, work: Work) -> Result<App> {
        let path = self.path.clone().unwrap_or_default();
        self.store = self.store.engine(Sqlite::open(path)?);
        self.start(work).await
    }

    /// Opens the store of the file to read it, beside whichever process owns it.
    pub(crate) async fn open_to_read(&mut self) -> Result<Store> {
        self.check()?;
        let engine = Sqlite::read_only(self.path.clone().unwrap_or_default())?;
        Store::builder(engine).tables(tables()).tables(self.own_tables.clone()).open().await
    }

    /// Sets the key of whoever runs the app, unless the application has one.
    pub(crate) fn key_unless_set(mut self, key: Secret) -> Self {
        self.gate.key.get_or_insert(key);
        self
    }

    pub(crate) fn functions(&self) -> &[Operation] {
        &self.functions
    }

    pub(crate) fn agents(&self) -> &Agents {
        &self.agents
    }

    pub(crate) fn limits(&self) -> &BTreeMap<String, Limit<'static>> {
        &self.limits
    }

    /// Whether files lie in a folder beside the database, and not in a place of the application's own.
    pub(crate) fn has_own_blobs(&self) -> bool {
        self.blobs.is_some()
    }
}
