//! The sales of the rounds, what they use, and who pays.

use std::path::Path;

use anyhow::Result;
use loomwork_core::{Clock, Time};
use loomwork_store::{Store, Table, Tx};
use loomwork_store_sqlite::Sqlite;
use loomwork_usage::{
    Account, Budget, COST_BOOK, Calendar, Currency, Cycle, Event, Level, Money, Price, Unit, Zone,
    set_account, set_budget, set_price,
};
use serde::{Deserialize, Serialize};

/// A row that is committed with its event.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "sales", id = "sale")]
#[index(unique by_number(number))]
pub(super) struct Sale {
    pub(super) number: u64,
}

pub(super) const PAYERS: [&str; 3] = ["weavers", "dyers", "spinners"];

/// One of so many events is of a model that has no price before the end.
const UNPRICED_EVERY: u64 = 7;

/// Periods so short that many are closed in a round.
const PERIOD_MS: u64 = 150;
const GRACE: std::time::Duration = std::time::Duration::from_millis(60);

pub(super) const BUDGET: &str = "ada";
pub(super) const SOURCE: &str = "rounds";

pub(super) fn key(number: u64) -> String {
    format!("sale-{number}")
}

/// What a sale uses: the same whenever it is asked, but for its time.
pub(super) fn event(number: u64, at: Time) -> Event {
    let model = if number.is_multiple_of(UNPRICED_EVERY) { "late" } else { "small" };
    let payer = PAYERS[(number % PAYERS.len() as u64) as usize];
    let used = [(Unit::InputFresh, number % 1_000), (Unit::OutputText, 1 + number % 313)];
    let event = Event::new(SOURCE, key(number), at).paid_by(payer);
    event.used_by(Level::User, "ada").used_by(Level::Run, "all").model("acme", model).used(used)
}

pub(super) fn price(model: &str) -> Price {
    let money = |text: &str| text.parse::<Money>().unwrap_or_default();
    let price =
        Price::new(COST_BOOK, "acme", model, Time::EPOCH).unit(Unit::InputFresh, money("0.03000000007"));
    price.unit(Unit::OutputText, money("0.12000000000000001"))
}

pub(super) async fn open(place: &Path, clock: Clock) -> Result<Store> {
    let tables = loomwork_usage::tables().into_iter().chain(loomwork_rate_limiter::tables());
    let store = Store::builder(Sqlite::open(place.join("store.db"))?)
        .clock(clock)
        .tables(tables)
        .tables([Sale::table()]);
    let store = store.open().await?;
    store.mutate(set_up).await?;
    Ok(store)
}

fn set_up(tx: &mut Tx) -> loomwork_store::Result<()> {
    if tx.first(Price::by_model.all())?.is_some() {
        return Ok(());
    }
    set_price(tx, price("small"))?;
    let calendar = Calendar { cycle: Cycle::Millis(PERIOD_MS), zone: Zone::UTC };
    for payer in PAYERS {
        set_account(tx, Account { calendar, grace: GRACE, ..Account::new(payer) })?;
    }
    let budget = Budget::money(BUDGET, Level::User, "ada", Currency::USD, Money::whole(1_000)).soft();
    set_budget(tx, budget.renewed(None)).map(drop)
}
