//! Tokens that somebody else issues to end users: JSON Web Tokens, checked against a set of keys or a shared secret.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation, decode, decode_header};
use loomwork_core::{Clock, Secret, Tasks, Time};
use reqwest::redirect::Policy;
use serde_json::{Map, Value};

use super::{Caller, Scope};

/// How long a set of keys is used before it is read again.
pub const KEYS_FRESH: Duration = Duration::from_secs(60 * 60);

/// How soon a set of keys is read again for a key that is not in it, or after it could not be read.
pub const KEYS_AGAIN: Duration = Duration::from_secs(60);

/// How long a set of keys is used while it cannot be read again.
pub const KEYS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a server may take to answer with its keys.
const FETCH_PATIENCE: Duration = Duration::from_secs(10);

/// The most bytes of a set of keys.
pub const MAX_KEY_SET_BYTES: usize = 1 << 20;

/// The longest name of a user that a token may give, in bytes.
const MAX_USER_BYTES: usize = 256;

/// What tokens are accepted, and who they make of a request. New fields may come, so begin with [`JwtOptions::new`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JwtOptions {
    /// What they are checked against.
    pub keys: JwtKeys,
    /// Who must have issued them, the claim `iss`.
    pub issuer: String,
    /// For whom they must be, the claim `aud`; `None` takes those for anybody, also of other services of the issuer.
    pub audience: Option<String>,
    /// The claim that names the user. Default: `sub`.
    pub user_claim: String,
    /// What stands before the name of each user: `acme:` makes `ada` the user `acme:ada`. Where tokens of several
    /// issuers are taken, all but one have one, so that nobody is another issuer's user. Default: nothing.
    pub user_prefix: String,
    /// What users may do. Default: [`Scope::Chat`].
    pub scope: Scope,
    /// The claim that says for single users what they may do: `read`, `chat` or `manage`. Default: none.
    pub scope_claim: Option<String>,
    /// How far the issuer's clock may be off. Default: a minute.
    pub leeway: Duration,
}

impl JwtOptions {
    /// Accepts the tokens of an issuer.
    pub fn new(keys: JwtKeys, issuer: impl Into<String>, audience: impl Into<Option<String>>) -> Self {
        Self {
            keys,
            issuer: issuer.into(),
            audience: audience.into(),
            user_claim: "sub".to_owned(),
            user_prefix: String::new(),
            scope: Scope::Chat,
            scope_claim: None,
            leeway: Duration::from_secs(60),
        }
    }
}

/// What tokens are checked against.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum JwtKeys {
    /// A set of public keys at an address: `https://example.com/.well-known/jwks.json`.
    Url(String),
    /// A set of public keys in a file.
    File(PathBuf),
    /// A secret that the issuer shares with this app: tokens are signed by HS256, HS384 or HS512.
    Shared(Secret),
}

/// Why a token makes nobody of a request; the texts are for people.
#[derive(Debug)]
pub(super) enum NotAccepted {
    /// It is none, or was made by somebody else.
    Wrong(String),
    /// It was right once.
    Over,
    /// Whether it is right cannot be said now.
    NoKeys(String),
}

impl From<String> for NotAccepted {
    fn from(why: String) -> Self {
        Self::Wrong(why)
    }
}

/// Checks tokens.
pub(crate) struct Jwt {
    options: JwtOptions,
    /// The prefixes of all issuers' users.
    prefixes: Arc<[String]>,
    clock: Clock,
    tasks: Tasks,
    known: Arc<Known>,
}

/// The keys of an issuer, as this process knows them.
#[derive(Default)]
struct Known {
    keys: Mutex<KnownKeys>,
    /// Held by the task that reads them, so that one does.
    reading: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone, Default)]
struct KnownKeys {
    set: Option<Arc<JwkSet>>,
    /// When they were last read.
    read: Option<Time>,
    /// When that was last tried.
    tried: Option<Time>,
}

