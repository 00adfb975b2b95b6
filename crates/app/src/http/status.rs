//! Whether the server is alive, and whether it can work.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::app::App;

/// Says that the process answers.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// Says whether the store answers too, and the app is not about to end.
pub(super) async fn ready(app: App) -> Response {
    if app.inner().http.ending().is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "ending\n").into_response();
    }
    match app.store().query(|_| Ok(())).await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => {
            tracing::error!(%error, "the store does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n").into_response()
        }
    }
}
