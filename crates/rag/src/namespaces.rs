//! Namespaces: isolated spaces of knowledge, one version of a name for each embedding model.

use loomwork_search::Space;
use loomwork_store::{Page, Paged, Result as StoreResult, Row, Tx};

use crate::settle::{Settled, Settling};
use crate::tables::{EntryId, EntryRow, NamespaceId, NamespaceRow, NamespaceStatus};
use crate::{Error, Result};

/// The longest name of a namespace, in bytes.
pub const MAX_NAMESPACE_BYTES: usize = 200;

/// What a knowledge base asks of a namespace.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) space: Space,
    /// The model from before, by whose vectors it finds what has none of its own.
    pub(crate) former: Option<Space>,
    pub(crate) filter_names: Vec<String>,
}

impl Wanted {
    /// Whether a namespace has vectors that it can use.
    pub(crate) fn is_of_space(&self, namespace: &NamespaceRow) -> bool {
        let mut has = [Some(&namespace.space), namespace.also.as_ref()].into_iter().flatten();
        has.any(|space| *space == self.space || Some(space) == self.former.as_ref())
    }

    /// Whether a namespace serves a search that needs these filter names.
    pub(crate) fn is_served_by<'a>(
        &self,
        namespace: &NamespaceRow,
        names: impl Iterator<Item = &'a str>,
    ) -> bool {
        self.is_of_space(namespace) && knows(namespace, names)
    }

    /// Whether a namespace knows all names that entries of this knowledge base are filtered by.
    pub(crate) fn is_known_to(&self, namespace: &NamespaceRow) -> bool {
        knows(namespace, self.filter_names.iter().map(String::as_str))
    }

    /// Returns the version of a name that answers, and that this knowledge base adds to.
    pub(crate) fn answering(&self, tx: &Tx, name: &str) -> StoreResult<Option<Row<NamespaceRow>>> {
        find(tx, name, NamespaceStatus::Ready, self, std::iter::empty())
    }

    /// Checks that a namespace serves to add to.
    pub(crate) fn check(&self, namespace: &Row<NamespaceRow>) -> Result<()> {
        if namespace.status == NamespaceStatus::Deleting {
            return Err(Error::UnknownNamespace { id: namespace.id.to_string() });
        }
        if self.is_of_space(namespace) {
            return Ok(());
        }
        let shown = |space: &Space| format!("{} with {} parts", space.model(), space.dimension());
        let (has, wants) = (shown(&namespace.space), shown(&self.space));
        Err(Error::OtherSpace { namespace: namespace.id.to_string(), has, wants })
    }

    /// Has a namespace know the filter names of this knowledge base, besides those that it knows. Entries without
    /// values of them are met by no condition on them.
    pub(crate) fn learn(&self, tx: &mut Tx, namespace: Row<NamespaceRow>) -> StoreResult<Row<NamespaceRow>> {
        if self.is_known_to(&namespace) {
            return Ok(namespace);
        }
        let names = self.filter_names.clone();
        tx.update(namespace.id, |row| {
            for name in names {
                if !row.filter_names.contains(&name) {
                    row.filter_names.push(name);
                }
            }
        })
    }
}

fn knows<'a>(namespace: &NamespaceRow, mut names: impl Iterator<Item = &'a str>) -> bool {
    names.all(|name| namespace.filter_names.iter().any(|has| has == name))
}

/// Returns the versions of a name, the newest first.
///
/// # Errors
/// When the store cannot be read, as for all functions here.
pub fn versions(tx: &Tx, name: &str) -> StoreResult<Vec<Row<NamespaceRow>>> {
    tx.scan(NamespaceRow::by_name.eq(name).desc())
}

/// Returns a page of the namespaces that stand so, the newest first.
///
/// # Errors
/// When the page belongs to another listing.
pub fn list(tx: &Tx, status: NamespaceStatus, page: Page) -> StoreResult<Paged<NamespaceRow>> {
    tx.page(NamespaceRow::by_status.eq(status).desc(), page)
}

/// Returns a namespace.
///
/// # Errors
/// When the store cannot be read.
pub fn get(tx: &Tx, id: NamespaceId) -> StoreResult<Option<Row<NamespaceRow>>> {
    tx.get(id)
}

pub(crate) fn require(tx: &Tx, id: NamespaceId) -> Result<Row<NamespaceRow>> {
    tx.get(id)?.ok_or_else(|| Error::UnknownNamespace { id: id.to_string() })
}

/// Says that what was to be published in a namespace would not be found by its name, and what would be.
pub(crate) fn no_longer_answers(
    tx: &Tx,
    namespace: &Row<NamespaceRow>,
    entry: EntryId,
) -> StoreResult<Error> {
    let mut others = versions(tx, &namespace.name)?.into_iter();
    let now = others.find(|other| other.status == NamespaceStatus::Ready);
    let change = match (namespace.status, now) {
        (NamespaceStatus::Deleting, _) => "is deleted".to_owned(),
        (_, Some(now)) => format!("was replaced by {}, which answers now,", now.id),
        (_, None) => "was replaced".to_owned(),
    };
    let namespace = format!("{} ({})", namespace.name, namespace.id);
    Ok(Error::NamespaceChanged { namespace, change, entry: entry.to_string() })
}

