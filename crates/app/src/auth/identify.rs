//! Who a request is from.

#[cfg(feature = "http")]
use axum::http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use data_encoding::BASE32_NOPAD;
#[cfg(feature = "http")]
use loomwork_core::Kind;
use loomwork_core::{Random, Secret};
use sha2::{Digest, Sha256};
#[cfg(feature = "http")]
use subtle::ConstantTimeEq;

#[cfg(feature = "http")]
use super::Caller;
#[cfg(feature = "http")]
use crate::app::App;
#[cfg(feature = "http")]
use crate::error::{Error, Result};

/// How many random bytes a generated key has.
const KEY_BYTES: usize = 20;

/// The key of whoever runs the app. It may do everything, and is kept as its digest.
#[derive(Clone, Debug)]
pub(crate) struct MainKey([u8; 32]);

impl MainKey {
    pub(crate) fn of(key: &Secret) -> Self {
        Self(Sha256::digest(key.expose()).into())
    }

    /// Returns a new key: shown to whoever starts the app, and kept nowhere.
    pub(crate) fn generate(random: &Random) -> Secret {
        let mut bytes = [0; KEY_BYTES];
        random.fill(&mut bytes);
        Secret::from(format!("lw_{}", BASE32_NOPAD.encode(&bytes).to_lowercase()))
    }

    #[cfg(feature = "http")]
    fn is(&self, key: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(key).into();
        digest.ct_eq(&self.0).into()
    }
}

/// Says who a request is from, by its header `Authorization: Bearer KEY`.
///
/// # Errors
/// `denied` with status 401, for a request without a key or with one that is not known.
#[cfg(feature = "http")]
pub(crate) async fn identify(app: &App, headers: &HeaderMap) -> Result<Caller> {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.split_once(' '));
    let Some((_, given)) = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
        return Err(refused("the request has no key; send it as `Authorization: Bearer KEY`"));
    };
    if app.main_key().is(given.trim()) {
        return Ok(Caller::operator());
    }
    Err(refused("the key is not known; it was revoked, or is another server's"))
}

#[cfg(feature = "http")]
fn refused(message: &str) -> Error {
    Error::new(Kind::Denied, message).status(StatusCode::UNAUTHORIZED)
}
