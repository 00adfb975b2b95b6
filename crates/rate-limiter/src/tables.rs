//! The records: balances, holds, and what accounts have on hold.

use std::time::Duration;

use loomwork_core::Time;
use loomwork_store::{Id, Result, Row, Table, TableDef, Tx};
use serde::{Deserialize, Serialize};

use crate::rules::{Level, Rules, is_zero};

/// How long a balance stays when it is full again: a wall clock that is set back by less gives no tokens
/// away.
pub const KEEP_FULL: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a hold is remembered after its end: a late or repeated settlement finds it until then.
pub const KEEP_ENDED: Duration = Duration::from_secs(24 * 60 * 60);

/// What is kept for a day need not go on the millisecond: rounded to this, the time at which a hot balance
/// goes stays the same from one request to the next, so its index is left alone.
const GRAIN_MS: i64 = 60 * 60 * 1000;

/// The tables of this crate, for [`Store::builder`](loomwork_store::Store::builder).
pub fn tables() -> [TableDef; 3] {
    [BalanceRow::table(), HoldRow::table(), HeldRow::table()]
}

/// What a key has left of a limit. A key without a row has all of it, so only keys in use have one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "rate_limits", id = "limit")]
#[index(unique by_key(name, key))]
#[index(idle(idle), when = BalanceRow::goes)]
pub struct BalanceRow {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The whole tokens.
    value: i64,
    /// The part of a further one, in 1/period of it.
    #[serde(default, skip_serializing_if = "is_zero")]
    part: u64,
    /// When that was so.
    at: Time,
    /// The rules by which it was last changed; those of an open hold may be older.
    rules: Rules,
    /// When it may be forgotten, if it is left alone until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idle: Option<Time>,
}

impl BalanceRow {
    fn goes(&self) -> bool {
        self.idle.is_some()
    }

    /// Returns the name of the limit.
    pub fn limit(&self) -> &str {
        &self.name
    }

    /// Returns the key, or `None` for the share without one.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Returns how many whole tokens were left when it was last changed, and when that was.
    pub fn value(&self) -> (i64, Time) {
        (self.value, self.at)
    }

    /// The level as rules see it. If they have another period than those that it was changed by, a part of a
    /// token is rounded down.
    fn level(&self, rules: &Rules) -> Level {
        let part = u128::from(self.part) * u128::from(rules.period_ms()) / u128::from(self.rules.period_ms());
        Level { value: self.value, part: u64::try_from(part).unwrap_or(u64::MAX), at: self.at }
    }
}

/// A balance as a request finds it.
#[derive(Debug)]
pub(crate) struct Balance<'a> {
    name: &'a str,
    key: Option<&'a str>,
    rules: Rules,
    row: Option<Row<BalanceRow>>,
    pub(crate) level: Level,
}

impl<'a> Balance<'a> {
    pub(crate) fn read(tx: &Tx, name: &'a str, key: Option<&'a str>, rules: Rules) -> Result<Self> {
        let row = find(tx, name, key)?;
        let level = row.as_ref().map_or_else(|| rules.fresh(tx.now()), |row| row.level(&rules));
        Ok(Self { name, key, rules, row, level })
    }

    /// Reads it for the end of a hold: by the rules of the latest request, which may be newer than those that the
    /// hold was placed by. Those count where there is no row.
    pub(crate) fn read_for_hold(tx: &Tx, name: &'a str, key: Option<&'a str>, placed: Rules) -> Result<Self> {
        let mut balance = Self::read(tx, name, key, placed)?;
        if let Some(row) = &balance.row {
            (balance.rules, balance.level) = (row.rules, row.level(&row.rules));
        }
        Ok(balance)
    }

    /// Whether there is a row: whoever has none has all.
    pub(crate) fn is_kept(&self) -> bool {
        self.row.is_some()
    }

    /// Gives so many tokens back, and takes so many whether they are there or not.
    pub(crate) fn settle(self, tx: &mut Tx, given: u64, taken: u64) -> Result<()> {
        let level = self.rules.settle(self.level, tx.now(), given, taken);
        self.write(tx, level)
    }

    pub(crate) fn write(self, tx: &mut Tx, level: Level) -> Result<()> {
        let rules = self.rules;
        let idle = rules.full_at(level).map(|full| coarse(full + KEEP_FULL));
        let Level { value, part, at } = level;
        match self.row {
            Some(row) => tx.replace(row.id, BalanceRow { value, part, at, rules, idle, ..row.record })?,
            None => {
                let (name, key) = (self.name.to_owned(), self.key.map(str::to_owned));
                tx.insert(BalanceRow { name, key, value, part, at, rules, idle })?
            }
        };
        Ok(())
    }
}

pub(crate) fn find(tx: &Tx, name: &str, key: Option<&str>) -> Result<Option<Row<BalanceRow>>> {
    tx.first(BalanceRow::by_key.eq(name).eq(key.map(str::to_owned)))
}

/// Rounds a time up to the grain at which rows are forgotten.
pub(crate) fn coarse(time: Time) -> Time {
    let over = time.millis().rem_euclid(GRAIN_MS);
    if over == 0 { time } else { time + Duration::from_millis(over.abs_diff(GRAIN_MS)) }
}

/// The id of a hold.
pub type HoldId = Id<HoldRow>;

/// Where a hold stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldState {
    /// What it holds is kept for its owner.
    Open,
    /// What was really used has been booked.
    Settled,
    /// All of it was given back.
    Released,
    /// Its term was over, and all of it was given back.
    Expired,
}

/// A hold, from its placing until it is forgotten a day after its end.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "holds", id = "hold")]
#[index(expiring(expires), when = HoldRow::is_open)]
#[index(ended(forget), when = HoldRow::has_ended)]
pub struct HoldRow {
    pub(crate) state: HoldState,
    pub(crate) lines: Vec<HoldLine>,
    pub(crate) expires: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) forget: Option<Time>,
}

impl HoldRow {
    pub(crate) fn is_open(&self) -> bool {
        self.state == HoldState::Open
    }

    fn has_ended(&self) -> bool {
        !self.is_open()
    }

    /// Returns where it stands.
    pub fn state(&self) -> HoldState {
        self.state
    }

    /// Returns when it ends by itself.
    pub fn expires(&self) -> Time {
        self.expires
    }

    /// Returns what it was placed on, line by line.
    pub fn lines(&self) -> &[HoldLine] {
        &self.lines
    }
}

/// One thing that a hold keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "of")]
pub enum HoldLine {
    /// Tokens of a limit.
    Limit {
        /// The limit's name.
        name: String,
        /// The key, or `None` for the share without one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The rules under which they were taken.
        rules: Rules,
        /// How many were put on hold.
        amount: u64,
    },
    /// An amount of an account.
    Account {
        /// The account.
        account: String,
        /// How much of it was put on hold.
        amount: u64,
    },
}

impl HoldLine {
    /// Returns how much was put on hold.
    pub fn amount(&self) -> u64 {
        match self {
            Self::Limit { amount, .. } | Self::Account { amount, .. } => *amount,
        }
    }
}

/// What an account has on hold in all; no row is nothing.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "held_accounts", id = "held")]
#[index(unique by_account(account))]
pub(crate) struct HeldRow {
    pub(crate) account: String,
    pub(crate) amount: u64,
}
