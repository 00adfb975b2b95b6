//! The process that is killed: callers that record and correct, and runs that bill.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use loomwork_core::{Clock, Random, Tasks};
use loomwork_store::{Page, Store, Tx};
use loomwork_usage::{
    GenerateOptions, InvoiceState, Recorded, admit, generate, invoices_in, record, reverse, settle_with,
};
use tokio::task::JoinSet;

use super::word::Word;
use super::world::{SOURCE, Sale, event, key, open};
use crate::crash::random;

const CALLERS: u64 = 4;

/// Two runs that bill meet each other.
const BILLERS: u64 = 2;

/// The numbers of one caller of one round: more than it can use.
const NUMBERS: u64 = 1_000_000;

const TERM: Duration = Duration::from_secs(60);

pub(super) fn run(words: &[String]) -> Result<()> {
    let [place, seed, round] = words else { bail!("expected PLACE SEED ROUND, found {words:?}") };
    let (seed, round): (u64, u64) = (seed.parse()?, round.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        say(Word::Opening)?;
        let store = open(Path::new(place), Clock::system()).await?;
        let tasks = Tasks::new();
        for upkeep in loomwork_usage::upkeep().into_iter().chain(loomwork_rate_limiter::upkeep()) {
            store.start_upkeep(&tasks, upkeep);
        }
        say(Word::Ready)?;
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let first = (round * CALLERS + caller) * NUMBERS;
            callers.spawn(call(store.clone(), first, random(seed, &[round, caller])));
        }
        for _ in 0..BILLERS {
            callers.spawn(bill(store.clone()));
        }
        while let Some(ended) = callers.join_next().await {
            ended??;
        }
        bail!("every caller has ended")
    })
}

/// Records one sale after the other, with and without a hold, some of them twice, and takes some back.
async fn call(store: Store, first: u64, random: Random) -> Result<()> {
    for number in first.. {
        let event = event(number, store.clock().now());
        if random.below(3) == 0 {
            let estimate = event.clone();
            let hold = store.mutate(move |tx| admit(tx, &estimate, TERM)).await?;
            store
                .mutate(move |tx: &mut Tx| {
                    tx.insert(Sale { number })?;
                    settle_with(tx, hold, event)
                })
                .await?;
        } else {
            store
                .mutate(move |tx: &mut Tx| {
                    tx.insert(Sale { number })?;
                    record(tx, event)
                })
                .await?;
        }
        say(Word::Recorded { number })?;
        if random.below(4) == 0 {
            // Made anew, as a step does that is tried again: it does not remember when it was tried first.
            let again = super::world::event(number, store.clock().now());
            let repeated = store.mutate(move |tx| record(tx, again)).await?;
            ensure!(matches!(repeated, Recorded::Repeated(_)), "a repeated event is new");
        }
        if random.below(5) == 0 {
            store.mutate(move |tx| reverse(tx, SOURCE, &key(number))).await?;
            say(Word::Reversed { number })?;
        }
    }
    Ok(())
}

/// Bills what is due, again and again, and tells of each new invoice.
async fn bill(store: Store) -> Result<()> {
    let mut told = BTreeSet::new();
    loop {
        let options = GenerateOptions { check_step: 50, ..GenerateOptions::default() };
        let report = generate(&store, store.clock().now(), options).await?;
        ensure!(report.failed == 0, "a period cannot be billed: {report:?}");
        let open = store.query(|tx| invoices_in(tx, InvoiceState::Open, Page::first(100_000))).await?;
        for row in open.rows {
            if let Some(number) = row.number.clone().filter(|number| told.insert(number.clone())) {
                say(Word::Billed { number, hash: row.hash.clone() })?;
            }
        }
        store.clock().sleep(Duration::from_millis(20)).await;
    }
}

/// Tells the parent something. Once the parent has read it, it is a promise.
fn say(word: Word) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{word}").and_then(|()| output.flush()).context("nobody listens any more")
}
