//! The process that is killed: callers that send letters with enclosures and delete some of them, and
//! a vacuum that gives up what they leave.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use futures_util::stream;
use loomwork_core::{Clock, Kind, Random, Tasks};
use loomwork_files::{FileId, Files, attach, detach_all, register};
use loomwork_store::{Error, Id, Store, Tx};
use tokio::task::JoinSet;

use super::letters::{Letter, content, open};
use super::word::Word;
use crate::crash::random;

const CALLERS: u64 = 4;

/// The numbers of one caller of one round: more than it can use.
const NUMBERS: u64 = 1_000_000;

pub(super) fn run(words: &[String]) -> Result<()> {
    let [place, seed, round] = words else { bail!("expected PLACE SEED ROUND, found {words:?}") };
    let (seed, round): (u64, u64) = (seed.parse()?, round.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        say(Word::Opening)?;
        let (store, files) = open(Path::new(place), Clock::system()).await?;
        let tasks = Tasks::new();
        files.start_vacuum(&tasks);
        say(Word::Ready)?;
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let first = (round * CALLERS + caller) * NUMBERS;
            callers.spawn(call(store.clone(), files.clone(), first, random(seed, &[round, caller])));
        }
        while let Some(ended) = callers.join_next().await {
            ended??;
        }
        bail!("every caller has ended")
    })
}

/// Sends one letter after the other, and deletes most of them soon after.
async fn call(store: Store, files: Files, first: u64, random: Random) -> Result<()> {
    for number in first.. {
        let letter = match send(&store, &files, number, &random).await {
            // What was stored a moment ago may be given up already, so short is the grace here.
            Err(error) if matches!(error.kind(), Kind::Conflict | Kind::NotFound) => continue,
            sent => sent?,
        };
        say(Word::Sent { number })?;
        store.clock().sleep(Duration::from_millis(random.below(10))).await;
        if random.below(8) > 0 {
            say(Word::Leaving { number })?;
            let remove = move |tx: &mut Tx| {
                tx.delete(letter)?;
                detach_all(tx, letter)
            };
            store.mutate(remove).await?;
            say(Word::Dropped { number })?;
        }
    }
    Ok(())
}

/// Stores the enclosure in one of three ways, and the letter with it.
async fn send(store: &Store, files: &Files, number: u64, random: &Random) -> Result<Id<Letter>, Error> {
    let (content, name) = (content(number), format!("{}.bin", number % 3));
    match random.below(3) {
        0 => {
            let staged = files.stage(content, name).await?;
            store
                .mutate(move |tx| {
                    let file = register(tx, &staged)?;
                    write(tx, number, file.id)
                })
                .await
        }
        1 => {
            let file = files.put(content, name).await?.id;
            store.mutate(move |tx| write(tx, number, file)).await
        }
        _ => {
            let half = content.len() / 2;
            let pieces = [content.slice(..half), content.slice(half..)].map(Ok::<Bytes, Error>);
            let file = files.put_stream(stream::iter(pieces), name).await?.id;
            store.mutate(move |tx| write(tx, number, file)).await
        }
    }
}

fn write(tx: &mut Tx, number: u64, file: FileId) -> Result<Id<Letter>, Error> {
    let letter = tx.insert(Letter { number })?.id;
    attach(tx, file, letter)?;
    Ok(letter)
}

/// Tells the parent something. Once the parent has read it, it is a promise.
fn say(word: Word) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{word}").and_then(|()| output.flush()).context("nobody listens any more")
}
