//! Files: taken in piece by piece, given out whole or in ranges.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::stream::unfold;
use loomwork_core::Kind;
use loomwork_files::{About, FileId};

use super::answer::{BODY_PATIENCE, admitted, too_slow};
use super::request::RequestId;
use super::respond;
use crate::api::files::FileView;
use crate::app::App;
use crate::auth::Scope;
use crate::error::{Error, Result};
use crate::uploads::{self, readable};

/// Takes a file in: the body is its content.
pub(super) async fn upload(app: App, Extension(id): Extension<RequestId>, request: Request) -> Response {
    try_upload(&app, request).await.unwrap_or_else(|error| respond::error(&error, &id))
}

async fn try_upload(app: &App, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    // A file may take its time, so it takes no place: it counts as one of what its caller has at work.
    let (_share, caller) = admitted(app, &parts, Scope::Chat).await?;
    let query = parts.uri.query().unwrap_or_default();
    let mut names = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "name");
    let name = names.next().map(|(_, name)| name.into_owned());
    let media = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    // What clients say who do not know better tells less than the bytes.
    let media = media.filter(|media| *media != "application/octet-stream").map(str::to_owned);
    let about = About { name, media_type: media, ..About::default() };
    let (clock, is_late) = (app.clock().clone(), Arc::new(AtomicBool::new(false)));
    let late = is_late.clone();
    let pieces = unfold(Some((body.into_data_stream(), clock, late)), |state| async move {
        let (mut pieces, clock, late) = state?;
        tokio::select! {
            piece = pieces.next() => {
                let piece = piece?.map_err(|error| std::io::Error::other(error.to_string()));
                Some((piece, Some((pieces, clock, late))))
            }
            () = clock.sleep(BODY_PATIENCE) => {
                late.store(true, Ordering::Relaxed);
                Some((Err(std::io::Error::other("the file does not go on")), None))
            }
        }
    });
    let file = app.files().put_stream(Box::pin(pieces), about).await;
    let file =
        file.map_err(|error| if is_late.load(Ordering::Relaxed) { too_slow() } else { error.into() })?;
    if let Some(user) = caller.as_user().map(str::to_owned) {
        let id = file.id;
        app.store().mutate(move |tx| uploads::keep(tx, &user, id)).await?;
    }
    Ok(respond::json(FileView::of(&file).to_json()?))
}

/// Gives a file out, or the range of it that is asked for.
pub(super) async fn download(
    app: App,
    Extension(id): Extension<RequestId>,
    Path(file): Path<String>,
    parts: Parts,
) -> Response {
    try_download(&app, &file, &parts).await.unwrap_or_else(|error| respond::error(&error, &id))
}

async fn try_download(app: &App, file: &str, parts: &Parts) -> Result<Response> {
    let (share, caller) = admitted(app, parts, Scope::Read).await?;
    let _place = share.place()?;
    let headers = &parts.headers;
    let id: FileId =
        file.parse().map_err(|error: loomwork_store::IdError| Error::from(error).about("file"))?;
    let row = app.store().try_query(move |tx| readable(tx, &caller, id)).await?;
    let tag = HeaderValue::from_str(&format!("\"{}\"", row.hash));
    let tag = tag.unwrap_or_else(|_| HeaderValue::from_static("\"\""));
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    // A range of another content than the client has begun with would not fit.
    let is_same = headers.get(header::IF_RANGE).is_none_or(|given| *given == tag);
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok()).filter(|_| is_same);
    let range = match asked.map(|asked| range_of(asked, row.size)) {
        None | Some(Asked::Everything) => None,
        Some(Asked::Part(range)) => Some(range),
        Some(Asked::Nothing) => {
            let message = format!("the file has {} bytes, and none of those that are asked for", row.size);
            return Err(Error::new(Kind::Invalid, message).status(StatusCode::RANGE_NOT_SATISFIABLE));
        }
    };
    let content = match range.clone() {
        Some(range) => app.files().open_range(id, range).await?,
        None => app.files().open(id).await?,
    };
    let length = content.range().end - content.range().start;
    let pieces = content.map(|piece| piece.map_err(|error| std::io::Error::other(error.to_string())));
    let mut response = Response::new(Body::from_stream(pieces));
    let set = response.headers_mut();
    let media = row.media_type.as_deref().and_then(|media| HeaderValue::from_str(media).ok());
    set.insert(header::CONTENT_TYPE, media.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    set.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    set.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    set.insert(header::ETAG, tag);
    // What users upload is shown as what it says it is, and runs nothing here.
    set.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    set.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    set.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    if let Some(Range { start, end }) = range {
        let told = format!("bytes {start}-{}/{}", end - 1, row.size);
        if let Ok(told) = HeaderValue::from_str(&told) {
            response.headers_mut().insert(header::CONTENT_RANGE, told);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

#[derive(Debug, PartialEq)]
enum Asked {
    Everything,
    Part(Range<u64>),
    Nothing,
}

/// Reads a range; several at once, and what is no range of bytes, are answered with everything.
fn range_of(asked: &str, size: u64) -> Asked {
    let Some((first, last)) = asked.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Asked::Everything;
    };
    let (first, last) = (first.trim(), last.trim());
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(count)) if first.is_empty() => size.saturating_sub(count)..size,
        _ => return Asked::Everything,
    };
    if range.start < range.end { Asked::Part(range) } else { Asked::Nothing }
}
