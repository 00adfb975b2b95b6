//! API keys: making them, and what became of them.

use std::time::Duration;

use loomwork_core::Time;
use loomwork_store::{Row, Tx};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::operation::{Answer, Call, Group, Method, Reading};
use super::page::{List, page};
use super::shapes::{Shown, shapes};
use crate::auth::keys::{self, Drawn, KeyEvent, KeyEventRow, KeyId, KeyRow, NewKey};
use crate::auth::{Need, Scope, allow};
use crate::error::Result;

pub(super) fn operations() -> Group {
    Group::new("keys")
        .get("list", "/api/keys", Scope::Manage, "Lists the API keys, the newest first.", list)
        .act(
            "create",
            (Method::Post, "/api/keys"),
            Scope::Manage,
            "Makes an API key. The answer is the only place where it is seen.",
            create,
        )
        .secret()
        .get(
            "events",
            "/api/keys/events",
            Scope::Manage,
            "Lists what was done to keys, the latest first.",
            events,
        )
        .get("get", "/api/keys/{key}", Scope::Manage, "Returns a key, without its secret.", get)
        .act(
            "rotate",
            (Method::Post, "/api/keys/{key}/rotate"),
            Scope::Manage,
            "Gives a key another secret; the one before is accepted for as long as is said.",
            rotate,
        )
        .secret()
        .act(
            "revoke",
            (Method::Post, "/api/keys/{key}/revoke"),
            Scope::Manage,
            "Ends a key at once, and all that is followed by it.",
            revoke,
        )
}

shapes! {
    /// A key, without its secret.
    KeyShape = "Key" {
        /// Its id.
        id: String,
        /// What it is for.
        name: String,
        /// How it begins.
        start: String,
        /// Whose it is; absent for a program's.
        user: Option<String>,
        /// What it may do.
        scope: Scope,
        /// When it was made, in milliseconds since 1970.
        created: i64,
        /// When it ends by itself.
        expires: Option<i64>,
        /// When it was last used, to the minute.
        last_used: Option<i64>,
        /// When it was revoked.
        revoked: Option<i64>,
    }
    /// Something that was done to a key.
    KeyEventShape = "KeyEvent" {
        /// The event's id.
        id: String,
        /// The key.
        key: String,
        /// What was done.
        did: KeyEvent,
        /// Who did it.
        by: String,
        /// When, in milliseconds since 1970.
        at: i64,
    }
}

/// A key as it is shown: its row, and when it was last used.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UsedKey {
    #[serde(flatten)]
    row: Row<KeyRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used: Option<Time>,
}

type KeyView = Shown<UsedKey, KeyShape>;

fn view(tx: &Tx, row: Row<KeyRow>) -> Result<KeyView> {
    let last_used = keys::last_used(tx, row.id)?;
    Ok(Shown::new(UsedKey { row, last_used }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListKeys {
    /// How many; 20 by default, 200 at most.
    limit: Option<usize>,
    /// Where the page begins: `next` of the page before.
    after: Option<String>,
}

fn list(reading: &Reading<'_>, args: &ListKeys) -> Result<List<KeyView>> {
    reading.allow(Need::Scope(Scope::Manage))?;
    let found = keys::list(reading.tx, page(args.limit, args.after.as_deref())?)?;
    let views = found.rows.into_iter().map(|row| view(reading.tx, row)).collect::<Result<_>>()?;
    Ok(List::new(views, found.next))
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneKey {
    /// The key's id.
    #[schemars(with = "String")]
    key: KeyId,
}

fn get(reading: &Reading<'_>, args: &OneKey) -> Result<KeyView> {
    reading.allow(Need::Scope(Scope::Manage))?;
    view(reading.tx, keys::require(reading.tx, args.key)?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListEvents {
    /// One key's events; by default those of all.
    #[schemars(with = "Option<String>")]
    key: Option<KeyId>,
    /// How many; 20 by default, 200 at most.
    limit: Option<usize>,
    /// Where the page begins: `next` of the page before.
    after: Option<String>,
}

fn events(reading: &Reading<'_>, args: &ListEvents) -> Result<List<Shown<Row<KeyEventRow>, KeyEventShape>>> {
    reading.allow(Need::Scope(Scope::Manage))?;
    let found = keys::events(reading.tx, args.key, page(args.limit, args.after.as_deref())?)?;
    Ok(List::new(found.rows.into_iter().map(Shown::new).collect(), found.next))
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateKey {
    /// What it is for.
    name: String,
    /// Whose it is: it sees what is theirs. By default a program's, which acts for whom it names.
    user: Option<String>,
    /// What it may do.
    scope: Scope,
    /// How long it is good for, in milliseconds; by default until it is revoked.
    term: Option<u64>,
}

/// A key and its secret.
#[derive(Serialize, JsonSchema)]
struct Secretly {
    /// The key itself, which is not seen again.
    secret: String,
    /// What is kept of it.
    key: KeyView,
}

async fn create(call: Call, args: CreateKey) -> Result<Answer<Secretly>> {
    let drawn = Drawn::new(&call.app.inner().random);
    call.mutate(move |tx, caller| {
        allow(tx, caller, Need::Scope(Scope::Manage))?;
        let CreateKey { name, user, scope, term } = args;
        let new = NewKey { name, user, scope, term: term.map(Duration::from_millis) };
        let row = keys::create(tx, caller, new, &drawn)?;
        let key = view(tx, row)?;
        Ok(Secretly { secret: drawn.into_key().expose().to_owned(), key })
    })
    .await
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RotateKey {
    /// The key's id.
    #[schemars(with = "String")]
    key: KeyId,
    /// How long the secret before is still accepted, in milliseconds; not at all by default.
    #[serde(default)]
    overlap: u64,
}

async fn rotate(call: Call, args: RotateKey) -> Result<Answer<Secretly>> {
    let drawn = Drawn::new(&call.app.inner().random);
    call.mutate(move |tx, caller| {
        allow(tx, caller, Need::Scope(Scope::Manage))?;
        let overlap = Duration::from_millis(args.overlap);
        let row = keys::rotate(tx, caller, args.key, overlap, &drawn)?;
        let key = view(tx, row)?;
        Ok(Secretly { secret: drawn.into_key().expose().to_owned(), key })
    })
    .await
}

/// Whether there was something to end.
#[derive(Serialize, JsonSchema)]
struct Revoked {
    /// Whether it was not revoked before.
    revoked: bool,
}

async fn revoke(call: Call, args: OneKey) -> Result<Answer<Revoked>> {
    call.mutate(move |tx, caller| {
        allow(tx, caller, Need::Scope(Scope::Manage))?;
        Ok(Revoked { revoked: keys::revoke(tx, caller, args.key)? })
    })
    .await
}
