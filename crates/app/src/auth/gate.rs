//! Who a request is from.

use std::fmt;
#[cfg(feature = "http")]
use std::net::IpAddr;
#[cfg(feature = "http")]
use std::sync::Arc;

#[cfg(feature = "http")]
use axum::http::{HeaderMap, StatusCode, header::AUTHORIZATION};
#[cfg(feature = "http")]
use futures_util::future::BoxFuture;
#[cfg(feature = "http")]
use loomwork_core::Kind;
use loomwork_core::{Clock, Random, Secret};
#[cfg(feature = "http")]
use loomwork_rate_limiter::Guard;
use loomwork_store::Result;
use sha2::{Digest, Sha256};
#[cfg(feature = "http")]
use subtle::ConstantTimeEq;

#[cfg(feature = "http")]
use super::codes::Codes;
#[cfg(feature = "http")]
use super::jwt::{Jwt, JwtOptions};
use super::keys::Drawn;
#[cfg(feature = "http")]
use super::{Caller, keys};
#[cfg(feature = "http")]
use crate::app::App;
#[cfg(feature = "http")]
use crate::error::Error;

/// An application's own way to say who a request is from.
#[cfg(feature = "http")]
type Own = dyn Fn(HeaderMap) -> BoxFuture<'static, crate::error::Result<Option<Caller>>> + Send + Sync;

/// By what callers are known, before the app is built.
#[derive(Default)]
pub(crate) struct Describe {
    pub(crate) key: Option<Secret>,
    #[cfg(feature = "http")]
    pub(crate) jwt: Vec<JwtOptions>,
    #[cfg(feature = "http")]
    pub(crate) own: Option<Arc<Own>>,
}

/// By what callers are known.
pub(crate) struct Gate {
    /// The key of whoever runs the app. It may do everything, and is kept as its digest.
    #[cfg(feature = "http")]
    main_key: [u8; 32],
    /// That key, if it was made at this start: it is shown, and kept nowhere else.
    new_key: Option<Secret>,
    #[cfg(feature = "http")]
    jwt: Vec<Jwt>,
    #[cfg(feature = "http")]
    own: Option<Arc<Own>>,
    /// What pages trade for a key.
    #[cfg(feature = "http")]
    pub(crate) codes: Codes,
    /// What each caller may ask for in a second.
    #[cfg(feature = "http")]
    requests: Option<Guard<String>>,
    /// How often one address may come with what is no key.
    #[cfg(feature = "http")]
    refusals: Option<Guard<IpAddr>>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl Gate {
    /// # Errors
    /// For limits that cannot work.
    pub(crate) fn new(
        describe: Describe,
        #[cfg(feature = "http")] options: &crate::http::Options,
        clock: &Clock,
        random: &Random,
    ) -> Result<Self> {
        let (key, new_key) = match describe.key {
            Some(key) => (key, None),
            None => {
                let key = Drawn::new(random).into_key();
                (key.clone(), Some(key))
            }
        };
        #[cfg(not(feature = "http"))]
        let _ = (key, clock);
        Ok(Self {
            #[cfg(feature = "http")]
            main_key: Sha256::digest(key.expose()).into(),
            new_key,
            #[cfg(feature = "http")]
            jwt: describe.jwt.into_iter().map(|options| Jwt::new(options, clock.clone())).collect(),
            #[cfg(feature = "http")]
            own: describe.own,
            #[cfg(feature = "http")]
            codes: Codes::default(),
            #[cfg(feature = "http")]
            requests: options.requests.as_ref().map(|limit| Guard::new(limit, clock)).transpose()?,
            #[cfg(feature = "http")]
            refusals: options.refusals.as_ref().map(|limit| Guard::new(limit, clock)).transpose()?,
        })
    }

    pub(crate) fn new_key(&self) -> Option<&Secret> {
        self.new_key.as_ref()
    }

    /// Whether somebody has said who may enter: a key that was made at this start is known to who started it alone.
    #[cfg(feature = "http")]
    pub(crate) fn is_described(&self) -> bool {
        self.new_key.is_none() || !self.jwt.is_empty() || self.own.is_some()
    }

    #[cfg(feature = "http")]
    fn is_main_key(&self, key: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(key).into();
        digest.ct_eq(&self.main_key).into()
    }
}

/// Says who a request is from: by the application's own way, or by its header `Authorization: Bearer KEY`.
///
/// # Errors
/// `denied` with status 401, for a request without a key or with one that is not known; `limited` for a caller that
/// asks too much, or an address that guesses.
#[cfg(feature = "http")]
pub(crate) async fn identify(
    app: &App,
    headers: &HeaderMap,
    peer: Option<IpAddr>,
) -> crate::error::Result<Caller> {
    let gate = app.gate();
    match known(app, headers).await {
        Ok(caller) => {
            if let Some(requests) = &gate.requests {
                requests.take(&caller.name().to_owned(), 1)?;
            }
            Ok(caller)
        }
        Err(error) => {
            // Only what is refused counts, so nobody is kept out by what others at their address do right.
            if let (Some(refusals), Some(peer)) = (&gate.refusals, peer)
                && error.status_code() == StatusCode::UNAUTHORIZED.as_u16()
            {
                refusals.take(&peer, 1)?;
            }
            Err(error)
        }
    }
}

#[cfg(feature = "http")]
async fn known(app: &App, headers: &HeaderMap) -> crate::error::Result<Caller> {
    let gate = app.gate();
    if let Some(own) = &gate.own
        && let Some(caller) = own(headers.clone()).await?
    {
        return Ok(caller);
    }
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.split_once(' '));
    let Some((_, given)) = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
        return Err(refused("the request has no key; send it as `Authorization: Bearer KEY`"));
    };
    let given = given.trim();
    if gate.is_main_key(given) {
        return Ok(Caller::operator());
    }
    if keys::is_formed(given) {
        return by_key(app, given).await;
    }
    let mut why = None;
    for jwt in &gate.jwt {
        match jwt.identify(given).await {
            Ok(caller) => return Ok(caller),
            Err(error) => why = Some(error),
        }
    }
    Err(match why {
        Some(why) => refused(&format!("the token is not accepted: {why}")),
        None => refused("the key is not known; it was revoked, or is another server's"),
    })
}

#[cfg(feature = "http")]
async fn by_key(app: &App, given: &str) -> crate::error::Result<Caller> {
    let text = Secret::from(given);
    let found = app.store().query(move |tx| keys::prove(tx, text.expose())).await?;
    let Some(key) = found else {
        return Err(refused("the key is not known; it was revoked, is over, or is another server's"));
    };
    if keys::is_use_due(&key, app.clock().now()) {
        let id = key.id;
        // Nobody waits for it, nor is refused because of it: it is for people to look at.
        if let Err(error) = app.store().mutate(move |tx| keys::used(tx, id)).relaxed().await {
            tracing::warn!(key = %id, %error, "the last use of a key could not be written");
        }
    }
    Ok(Caller::of_key(&key))
}

#[cfg(feature = "http")]
fn refused(message: &str) -> Error {
    Error::new(Kind::Denied, message).status(StatusCode::UNAUTHORIZED)
}