impl Known {
    fn now(&self) -> KnownKeys {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Jwt {
    pub(crate) fn new(options: JwtOptions, prefixes: Arc<[String]>, clock: Clock, tasks: Tasks) -> Self {
        Self { options, prefixes, clock, tasks, known: Arc::default() }
    }

    /// Says who a token is from, and until when.
    pub(super) async fn identify(&self, token: &str) -> Result<Caller, NotAccepted> {
        let header = decode_header(token).map_err(|error| format!("it is no token: {error}"))?;
        if header.crit.is_some() {
            return Err("it demands extensions that are not known here".to_owned().into());
        }
        // Only what says that it is of this issuer has its keys read.
        if let Some(issuer) = said_issuer(token)
            && issuer != self.options.issuer
        {
            return Err(format!("its issuer is {issuer:?}, whose tokens are not taken").into());
        }
        let key = match &self.options.keys {
            JwtKeys::Shared(secret) => DecodingKey::from_secret(secret.expose().as_bytes()),
            JwtKeys::Url(_) | JwtKeys::File(_) => self.key(header.kid.as_deref(), header.alg).await?,
        };
        let is_shared = matches!(self.options.keys, JwtKeys::Shared(_));
        if key.family() != header.alg.family() || (header.alg.family() == AlgorithmFamily::Hmac) != is_shared
        {
            return Err(format!("it is signed by {:?}, which its key is not for", header.alg).into());
        }
        let claims = decode::<Map<String, Value>>(token, &key, &self.validation(header.alg))
            .map_err(|error| error.to_string())?
            .claims;
        let ends = self.check_times(&claims)?;
        Ok(self.caller(&claims, ends)?)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        // Times are compared with the app's clock, below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.set_issuer(&[&self.options.issuer]);
        match &self.options.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                validation.set_required_spec_claims(&["exp", "iss", "aud"]);
            }
            None => {
                validation.validate_aud = false;
                validation.set_required_spec_claims(&["exp", "iss"]);
            }
        }
        validation
    }

    fn check_times(&self, claims: &Map<String, Value>) -> Result<Time, NotAccepted> {
        let (now, leeway) = (self.clock.now(), self.options.leeway);
        let of = |name: &str| claims.get(name).map(|value| seconds(name, value)).transpose();
        let Some(ends) = of("exp")? else {
            return Err("it has no end; give it a claim `exp`".to_owned().into());
        };
        if ends + leeway <= now {
            return Err(NotAccepted::Over);
        }
        if of("nbf")?.is_some_and(|begins| begins > now + leeway) {
            return Err("it is not good yet".to_owned().into());
        }
        Ok(ends + leeway)
    }

    fn caller(&self, claims: &Map<String, Value>, ends: Time) -> Result<Caller, String> {
        let JwtOptions { user_claim, user_prefix, scope, scope_claim, .. } = &self.options;
        let user = claims.get(user_claim).and_then(Value::as_str).filter(|user| !user.trim().is_empty());
        let Some(user) = user.filter(|user| user.len() <= MAX_USER_BYTES) else {
            return Err(format!("its claim `{user_claim}` names no user"));
        };
        let scope = match scope_claim.as_ref().and_then(|name| claims.get(name)) {
            None => *scope,
            Some(said) => serde_json::from_value(said.clone())
                .map_err(|_| format!("it gives the scope {said}; there are `read`, `chat` and `manage`"))?,
        };
        let user = format!("{user_prefix}{user}");
        let is_of_another = |prefix: &String| prefix != user_prefix && user.starts_with(prefix.as_str());
        if self.prefixes.iter().any(is_of_another) {
            return Err(format!("its user {user:?} would be one of another issuer"));
        }
        Ok(Caller::user(user, scope).until(ends))
    }

    /// Returns the key of a name; the set is read again for one that is not in it, since issuers change theirs.
    async fn key(&self, name: Option<&str>, algorithm: Algorithm) -> Result<DecodingKey, NotAccepted> {
        let found = |known: &KnownKeys| match &known.set {
            Some(set) => Ok(find(set, name, algorithm).map(DecodingKey::from_jwk)?),
            None => Err(NotAccepted::NoKeys("the keys of their issuer could not be read".to_owned())),
        };
        let known = self.known.now();
        let key = match found(&known) {
            Ok(key) if !self.is_past(known.read, KEYS_FRESH) => key,
            // One request at a time waits for the issuer; the others go by what is known.
            Ok(key) if self.known.reading.try_lock().is_err() => key,
            _ => {
                self.read_again().await;
                found(&self.known.now())?
            }
        };
        key.map_err(|error| format!("its key cannot be used: {error}").into())
    }

    /// Whether something was so long ago. A clock that was set back must not keep old keys.
    fn is_past(&self, then: Option<Time>, wait: Duration) -> bool {
        let now = self.clock.now();
        then.is_none_or(|then| now >= then + wait || now < then)
    }

