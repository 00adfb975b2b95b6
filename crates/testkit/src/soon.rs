//! Waits that cannot hang.

use std::time::Duration;

/// How long a test waits for what has to happen; only a failing test waits so long.
pub const GUARD: Duration = Duration::from_secs(60);

/// Waits for what has to happen, and panics if it does not.
#[expect(clippy::disallowed_methods, reason = "it guards against a test that hangs, whatever its clock says")]
pub async fn soon<T>(event: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(GUARD, event.into_future()).await.expect("it happens instead of hanging")
}
