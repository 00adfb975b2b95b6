//! From a request to its answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::Failure;
use super::check::{self, Refusal};
use super::delivery::Start;
use super::endpoint::Endpoint;
use super::line::Line;
use super::playback::{Exchange, Playback};
use super::recorded::Recorded;
use super::render::{self, PICTURES, Rendered};
use super::reply::Reply;
use super::shared::Shared;

/// Answers any request.
pub(super) async fn answer(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        // The client went away in the middle of its request, so nobody hears this.
        return Response::new(Body::empty());
    };
    let mut request = Recorded::read(parts, bytes, line.number).await;
    shared.record(&mut request);
    let reply = choose(&shared, &request);
    let exchange = Exchange { shared: Arc::clone(&shared), request, line, is_over: false };
    deliver(exchange, reply).await
}

/// Finds the reply: that of a rule that was broken, of the script, or of the endpoint itself.
fn choose(shared: &Shared, request: &Recorded) -> Reply {
    let Some(endpoint) = request.endpoint else {
        return picture(shared, request).unwrap_or_else(|| unknown_place(shared, request));
    };
    if let Err(refusal) = admit(shared, request) {
        let reason = format!("{} is refused: {}", describe(request), refusal.message);
        shared.state().refused.push(reason);
        return Failure::from(refusal).into();
    }
    let mut state = shared.state();
    if let Some(reply) = state.next_reply(endpoint) {
        return reply;
    }
    if let Endpoint::Models | Endpoint::OllamaTags = endpoint {
        return render::models(request, state.models.as_deref());
    }
    if let Some(otherwise) = state.otherwise.clone() {
        drop(state);
        return (otherwise.0)(request);
    }
    let text = format!("{} has no reply in the fake provider's script", describe(request));
    state.unexpected.push(text.clone());
    Failure::status(400).kind("fake_provider_error").message(text).header("x-should-retry", "false").into()
}

fn admit(shared: &Shared, request: &Recorded) -> Result<(), Refusal> {
    let state = shared.state();
    if state.key.as_deref().is_some_and(|key| request.key() != Some(key)) {
        let message = "Incorrect API key provided.".to_owned();
        return Err(Refusal { status: 401, code: Some("invalid_api_key"), param: None, message });
    }
    if !shared.is_lenient.load(Ordering::SeqCst) {
        check::check(request, &state.memory)?;
    }
    let model = request.body["model"].as_str();
    match (model, &state.models) {
        (Some(model), Some(models)) if !models.iter().any(|known| known == model) => {
            let message = format!("The model `{model}` does not exist.");
            Err(Refusal { status: 404, code: Some("model_not_found"), param: None, message })
        }
        _ => Ok(()),
    }
}

fn describe(request: &Recorded) -> String {
    format!("request {} ({} {})", request.number, request.method, request.path)
}

fn unknown_place(shared: &Shared, request: &Recorded) -> Reply {
    let text = format!("{} is for no endpoint that the fake provider has", describe(request));
    shared.state().unexpected.push(text);
    let wrong = format!("Invalid URL ({} {})", request.method, request.path);
    Failure::status(404).code("unknown_url").message(wrong).into()
}

fn picture(shared: &Shared, request: &Recorded) -> Option<Reply> {
    let number: usize = request.path.strip_prefix(PICTURES)?.parse().ok()?;
    let bytes = shared.state().pictures.get(number)?.clone();
    Some(Reply::raw(200, "image/png", bytes))
}

async fn deliver(mut exchange: Exchange, reply: Reply) -> Response {
    let delivery = &reply.delivery;
    if !delivery.delay.is_zero() {
        #[expect(clippy::disallowed_methods, reason = "the delay of a server is real time")]
        tokio::time::sleep(delivery.delay).await;
    }
    match delivery.start {
        Start::Head => {}
        Start::Hang => std::future::pending().await,
        Start::Cut => {
            exchange.cut();
            std::future::pending::<()>().await;
        }
    }
    let mut rendered = render::render(&exchange.shared, &exchange.request, &reply);
    for json in rendered.frames.iter_mut().filter_map(render::Frame::json_mut) {
        reply.edits.iter().for_each(|edit| (edit.0)(json));
    }
    let head = head(&rendered, &reply);
    let frames = rendered.frames.into_iter().map(|frame| frame.into_bytes(delivery.line_end)).collect();
    let steps = delivery.plan(frames);
    head.map(|()| Body::from_stream(Playback::new(exchange, steps)))
}

/// # Panics
/// When a test gives a status or a header that HTTP does not have.
fn head(rendered: &Rendered, reply: &Reply) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(rendered.status).expect("a status is from 100 to 999");
    let kind = ("content-type".to_owned(), rendered.content_type.clone());
    for (name, value) in std::iter::once(&kind).chain(&rendered.headers).chain(&reply.headers) {
        let name = HeaderName::try_from(name).expect("a header's name is a token");
        let value = HeaderValue::try_from(value).expect("a header's value is visible text");
        response.headers_mut().insert(name, value);
    }
    if rendered.content_type.starts_with("text/event-stream") {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    response
}
