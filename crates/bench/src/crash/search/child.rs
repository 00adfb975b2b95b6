//! The process that is killed: it writes rows and vectors, searches for what it wrote, and commits often.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use loomwork_core::Random;
use loomwork_search::{Filter, Query, Search};
use loomwork_store::Store;
use tokio::task::JoinSet;

use super::MISSED;
use super::world::{AUTHORS, INDEX, Note, change, draw_vector, open, space, start};
use crate::crash::deck::{OPENING, READY};
use crate::crash::random;

const CALLERS: u64 = 3;

/// One of so many writes is looked for.
const LOOKS: u64 = 6;

/// One of so many commits is a purge.
const PURGES: u64 = 15;

pub(super) fn run(words: &[String]) -> Result<()> {
    let [place, seed, round] = words else { bail!("expected PATH SEED ROUND, found {words:?}") };
    let (place, seed, round): (&Path, u64, u64) = (Path::new(place), seed.parse()?, round.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        say(OPENING)?;
        let store = open(place).await?;
        let search = start(&store, place).await?;
        say(READY)?;
        let mut tasks = JoinSet::new();
        for caller in 0..CALLERS {
            let name = format!("own{round}x{caller}");
            tasks.spawn(write(store.clone(), search.clone(), name, random(seed, &[round, caller])));
        }
        tasks.spawn(commit(store, search, random(seed, &[round, CALLERS])));
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        bail!("everything has ended")
    })
}

/// Writes one note after the other, and looks for some of them.
async fn write(store: Store, search: Search, name: String, random: Random) -> Result<()> {
    let space = space()?;
    let mut known = Vec::new();
    for number in 0_u64.. {
        let own = format!("{name}x{number}");
        let place = random.below(4 * known.len().max(1) as u64) as usize;
        let (before, note) = (known.get(place).copied(), Note::draw(own.clone(), &random));
        let (space, drawing) = (space.clone(), random.clone());
        let after = store.mutate(move |tx| change(tx, &space, before, note, &drawing)).await?;
        if before.is_some() && after != before {
            known.swap_remove(place);
        }
        if let Some(id) = after.filter(|id| Some(*id) != before) {
            known.push(id);
        }
        if random.below(LOOKS) == 0 {
            let found = search.find::<Note>(INDEX, Query::text(format!("{own} "))).await?;
            let ids: Vec<_> = found.hits.iter().map(|hit| hit.row.id).collect();
            if found.filling.is_none() && ids != Vec::from_iter(after) {
                say(format_args!("{MISSED} {own}: it found {ids:?}, not {after:?}"))?;
            }
            let author = AUTHORS[random.below(AUTHORS.len() as u64) as usize];
            let filter = Filter::eq("author", author);
            search.find::<Note>(INDEX, Query { filter, ..Query::vector(draw_vector(&random)) }).await?;
        }
    }
    Ok(())
}

async fn commit(store: Store, search: Search, random: Random) -> Result<()> {
    loop {
        store.clock().sleep(Duration::from_millis(random.below(30))).await;
        if random.below(PURGES) == 0 {
            search.purge().await?;
        } else {
            search.commit().await?;
        }
    }
}

/// Tells the parent something.
fn say(word: impl Display) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{word}").and_then(|()| output.flush()).context("nobody listens any more")
}
