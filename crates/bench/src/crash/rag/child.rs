//! The process that is killed: it replaces documents, one version after the other, several at once.

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use loomwork_core::Random;
use loomwork_rag::{Content, EntryId, EntryStatus, Input, NewEntry, Rag};
use loomwork_workpool::Workpool;
use tokio::task::JoinSet;

use super::{BEGUN, DOCUMENTS, NAMESPACE, PUBLISHED, VERSIONS_OF, open, texts};
use crate::crash::deck::READY;
use crate::crash::random;

/// The versions of one round: more than it can make.
const VERSIONS: u64 = 1_000_000;

pub(super) fn run(words: &[String]) -> Result<()> {
    let [path, seed, round] = words else { bail!("expected PATH SEED ROUND, found {words:?}") };
    let (seed, round): (u64, u64) = (seed.parse()?, round.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (store, rag) = open(Path::new(path)).await?;
        let _pool = rag.bind(Workpool::builder(&store)).start().await?;
        say(READY)?;
        let mut writers = JoinSet::new();
        for document in 0..DOCUMENTS {
            let random = random(seed, &[round, document]);
            writers.spawn(replace(rag.clone(), document, round * VERSIONS, random));
        }
        while let Some(ended) = writers.join_next().await {
            ended??;
        }
        bail!("every writer has ended")
    })
}

/// Replaces a document: the first one by itself, the second one by jobs, and the third one also by versions that
/// it had before.
async fn replace(rag: Rag, document: u64, first: u64, random: Random) -> Result<()> {
    let mut version = first;
    let mut former: Option<(u64, EntryId)> = None;
    loop {
        if let Some((before, entry)) = former.take_if(|_| random.below(2) == 0) {
            say(&format!("{BEGUN} {document} {before}"))?;
            rag.restore(entry).await?;
            say(&format!("{PUBLISHED} {document} {before}"))?;
            continue;
        }
        version += 1 + random.below(3);
        say(&format!("{BEGUN} {document} {version}"))?;
        let new = NewEntry::key(format!("document{document}")).with("version", version);
        if document == 1 {
            by_job(&rag, new, document, version).await?;
        } else {
            let added = rag.add(NAMESPACE, new, Content::chunks(texts(document, version))).await?;
            let replaced = added.replaced.filter(|_| document == 2);
            former = replaced.and_then(|entry| Some((entry.metadata.get("version")?.as_u64()?, entry.id)));
        }
        say(&format!("{PUBLISHED} {document} {version}"))?;
    }
}

async fn by_job(rag: &Rag, new: NewEntry, document: u64, version: u64) -> Result<()> {
    let adding = rag.clone();
    let input = Input::source(VERSIONS_OF, (document, version));
    let entry = rag.store().mutate(move |tx| adding.add_later(tx, NAMESPACE, &new, input)).await?;
    let id = entry.id;
    let mut live = rag.store().watch(move |tx| Ok(tx.get(id)?.map(|entry| entry.status)));
    while let Some(status) = live.next().await {
        match status? {
            Some(EntryStatus::Pending) => {}
            Some(EntryStatus::Ready) => return Ok(()),
            other => bail!("document{document} version {version} came to {other:?}"),
        }
    }
    bail!("the store was closed")
}

/// Tells the parent something. Once the parent has read it, it is a promise.
fn say(line: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}").and_then(|()| output.flush()).context("nobody listens any more")
}
