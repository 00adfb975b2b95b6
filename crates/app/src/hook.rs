//! Hooks: signed requests of other services, each of which becomes a job, once.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit as _, Mac as _};
use loomwork_core::{Kind, Secret, Time};
use loomwork_store::{Result as StoreResult, Tx};
use loomwork_workpool::{Job, Options, enqueue};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::app::App;
use crate::error::{Error, Result};
use crate::http::{RequestId, respond, whole};
use crate::idempotency;

/// How far the time of a signature may be from ours, where the service signs a time.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// What a hook was told: the argument of its job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hooked {
    /// The hook's name.
    pub hook: String,
    /// What names the delivery: a second one of this id does nothing.
    pub delivery: String,
    /// When it came.
    pub received: Time,
    /// What was sent.
    pub body: String,
}

impl Hooked {
    /// Reads what was sent, as JSON.
    ///
    /// # Errors
    /// `invalid` when it is no `T`.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> StoreResult<T> {
        serde_json::from_str(&self.body).map_err(|error| {
            let message = format!("hook {:?} was sent something else than its job reads: {error}", self.hook);
            loomwork_store::Error::message(Kind::Invalid, message)
        })
    }
}

type Enqueue = dyn Fn(&mut Tx, Hooked) -> StoreResult<()> + Send + Sync;

/// A hook.
pub(crate) struct Hook {
    pub(crate) name: String,
    secret: Secret,
    enqueue: Box<Enqueue>,
}

impl Hook {
    pub(crate) fn new<R: 'static>(name: String, secret: Secret, job: Job<Hooked, R>) -> Self {
        let enqueue = move |tx: &mut Tx, hooked| enqueue(tx, &job, hooked, Options::default()).map(drop);
        Self { name, secret, enqueue: Box::new(enqueue) }
    }
}

/// Answers a request to a hook: 200 once the job is there, also where it was there before.
pub(crate) async fn receive(app: App, at: usize, id: RequestId, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let received = async {
        let body = whole(&app, body).await?;
        let _place = app.inner().http.places.take()?;
        take(&app, at, &parts.headers, body).await
    };
    match received.await {
        Ok(is_new) => respond::json(format!("{{\"new\":{is_new}}}")),
        Err(error) => respond::error(&error, &id),
    }
}

async fn take(app: &App, at: usize, headers: &HeaderMap, body: Bytes) -> Result<bool> {
    let hook = &app.inner().hooks[at];
    let delivery = verify(headers, &body, &hook.secret, app.clock().now())?;
    let text =
        String::from_utf8(body.to_vec()).map_err(|_| Error::new(Kind::Invalid, "the body is no text"))?;
    let app_of = app.clone();
    let taken = app.store().mutate(move |tx| {
        let hook = &app_of.inner().hooks[at];
        if !idempotency::mark(tx, &format!("hook {}", hook.name), &delivery)? {
            return Ok(false);
        }
        let received = tx.now();
        (hook.enqueue)(tx, Hooked { hook: hook.name.clone(), delivery, received, body: text })?;
        Ok(true)
    });
    Ok(taken.await?)
}

/// Checks a signature, in the manner that its headers show: Standard Webhooks, Stripe's, or GitHub's. Returns what
/// names the delivery.
fn verify(headers: &HeaderMap, body: &[u8], secret: &Secret, now: Time) -> Result<String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let whole = secret.expose().as_bytes();
    if let Some(signatures) = header("webhook-signature") {
        let (Some(id), Some(time)) = (header("webhook-id"), header("webhook-timestamp")) else {
            return Err(refused("`webhook-id` or `webhook-timestamp` is missing"));
        };
        fresh(time, now)?;
        let encoded =
            secret.expose().strip_prefix("whsec_").and_then(|key| BASE64.decode(key.as_bytes()).ok());
        let key = encoded.as_deref().unwrap_or(whole);
        let mut given = signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,"));
        let signed = [id.as_bytes(), b".", time.as_bytes(), b".", body];
        let is_right =
            given.any(|given| BASE64.decode(given.as_bytes()).is_ok_and(|mac| is_mac(key, &signed, &mac)));
        return if is_right { Ok(id.to_owned()) } else { Err(refused("the signature is wrong")) };
    }
    if let Some(signature) = header("stripe-signature") {
        let fields = || signature.split(',').filter_map(|field| field.trim().split_once('='));
        let time = fields().find(|(name, _)| *name == "t").map(|(_, time)| time);
        let time = time.ok_or_else(|| refused("the signature has no time"))?;
        fresh(time, now)?;
        let signed = [time.as_bytes(), b".", body];
        let is_right =
            fields().filter(|(name, _)| *name == "v1").any(|(_, given)| is_hex_mac(whole, &signed, given));
        return if is_right { Ok(delivery_of(body)) } else { Err(refused("the signature is wrong")) };
    }
    if let Some(signature) = header("x-hub-signature-256") {
        let given = signature.strip_prefix("sha256=").unwrap_or(signature);
        if !is_hex_mac(whole, &[body], given) {
            return Err(refused("the signature is wrong"));
        }
        // Only the body is signed, so a delivery is told by that alone: a header could be changed.
        return Ok(respond::fingerprint(body));
    }
    Err(refused("no signature; send `webhook-signature`, `stripe-signature` or `x-hub-signature-256`"))
}

/// Returns the id that a signed body names, or what tells it from others.
fn delivery_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    let named = serde_json::from_slice::<Named>(body).map(|named| named.id);
    named.ok().filter(|id| id.len() <= idempotency::MAX_KEY).unwrap_or_else(|| respond::fingerprint(body))
}

fn fresh(seconds: &str, now: Time) -> Result<()> {
    let signed = seconds.parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1000));
    let signed = signed.ok_or_else(|| refused("the time of the signature is none"))?;
    let apart = now.millis().abs_diff(signed);
    if apart > TOLERANCE.as_millis() as u64 {
        Err(refused("the signature is too old, or of the future"))
    } else {
        Ok(())
    }
}

fn is_hex_mac(key: &[u8], signed: &[&[u8]], given: &str) -> bool {
    HEXLOWER_PERMISSIVE.decode(given.as_bytes()).is_ok_and(|mac| is_mac(key, signed, &mac))
}

fn is_mac(key: &[u8], signed: &[&[u8]], given: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
    signed.iter().for_each(|part| mac.update(part));
    mac.verify_slice(given).is_ok()
}

fn refused(why: &str) -> Error {
    Error::new(Kind::Denied, format!("the request to the hook is not believed: {why}"))
        .status(StatusCode::UNAUTHORIZED)
}
