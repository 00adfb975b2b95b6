//! Functions of the application's own, beside the operations of the app.

use std::sync::Arc;

use loomwork_store::Tx;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::operation::{Answer, Call, Reading, act, query};
use crate::api::{Method, Operation};
use crate::app::App;
use crate::auth::{Caller, Scope};
use crate::error::Result;

/// The most letters of a function's name.
pub(crate) const MAX_NAME: usize = 100;

/// Whether a name can be part of a path.
pub(crate) fn is_name(name: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(is_good)
}

/// Returns the operations of a query: asked by POST, or by GET, which pages follow live.
pub(crate) fn of_query<A, R, F>(name: &str, read: F) -> [Operation; 2]
where
    A: DeserializeOwned + JsonSchema + Clone + Send + Sync + 'static,
    R: Serialize + JsonSchema + 'static,
    F: Fn(&Tx, &Caller, A) -> loomwork_store::Result<R> + Send + Sync + 'static,
{
    let read = Arc::new(read);
    let reading = move |reading: &Reading<'_>, args: &A| Ok(read(reading.tx, reading.caller, args.clone())?);
    let path = format!("/api/query/{name}");
    let summary = format!("The query {name}.");
    let described =
        |id: String, method| Operation::new::<A, R>("query", &id, method, &path, Scope::Read, &summary);
    [
        described(name.to_owned(), Method::Post)(query(reading.clone())),
        described(format!("{name}.live"), Method::Get)(query(reading)),
    ]
}

/// Returns the operation of a mutation.
pub(crate) fn of_mutation<A, R, F>(name: &str, mutation: F) -> Operation
where
    A: DeserializeOwned + JsonSchema + Clone + Send + 'static,
    R: Serialize + JsonSchema + 'static,
    F: Fn(&mut Tx, &Caller, A) -> loomwork_store::Result<R> + Send + Sync + 'static,
{
    let mutation = Arc::new(mutation);
    let path = format!("/api/mutation/{name}");
    let summary = format!("The mutation {name}.");
    let described = Operation::new::<A, R>("mutation", name, Method::Post, &path, Scope::Chat, &summary);
    described(act(move |call: Call, args: A| {
        let mutation = mutation.clone();
        async move { call.mutate(move |tx, caller| Ok(mutation(tx, caller, args)?)).await }
    }))
}

/// Returns the operation of an action.
pub(crate) fn of_action<A, R, F, W>(name: &str, action: F) -> Operation
where
    A: DeserializeOwned + JsonSchema + Send + 'static,
    R: Serialize + JsonSchema + 'static,
    F: Fn(App, Caller, A) -> W + Send + Sync + 'static,
    W: Future<Output = Result<R>> + Send + 'static,
{
    let path = format!("/api/action/{name}");
    let summary = format!("The action {name}.");
    let described = Operation::new::<A, R>("action", name, Method::Post, &path, Scope::Chat, &summary);
    described(act(move |call: Call, args: A| {
        let acted = action(call.app.clone(), call.caller.clone(), args);
        async move { Answer::of(&acted.await?) }
    }))
}
