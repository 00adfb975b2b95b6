//! What holds for every request: it has a name, and the log and the answer have that too.

use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use data_encoding::HEXLOWER;
use loomwork_core::{Random, Stopwatch};
use tracing::Instrument;

use super::REQUEST_ID;
use crate::app::App;

/// The most letters of a request id that a client may give.
const MAX_REQUEST_ID: usize = 100;

/// The name of a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) String);

/// Names a request, and tells the log of it when it is answered.
pub(super) async fn entered(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let id = match given.filter(|given| is_good(given)) {
        Some(given) => given.to_owned(),
        None => new_id(&app.inner().random),
    };
    let method = request.method().clone();
    // Of a path the log has the pattern alone: names of users may stand in it.
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
    let route = route.as_deref().unwrap_or("none");
    let extensions = request.extensions_mut();
    extensions.insert(RequestId(id.clone()));
    extensions.insert(app.clone());
    let watch = Stopwatch::start();
    let span = tracing::info_span!("request", request = %id, %method, route);
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, took) = (response.status().as_u16(), watch.elapsed());
    app.inner().http.metrics.answered(route, method.as_str(), status, took);
    span.in_scope(|| tracing::info!(status, took_ms = took.as_millis() as u64, "answered"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn is_good(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_REQUEST_ID && id.bytes().all(|byte| byte.is_ascii_graphic())
}

fn new_id(random: &Random) -> String {
    let mut bytes = [0; 12];
    random.fill(&mut bytes);
    HEXLOWER.encode(&bytes)
}