/// Returns the newest version of a name that stands so and serves: one of the model itself, or of its former one.
pub(crate) fn find<'a>(
    tx: &Tx,
    name: &str,
    status: NamespaceStatus,
    wanted: &Wanted,
    names: impl Iterator<Item = &'a str> + Clone,
) -> StoreResult<Option<Row<NamespaceRow>>> {
    let versions = versions(tx, name)?.into_iter();
    let serving =
        versions.filter(|version| version.status == status && wanted.is_served_by(version, names.clone()));
    let serving: Vec<_> = serving.collect();
    let own = serving.iter().position(|version| version.space == wanted.space);
    Ok(serving.into_iter().nth(own.unwrap_or_default()))
}

/// Returns the newest version of a name that stands so and serves, and knows the filter names that are wanted
/// from now on; a new one where there is none.
pub(crate) fn get_or_create(
    tx: &mut Tx,
    settling: &Settling,
    name: &str,
    status: NamespaceStatus,
    wanted: &Wanted,
) -> StoreResult<Row<NamespaceRow>> {
    if !(1..=MAX_NAMESPACE_BYTES).contains(&name.len()) {
        let right = format!("it has 1 to {MAX_NAMESPACE_BYTES} bytes");
        return Err(Error::bad("the name of a namespace has", format!("{} bytes", name.len()), right).into());
    }
    if let Some(found) = find(tx, name, status, wanted, std::iter::empty())? {
        return wanted.learn(tx, found);
    }
    let newest = tx.first(NamespaceRow::by_name.eq(name).desc())?;
    let namespace = tx.insert(NamespaceRow {
        name: name.to_owned(),
        version: newest.map_or(0, |newest| newest.version + 1),
        space: wanted.space.clone(),
        also: None,
        filter_names: wanted.filter_names.clone(),
        status: NamespaceStatus::Pending,
        created: tx.now(),
        replaced: None,
        published: 0,
        shelved: 0,
    })?;
    if status == NamespaceStatus::Pending {
        return Ok(namespace);
    }
    // Those of other models go on beside it.
    promote_over(tx, settling, namespace, |other| other.space == wanted.space)?;
    let newest = tx.first(NamespaceRow::by_name.eq(name).desc())?;
    newest.ok_or_else(|| Error::UnknownNamespace { id: name.to_owned() }.into())
}

/// Makes a namespace the one that answers by its name, in place of all others, and returns those.
pub(crate) fn promote(
    tx: &mut Tx,
    settling: &Settling,
    id: NamespaceId,
) -> StoreResult<Vec<Row<NamespaceRow>>> {
    let namespace = require(tx, id)?;
    match namespace.status {
        NamespaceStatus::Ready => Ok(Vec::new()),
        NamespaceStatus::Replaced => Ok(vec![namespace]),
        NamespaceStatus::Deleting => Err(Error::UnknownNamespace { id: id.to_string() }.into()),
        NamespaceStatus::Pending => promote_over(tx, settling, namespace, |_| true),
    }
}

fn promote_over(
    tx: &mut Tx,
    settling: &Settling,
    namespace: Row<NamespaceRow>,
    is_over: impl Fn(&NamespaceRow) -> bool,
) -> StoreResult<Vec<Row<NamespaceRow>>> {
    let mut replaced = Vec::new();
    let mut overtaken = Vec::new();
    for other in versions(tx, &namespace.name)? {
        let is_ready = other.status == NamespaceStatus::Ready;
        let is_older = other.status == NamespaceStatus::Pending && other.version < namespace.version;
        if other.id == namespace.id || !is_over(&other) || !(is_ready || is_older) {
            continue;
        }
        let other = retire(tx, other.id)?;
        if is_ready { replaced.push(other) } else { overtaken.push(other) }
    }
    let namespace = tx.update(namespace.id, |row| row.status = NamespaceStatus::Ready)?;
    settling.tell(tx, &Settled::Namespace { namespace, replaced: replaced.clone() })?;
    for namespace in overtaken {
        settling.tell(tx, &Settled::Namespace { namespace, replaced: Vec::new() })?;
    }
    Ok(replaced)
}

fn retire(tx: &mut Tx, id: NamespaceId) -> StoreResult<Row<NamespaceRow>> {
    let now = tx.now();
    tx.update(id, |row| (row.status, row.replaced) = (NamespaceStatus::Replaced, Some(now)))
}

/// Deletes a namespace that has no entries.
///
/// # Errors
/// [`Error::NotEmpty`] while it has any, whatever their status; when there is no such namespace.
pub fn delete(tx: &mut Tx, id: NamespaceId) -> StoreResult<()> {
    let namespace = require(tx, id)?;
    if let Some(entry) = tx.ids(EntryRow::by_namespace.eq(id).take(1))?.pop() {
        let (namespace, entry) = (format!("{} ({id})", namespace.name), entry.to_string());
        return Err(Error::NotEmpty { namespace, entry }.into());
    }
    tx.delete(id)?;
    crate::load::forget_readings(tx, id)?;
    crate::migrate::forget(tx, id)
}
