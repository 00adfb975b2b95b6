//! What the processes of several groups have in common: they open a place, begin their work, and call until they are
//! killed.

use std::fmt::Display;
use std::future::Future;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use loomwork_core::Random;
use loomwork_store::Store;
use tokio::task::JoinSet;

use super::deck::{OPENING, READY};
use super::random;

/// The numbers of one caller of one round: more than it can use.
const NUMBERS: u64 = 1_000_000;

/// Works over a place until the process is killed. `begin` opens the store and begins what runs beside the callers; each
/// caller has numbers of its own, from the one that it is given on.
pub(super) fn work<Running, Calling>(
    words: &[String],
    callers: u64,
    begin: impl AsyncFnOnce(&Path) -> Result<(Store, Running)>,
    call: impl Fn(Store, u64, Random) -> Calling,
) -> Result<()>
where
    Calling: Future<Output = Result<()>> + Send + 'static,
{
    let [place, seed, round] = words else { bail!("expected PLACE SEED ROUND, found {words:?}") };
    let (seed, round): (u64, u64) = (seed.parse()?, round.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        say(OPENING)?;
        let (store, _running) = begin(Path::new(place)).await?;
        say(READY)?;
        let mut calling = JoinSet::new();
        for caller in 0..callers {
            let first = (round * callers + caller) * NUMBERS;
            calling.spawn(call(store.clone(), first, random(seed, &[round, caller])));
        }
        while let Some(ended) = calling.join_next().await {
            ended??;
        }
        bail!("every caller has ended")
    })
}

/// Tells the parent something. Once the parent has read it, it is a promise.
pub(super) fn say(word: impl Display) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{word}").and_then(|()| output.flush()).context("nobody listens any more")
}

/// As [`say`], by what is done beside the callers: a word that nobody hears is one less that the store has to keep.
pub(super) fn say_if_heard(word: impl Display) {
    let _ = say(word);
}
