//! Whatever comes in whatever order: bills, totals and events agree to the last digit.

use std::collections::BTreeMap;
use std::time::Duration;

use loomwork_core::{Clock, ManualClock, Time};
use loomwork_store::{Page, Result, Store};
use loomwork_usage::{
    Account, COST_BOOK, Currency, Dimension, Event, EventRow, GenerateOptions, InvoiceState, Level, Money,
    Price, Unit, Window, ever_total, generate, invoices_in, is_intact, lines, month_total, periods,
    record_within, reverse, set_account, set_price, upkeep,
};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, proptest};
use proptest::{prop_oneof, test_runner::TestCaseError};

const PAYERS: [&str; 3] = ["weavers", "dyers", "spinners"];
const MODELS: [&str; 3] = ["small", "large", "late"];
/// Of a token of each model.
const PRICES: [&str; 3] = ["0.0000003", "0.000022507", "0.00000000000000013"];
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const START: Time = Time::from_millis(1_785_542_400_000);

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Records a new event: payer, model, tokens, and how many hours ago it occurred.
    Record(usize, usize, u64, u64),
    /// Records an earlier event once more.
    Repeat(usize),
    /// Takes an earlier event back.
    Reverse(usize),
    /// Lets days pass.
    Pass(u32),
    /// Bills what is due.
    Bill,
    /// Gives the last model its price.
    Price,
    /// Starts the upkeep, and lets it do all there is.
    KeepUp,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let record = (0..3_usize, 0..3_usize, 0..10_000_000_u64, 0..2_000_u64)
        .prop_map(|(payer, model, tokens, ago)| Step::Record(payer, model, tokens, ago));
    let step = prop_oneof![
        8 => record,
        2 => (0..50_usize).prop_map(Step::Repeat),
        2 => (0..50_usize).prop_map(Step::Reverse),
        2 => (1..20_u32).prop_map(Step::Pass),
        2 => proptest::prelude::Just(Step::Bill),
        1 => proptest::prelude::Just(Step::Price),
        1 => proptest::prelude::Just(Step::KeepUp),
    ];
    vec(step, 1..60)
}

struct World {
    store: Store,
    clock: ManualClock,
    events: Vec<(Event, bool)>,
    is_priced: bool,
}

fn money(text: &str) -> Money {
    text.parse().expect("the text is an amount")
}

fn price(model: usize) -> Price {
    Price::new(COST_BOOK, "acme", MODELS[model], Time::EPOCH).unit(Unit::OutputText, money(PRICES[model]))
}

impl World {
    async fn open() -> Result<Self> {
        let clock = Clock::manual(START);
        let builder = Store::builder(loomwork_store::Memory::new()).clock(clock.clock());
        let tables = builder.tables(loomwork_usage::tables()).tables(loomwork_rate_limiter::tables());
        let store = tables.open().await?;
        let berlin = "Europe/Berlin".parse().unwrap_or_default();
        store
            .mutate(move |tx| {
                set_price(tx, price(0))?;
                set_price(tx, price(1))?;
                let mut account = Account { minimum: money("40"), ..Account::new(PAYERS[1]) };
                account.calendar.zone = berlin;
                set_account(tx, account)
            })
            .await?;
        Ok(Self { store, clock, events: Vec::new(), is_priced: false })
    }

