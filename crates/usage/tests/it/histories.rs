//! Whatever comes in whatever order: bills, totals and events agree to the last digit.

use std::collections::BTreeMap;
use std::time::Duration;

use loomwork_core::{Clock, ManualClock, Time};
use loomwork_store::{Id, Page, Result, Store, Table as _, Tx};
use loomwork_usage::{
    Account, Amount, Budget, BudgetExceeded, COST_BOOK, Currency, Dimension, Event, EventRow,
    GenerateOptions, InvoiceRow, InvoiceState, Level, Money, Payment, PeriodRow, Price, Tax, Unit,
    UsageError, Window, admit, amended_lines, assign, balance, correct, credit_note, credit_notes, draft,
    ever_total, generate, give_up, invoices, invoices_in, is_intact, month_total, period_of, periods,
    record_payment, record_within, reverse, set_account, set_budget, set_price, settle_with, standing,
    upkeep, void,
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
    /// Puts another one with so many tokens in its place, and tries that twice.
    Correct(usize, u64),
    /// Records usage of nobody, and lets a payer pay for all that there is of it.
    Assign(usize, u64),
    /// Writes a draft of a payer's present period.
    Draft(usize),
    /// Voids an invoice that is open.
    Void(usize),
    /// Gives an invoice up that is open.
    GiveUp(usize),
    /// Notes that an invoice is paid.
    Pay(usize),
    /// Credits some cents of an invoice that is open, or is paid.
    Credit(usize, i64, bool),
    /// Sets the tax of the last payer, in per cent.
    Tax(u32),
    /// Makes a call of so many tokens that asks the budget first.
    Call(usize, u64),
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
        2 => (0..50_usize, 0..10_000_000_u64).prop_map(|(index, tokens)| Step::Correct(index, tokens)),
        1 => (0..3_usize, 0..10_000_000_u64).prop_map(|(payer, tokens)| Step::Assign(payer, tokens)),
        1 => (0..3_usize).prop_map(Step::Draft),
        1 => (0..9_usize).prop_map(Step::Void),
        1 => (0..9_usize).prop_map(Step::GiveUp),
        2 => (0..9_usize).prop_map(Step::Pay),
        2 => (0..9_usize, 1..20_000_i64, proptest::bool::ANY).prop_map(|(at, cents, paid)| Step::Credit(at, cents, paid)),
        1 => (0..30_u32).prop_map(Step::Tax),
        2 => (0..3_usize, 0..4_000_000_u64).prop_map(|(payer, tokens)| Step::Call(payer, tokens)),
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
    /// What was recorded, and whether it was taken back.
    events: Vec<(Event, bool)>,
    is_priced: bool,
    credits: usize,
}

/// The budget of all calls.
const BUDGET: &str = "100";

fn money(text: &str) -> Money {
    text.parse().expect("the text is an amount")
}

fn price(model: usize) -> Price {
    Price::new(COST_BOOK, "acme", MODELS[model], Time::EPOCH).unit(Unit::OutputText, money(PRICES[model]))
}

