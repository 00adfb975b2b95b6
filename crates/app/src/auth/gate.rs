//! By what callers are known.

use std::fmt;
#[cfg(feature = "http")]
use std::sync::Arc;

#[cfg(feature = "http")]
use axum::http::HeaderMap;
#[cfg(feature = "http")]
use futures_util::future::BoxFuture;
use loomwork_core::{Clock, Random, Secret, Tasks};
use loomwork_store::Result;
use sha2::{Digest, Sha256};
#[cfg(feature = "http")]
use subtle::ConstantTimeEq;

#[cfg(feature = "http")]
use super::Caller;
#[cfg(feature = "http")]
use super::codes::Codes;
#[cfg(feature = "http")]
use super::jwt::{Jwt, JwtKeys, JwtOptions};
use super::keys::Drawn;
#[cfg(feature = "http")]
use super::pace::Pace;
use crate::builder::BuildError;

/// An application's own way to say who a request is from.
#[cfg(feature = "http")]
type Own = dyn Fn(HeaderMap) -> BoxFuture<'static, crate::error::Result<Option<Caller>>> + Send + Sync;

/// The fewest bytes of an operator's key.
pub const MIN_KEY_BYTES: usize = 16;

/// The fewest bytes of a secret that an issuer of tokens shares: those of the digest that signs.
#[cfg(feature = "http")]
pub const MIN_SHARED_BYTES: usize = 32;

/// Returns a secret that cannot be guessed, without the white space that a file or a variable left around it.
fn strong(secret: Secret, what: &'static str, min: usize) -> Result<Secret, BuildError> {
    let bare = secret.expose().trim();
    if bare.len() < min {
        return Err(BuildError::Weak { what, bytes: bare.len(), min });
    }
    Ok(Secret::from(bare))
}

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
    pub(super) jwt: Vec<Jwt>,
    #[cfg(feature = "http")]
    pub(super) own: Option<Arc<Own>>,
    /// What pages trade for a key.
    #[cfg(feature = "http")]
    pub(crate) codes: Codes,
    /// How fast they may come.
    #[cfg(feature = "http")]
    pub(super) pace: Pace,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl Gate {
    /// # Errors
    /// [`BuildError::Weak`]; for limits that cannot work.
    pub(crate) fn new(
        describe: Describe,
        #[cfg(feature = "http")] options: &crate::http::Options,
        clock: &Clock,
        tasks: &Tasks,
        random: &Random,
    ) -> Result<Self> {
        let (key, new_key) = match describe.key {
            Some(key) => (strong(key, "the operator's key", MIN_KEY_BYTES)?, None),
            None => {
                let key = Drawn::new(random).into_key();
                (key.clone(), Some(key))
            }
        };
        #[cfg(not(feature = "http"))]
        let _ = (key, clock, tasks);
        #[cfg(feature = "http")]
        let prefixes = prefixes(&describe.jwt)?;
        #[cfg(feature = "http")]
        let checked = |mut options: JwtOptions| {
            if let JwtKeys::Shared(secret) = options.keys {
                options.keys = JwtKeys::Shared(strong(secret, "the secret of tokens", MIN_SHARED_BYTES)?);
            }
            Ok::<_, BuildError>(Jwt::new(options, prefixes.clone(), clock.clone(), tasks.clone()))
        };
        Ok(Self {
            #[cfg(feature = "http")]
            main_key: Sha256::digest(key.expose()).into(),
            new_key,
            #[cfg(feature = "http")]
            jwt: describe.jwt.into_iter().map(checked).collect::<Result<_, _>>()?,
            #[cfg(feature = "http")]
            own: describe.own,
            #[cfg(feature = "http")]
            codes: Codes::default(),
            #[cfg(feature = "http")]
            pace: Pace::new(options.requests.as_ref(), options.refusals.as_ref(), clock)?,
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
    pub(super) fn is_main_key(&self, key: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(key).into();
        digest.ct_eq(&self.main_key).into()
    }
}

/// Returns the prefixes of the users of all issuers, which must tell them from each other.
#[cfg(feature = "http")]
fn prefixes(issuers: &[JwtOptions]) -> Result<Arc<[String]>, BuildError> {
    let mut prefixes: Vec<String> = Vec::new();
    for (at, options) in issuers.iter().enumerate() {
        let prefix = &options.user_prefix;
        let is_another = |other: &JwtOptions| match (prefix.as_str(), other.user_prefix.as_str()) {
            ("", other) => !other.is_empty(),
            (_, "") => true,
            (prefix, other) => !prefix.starts_with(other) && !other.starts_with(prefix),
        };
        if !issuers[..at].iter().all(is_another) {
            return Err(BuildError::Prefix { issuer: options.issuer.clone(), prefix: prefix.clone() });
        }
        if !prefix.is_empty() {
            prefixes.push(prefix.clone());
        }
    }
    Ok(prefixes.into())
}
