//! Operations: what is asked for by name, with typed arguments and a typed answer.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use loomwork_rate_limiter::Limit;
use loomwork_store::Tx;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::args::{ArgTypes, Args};
use crate::agents::Agents;
use crate::app::App;
use crate::auth::{Caller, Need, Scope, allow};
use crate::error::Result;
use crate::idempotency::{self, Claim};

/// How long an operation may take, unless it says otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What is done with what the path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Patch,
    Delete,
}

/// Something that clients can ask for.
pub(crate) struct Operation {
    /// Its name: `threads.list`.
    pub(crate) id: String,
    pub(crate) method: Method,
    /// Its path, with the names of arguments in braces: `/api/threads/{thread}`.
    pub(crate) path: String,
    pub(crate) tag: &'static str,
    pub(crate) summary: String,
    /// What a caller needs at least. Whose rows it may see, the operation decides by [`allow`].
    pub(crate) scope: Scope,
    pub(crate) patience: Duration,
    /// Whether its answer holds a secret, so that it is kept nowhere.
    pub(crate) is_secret: bool,
    pub(crate) types: ArgTypes,
    pub(crate) args: fn(&mut SchemaGenerator) -> Schema,
    pub(crate) answer: fn(&mut SchemaGenerator) -> Schema,
    pub(crate) run: Run,
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, method, path, scope, .. } = self;
        write!(f, "{id}: {method:?} {path} ({})", scope.as_str())
    }
}

/// How an operation is carried out.
pub(crate) enum Run {
    /// By a read, which can be followed live.
    Query(Box<Prepare>),
    /// By anything else.
    Action(Box<Act>),
}

type Prepare = dyn Fn(Args) -> Result<Prepared> + Send + Sync;

/// A query whose arguments have been read; it answers with JSON.
pub(crate) type Prepared = Arc<dyn Fn(&Reading<'_>) -> Result<String> + Send + Sync>;

type Act = dyn Fn(Call, Args) -> BoxFuture<'static, Result<String>> + Send + Sync;

/// What a query reads: a snapshot, for a caller.
pub(crate) struct Reading<'a> {
    pub(crate) tx: &'a Tx,
    pub(crate) caller: &'a Caller,
    pub(crate) agents: &'a Agents,
    pub(crate) limits: &'a BTreeMap<String, Limit<'static>>,
}

impl<'a> Reading<'a> {
    /// Reads for a caller, if that is still somebody and has the scope: a live query asks it each time.
    pub(crate) fn new(tx: &'a Tx, caller: &'a Caller, app: &'a App, scope: Scope) -> Result<Self> {
        Self::of(tx, caller, &app.inner().agents, &app.inner().limits, scope)
    }

    /// As [`new`](Self::new), of an app that does not run here.
    pub(crate) fn of(
        tx: &'a Tx,
        caller: &'a Caller,
        agents: &'a Agents,
        limits: &'a BTreeMap<String, Limit<'static>>,
        scope: Scope,
    ) -> Result<Self> {
        allow(tx, caller, Need::Scope(scope))?;
        Ok(Self { tx, caller, agents, limits })
    }

    /// Says whether the caller may do something; see [`allow`].
    pub(crate) fn allow(&self, need: Need<'_>) -> Result<()> {
        Ok(allow(self.tx, self.caller, need)?)
    }

    /// Returns whose rows are asked for: the user that is named, or else the caller.
    pub(crate) fn user_or_own<'b>(&'b self, named: Option<&'b str>) -> Result<Option<&'b str>> {
        let user = named.or(self.caller.as_user());
        self.allow(Need::ReadUser(user))?;
        Ok(user)
    }
}

/// What an action works with.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) app: App,
    pub(crate) caller: Caller,
    /// The request's row, if its client gave it a key.
    pub(crate) claim: Option<Claim>,
}

impl Call {
    /// Runs one mutation, whose result is the answer; under a key of the client, that is kept in the same transaction.
    pub(crate) async fn mutate<R, F>(&self, mutation: F) -> Result<Answer<R>>
    where
        R: Serialize,
        F: FnOnce(&mut Tx, &Caller) -> Result<R> + Clone + Send + 'static,
    {
        let (caller, claim) = (self.caller.clone(), self.claim.as_ref().map(|claim| claim.id));
        let run = move |tx: &mut Tx| {
            let json = json_of(&mutation(tx, &caller)?)?;
            if let Some(claim) = claim {
                idempotency::keep(tx, claim, &json)?;
            }
            Ok(json)
        };
        let answer = self.app.store().try_mutate(run).await;
        answer.map(|json| Answer(json, PhantomData))
    }

