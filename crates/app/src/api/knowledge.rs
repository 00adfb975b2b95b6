//! Knowledge: documents in namespaces, and finding in them.

use loomwork_core::Kind;
use loomwork_files::FileId;
use loomwork_rag::{
    Added, EntryId, EntryRow, EntryStatus, Filter, Found, Input, Mode, NamespaceRow, NamespaceStatus,
    NewEntry, Query, entries, namespaces,
};
use loomwork_store::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::jobs::Done;
use super::operation::{Answer, Call, Group, Method, Reading};
use super::page::{List, page};
use super::shapes::{Shown, shapes};
use crate::auth::Scope;
use crate::error::{Error, Result};

pub(super) fn operations() -> Group {
    Group::new("knowledge")
        .get("namespaces", "/api/knowledge", Scope::Manage, "Lists namespaces.", list_namespaces)
        .get(
            "entries",
            "/api/knowledge/{namespace}/entries",
            Scope::Manage,
            "Lists entries of a namespace.",
            list,
        )
        .act(
            "add",
            (Method::Post, "/api/knowledge/{namespace}/entries"),
            Scope::Manage,
            "Adds a text, or takes it in place of the live one of its key; unchanged it costs nothing.",
            add,
        )
        .act(
            "ingest",
            (Method::Post, "/api/knowledge/{namespace}/ingest"),
            Scope::Manage,
            "Adds a file by a job; the entry says how far that is.",
            ingest,
        )
        .get("entry", "/api/entries/{entry}", Scope::Manage, "Returns an entry, with how far it is.", get)
        .act("delete", (Method::Delete, "/api/entries/{entry}"), Scope::Manage, "Deletes an entry.", delete)
        .act(
            "search",
            (Method::Post, "/api/knowledge/{namespace}/search"),
            Scope::Manage,
            "Finds by words, by meaning or by both, with a text for a prompt and where each part is from.",
            search,
        )
}

shapes! {
    /// One version of a document.
    EntryShape = "Entry" {
        /// Its id.
        id: String,
        /// The id of its namespace.
        namespace: String,
        /// Its key; of a key, one version is live.
        key: Option<String>,
        /// Which version of its key it is.
        version: u32,
        /// `pending`, `ready`, `replaced`, `failed` or `cancelled`.
        status: String,
        /// Its title.
        title: Option<String>,
        /// What the application keeps with it.
        metadata: Option<Map<String, Value>>,
        /// How much it weighs, from 0 to 1.
        importance: f32,
        /// How many chunks it has.
        chunks: u32,
        /// How many tokens embedding took.
        tokens: u64,
        /// When it was added, in milliseconds since 1970.
        created: i64,
        /// Why it failed.
        error: Option<String>,
    }

    /// A namespace.
    NamespaceShape = "Namespace" {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// Which version of its name it is.
        version: u32,
        /// The names of filter values that it knows.
        filter_names: Vec<String>,
        /// Where it stands.
        status: String,
    }

    /// What was found.
    FoundShape = "Found" {
        /// Ranges of chunks, best first.
        results: Vec<Map<String, Value>>,
        /// The entries that they are of.
        entries: Vec<Map<String, Value>>,
        /// All of it, for a prompt.
        text: String,
    }
}

