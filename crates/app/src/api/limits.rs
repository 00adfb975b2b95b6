//! Limits: how they stand for a client, live.

use loomwork_core::Kind;
use loomwork_rate_limiter::{Status, status};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::agents::Nothing;
use super::operation::{Group, Reading};
use super::shapes::{Shown, shapes};
use crate::auth::{Need, Scope};
use crate::error::{Error, Result};

pub(super) fn operations() -> Group {
    Group::new("limits")
        .get("list", "/api/limits", Scope::Read, "Lists the limits that clients may look at.", list)
        .get(
            "get",
            "/api/limits/{limit}",
            Scope::Read,
            "Returns how a limit stands for a user, with what a client needs to go on from there by itself.",
            get,
        )
        .get(
            "now",
            "/api/now",
            Scope::Read,
            "Returns the server's time, for clients whose clocks are off.",
            now,
        )
}

/// A limit.
#[derive(Serialize, JsonSchema)]
struct LimitView {
    /// Its name.
    name: String,
}

fn list(reading: &Reading<'_>, _: &Nothing) -> Result<Vec<LimitView>> {
    reading.allow(Need::Scope(Scope::Read))?;
    let names = reading.limits.keys();
    Ok(names.map(|name| LimitView { name: name.clone() }).collect())
}

shapes! {
    /// How a limit stands.
    StatusShape = "LimitStatus" {
        /// Whether the amount would be granted now.
        ok: bool,
        /// When it will be, in milliseconds since 1970; `null` beside a refusal is never.
        retry_at: Option<i64>,
        /// How many tokens there are; negative while tokens are owed.
        value: i64,
        /// What the values to come follow from.
        snapshot: Map<String, Value>,
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneLimit {
    /// The limit's name.
    limit: String,
    /// Whose share; by default the caller's, or, for a program, the one that all have together.
    user: Option<String>,
    /// The amount that is asked about; 1 by default.
    amount: Option<u64>,
}

fn get(reading: &Reading<'_>, args: &OneLimit) -> Result<Shown<Status, StatusShape>> {
    let limit = reading.limits.get(&args.limit).ok_or_else(|| {
        let message = format!("there is no limit {:?} that clients may look at", args.limit);
        Error::new(Kind::NotFound, message).about("limit")
    })?;
    let user = reading.user_or_own(args.user.as_deref())?;
    let amount = args.amount.unwrap_or(1);
    let now = match user {
        Some(user) => status(reading.tx, limit, user, amount)?,
        None => status(reading.tx, limit, &(), amount)?,
    };
    Ok(Shown::new(now))
}

/// The server's time.
#[derive(Serialize, JsonSchema)]
struct Now {
    /// Milliseconds since 1970.
    now: i64,
}

fn now(reading: &Reading<'_>, _: &Nothing) -> Result<Now> {
    reading.allow(Need::Scope(Scope::Read))?;
    Ok(Now { now: reading.tx.now().millis() })
}