/// What an event costs by the prices above.
fn cost(event: &Event) -> Money {
    let used = i64::try_from(event.quantities.tokens()).expect("it is small");
    let model = MODELS.iter().position(|model| *model == event.model).expect("it is one of them");
    money(PRICES[model]).times(used).expect("it fits")
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
                set_account(tx, account)?;
                let calls = Budget::money("calls", Level::User, "caller", Currency::USD, money(BUDGET));
                set_budget(tx, calls.renewed(None)).map(drop)
            })
            .await?;
        Ok(Self { store, clock, events: Vec::new(), is_priced: false, credits: 0 })
    }

    async fn go(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Record(payer, model, tokens, hours) => {
                let at = self.clock.clock().now() - Duration::from_secs(hours * 60 * 60);
                let event = Event { at, ..self.event(payer, model, tokens) };
                self.events.push((event.clone(), false));
                self.record(event).await
            }
            Step::Repeat(index) if !self.events.is_empty() => {
                let (event, _) = &self.events[index % self.events.len()];
                // Whoever tries again does not remember when it was tried first.
                self.record(Event { at: self.clock.clock().now(), ..event.clone() }).await
            }
            Step::Reverse(index) if !self.events.is_empty() => {
                let index = index % self.events.len();
                let (event, is_reversed) = &mut self.events[index];
                *is_reversed = true;
                let key = event.key.clone();
                self.store.mutate(move |tx| reverse(tx, "agent", &key)).await.map(drop)
            }
            Step::Correct(index, tokens) if !self.events.is_empty() => {
                let index = index % self.events.len();
                let (event, is_reversed) = self.events[index].clone();
                let key = format!("event-{}", self.events.len());
                let right = Event { key, ..event.clone() }.used([(Unit::OutputText, tokens)]);
                let correct = || {
                    let (key, right) = (event.key.clone(), right.clone());
                    self.store.mutate(move |tx| correct(tx, "agent", &key, right))
                };
                let (first, again) = (correct().await, correct().await);
                if is_reversed {
                    assert!(first.is_err() && again.is_err(), "what was taken back is not corrected");
                } else {
                    assert_eq!(first?.id(), again?.id());
                    self.events[index].1 = true;
                    self.events.push((right, false));
                }
                Ok(())
            }
            Step::Assign(payer, tokens) => {
                let event = self.event(payer, 0, tokens).used_by(Level::Thread, "anonymous");
                self.events.push((event.clone(), false));
                self.record(Event { payer: None, ..event }).await?;
                let assign = move |tx: &mut Tx| assign(tx, Level::Thread, "anonymous", PAYERS[payer], "me");
                assert_eq!(self.store.mutate(assign).await?, 1);
                Ok(())
            }
            Step::Draft(payer) => {
                let now = self.clock.clock().now();
                let write = move |tx: &mut Tx| match period_of(tx, PAYERS[payer], Currency::USD, now)? {
                    Some(period) if !period.closed => draft(tx, period.id).map(drop),
                    _ => Ok(()),
                };
                self.store.mutate(write).await
            }
            Step::Void(at) => {
                self.with_invoice(InvoiceState::Open, at, |tx, id| void(tx, id, "a mistake")).await
            }
            Step::GiveUp(at) => {
                self.with_invoice(InvoiceState::Open, at, |tx, id| give_up(tx, id, "gone")).await
            }
            Step::Pay(at) => {
                let pay = |tx: &mut Tx, id| record_payment(tx, id, "p", Payment::Paid);
                self.with_invoice(InvoiceState::Open, at, pay).await
            }
            Step::Credit(at, cents, is_paid) => {
                let state = if is_paid { InvoiceState::Paid } else { InvoiceState::Open };
                let key = format!("credit-{}", self.credits);
                self.credits += 1;
                let credit = move |tx: &mut Tx, id| {
                    let amount = Money::from_parts(i128::from(cents) * 10_i128.pow(16))?;
                    match credit_note(tx, id, &key, amount, "goodwill") {
                        Err(error)
                            if matches!(error.downcast_ref(), Some(UsageError::TooMuchCredit { .. })) =>
                        {
                            Ok(())
                        }
                        went => went.map(drop),
                    }
                };
                self.with_invoice(state, at, credit).await
            }
            Step::Tax(percent) => {
                let tax = Some(Tax { name: "VAT".to_owned(), share: u64::from(percent) * 10_000 });
                self.store.mutate(move |tx| set_account(tx, Account { tax, ..Account::new(PAYERS[2]) })).await
            }
            Step::Call(payer, tokens) => {
                let event = self.event(payer, 1, tokens).used_by(Level::User, "caller");
                let estimate = event.clone();
                let term = Duration::from_secs(60);
                let is_within = self.spent().plus(cost(&event))? <= money(BUDGET);
                match self.store.mutate(move |tx| admit(tx, &estimate, term)).await {
                    Ok(hold) => {
                        assert!(is_within, "a call is let past the budget");
                        self.events.push((event.clone(), false));
                        self.store.mutate(move |tx| settle_with(tx, hold, event)).await.map(drop)
                    }
                    Err(error) => {
                        let is_refused = BudgetExceeded::of(&error).is_some();
                        assert!(is_refused && !is_within, "{error}");
                        Ok(())
                    }
                }
            }
            Step::Repeat(_) | Step::Reverse(_) | Step::Correct(..) => Ok(()),
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

    /// Does something with one of the invoices that stand somewhere, if there are any.
    async fn with_invoice<T: Send + 'static>(
        &self,
        state: InvoiceState,
        at: usize,
        change: impl FnOnce(&mut Tx, Id<InvoiceRow>) -> Result<T> + Clone + Send + 'static,
    ) -> Result<()> {
        let change = move |tx: &mut Tx| {
            let found = invoices_in(tx, state, Page::first(1_000))?.rows;
            match found.get(at % found.len().max(1)) {
                Some(invoice) => change(tx, invoice.id).map(drop),
                None => Ok(()),
            }
        };
        self.store.mutate(change).await
    }

    /// A new event of now.
    fn event(&self, payer: usize, model: usize, tokens: u64) -> Event {
        let key = format!("event-{}", self.events.len());
        let event = Event::new("agent", key, self.clock.clock().now()).paid_by(PAYERS[payer]);
        event.model("acme", MODELS[model]).used_by(Level::Run, "all").used([(Unit::OutputText, tokens)])
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
            (tokens + used, sum.plus(cost(event)).expect("it fits"))
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
            let books = self.store.query(move |tx| Books::of(tx, payer)).await?;
            assert_eq!((books.tokens, books.unrounded), (tokens, owed), "{payer}, round {round}");
            // Whatever was taken back, corrected, credited, voided or given up: what is to be paid is what usage is worth.
            assert_eq!(books.asked, books.worth, "{payer}, round {round}");
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

        let spent = self.store.query(|tx| standing(tx, "calls")).await?.spent;
        assert_eq!(spent, Amount::Money(self.spent()));

        let mut numbered = Vec::new();
        let states =
            [InvoiceState::Open, InvoiceState::Paid, InvoiceState::Void, InvoiceState::Uncollectible];
        for state in states {
            numbered
                .extend(self.store.query(move |tx| invoices_in(tx, state, Page::first(1_000))).await?.rows);
        }
        let mut numbers: Vec<_> = numbered.iter().filter_map(|row| row.number.clone()).collect();
        numbers.sort();
        let gapless: Vec<_> = (1..=numbers.len()).map(|number| format!("INV-{number:06}")).collect();
        assert_eq!(numbers, gapless);
        Ok(())
    }

    /// What calls have used, corrections included, and was not taken back.
    fn spent(&self) -> Money {
        let calls = self
            .events
            .iter()
            .filter(|(event, is_reversed)| !is_reversed && event.scope.on(Level::User).is_some());
        calls.fold(Money::ZERO, |sum, (event, _)| sum.plus(cost(event)).expect("it fits"))
    }
}

