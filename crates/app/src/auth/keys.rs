//! API keys: random, shown once, kept as digests.
//!
//! A key looks like `lw_ab3kd9xq_` and 32 more letters: the first part finds it, the second proves it. A key that is
//! rotated has two secrets for as long as the old one may still be used.

use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use loomwork_core::{Fault, Kind, Random, Secret, Time};
use loomwork_store::{Id, Page, Paged, Result, Row, Table, TableDef, Tx};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Caller, Scope};

/// How every key begins, so that a scanner of leaked secrets knows one.
pub(super) const KEY_START: &str = "lw_";

/// How many random bytes find a key.
const FINDING_BYTES: usize = 5;

/// How many random bytes prove it.
const PROVING_BYTES: usize = 20;

/// The longest name of a key, in bytes.
pub const MAX_KEY_NAME_BYTES: usize = 200;

/// The longest that a secret goes on being accepted after its key was rotated.
pub const MAX_OVERLAP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How exact a key's last use is: it is written no more often than this.
pub const LAST_USE_GRAIN: Duration = Duration::from_secs(60);

/// The tables of keys.
pub(crate) fn tables() -> [TableDef; 4] {
    [KeyRow::table(), SecretRow::table(), UseRow::table(), KeyEventRow::table()]
}

/// The id of a key.
pub type KeyId = Id<KeyRow>;

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "api_keys", id = "key")]
#[index(by_created(created))]
pub struct KeyRow {
    /// What it is for.
    pub name: String,
    /// How it begins: enough to know it by, and not to use it.
    pub start: String,
    /// Whose it is; a key of nobody's is a program's, which acts for whom it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What it may do.
    pub scope: Scope,
    /// When it was made.
    pub created: Time,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Time>,
}

impl KeyRow {
    /// Whether it is accepted at a time.
    pub fn is_open(&self, now: Time) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|end| now < end)
    }
}

/// A secret that a key is proved by.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "api_key_secrets", id = "keysecret")]
#[index(unique by_finding(finding))]
#[index(by_key(key))]
struct SecretRow {
    key: KeyId,
    finding: String,
    /// The SHA-256 of the whole key. It has 160 random bits, so nothing slower is needed.
    digest: String,
    /// When it is no longer accepted, its key having been rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Time>,
}

/// When a key was last used. It stands in a row of its own, so that what is followed by the key does not wake for it.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "api_key_uses", id = "keyuse")]
#[index(unique by_key(key))]
struct UseRow {
    key: KeyId,
    at: Time,
}

/// What was done to a key, by whom and when. Events outlive nothing and are never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[table(name = "api_key_events", id = "keyevent")]
#[index(by_key(key, at))]
#[index(by_time(at))]
pub struct KeyEventRow {
    /// The key.
    pub key: KeyId,
    /// What was done.
    pub did: KeyEvent,
    /// Who did it: the name of a caller.
    pub by: String,
    /// When.
    pub at: Time,
}

/// What can be done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyEvent {
    /// It was made.
    Created,
    /// It got another secret.
    Rotated,
    /// It was ended.
    Revoked,
}

/// A key to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// What it is for.
    pub name: String,
    /// Whose it is, or `None` for a program's.
    pub user: Option<String>,
    /// What it may do.
    pub scope: Scope,
    /// How long it is good for; `None` is until it is revoked.
    pub term: Option<Duration>,
}

/// A secret that nobody has yet. It is drawn before the mutation that keeps it, which may run twice.
#[derive(Clone, Debug)]
pub struct Drawn(Secret);

impl Drawn {
    /// Draws one.
    pub fn new(random: &Random) -> Self {
        let mut bytes = [0; FINDING_BYTES + PROVING_BYTES];
        random.fill(&mut bytes);
        let (finding, proving) = bytes.split_at(FINDING_BYTES);
        let text = |bytes| BASE32_NOPAD.encode(bytes).to_lowercase();
        Self(Secret::from(format!("{KEY_START}{}_{}", text(finding), text(proving))))
    }

    /// Returns the key: the only time that it is seen.
    pub fn into_key(self) -> Secret {
        self.0
    }

    fn row(&self, key: KeyId) -> SecretRow {
        let text = self.0.expose();
        SecretRow {
            key,
            finding: finding(text).unwrap_or_default().to_owned(),
            digest: digest(text),
            until: None,
        }
    }

    fn start(&self) -> String {
        let text = self.0.expose();
        finding(text).map(|finding| format!("{KEY_START}{finding}")).unwrap_or_default()
    }
}

/// Returns the part of a key that finds it; `None` for what is no key of ours.
fn finding(key: &str) -> Option<&str> {
    key.strip_prefix(KEY_START)?.split_once('_').map(|(finding, _)| finding)
}

