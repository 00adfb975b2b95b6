//! Figures of the server, in the text form that Prometheus reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::answer::admitted;
use super::request::RequestId;
use super::respond;
use crate::app::App;
use crate::auth::Scope;
use crate::error::Result;

/// The upper bounds of the buckets of requests, in milliseconds.
const BUCKETS_MS: [u64; 10] = [1, 5, 10, 25, 50, 100, 250, 1_000, 5_000, 30_000];

/// What was answered so far.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Mutex<BTreeMap<Series, Counted>>);

/// A route and how it was answered. Routes are few; paths are not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    route: String,
    method: String,
    status: u16,
}

#[derive(Clone, Debug, Default)]
struct Counted {
    buckets: [u64; BUCKETS_MS.len()],
    count: u64,
    micros: u64,
}

impl Metrics {
    pub(super) fn answered(&self, route: &str, method: &str, status: u16, took: Duration) {
        let series = Series { route: route.to_owned(), method: method.to_owned(), status };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = all.entry(series).or_default();
        let millis = took.as_millis() as u64;
        for (bucket, bound) in counted.buckets.iter_mut().zip(BUCKETS_MS) {
            *bucket += u64::from(millis <= bound);
        }
        counted.count += 1;
        counted.micros += took.as_micros() as u64;
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        writeln!(out, "# TYPE loomwork_request_seconds histogram")?;
        for (Series { route, method, status }, counted) in all {
            let labels = format!("route=\"{route}\",method=\"{method}\",status=\"{status}\"");
            for (count, bound) in counted.buckets.iter().zip(BUCKETS_MS) {
                let bound = bound as f64 / 1000.0;
                writeln!(out, "loomwork_request_seconds_bucket{{{labels},le=\"{bound}\"}} {count}")?;
            }
            let Counted { count, micros, .. } = counted;
            writeln!(out, "loomwork_request_seconds_bucket{{{labels},le=\"+Inf\"}} {count}")?;
            writeln!(out, "loomwork_request_seconds_sum{{{labels}}} {}", micros as f64 / 1e6)?;
            writeln!(out, "loomwork_request_seconds_count{{{labels}}} {count}")?;
        }
        Ok(())
    }
}

/// Serves the figures to whoever manages the app.
pub(super) async fn serve(app: App, Extension(id): Extension<RequestId>, parts: Parts) -> Response {
    try_serve(&app, &parts).await.unwrap_or_else(|error| respond::error(&error, &id))
}

async fn try_serve(app: &App, parts: &Parts) -> Result<Response> {
    let _admitted = admitted(app, parts, Scope::Manage).await?;
    let http = &app.inner().http;
    let mut out = String::new();
    let mut gauge = |name: &str, value: usize| {
        let _ = writeln!(out, "# TYPE loomwork_{name} gauge\nloomwork_{name} {value}");
    };
    gauge("live_queries", app.store().live_queries());
    gauge("subscribers", http.seats.taken());
    gauge("requests_at_work", http.places.taken());
    #[cfg(feature = "workflow")]
    gauge("workflows_resident", app.inner().parts.workflows.resident());
    let pool = app.pool().counters();
    let mut counter = |name: &str, value: u64| {
        let _ = writeln!(out, "# TYPE loomwork_{name}_total counter\nloomwork_{name}_total {value}");
    };
    counter("jobs_started", pool.started);
    counter("jobs_succeeded", pool.succeeded);
    counter("jobs_failed", pool.failed);
    // Writing to a text cannot fail.
    let _ = http.metrics.write(&mut out);
    let kind = HeaderValue::from_static("text/plain; version=0.0.4");
    Ok(([(header::CONTENT_TYPE, kind)], out).into_response())
}