    async fn go(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Record(payer, model, tokens, hours) => {
                let at = self.clock.clock().now() - Duration::from_secs(hours * 60 * 60);
                let key = format!("event-{}", self.events.len());
                let event = Event::new("agent", key, at).paid_by(PAYERS[payer]).model("acme", MODELS[model]);
                let event = event.used_by(Level::Run, "all").used([(Unit::OutputText, tokens)]);
                self.events.push((event.clone(), false));
                self.record(event).await
            }
            Step::Repeat(index) if !self.events.is_empty() => {
                let (event, _) = &self.events[index % self.events.len()];
                self.record(event.clone()).await
            }
            Step::Reverse(index) if !self.events.is_empty() => {
                let index = index % self.events.len();
                let (event, is_reversed) = &mut self.events[index];
                *is_reversed = true;
                let key = event.key.clone();
                self.store.mutate(move |tx| reverse(tx, "agent", &key)).await.map(drop)
            }
            Step::Repeat(_) | Step::Reverse(_) => Ok(()),
            Step::Pass(days) => {
                self.clock.advance(days * DAY);
                Ok(())
            }
            Step::Bill => {
                let due = self.clock.clock().now();
                let options = GenerateOptions { workers: 2, check_step: 3 };
                let report = generate(&self.store, due, options).await?;
                assert_eq!(report.failed, 0, "{report:?}");
                Ok(())
            }
            Step::Price if !self.is_priced => {
                self.is_priced = true;
                self.store.mutate(|tx| set_price(tx, price(2)).map(drop)).await
            }
            Step::Price => Ok(()),
            Step::KeepUp => self.keep_up().await,
        }
    }

    async fn record(&self, event: Event) -> Result<()> {
        let window = Window { back: 400 * DAY, ..Window::default() };
        self.store.mutate(move |tx| record_within(tx, event, &window)).await.map(drop)
    }

    /// Lets the upkeep rate all that has a price.
    async fn keep_up(&self) -> Result<()> {
        if !self.is_priced {
            return Ok(());
        }
        let tasks = loomwork_core::Tasks::new();
        for upkeep in upkeep() {
            self.store.start_upkeep(&tasks, upkeep);
        }
        let mut left = self.store.watch(|tx| tx.count(EventRow::unpriced.all()));
        while left.next().await.expect("the store is open")? > 0 {}
        Ok(())
    }

    /// What a payer owes by the events alone: tokens and money.
    fn owed(&self, payer: &str) -> (i64, Money) {
        let own = self
            .events
            .iter()
            .filter(|(event, is_reversed)| event.payer.as_deref() == Some(payer) && !is_reversed);
        own.fold((0, Money::ZERO), |(tokens, sum), (event, _)| {
            let used = i64::try_from(event.quantities.tokens()).expect("it is small");
            let model = MODELS.iter().position(|model| *model == event.model).expect("it is one of them");
            let more = money(PRICES[model]).times(used).expect("it fits");
            (tokens + used, sum.plus(more).expect("it fits"))
        })
    }

    async fn check(&mut self) -> Result<()> {
        self.is_priced = true;
        let priced = self.store.query(|tx| tx.count(Price::by_model.all())).await?;
        if priced < 3 {
            self.store.mutate(|tx| set_price(tx, price(2)).map(drop)).await?;
        }
        self.keep_up().await?;
        for round in 0..2 {
            self.agrees(round).await?;
            // Whatever is open still is billed some months later.
            self.clock.advance(100 * DAY);
            self.go(Step::Bill).await?;
        }
        self.agrees(2).await
    }

    async fn agrees(&self, round: u32) -> Result<()> {
        for payer in PAYERS {
            let (tokens, owed) = self.owed(payer);
            let billed = self
                .store
                .query(move |tx| {
                    let mut sums = (0, Money::ZERO);
                    for period in periods(tx, payer, Currency::USD)? {
                        if period.carried_into.is_some() {
                            continue; // its lines are those of another one
                        }
                        for line in lines(tx, period.id, Default::default())? {
                            if line.price.is_some() {
                                sums.0 += line.quantity;
                                sums.1 = sums.1.plus(line.unrounded)?;
                            }
                        }
                    }
                    Ok(sums)
                })
                .await?;
            assert_eq!(billed, (tokens, owed), "{payer}, round {round}");
        }
        let mut by_month = BTreeMap::new();
        for (event, is_reversed) in &self.events {
            let sign = i64::from(!is_reversed);
            let tokens = i64::try_from(event.quantities.tokens()).expect("it is small") * sign;
            let month = loomwork_usage::Calendar::MONTHS.period_of(event.at).expect("there is one").start;
            *by_month.entry(month).or_insert(0) += tokens;
        }
        for (month, tokens) in &by_month {
            let month = *month;
            let found = self.store.query(move |tx| month_total(tx, Dimension::All, "", month)).await?;
            assert_eq!(found.tokens(), *tokens);
        }
        let run = self.store.query(|tx| ever_total(tx, Dimension::Run, "all")).await?;
        let all =
            PAYERS.iter().fold(Money::ZERO, |sum, payer| sum.plus(self.owed(payer).1).expect("it fits"));
        assert_eq!(run.charge.get(&Currency::USD).copied().unwrap_or_default(), all);

        let open = self.store.query(|tx| invoices_in(tx, InvoiceState::Open, Page::first(1_000))).await?.rows;
        let mut numbers: Vec<_> = open.iter().filter_map(|row| row.number.clone()).collect();
        numbers.sort();
        let gapless: Vec<_> = (1..=open.len()).map(|number| format!("INV-{number:06}")).collect();
        assert_eq!(numbers, gapless);
        for row in open {
            assert!(!row.total.is_negative());
            assert!(self.store.query(move |tx| is_intact(tx, row.id)).await?);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn bills_totals_and_events_agree_whatever_happens(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let went = runtime.block_on(async {
            let mut world = World::open().await?;
            for step in steps {
                world.go(step).await?;
            }
            world.check().await
        });
        went.map_err(|error| TestCaseError::fail(error.to_string()))?;
    }
}
