//! Who a request is from.

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use loomwork_core::{Kind, Secret};

use super::jwt::NotAccepted;
use super::pace::Origin;
use super::{Caller, keys};
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::peer;

/// Why nobody is known.
enum Unknown {
    /// What was given is no key: it may have been guessed.
    Guess(String),
    /// Nothing was given, or what was right once.
    Nobody(String),
    /// It cannot be said.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Unknown {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Says who a request is from: by the application's own way, or by its header `Authorization: Bearer KEY`.
///
/// # Errors
/// `denied` with status 401, for a request without a key or with one that is not known; `limited` for a caller that
/// asks too much, or an address that guesses.
pub(crate) async fn identify(app: &App, parts: &Parts) -> Result<Caller> {
    let pace = &app.gate().pace;
    let origin = Origin::new(&parts.headers, peer::address(parts, app.inner().http.proxies()));
    pace.admit(&origin)?;
    match known(app, &parts.headers).await {
        Ok(caller) => {
            pace.asked(&origin, caller.name())?;
            Ok(caller)
        }
        Err(Unknown::Guess(why)) => {
            pace.guessed(&origin)?;
            Err(refused(&why))
        }
        Err(Unknown::Nobody(why)) => Err(refused(&why)),
        Err(Unknown::Failed(error)) => Err(error),
    }
}

/// Counts a guess that was made otherwise than by a key, unless the address has made too many.
pub(crate) fn may_guess(app: &App, parts: &Parts) -> Result<impl FnOnce() -> Result<()> + use<>> {
    let app = app.clone();
    let address = peer::address(parts, app.inner().http.proxies());
    let origin = Origin::new(&HeaderMap::new(), address);
    app.gate().pace.admit(&origin)?;
    Ok(move || app.gate().pace.guessed(&origin))
}

async fn known(app: &App, headers: &HeaderMap) -> Result<Caller, Unknown> {
    let gate = app.gate();
    if let Some(own) = &gate.own
        && let Some(caller) = own(headers.clone()).await?
    {
        return Ok(caller);
    }
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.split_once(' '));
    let Some((_, given)) = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
        let message = "the request has no key; send it as `Authorization: Bearer KEY`";
        return Err(Unknown::Nobody(message.to_owned()));
    };
    let given = given.trim();
    if gate.is_main_key(given) {
        return Ok(Caller::operator());
    }
    if keys::is_formed(given) {
        return by_key(app, given).await;
    }
    let mut why = Unknown::Guess("the key is not known; it was revoked, or is another server's".to_owned());
    for jwt in &gate.jwt {
        match jwt.identify(given).await {
            Ok(caller) => return Ok(caller),
            Err(NotAccepted::Over) => {
                return Err(Unknown::Nobody("the token is not accepted: it is over".to_owned()));
            }
            // Another issuer that cannot be asked may have issued it.
            Err(NotAccepted::Wrong(_)) if matches!(why, Unknown::Failed(_)) => {}
            Err(NotAccepted::Wrong(error)) => {
                why = Unknown::Guess(format!("the token is not accepted: {error}"));
            }
            Err(NotAccepted::NoKeys(error)) => {
                let message = format!("tokens cannot be checked now: {error}; come again");
                why = Unknown::Failed(Error::new(Kind::Unavailable, message));
            }
        }
    }
    Err(why)
}

async fn by_key(app: &App, given: &str) -> Result<Caller, Unknown> {
    let text = Secret::from(given);
    let now = app.clock().now();
    let found = app.store().query(move |tx| {
        let Some(proven) = keys::prove(tx, text.expose())? else { return Ok(None) };
        let is_due = keys::is_use_due(tx, proven.key.id, now)?;
        Ok(Some((proven, is_due)))
    });
    let Some((proven, is_due)) = found.await? else {
        let message = "the key is not known; it was revoked, is over, or is another server's";
        return Err(Unknown::Guess(message.to_owned()));
    };
    if is_due {
        let id = proven.key.id;
        // Nobody waits for it, nor is refused because of it: it is for people to look at.
        if let Err(error) = app.store().mutate(move |tx| keys::used(tx, id)).relaxed().await {
            tracing::warn!(key = %id, %error, "the last use of a key could not be written");
        }
    }
    Ok(Caller::of_key(&proven))
}

fn refused(message: &str) -> Error {
    Error::new(Kind::Denied, message).status(StatusCode::UNAUTHORIZED)
}
