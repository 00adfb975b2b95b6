//! A store with usage, under a clock that the test turns.

use loomwork_core::{Clock, ManualClock, Random, Tasks, Time};
use loomwork_store::{Error, Id, Result, Row, Store, Tx};
use loomwork_testkit::soon;
use loomwork_usage::{
    COST_BOOK, Closed, Currency, FOLD_PAUSE, Document, Event, EventRow, InvoiceRow, Level, Money, PeriodRow, Price, Recorded,
    Unit, UsageError, document, finalise, period_of, record, set_price, waiting_for_totals,
};

use super::Bed;

/// The moment that a text names.
pub(crate) fn at(text: &str) -> Time {
    let moment = chrono::DateTime::parse_from_rfc3339(text).expect("the text is a moment");
    Time::from_millis(moment.timestamp_millis())
}

/// When the clocks of these tests start.
pub(crate) const START: &str = "2026-08-10T12:00:00Z";

pub(crate) fn money(text: &str) -> Money {
    text.parse().expect("the text is an amount")
}

/// The price of one where a million cost so much.
pub(crate) fn per_million(text: &str) -> Money {
    money(text).per_million().expect("it is not too fine")
}

/// The prices of the specification's small model: 0.30 in, 0.15 cached, 1.20 out, of a million.
pub(crate) fn small() -> Price {
    Price::new(COST_BOOK, "acme", "small", Time::EPOCH)
        .unit(Unit::InputFresh, per_million("0.30"))
        .unit(Unit::InputCacheRead, per_million("0.15"))
        .unit(Unit::OutputText, per_million("1.20"))
}

/// A store and the hand on its clock.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    _bed: Bed,
}

impl Desk {
    pub(crate) async fn open() -> Self {
        let (bed, clock) = (Bed::new(), Clock::manual(at(START)));
        let builder = Store::builder(bed.engine()).clock(clock.clock()).random(Random::seeded(1));
        let builder = builder.tables(loomwork_usage::tables()).tables(loomwork_rate_limiter::tables());
        let store = builder.tables(loomwork_workpool::tables()).open().await.expect("the store opens");
        Self { store, clock, _bed: bed }
    }

    /// Opens one in whose cost book the small model has a price.
    pub(crate) async fn priced() -> Self {
        let desk = Self::open().await;
        desk.price(small()).await;
        desk
    }

    pub(crate) async fn price(&self, price: Price) {
        self.commit(move |tx| set_price(tx, price)).await;
    }

    pub(crate) async fn commit<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
    ) -> T {
        self.store.mutate(change).await.expect("the mutation commits")
    }

    pub(crate) async fn fail<T: std::fmt::Debug + Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
    ) -> Error {
        self.store.mutate(change).await.expect_err("the mutation fails")
    }

    /// Runs a change that has to be refused.
    pub(crate) async fn refused<T: std::fmt::Debug + Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
    ) -> UsageError {
        let error = self.fail(change).await;
        error.downcast().unwrap_or_else(|error| panic!("a refusal is expected, not {error}"))
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl Fn(&Tx) -> Result<T> + Send + Sync + 'static,
    ) -> T {
        self.store.query(query).await.expect("the query succeeds")
    }

    /// An event of now, of the small model, that Ada used and the weavers pay for.
    pub(crate) fn event(&self, key: &str, used: impl IntoIterator<Item = (Unit, u64)>) -> Event {
        let event = Event::new("agent", key, self.clock.clock().now()).paid_by("weavers");
        event.used_by(Level::User, "ada").model("acme", "small").used(used)
    }

    pub(crate) async fn record(&self, event: Event) -> Recorded {
        self.commit(move |tx| record(tx, event)).await
    }

    /// Records output of the small model.
    pub(crate) async fn output(&self, key: &str, tokens: u64) -> Recorded {
        self.record(self.event(key, [(Unit::OutputText, tokens)])).await
    }

    pub(crate) async fn row(&self, id: Id<EventRow>) -> Row<EventRow> {
        self.read(move |tx| tx.require(id)).await
    }

    pub(crate) async fn now(&self, moment: &str) {
        self.clock.set(at(moment));
        // The store's time is that of a transaction.
        self.read(|_| Ok(())).await;
    }

    /// The period of the weavers that a moment is in.
    pub(crate) async fn period(&self, moment: &str) -> Row<PeriodRow> {
        let moment = at(moment);
        let found = self.read(move |tx| period_of(tx, "weavers", Currency::USD, moment)).await;
        found.expect("there was usage in that period")
    }

    /// Closes a period of the weavers, which has to give an invoice.
    pub(crate) async fn invoice(&self, moment: &str) -> Id<InvoiceRow> {
        let period = self.period(moment).await.id;
        match self.commit(move |tx| finalise(tx, period, None)).await {
            Closed::Invoiced(invoice) => invoice,
            other => panic!("an invoice is expected, not {other:?}"),
        }
    }

    pub(crate) async fn document(&self, invoice: Id<InvoiceRow>) -> Document {
        self.read(move |tx| document(tx, invoice)).await
    }

    /// Starts the upkeep; it ends with the tasks.
    pub(crate) fn keep_up(&self) -> Tasks {
        let tasks = Tasks::new();
        for upkeep in loomwork_usage::upkeep() {
            self.store.start_upkeep(&tasks, upkeep);
        }
        tasks
    }

    /// Waits until the upkeep has folded all in; it rests between its steps by the clock of the test.
    pub(crate) async fn folded(&self) {
        soon(async {
            while self.read(waiting_for_totals).await > 0 {
                self.clock.advance(FOLD_PAUSE);
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Waits until a query says what is expected of it.
    pub(crate) async fn until<T: Clone + PartialEq + Send + 'static>(
        &self,
        query: impl Fn(&Tx) -> Result<T> + Send + Sync + 'static,
        expected: impl Fn(&T) -> bool,
    ) -> T {
        let mut watch = self.store.watch(query);
        soon(async {
            loop {
                let now = watch.next().await.expect("the store is open").expect("the query succeeds");
                if expected(&now) {
                    return now;
                }
            }
        })
        .await
    }
}