type EntryView = Shown<Row<EntryRow>, EntryShape>;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListNamespaces {
    /// `ready` by default; `pending` or `replaced`.
    #[schemars(with = "Option<String>")]
    status: Option<NamespaceStatus>,
    /// How many, from 1 to 200; 20 by default.
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

fn list_namespaces(
    reading: &Reading<'_>,
    args: &ListNamespaces,
) -> Result<List<Shown<Row<NamespaceRow>, NamespaceShape>>> {
    let status = args.status.unwrap_or(NamespaceStatus::Ready);
    let found = namespaces::list(reading.tx, status, page(args.limit, args.after.as_deref())?)?;
    Ok(List::new(found.rows.into_iter().map(Shown::new).collect(), found.next))
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListEntries {
    /// The namespace's name.
    namespace: String,
    /// `ready` by default; `pending`, `replaced`, `failed` or `cancelled`.
    #[schemars(with = "Option<String>")]
    status: Option<EntryStatus>,
    /// Whether the newest comes first.
    #[serde(default)]
    newest_first: bool,
    /// How many, from 1 to 200; 20 by default.
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

fn list(reading: &Reading<'_>, args: &ListEntries) -> Result<List<EntryView>> {
    let versions = namespaces::versions(reading.tx, &args.namespace)?;
    let live = versions.iter().find(|version| version.status == NamespaceStatus::Ready);
    let namespace = live.ok_or_else(|| {
        let message = format!("there is no namespace {:?} that answers; add something to it", args.namespace);
        Error::new(Kind::NotFound, message).about("namespace")
    })?;
    let listed = entries::Listed {
        namespace: Some(namespace.id),
        status: args.status.unwrap_or(EntryStatus::Ready),
        newest_first: args.newest_first,
    };
    let found = entries::list(reading.tx, listed, page(args.limit, args.after.as_deref())?)?;
    Ok(List::new(found.rows.into_iter().map(Shown::new).collect(), found.next))
}

/// What is said of a new entry.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct AboutEntry {
    /// Its key: it takes the place of the live version.
    key: Option<String>,
    /// Its title.
    title: Option<String>,
    /// What the application keeps with it.
    metadata: Map<String, Value>,
    /// Values to filter by, of the names that the app declares.
    filters: Map<String, Value>,
    /// How much it weighs, from 0 to 1; by default as much as the live version of its key, or 1.
    importance: Option<f32>,
}

impl From<AboutEntry> for NewEntry {
    fn from(about: AboutEntry) -> Self {
        let AboutEntry { key, title, metadata, filters, importance } = about;
        Self { key, title, metadata, filters, importance, ..Self::default() }
    }
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AddEntry {
    /// The namespace's name; it is made if it is not there.
    namespace: String,
    /// The text.
    text: String,
    /// What is said of it.
    #[serde(default)]
    about: AboutEntry,
}

/// An entry that was added.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AddedEntry")]
struct AddedView {
    /// The entry that is live now.
    entry: EntryView,
    /// Whether it is new; not if nothing has changed.
    created: bool,
}

async fn add(call: Call, args: AddEntry) -> Result<Answer<AddedView>> {
    let added = call.app.knowledge().add(args.namespace, args.about.into(), args.text).await;
    let Added { entry, created, .. } = added?;
    Answer::of(&AddedView { entry: Shown::new(entry), created })
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ingest {
    /// The namespace's name; it is made if it is not there.
    namespace: String,
    /// The id of an uploaded file.
    #[schemars(with = "String")]
    file: FileId,
    /// What is said of it.
    #[serde(default)]
    about: AboutEntry,
}

async fn ingest(call: Call, args: Ingest) -> Result<Answer<EntryView>> {
    let rag = call.app.knowledge().clone();
    call.mutate(move |tx, _| {
        let new = NewEntry::from(args.about);
        Ok(Shown::new(rag.add_later(tx, args.namespace, &new, Input::file(args.file))?))
    })
    .await
}

/// An entry by its id.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneEntry {
    /// The entry's id.
    #[schemars(with = "String")]
    entry: EntryId,
}

fn get(reading: &Reading<'_>, args: &OneEntry) -> Result<EntryView> {
    Ok(Shown::new(reading.tx.require(args.entry)?))
}

async fn delete(call: Call, args: OneEntry) -> Result<Answer<Done>> {
    let rag = call.app.knowledge().clone();
    call.mutate(move |tx, _| {
        rag.delete(tx, args.entry)?;
        Ok(Done { done: true })
    })
    .await
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SearchKnowledge {
    /// The namespace's name.
    namespace: String,
    /// What is asked.
    query: String,
    /// `hybrid` by default; `vector` or `text`.
    #[schemars(with = "Option<String>")]
    mode: Option<Mode>,
    /// Which chunks: `{"eq": ["team", "weavers"]}`.
    #[schemars(with = "Option<Map<String, Value>>")]
    filter: Option<Filter>,
    /// How many, from 1 to 100; 10 by default.
    limit: Option<usize>,
}

async fn search(call: Call, args: SearchKnowledge) -> Result<Answer<Shown<Found, FoundShape>>> {
    let query = Query {
        mode: args.mode.unwrap_or(Mode::Hybrid),
        filter: args.filter.unwrap_or_default(),
        limit: args.limit.unwrap_or(10),
        user: call.caller.as_user().map(str::to_owned),
        ..Query::from(args.query)
    };
    Answer::of(&Shown::new(call.app.knowledge().search(&args.namespace, query).await?))
}