    /// Reads the keys again, unless that was tried just now. It is done by a task: whoever asks may go away.
    async fn read_again(&self) {
        let reading = self.known.reading.clone().lock_owned().await;
        if !self.is_past(self.known.now().tried, KEYS_AGAIN) {
            return;
        }
        let (keys, clock, known) = (self.options.keys.clone(), self.clock.clone(), self.known.clone());
        let (done, waiting) = tokio::sync::oneshot::channel::<()>();
        self.tasks.spawn("keys of tokens", |ending| async move {
            let _held = (reading, done);
            let read = tokio::select! {
                read = read_keys(&keys) => read,
                () = ending.requested() => return,
            };
            let now = clock.now();
            let mut known = known.keys.lock().unwrap_or_else(PoisonError::into_inner);
            known.tried = Some(now);
            match read {
                Ok(set) => (known.set, known.read) = (Some(Arc::new(set)), Some(now)),
                Err(error) => {
                    // Keys that were right a while ago are better than refusing everybody, but not for ever.
                    if known.read.is_some_and(|read| now >= read + KEYS_KEPT) {
                        known.set = None;
                    }
                    tracing::warn!(%error, "the keys of tokens could not be read");
                }
            }
        });
        // The task drops its end when it is through.
        let _ = waiting.await;
    }
}

async fn read_keys(keys: &JwtKeys) -> Result<JwkSet, String> {
    let bytes = match keys {
        JwtKeys::Url(url) => fetch(url).await.map_err(|error| format!("{url}: {error}"))?,
        JwtKeys::File(path) => {
            tokio::fs::read(path).await.map_err(|error| format!("{}: {error}", path.display()))?
        }
        JwtKeys::Shared(_) => return Ok(JwkSet { keys: Vec::new() }),
    };
    serde_json::from_slice(&bytes).map_err(|error| format!("it is no set of keys: {error}"))
}

async fn fetch(url: &str) -> Result<Vec<u8>, String> {
    // A redirect would let another address say which keys are right.
    let client = reqwest::Client::builder().redirect(Policy::none()).timeout(FETCH_PATIENCE).build();
    let client = client.map_err(|error| error.to_string())?;
    let mut answer = client.get(url).send().await.map_err(|error| error.to_string())?;
    if !answer.status().is_success() {
        return Err(format!("it answers {}; give the address that has the keys itself", answer.status()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| error.to_string())? {
        if bytes.len() + chunk.len() > MAX_KEY_SET_BYTES {
            return Err(format!("it has more than {MAX_KEY_SET_BYTES} bytes"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Returns the key of a name for an algorithm; a token without one is taken where there is one key alone.
fn find<'a>(set: &'a JwkSet, name: Option<&str>, algorithm: Algorithm) -> Result<&'a Jwk, String> {
    let mut fitting = set.keys.iter().filter(|key| is_for(key, algorithm));
    match name {
        Some(name) => fitting
            .find(|key| key.common.key_id.as_deref() == Some(name))
            .ok_or_else(|| format!("its issuer has no key {name:?} for {algorithm:?}")),
        None => match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (None, _) => Err(format!("its issuer has no key for {algorithm:?}")),
            (Some(_), Some(_)) => {
                Err("it does not say by which of its issuer's keys it is signed".to_owned())
            }
        },
    }
}

/// Whether a key of a set may have signed by an algorithm. Shared secrets have no place in a public set.
fn is_for(key: &Jwk, algorithm: Algorithm) -> bool {
    let is_shared = matches!(key.algorithm, AlgorithmParameters::OctetKey(_));
    let is_to_sign = !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
    let says = key.common.key_algorithm.map(|says| says.to_string());
    !is_shared && is_to_sign && says.is_none_or(|says| says == format!("{algorithm:?}"))
}

/// Returns the issuer that a token names, before anything of it was checked.
fn said_issuer(token: &str) -> Option<String> {
    let claims = BASE64URL_NOPAD.decode(token.split('.').nth(1)?.as_bytes()).ok()?;
    let claims: Map<String, Value> = serde_json::from_slice(&claims).ok()?;
    claims.get("iss")?.as_str().map(str::to_owned)
}

/// Reads a time of a token: seconds since 1970, maybe with a part of one.
fn seconds(name: &str, value: &Value) -> Result<Time, String> {
    let seconds = value.as_f64().filter(|seconds| seconds.is_finite() && seconds.abs() < 1e12);
    let seconds = seconds.ok_or_else(|| format!("its claim `{name}` is no time"))?;
    Ok(Time::from_millis((seconds * 1_000.0) as i64))
}
