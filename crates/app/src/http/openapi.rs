//! The description of the API, made from its operations.

use std::collections::HashSet;
use std::io::Write as _;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::respond;
use super::{exchange, follow};
use crate::api::{Method, Operation, Run, files};
use crate::app::App;
use crate::error::ErrorBody;

/// The description as it is sent: it is written once.
#[derive(Debug)]
pub(super) struct Written {
    plain: Bytes,
    gzip: Bytes,
    tag: HeaderValue,
}

impl Written {
    fn new(description: &Value) -> std::io::Result<Self> {
        let plain = description.to_string().into_bytes();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&plain)?;
        Ok(Self { tag: respond::tag(&plain), plain: plain.into(), gzip: gzip.finish()?.into() })
    }
}

/// Serves the description; it is no secret.
pub(super) async fn serve(app: App, headers: HeaderMap) -> Response {
    let written = &app.inner().http.openapi;
    let written = match written.get() {
        Some(written) => written,
        None => match Written::new(&app.openapi()) {
            Ok(made) => written.get_or_init(|| made),
            // Writing to memory does not fail.
            Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        },
    };
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let takes_gzip = accepted.is_some_and(|accepted| {
        let mut codings = accepted.split(',').map(str::trim);
        codings.any(|coding| coding.eq_ignore_ascii_case("gzip"))
    });
    let mut response = if respond::has_it(&headers, &written.tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else if takes_gzip {
        let coding = HeaderValue::from_static("gzip");
        ([(header::CONTENT_ENCODING, coding)], written.gzip.clone()).into_response()
    } else {
        written.plain.clone().into_response()
    };
    let set = response.headers_mut();
    set.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    set.insert(header::ETAG, written.tag.clone());
    set.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    set.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

impl App {
    /// Returns the description of the API, as OpenAPI 3.1.
    pub fn openapi(&self) -> Value {
        describe(&self.inner().operations)
    }
}

fn describe(operations: &[Operation]) -> Value {
    let reading = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    // As it is read: what may be missing is not required of an answer either.
    let writing = reading.clone();
    let (mut reading, mut writing) = (SchemaGenerator::new(reading), SchemaGenerator::new(writing));
    let error = writing.subschema_for::<ErrorBody>();
    let mut paths = Map::new();
    for operation in operations {
        let described = describe_one(operation, &mut reading, &mut writing);
        let path = paths.entry(operation.path.clone()).or_insert_with(|| json!({}));
        path[method_name(operation.method)] = described;
    }
    for described in [files::described(), follow::described(), exchange::described()] {
        if let Value::Object(described) = described {
            paths.extend(described);
        }
    }
    let mut schemas = reading.take_definitions(true);
    schemas.extend(writing.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Loomwork",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Threads, agents and what belongs to them. Every read is also live: asked for with \
                `Accept: text/event-stream`, it sends its answer again whenever that is another one.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                "Error": {
                    "description": "What was wrong, in the one shape that all errors have.",
                    "content": { "application/json": { "schema": error } },
                },
            },
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } },
        },
        "security": [{ "key": [] }],
    })
}

fn method_name(method: Method) -> &'static str {
    match method {
        Method::Get => "get",
        Method::Post => "post",
        Method::Patch => "patch",
        Method::Delete => "delete",
    }
}

fn describe_one(
    operation: &Operation,
    reading: &mut SchemaGenerator,
    writing: &mut SchemaGenerator,
) -> Value {
    let args = inlined((operation.args)(reading), reading);
    let answer = (operation.answer)(writing);
    let named: HashSet<&str> = path_names(&operation.path).collect();
    let empty = Map::new();
    let properties = args.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let required: HashSet<&str> = args
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let takes_body = matches!(operation.method, Method::Post | Method::Patch);

    let parameters: Vec<Value> = properties
        .iter()
        .filter(|(name, _)| named.contains(name.as_str()) || !takes_body)
        .map(|(name, schema)| parameter(name, schema, named.contains(name.as_str()), &required))
        .collect();
    let mut content = json!({ "application/json": { "schema": answer } });
    if matches!(operation.run, Run::Query(_)) {
        content["text/event-stream"] = json!({ "schema": event() });
    }
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "x-scope": operation.scope.as_str(),
        "parameters": parameters,
        "responses": {
            "200": { "description": "The answer.", "content": content },
            "default": { "$ref": "#/components/responses/Error" },
        },
    });
    if takes_body {
        let in_body = |name: &str| !named.contains(name);
        let properties: Map<String, Value> = properties
            .iter()
            .filter(|(name, _)| in_body(name))
            .map(|(name, schema)| (name.clone(), schema.clone()))
            .collect();
        let mut required: Vec<&str> = required.into_iter().filter(|name| in_body(name)).collect();
        required.sort_unstable();
        let mut body = json!({ "type": "object", "properties": properties });
        if let Some(closed) = args.get("additionalProperties") {
            body["additionalProperties"] = closed.clone();
        }
        let is_required = !required.is_empty();
        if is_required {
            body["required"] = json!(required);
        }
        described["requestBody"] =
            json!({ "required": is_required, "content": { "application/json": { "schema": body } } });
    }
    described
}

/// Returns the schema of each event of a stream.
pub(super) fn event() -> Value {
    let text = |about: &str| json!({ "type": "string", "description": about });
    json!({
        "type": "object",
        "properties": {
            "event": text("What it is; `error` is the last one."),
            "id": text("What a client has with it, to be sent as `Last-Event-ID` when it comes back."),
            "data": text("JSON."),
        },
        "required": ["event", "data"],
    })
}

fn parameter(name: &str, schema: &Value, is_in_path: bool, required: &HashSet<&str>) -> Value {
    let mut schema = schema.clone();
    let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    let mut parameter = json!({
        "name": name,
        "in": if is_in_path { "path" } else { "query" },
        "required": is_in_path || required.contains(name),
        "schema": schema,
    });
    if let Some(about) = about {
        parameter["description"] = about;
    }
    parameter
}

/// Returns the names in a path's braces.
fn path_names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// Returns what a reference stands for: arguments are described where they are taken.
fn inlined(schema: Schema, generator: &SchemaGenerator) -> Value {
    let value = schema.to_value();
    let name = value.get("$ref").and_then(Value::as_str).and_then(|name| name.rsplit('/').next());
    match name.and_then(|name| generator.definitions().get(name)) {
        Some(found) => found.clone(),
        None => value,
    }
}
