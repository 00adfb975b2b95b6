//! The process that is killed: it replaces documents, one version after the other, several at once.

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use loomwork_core::Random;
use loomwork_rag::{Content, NewEntry, Rag};
use tokio::task::JoinSet;

use super::{BEGUN, DOCUMENTS, NAMESPACE, PUBLISHED, open, texts};
use crate::crash::deck::READY;
use crate::crash::random;

/// The versions of one round: more than it can make.
const VERSIONS: u64 = 1_000_000;

pub(super) fn run(words: &[String]) -> Result<()> {
    let [path, seed, round] = words else { bail!("expected PATH SEED ROUND, found {words:?}") };
    let (seed, round): (u64, u64) = (seed.parse()?, round.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (_store, rag) = open(Path::new(path)).await?;
        say(READY)?;
        let mut writers = JoinSet::new();
        for document in 0..DOCUMENTS {
            writers.spawn(replace(rag.clone(), document, round * VERSIONS, random(seed, &[round, document])));
        }
        while let Some(ended) = writers.join_next().await {
            ended??;
        }
        bail!("every writer has ended")
    })
}

async fn replace(rag: Rag, document: u64, first: u64, random: Random) -> Result<()> {
    let mut version = first;
    loop {
        version += 1 + random.below(3);
        say(&format!("{BEGUN} {document} {version}"))?;
        let new = NewEntry::key(format!("document{document}")).with("version", version);
        rag.add(NAMESPACE, new, Content::chunks(texts(document, version))).await?;
        say(&format!("{PUBLISHED} {document} {version}"))?;
    }
}

/// Tells the parent something. Once the parent has read it, it is a promise.
fn say(line: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}").and_then(|()| output.flush()).context("nobody listens any more")
}