/// Whether a text has the form of a key, so that it need not be tried as anything else.
pub(super) fn is_formed(key: &str) -> bool {
    finding(key).is_some()
}

fn digest(key: &str) -> String {
    BASE32_NOPAD.encode(&Sha256::digest(key)).to_lowercase()
}

/// Makes a key. `by` is who makes it; whoever ends makes none that goes on behind them.
///
/// # Errors
/// [`Error::Name`] and [`Error::Term`] for what cannot be; [`Error::Outlives`].
pub fn create(tx: &mut Tx, by: &Caller, new: NewKey, drawn: &Drawn) -> Result<Row<KeyRow>> {
    let NewKey { name, user, scope, term } = new;
    let trimmed = name.trim();
    if trimmed.is_empty() || trimmed.len() > MAX_KEY_NAME_BYTES {
        return Err(Error::Name { bytes: trimmed.len() }.into());
    }
    if term.is_some_and(|term| term.is_zero()) {
        return Err(Error::Term.into());
    }
    let now = tx.now();
    let expires = term.map(|term| now + term);
    require_no_longer(by, expires)?;
    let row = KeyRow {
        name: trimmed.to_owned(),
        start: drawn.start(),
        user,
        scope,
        created: now,
        expires,
        revoked: None,
    };
    let row = tx.insert(row)?;
    tx.insert(drawn.row(row.id))?;
    note(tx, row.id, KeyEvent::Created, by)?;
    Ok(row)
}

/// Gives a key another secret; the one before is accepted for `overlap` longer.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Ended`] for a key that was revoked or is over; [`Error::Overlap`];
/// [`Error::Outlives`], since whoever has the new secret has the key.
pub fn rotate(tx: &mut Tx, by: &Caller, key: KeyId, overlap: Duration, drawn: &Drawn) -> Result<Row<KeyRow>> {
    if overlap > MAX_OVERLAP {
        return Err(Error::Overlap.into());
    }
    let now = tx.now();
    let row = require(tx, key)?;
    if !row.is_open(now) {
        return Err(Error::Ended { name: row.record.name }.into());
    }
    require_no_longer(by, row.expires)?;
    let until = now + overlap;
    for secret in tx.scan(SecretRow::by_key.eq(key))? {
        if secret.until.is_some_and(|end| end <= now) || overlap.is_zero() {
            tx.delete(secret.id)?;
        } else {
            tx.update(secret.id, |secret| {
                secret.until = Some(secret.until.map_or(until, |end| end.min(until)));
            })?;
        }
    }
    tx.insert(drawn.row(key))?;
    note(tx, key, KeyEvent::Rotated, by)?;
    tx.update(key, |row| row.start = drawn.start())
}

/// Refuses to give whoever ends a key that goes on.
fn require_no_longer(by: &Caller, expires: Option<Time>) -> Result<(), Error> {
    match by.ends() {
        Some(ends) if expires.is_none_or(|expires| expires > ends) => Err(Error::Outlives { ends }),
        _ => Ok(()),
    }
}

/// Ends a key at once: what is open by it ends too. Says whether it was open.
///
/// # Errors
/// [`Error::NotFound`].
pub fn revoke(tx: &mut Tx, by: &Caller, key: KeyId) -> Result<bool> {
    let row = require(tx, key)?;
    if row.revoked.is_some() {
        return Ok(false);
    }
    let now = tx.now();
    tx.update(key, |row| row.revoked = Some(now))?;
    for secret in tx.scan(SecretRow::by_key.eq(key))? {
        tx.delete(secret.id)?;
    }
    note(tx, key, KeyEvent::Revoked, by)?;
    Ok(true)
}

/// Returns a key.
///
/// # Errors
/// [`Error::NotFound`].
pub fn require(tx: &Tx, key: KeyId) -> Result<Row<KeyRow>> {
    tx.get(key)?.ok_or_else(|| Error::NotFound { key }.into())
}

/// Returns a page of the keys, the newest first.
///
/// # Errors
/// When the store cannot be read, or the page belongs to another query.
pub fn list(tx: &Tx, page: Page) -> Result<Paged<KeyRow>> {
    tx.page(KeyRow::by_created.all().desc(), page)
}

/// Returns a page of what was done to a key, or to all, the latest first.
///
/// # Errors
/// When the store cannot be read, or the page belongs to another query.
pub fn events(tx: &Tx, key: Option<KeyId>, page: Page) -> Result<Paged<KeyEventRow>> {
    match key {
        Some(key) => tx.page(KeyEventRow::by_key.eq(key).desc(), page),
        None => tx.page(KeyEventRow::by_time.all().desc(), page),
    }
}

