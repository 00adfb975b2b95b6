//! How a provider is reached.

use std::fmt;
use std::time::Duration;

use loomwork_core::{Clock, Random};

use super::shown::address;

/// How a provider is reached: waits, limits and the proxy.
///
/// ```
/// use std::time::Duration;
/// use loomwork_models::{HttpOptions, Proxy};
///
/// let patient = HttpOptions { idle_timeout: Duration::from_secs(1200), ..HttpOptions::default() };
/// assert_eq!(patient.proxy, Proxy::Environment);
/// ```
///
/// New fields may come; `..HttpOptions::default()` is ready for them.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// How long to wait for a connection. Default: 10 seconds.
    pub connect_timeout: Duration,
    /// The longest silence of a provider, before its answer and within it. Default: 5 minutes, since a
    /// model may think that long before its first word.
    pub idle_timeout: Duration,
    /// The proxy that leads to the provider. Default: that of the environment.
    pub proxy: Proxy,
    /// The longest event of a stream, in bytes. Default: 32 MiB; pictures may come in events.
    pub max_event_bytes: usize,
    /// The longest answer that comes whole, in bytes. Default: 256 MiB.
    pub max_body_bytes: usize,
    /// The clock that waits and deadlines follow. Default: the wall clock.
    pub clock: Clock,
    /// Spreads the waits between attempts. Default: the system's randomness.
    pub random: Random,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(300),
            proxy: Proxy::Environment,
            max_event_bytes: 32 << 20,
            max_body_bytes: 256 << 20,
            clock: Clock::system(),
            random: Random::system(),
        }
    }
}

/// Which proxy leads to a provider.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Proxy {
    /// The one that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name.
    #[default]
    Environment,
    /// None.
    None,
    /// The one at this address.
    Url(String),
}

/// Shows an address without its user and password.
impl fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => formatter.write_str("Environment"),
            Self::None => formatter.write_str("None"),
            Self::Url(url) => formatter.debug_tuple("Url").field(&address(url)).finish(),
        }
    }
}
