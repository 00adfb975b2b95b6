//! A store with limits, under a clock that the test turns.

use std::sync::Arc;
use std::time::Duration;

use loomwork_core::{Clock, ManualClock, Random, Tasks, Time};
use loomwork_rate_limiter::{
    Ask, BalanceRow, Granted, Limit, LimitKey, RateLimited, check, check_all, limit, limit_all, list,
    reserve, value,
};
use loomwork_store::{Error, Page, Result, Store, Tx};
use loomwork_testkit::{Begun, Tallied, soon};

use super::Bed;

/// When the clocks of these tests start: where a minute begins.
pub(crate) const START: Time = Time::from_millis(1_700_000_040_000);

/// A store and the hand on its clock.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    /// Counts the transactions.
    pub(crate) begun: Arc<Begun>,
    _bed: Bed,
}

impl Desk {
    pub(crate) async fn open() -> Self {
        Self::open_over(&Bed::new(), Clock::manual(START)).await
    }

    /// Opens a store over rows that may be there already.
    pub(crate) async fn open_over(bed: &Bed, clock: ManualClock) -> Self {
        let (engine, begun) = Tallied::over(bed.engine());
        let builder = Store::builder(engine).clock(clock.clock()).random(Random::seeded(1));
        let store = builder.tables(loomwork_rate_limiter::tables()).open().await.expect("the store opens");
        Self { store, clock, begun, _bed: bed.clone() }
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

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl Fn(&Tx) -> Result<T> + Send + Sync + 'static,
    ) -> T {
        self.store.query(query).await.expect("the query succeeds")
    }

    /// Takes an amount, which has to be granted.
    pub(crate) async fn take(
        &self,
        of: &Limit<'static>,
        key: impl LimitKey + Clone + Send + 'static,
        amount: u64,
    ) -> Granted {
        let of = *of;
        self.commit(move |tx| limit(tx, &of, &key, amount)).await
    }

    /// Takes an amount, which has to be refused.
    pub(crate) async fn refused(
        &self,
        of: &Limit<'static>,
        key: impl LimitKey + Clone + Send + 'static,
        amount: u64,
    ) -> RateLimited {
        let of = *of;
        refusal(&self.fail(move |tx| limit(tx, &of, &key, amount)).await)
    }

    /// Asserts that an amount is refused for so many milliseconds and granted then, without taking it.
    pub(crate) async fn waits(
        &self,
        of: &Limit<'static>,
        key: impl LimitKey + Clone + Send + Sync + 'static,
        amount: u64,
        millis: u64,
    ) {
        let wait = self.refused(of, key.clone(), amount).await.retry_after();
        assert_eq!(wait, Some(Duration::from_millis(millis)));
        let of = *of;
        let looks = move |tx: &Tx| check(tx, &of, &key, amount);
        let now = self.clock.clock().now();
        self.clock.set(now + Duration::from_millis(millis - 1));
        assert!(self.store.query(looks.clone()).await.is_err(), "a millisecond earlier it is refused");
        self.clock.set(now + Duration::from_millis(millis));
        self.read(looks).await;
        self.clock.set(now);
    }

    pub(crate) async fn reserve(
        &self,
        of: &Limit<'static>,
        key: impl LimitKey + Clone + Send + 'static,
        amount: u64,
    ) -> Granted {
        let of = *of;
        self.commit(move |tx| reserve(tx, &of, &key, amount)).await
    }

    pub(crate) async fn value(
        &self,
        of: &Limit<'static>,
        key: impl LimitKey + Clone + Send + Sync + 'static,
    ) -> i64 {
        let of = *of;
        self.read(move |tx| value(tx, &of, &key)).await
    }

    /// The balances of a limit as they are stored.
    pub(crate) async fn rows(&self, of: &Limit<'static>) -> Vec<BalanceRow> {
        let of = *of;
        let page = self.read(move |tx| list(tx, &of, Page::first(1_000))).await;
        page.rows.into_iter().map(|row| row.record).collect()
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Starts the upkeep; it ends with the tasks.
    pub(crate) fn keep_up(&self) -> Tasks {
        let tasks = Tasks::new();
        for upkeep in loomwork_rate_limiter::upkeep() {
            self.store.start_upkeep(&tasks, upkeep);
        }
        tasks
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

/// The refusal that an error is.
pub(crate) fn refusal(error: &Error) -> RateLimited {
    RateLimited::of(error).unwrap_or_else(|| panic!("a refusal is expected, not {error}")).clone()
}

/// Takes from two limits at once.
pub(crate) fn both(tx: &mut Tx, asks: [Ask<'_>; 2]) -> Result<Vec<Granted>> {
    check_all(tx, &asks)?;
    limit_all(tx, &asks)
}