/// Whether there is a key that is accepted now.
pub(crate) fn are_there(tx: &Tx) -> Result<bool> {
    let now = tx.now();
    let mut page = Page::first(100);
    loop {
        let found = list(tx, page)?;
        if found.rows.iter().any(|key| key.is_open(now)) {
            return Ok(true);
        }
        match found.next {
            Some(next) => page = Page { size: 100, after: Some(next) },
            None => return Ok(false),
        }
    }
}

/// What a caller came in by: a key, and the secret that proved it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    key: KeyId,
    secret: Id<SecretRow>,
}

/// A key that was proved.
pub(super) struct Proven {
    pub(super) proof: Proof,
    pub(super) key: Row<KeyRow>,
    /// When it, or what proved it, ends by itself.
    pub(super) ends: Option<Time>,
}

/// Returns the key that a text proves, if it is accepted now.
pub(super) fn prove(tx: &Tx, text: &str) -> Result<Option<Proven>> {
    let Some(finding) = finding(text) else { return Ok(None) };
    let Some(secret) = tx.first(SecretRow::by_finding.eq(finding))? else { return Ok(None) };
    let now = tx.now();
    if !bool::from(digest(text).as_bytes().ct_eq(secret.digest.as_bytes()))
        || secret.until.is_some_and(|end| end <= now)
    {
        return Ok(None);
    }
    let Some(key) = tx.get(secret.key)?.filter(|key| key.is_open(now)) else { return Ok(None) };
    let ends = [key.expires, secret.until].into_iter().flatten().min();
    Ok(Some(Proven { proof: Proof { key: key.id, secret: secret.id }, key, ends }))
}

/// Returns when a key was last used, to [`LAST_USE_GRAIN`].
///
/// # Errors
/// When the store cannot be read.
pub fn last_used(tx: &Tx, key: KeyId) -> Result<Option<Time>> {
    Ok(tx.first(UseRow::by_key.eq(key))?.map(|row| row.at))
}

/// Whether a key's last use is to be written.
pub(super) fn is_use_due(tx: &Tx, key: KeyId, now: Time) -> Result<bool> {
    Ok(last_used(tx, key)?.is_none_or(|last| now >= last + LAST_USE_GRAIN || now < last))
}

/// Writes that a key was used.
pub(super) fn used(tx: &mut Tx, key: KeyId) -> Result<()> {
    let at = tx.now();
    if !is_use_due(tx, key, at)? {
        return Ok(());
    }
    match tx.first(UseRow::by_key.eq(key))? {
        Some(row) => tx.update(row.id, |row| row.at = at).map(drop),
        None => tx.insert(UseRow { key, at }).map(drop),
    }
}

/// Refuses a caller whose key, or what proved it, has ended since.
pub(super) fn require_open(tx: &Tx, Proof { key, secret }: Proof) -> Result<()> {
    let row = require(tx, key)?;
    let now = tx.now();
    let is_proved = tx.get(secret)?.is_some_and(|secret| secret.until.is_none_or(|end| now < end));
    if is_proved && row.is_open(now) { Ok(()) } else { Err(Error::Ended { name: row.record.name }.into()) }
}

fn note(tx: &mut Tx, key: KeyId, did: KeyEvent, by: &Caller) -> Result<()> {
    let event = KeyEventRow { key, did, by: by.name().to_owned(), at: tx.now() };
    tx.insert(event).map(drop)
}

/// Why a key is not made, changed or accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that says nothing, or too much.
    #[error(
        "a key's name has 1 to {MAX_KEY_NAME_BYTES} bytes, and this has {bytes}; say what the key is for"
    )]
    Name {
        /// How long it is.
        bytes: usize,
    },
    /// A term of nothing.
    #[error("a key that ends at once is none; give it a longer term, or none at all")]
    Term,
    /// A key that would go on when whoever asks for it has ended: a stolen token would last for ever.
    #[error(
        "the caller is good until {ends} and makes no key that goes on behind that; give a shorter term, or ask by a \
         key without an end"
    )]
    Outlives {
        /// When the caller ends.
        ends: Time,
    },
    /// An overlap that is too long.
    #[error("the old secret is accepted for {} days at most; name a shorter overlap", MAX_OVERLAP.as_secs() / 86_400)]
    Overlap,
    /// A key that there is not.
    #[error("there is no key {key}; `keys list` shows those that there are")]
    NotFound {
        /// Its id.
        key: KeyId,
    },
    /// A key that was revoked, is over, or was rotated.
    #[error("the key {name:?} has ended, or has another secret; come with that, or with another key")]
    Ended {
        /// Its name.
        name: String,
    },
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Name { .. } | Self::Term | Self::Overlap => Kind::Invalid,
            Self::NotFound { .. } => Kind::NotFound,
            Self::Ended { .. } | Self::Outlives { .. } => Kind::Denied,
        }
    }
}
