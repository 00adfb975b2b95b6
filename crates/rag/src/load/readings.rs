//! What models read of documents is paid, so it is kept until it is an entry.

use std::time::Duration;

use bytes::Bytes;
use loomwork_core::Time;
use loomwork_files::Hash;
use loomwork_store::{Id, Result as StoreResult, Row, Tx};

use super::{Document, Form};
use crate::content::content_hash;
use crate::embed::{Bill, Task};
use crate::error::unwrapped;
use crate::rag::Rag;
use crate::tables::{NamespaceId, NamespaceRow, ReadingRow};
use crate::{Error, Result};

pub(crate) type ReadingId = Id<ReadingRow>;

/// How long a reading is kept that never becomes an entry.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How many readings that are too old go with each that comes.
const SWEPT: usize = 10;

impl Rag {
    /// Reads a document for an entry. What a model reads is kept, and returned with it: it is to be forgotten once
    /// the entry is there.
    pub(crate) async fn read_document(
        &self,
        namespace: &Row<NamespaceRow>,
        user: Option<&str>,
        name: &str,
        declared: Option<&str>,
        bytes: Bytes,
    ) -> Result<(Document, Option<ReadingId>)> {
        let reader = &self.inner.reader;
        let Some(model) = reader.model_for(name, declared, &bytes) else {
            return Ok((reader.read(name, declared, bytes).await?, None));
        };
        let digest = content_hash(format!("{}\0{}", model.name(), Hash::of(&bytes)));
        let (id, asked) = (namespace.id, digest.clone());
        let kept = self.inner.store.query(move |tx| tx.first(ReadingRow::by_digest.eq(id).eq(&*asked)));
        if let Some(kept) = kept.await? {
            let document = Document { text: kept.record.text, form: Form::Markdown, ..Document::default() };
            return Ok((document, Some(kept.id)));
        }
        let bill = Bill::new(Task::Read, [&namespace.name], user);
        let document = match reader.read(name, declared, bytes).await {
            Err(error) => {
                self.charge_failed(&bill, &error).await?;
                return Err(error);
            }
            Ok(document) => document,
        };
        if let Some((model, usage)) = &document.used {
            self.charge(&bill, model, usage).await?;
        }
        let text = document.text.clone();
        let kept = self.inner.store.mutate(move |tx| keep(tx, id, digest, text)).await.map_err(unwrapped)?;
        Ok((document, Some(kept)))
    }

    /// Tells what a model used for an answer that is of no use.
    pub(crate) async fn charge_failed(&self, bill: &Bill, error: &Error) -> Result<()> {
        match error {
            Error::NoAnswer { model, usage, .. } => self.charge(bill, model, usage).await,
            _ => Ok(()),
        }
    }

    /// Forgets what a model read, now that it is an entry.
    pub(crate) async fn forget_reading(&self, reading: Option<ReadingId>) -> Result<()> {
        let Some(id) = reading else { return Ok(()) };
        self.inner.store.mutate(move |tx| tx.delete(id).map(drop)).await.map_err(unwrapped)
    }
}

fn keep(tx: &mut Tx, namespace: NamespaceId, digest: String, text: String) -> StoreResult<ReadingId> {
    let read = tx.now();
    let old =
        ReadingRow::by_time.eq(namespace).lt(Time::from_millis(read.millis() - KEPT.as_millis() as i64));
    for id in tx.ids(old.take(SWEPT))? {
        tx.delete(id)?;
    }
    // Somebody else may have read the same meanwhile.
    match tx.first(ReadingRow::by_digest.eq(namespace).eq(&*digest))? {
        Some(kept) => Ok(kept.id),
        None => Ok(tx.insert(ReadingRow { namespace, digest, text, read })?.id),
    }
}

/// Forgets what was read for a namespace that is deleted.
pub(crate) fn forget_readings(tx: &mut Tx, namespace: NamespaceId) -> StoreResult<()> {
    for id in tx.ids(ReadingRow::by_time.eq(namespace))? {
        tx.delete(id)?;
    }
    Ok(())
}