/// What the books say of a payer.
#[derive(Default)]
struct Books {
    /// Of all lines that have a price, as they are now.
    tokens: i64,
    unrounded: Money,
    /// What was, is and will be asked for: all invoices less their credit notes, and what the next one makes up for.
    asked: Money,
    /// What the usage that stands is worth, on the invoices that have it, less what was credited of them.
    worth: Money,
}

/// The lines of an invoice, by what makes a line of its own.
type Amounts = BTreeMap<(Id<PeriodRow>, Option<String>, String, Option<String>, Unit), Money>;

impl Books {
    fn of(tx: &Tx, payer: &'static str) -> Result<Self> {
        let mut books = Self { asked: balance(tx, payer, Currency::USD)?, ..Self::default() };
        for period in periods(tx, payer, Currency::USD)? {
            if period.carried_into.is_some() && !period.abandoned {
                continue; // its lines are those of another one
            }
            let lines = amended_lines(tx, period.id, Default::default())?;
            for line in lines.iter().filter(|line| line.price.is_some()) {
                books.tokens += line.quantity;
                books.unrounded = books.unrounded.plus(line.unrounded)?;
            }
        }
        let usage = usage_by_invoice(tx, payer)?;
        for invoice in invoices(tx, payer, Page::first(1_000))?.rows.iter().filter(|row| row.number.is_some())
        {
            assert!(is_intact(tx, invoice.id)?);
            let notes = credit_notes(tx, invoice.id)?;
            let credited = notes.iter().try_fold(Money::ZERO, |sum, note| sum.plus(note.amount))?;
            assert!(
                credited == invoice.credited && credited <= invoice.total && !invoice.total.is_negative()
            );
            books.asked = books.asked.plus(invoice.total)?.minus(credited)?;
            if invoice.state == InvoiceState::Void {
                continue;
            }
            let amounts = usage.get(&invoice.period).cloned().unwrap_or_default();
            let rounded = |amount: Money| amount.rounded(2, invoice.rounding);
            let sum = amounts.values().try_fold(Money::ZERO, |sum, amount| sum.plus(rounded(*amount)?))?;
            let tax = invoice.tax.as_ref().map_or(Ok(Money::ZERO), |tax| rounded(sum.share(tax.share)?))?;
            // What is credited beyond its usage was charged on it for earlier ones.
            let floor = invoice.adjustments.max(Money::ZERO).negated();
            books.worth = books.worth.plus(sum.plus(tax)?.minus(credited)?.max(floor))?;
        }
        Ok(books)
    }
}

/// What a payer's events come to, by the period whose invoice has them.
fn usage_by_invoice(tx: &Tx, payer: &str) -> Result<BTreeMap<Id<PeriodRow>, Amounts>> {
    let mut usage: BTreeMap<Id<PeriodRow>, Amounts> = BTreeMap::new();
    for row in tx.scan(EventRow::all())? {
        let (Some(period), Some(charge)) = (row.period, &row.charge) else { continue };
        if row.event.payer.as_deref() != Some(payer) {
            continue;
        }
        let own = tx.require(period)?;
        let is_dropped = own.abandoned && row.adjusts.is_none();
        let on = own.carried_into.filter(|_| !is_dropped).unwrap_or(period);
        for (unit, price) in &charge.prices {
            let sign = if row.reverses.is_some() { -1 } else { 1 };
            let quantity = i64::try_from(row.event.quantities.of(unit)).expect("it is small") * sign;
            let line = (
                period,
                row.adjusts.clone(),
                row.event.model.clone(),
                Some(charge.version.clone()),
                unit.clone(),
            );
            let sum = usage.entry(on).or_default().entry(line).or_default();
            *sum = sum.plus(price.times(quantity)?)?;
        }
    }
    Ok(usage)
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