    /// Says whether the caller may do something now; see [`allow`]. What is written in a transaction asks there.
    pub(crate) async fn allow(&self, need: Need<'static>) -> Result<()> {
        let caller = self.caller.clone();
        Ok(self.app.store().query(move |tx| allow(tx, &caller, need)).await?)
    }
}

/// An answer of a type, as JSON.
pub(crate) struct Answer<R>(String, PhantomData<fn() -> R>);

impl<R: Serialize> Answer<R> {
    pub(crate) fn of(value: &R) -> Result<Self> {
        Ok(Self(json_of(value)?, PhantomData))
    }

    #[cfg(feature = "http")]
    pub(crate) fn into_json(self) -> String {
        self.0
    }
}

pub(crate) fn json_of<R: Serialize>(value: &R) -> Result<String> {
    serde_json::to_string(value).map_err(|error| {
        let message = format!("an answer cannot be written as JSON: {error}");
        crate::error::Error::new(loomwork_core::Kind::Internal, message)
    })
}

/// Operations over one kind of thing.
pub(crate) struct Group {
    tag: &'static str,
    operations: Vec<Operation>,
}

impl Group {
    pub(crate) fn new(tag: &'static str) -> Self {
        Self { tag, operations: Vec::new() }
    }

    pub(crate) fn into_operations(self) -> Vec<Operation> {
        self.operations
    }

    /// Adds a read: a plain function of a snapshot.
    pub(crate) fn get<A, R>(
        mut self,
        name: &str,
        path: &str,
        scope: Scope,
        summary: &str,
        read: fn(&Reading<'_>, &A) -> Result<R>,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema + Send + Sync + 'static,
        R: Serialize + JsonSchema + 'static,
    {
        let operation = Operation::new::<A, R>(self.tag, name, Method::Get, path, scope, summary);
        self.operations.push(operation(query(read)));
        self
    }

    /// Adds something that is done.
    pub(crate) fn act<A, R, F, W>(
        mut self,
        name: &str,
        (method, path): (Method, &str),
        scope: Scope,
        summary: &str,
        action: F,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema + Send + 'static,
        R: JsonSchema + 'static,
        F: Fn(Call, A) -> W + Send + Sync + 'static,
        W: Future<Output = Result<Answer<R>>> + Send + 'static,
    {
        let operation = Operation::new::<A, R>(self.tag, name, method, path, scope, summary);
        self.operations.push(operation(act(action)));
        self
    }
}

impl Group {
    /// Says that the answer of the operation that was added last holds a secret: it is not kept under a client's key.
    pub(crate) fn secret(mut self) -> Self {
        if let Some(last) = self.operations.last_mut() {
            last.is_secret = true;
        }
        self
    }
}

impl Operation {
    /// Describes an operation; it still has to be said how it is carried out.
    pub(crate) fn new<A: JsonSchema, R: JsonSchema>(
        tag: &'static str,
        name: &str,
        method: Method,
        path: &str,
        scope: Scope,
        summary: &str,
    ) -> impl FnOnce(Run) -> Self + use<A, R> {
        let (id, path, summary) = (format!("{tag}.{name}"), path.to_owned(), summary.to_owned());
        move |run| Self {
            id,
            method,
            path,
            tag,
            summary,
            scope,
            patience: PATIENCE,
            is_secret: false,
            types: ArgTypes::of::<A>(),
            args: SchemaGenerator::subschema_for::<A>,
            answer: SchemaGenerator::subschema_for::<R>,
            run,
        }
    }
}

/// Makes a read of a function.
pub(crate) fn query<A, R, F>(read: F) -> Run
where
    A: DeserializeOwned + Send + Sync + 'static,
    R: Serialize,
    F: Fn(&Reading<'_>, &A) -> Result<R> + Clone + Send + Sync + 'static,
{
    Run::Query(Box::new(move |args| {
        let (args, read) = (args.read::<A>()?, read.clone());
        Ok(Arc::new(move |reading: &Reading<'_>| json_of(&read(reading, &args)?)))
    }))
}

/// Makes an action of an async function.
pub(crate) fn act<A, R, F, W>(action: F) -> Run
where
    A: DeserializeOwned + Send + 'static,
    R: 'static,
    F: Fn(Call, A) -> W + Send + Sync + 'static,
    W: Future<Output = Result<Answer<R>>> + Send + 'static,
{
    Run::Action(Box::new(move |call, args| {
        let args = args.read::<A>();
        match args {
            Ok(args) => {
                let acted = action(call, args);
                Box::pin(async move { acted.await.map(|answer| answer.0) })
            }
            Err(error) => Box::pin(async move { Err(error) }),
        }
    }))
}
