//! The group `app`: a server is killed while many clients follow answers over HTTP. Each client comes back to the next
//! process as a page would, and what it has seen in the end is compared with what the model said.

mod client;
mod world;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use loomwork_testkit::provider::FakeProvider;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::deck::{Card, Deck, OPENING, READY, shuffled};
use super::tally::{Fault, Tally};
use super::{Plan, folder, rounds, within_time};
use client::{Client, Seen};
use world::Address;

const DECK: Deck = Deck {
    cards: &[Card::Working, Card::Working, Card::Opening, Card::Working, Card::Working, Card::Opening],
    working: Duration::from_secs(3),
    opening: Duration::from_millis(300),
    times: 1,
};

/// How many clients follow answers at once.
const CLIENTS: u64 = 200;

const SHUTDOWN: Duration = Duration::from_secs(20);

/// The process that is killed: it serves an app over a file.
pub(super) fn child(words: &[String]) -> Result<()> {
    let [place, _seed, _round] = words else { bail!("expected PATH SEED ROUND, found {words:?}") };
    let place = Path::new(place);
    let runtime = world::runtime()?;
    runtime.block_on(async {
        println!("{OPENING}");
        let address = Address::read(place)?;
        let app = world::open(place, &address).await?;
        let listener = address.listen().await?;
        println!("{READY}");
        app.serve_on(listener).await?;
        bail!("the server has ended")
    })
}

pub(super) fn run(plan: &Plan, tally: &mut Tally) -> Result<()> {
    let folder = folder()?;
    let runtime = world::runtime()?;
    let provider = runtime.block_on(FakeProvider::start());
    provider.lenient().otherwise(world::answer);
    let ran = places(plan, folder.path(), &runtime, provider.url(), tally);
    if ran.is_err() || !tally.is_clean() {
        println!("the files are kept in {}", folder.keep().display());
    }
    ran
}

/// Runs the rounds; each deck has a place of its own, and clients that go on over all its kills.
fn places(plan: &Plan, folder: &Path, runtime: &Runtime, provider: &str, tally: &mut Tally) -> Result<()> {
    for (place, first) in (0..plan.rounds).step_by(DECK.cards.len()).enumerate() {
        let cards = shuffled(DECK.cards, &plan.random(&[place as u64]));
        let place = folder.join(place.to_string());
        std::fs::create_dir(&place)?;
        let address = Address::choose(&place, provider, &plan.random(&[first, 2]))?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let client = Client::new(&address, number, stop.clone())?;
            clients.spawn_on(client.run(), runtime.handle());
        }
        for (round, card) in (first..plan.rounds).zip(cards) {
            tally.begin_round(plan.rounds, card);
            let moment = DECK.moment(card, &plan.random(&[round, 1]));
            rounds::strike("app", plan, round, &place, moment, tally)?;
        }
        stop.store(true, Ordering::Relaxed);
        within_time(runtime, settle(&place, &address, clients, tally))?;
        if !tally.is_clean() {
            return Ok(());
        }
    }
    Ok(())
}

/// Serves until all clients have what they asked for, and checks what that is.
async fn settle(
    place: &Path,
    address: &Address,
    mut clients: JoinSet<Result<Vec<Seen>>>,
    tally: &mut Tally,
) -> Result<()> {
    let app = world::open(place, address).await?;
    let listener = address.listen().await?;
    let (serving, tasks) = (app.clone(), loomwork_core::Tasks::new());
    tasks.spawn("server", |_| async move {
        if let Err(error) = serving.serve_on(listener).await {
            println!("the last server failed: {error}");
        }
    });
    while let Some(ended) = clients.join_next().await {
        for seen in ended.context("a client panicked")?? {
            check(&seen, tally);
        }
    }
    app.shutdown(SHUTDOWN).await?;
    tasks.shutdown(SHUTDOWN).await?;
    let report = {
        let app = world::open(place, address).await?;
        let report = app.store().check().await?;
        app.shutdown(SHUTDOWN).await?;
        report
    };
    tally.fact(report.is_clean(), Fault::Broken, || format!("the store does not fit itself: {report:?}"));
    Ok(())
}

fn check(seen: &Seen, tally: &mut Tally) {
    let number = seen.number;
    let prompts = seen.said.iter().filter(|(role, ..)| role == "user").count();
    tally.fact(prompts > 0, Fault::Lost, || format!("the prompt of turn {number} is not there"));
    tally.fact(prompts < 2, Fault::Doubled, || {
        format!("the prompt of turn {number} is there {prompts} times")
    });
    let right = [("user", "success", number.to_string()), ("assistant", "success", world::says(number))];
    let right = right.map(|(role, status, text)| (role.to_owned(), status.to_owned(), text));
    tally.same_list(format_args!("the messages of turn {number}"), &seen.said, &right);
    tally.fact(seen.faults.is_empty(), Fault::Broken, || format!("turn {number}: {:?}", seen.faults));
    tally.count("answers", 1);
    tally.count("slices of answers", seen.slices);
    tally.count("reconnections", seen.reconnections);
}
