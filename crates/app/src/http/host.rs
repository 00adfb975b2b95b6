//! By which name a request may come, and from which pages.
//!
//! A page elsewhere that has a reader's browser call this server is refused by its `Origin`; one whose name was
//! pointed at this machine afterwards is refused by its `Host`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use loomwork_core::Kind;

use super::request::RequestId;
use super::{Options, respond};
use crate::app::App;
use crate::error::{Error, Result};

/// The host that stands for any.
pub(super) const ANY: &str = "*";

/// Lets through what comes by a known name, and from no page or a known one.
pub(super) async fn known(
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    request: Request,
    next: Next,
) -> Response {
    match check(&app.inner().http.options, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => respond::error(&error, &id),
    }
}

fn check(options: &Options, uri: &Uri, headers: &HeaderMap) -> Result<()> {
    let host = match headers.get(header::HOST) {
        Some(host) => host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
        None => uri.authority().cloned(),
    };
    let Some(host) = host else {
        return Err(Error::new(Kind::Invalid, "the request does not say which host it is for; send `Host`"));
    };
    if !is_known(options, host.host()) {
        let message = format!(
            "this server is not known as {:?}; whoever runs it can add that name to `http::Options::hosts`",
            host.host()
        );
        return Err(Error::new(Kind::Denied, message).status(StatusCode::MISDIRECTED_REQUEST));
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    if options.origins.iter().any(|known| known == origin || known == ANY) || is_own(origin, &host) {
        return Ok(());
    }
    let message = format!(
        "pages of {origin:?} may not call this server; whoever runs it can add that to `http::Options::origins`"
    );
    Err(Error::new(Kind::Denied, message))
}

fn is_known(options: &Options, host: &str) -> bool {
    is_loopback(host) || options.hosts.iter().any(|known| known == ANY || known.eq_ignore_ascii_case(host))
}

/// Whether a name leads to this machine, whoever resolves it.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address == Ipv4Addr::LOCALHOST,
        Ok(IpAddr::V6(address)) => address == Ipv6Addr::LOCALHOST,
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Whether a page is of this server itself.
fn is_own(origin: &str, host: &Authority) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host.as_str()))
}
