//! What a store knows of itself: its id, its openings, and the tables that it holds.

use std::collections::{HashMap, HashSet};

use loomwork_macros::Table;
use serde::{Deserialize, Serialize};

use crate::codec::Codec;
use crate::engine::{EngineIndex, Shape, TableNo};
use crate::error::{Problem, Result};
use crate::feed::Consumer;
use crate::lease::Grant;
use crate::registry::{OpenTable, Registry};
use crate::table::{IndexShape, Layout, Row, Table, TableDef};
use crate::tx::Tx;

/// The format of the store as a whole; a store of a higher one is refused.
const FORMAT: u32 = 1;

/// Numbers below this are those of the store's own tables.
const FIRST_TABLE: u32 = 16;

/// The most indexes that a table may have.
pub const MAX_INDEXES: usize = 64;

/// Names that begin so are the store's own.
const OWN_PREFIX: &str = "loomwork_";

/// The one row that says which store this is; its id is the store's.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "loomwork_store", id = "store")]
pub(crate) struct Identity {
    format: u32,
    /// How often the store was opened.
    pub(crate) epoch: u64,
}

/// A table as the store holds it.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "loomwork_tables", id = "table")]
#[index(unique by_name(name))]
pub(crate) struct Catalogued {
    name: String,
    number: TableNo,
    version: u32,
    codec: Codec,
    /// Whether its changes are logged. Once asked for, it stays: a program that does not know
    /// the consumer still logs for it.
    feed: bool,
    /// The indexes that are filled.
    indexes: Vec<FilledIndex>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FilledIndex {
    name: String,
    version: u32,
    /// How the key was declared when it was filled: other parts, or parts in another order, make other
    /// keys, and a version is easily forgotten.
    #[serde(default)]
    declared: String,
    unique: bool,
}

/// The store's own tables, in every store under the same numbers.
pub(crate) fn own_tables() -> Vec<OpenTable> {
    let defs = [Identity::table(), Catalogued::table(), Consumer::table(), Grant::table()];
    let open = |(number, def)| OpenTable { number: TableNo(number), feed: false, def };
    (0..).zip(defs).map(open).collect()
}

/// A table to be opened: its place, and the indexes that have to be filled first.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) table: OpenTable,
    /// By number, whether the index has to be filled.
    pub(crate) fill: Vec<bool>,
}

impl Plan {
    pub(crate) fn shape(&self) -> Shape {
        shape(&self.table, &self.fill)
    }

    pub(crate) fn needs_filling(&self) -> bool {
        self.fill.contains(&true)
    }
}

/// What an engine has to know of a table.
pub(crate) fn shape(table: &OpenTable, fill: &[bool]) -> Shape {
    let index = |(index, fill): (&IndexShape, &bool)| EngineIndex {
        name: index.name.to_owned(),
        unique: index.unique,
        refill: *fill,
    };
    Shape {
        table: table.number,
        name: table.def.name.to_owned(),
        prefix: table.def.prefix,
        codec: table.def.codec,
        clustered_by: match table.def.layout {
            Layout::ById => None,
            Layout::ClusteredBy(number) => Some(usize::from(number)),
        },
        indexes: table.def.indexes.iter().zip(fill).map(index).collect(),
    }
}

/// Refuses a store that a newer program has written, before anything in it is changed.
pub(crate) fn check_format(tx: &Tx) -> Result<()> {
    match tx.first(Identity::all())? {
        Some(identity) if identity.format > FORMAT => {
            let what = "the store's format".to_owned();
            Err(Problem::Newer { what, found: identity.format, known: FORMAT }.into())
        }
        _ => Ok(()),
    }
}

/// What an engine has to know of the store's own tables.
pub(crate) fn own_shapes() -> Vec<Shape> {
    own_tables().iter().map(|table| shape(table, &vec![false; table.def.indexes.len()])).collect()
}

/// Starts a new epoch and returns the store's row; a new store gets its row here.
pub(crate) fn begin_epoch(tx: &mut Tx) -> Result<Row<Identity>> {
    let Some(identity) = tx.first(Identity::all())? else {
        return tx.insert(Identity { format: FORMAT, epoch: 1 });
    };
    tx.update(identity.id, |identity| identity.epoch += 1)
}

/// Compares the program's tables with those of the store, enters what is new, and takes indexes
/// that must be filled (again) out of the catalogue, so that a crash in between cannot leave a
/// half-filled one that counts as whole. Versions rise only in [`enter`]: until then an older
/// program can still open the store.
pub(crate) fn plan(tx: &mut Tx, defs: &[TableDef], logged: &HashSet<&'static str>) -> Result<Vec<Plan>> {
    let mut held: HashMap<String, Row<Catalogued>> =
        tx.scan(Catalogued::all())?.into_iter().map(|row| (row.name.clone(), row)).collect();
    let mut next = held.values().map(|row| row.number.0 + 1).max().unwrap_or(0).max(FIRST_TABLE);
    let mut plans = Vec::with_capacity(defs.len());
    for def in defs {
        let row = match held.remove(def.name) {
            Some(row) => row,
            None => {
                next += 1;
                tx.insert(Catalogued {
                    name: def.name.to_owned(),
                    number: TableNo(next - 1),
                    version: def.version,
                    codec: def.codec,
                    feed: false,
                    indexes: def.indexes.iter().map(FilledIndex::of).collect(),
                })?
            }
        };
        check_fits(&row, def)?;
        let filled = filled_indexes(&row, def)?;
        let fill = def.indexes.iter().map(|index| !filled.contains(&FilledIndex::of(index))).collect();
        let feed = row.feed || def.feed || logged.contains(def.name);
        tx.update(row.id, |row| {
            row.feed = feed;
            row.indexes = filled;
        })?;
        plans.push(Plan { table: OpenTable { number: row.number, feed, def: def.clone() }, fill });
    }
    Ok(plans)
}

/// Finds the store's row and the program's tables in a store that cannot be changed.
pub(crate) fn find(tx: &Tx, defs: &[TableDef]) -> Result<(Row<Identity>, Vec<Plan>)> {
    let unfit = |what: String| {
        Problem::BadSchema(format!("{what}; open the store for writing once with this program"))
    };
    let identity =
        tx.first(Identity::all())?.ok_or_else(|| unfit("the store was never opened".to_owned()))?;
    let plan = |def: &TableDef| {
        let row = tx.first(Catalogued::by_name.eq(def.name))?;
        let row = row.ok_or_else(|| unfit(format!("the store has no table `{}` yet", def.name)))?;
        check_fits(&row, def)?;
        if filled_indexes(&row, def)?.len() < def.indexes.len() {
            return Err(unfit(format!("the store lacks an index of table `{}`", def.name)).into());
        }
        let fill = vec![false; def.indexes.len()];
        Ok(Plan { table: OpenTable { number: row.number, feed: row.feed, def: def.clone() }, fill })
    };
    Ok((identity, defs.iter().map(plan).collect::<Result<_>>()?))
}

/// Enters the tables as this program has them, their indexes filled.
pub(crate) fn enter(tx: &mut Tx, plans: &[Plan]) -> Result<()> {
    for TableDef { name, version, indexes, .. } in plans.iter().map(|plan| &plan.table.def) {
        let Some(row) = tx.first(Catalogued::by_name.eq(*name))? else { continue };
        tx.update(row.id, |row| {
            row.version = *version;
            row.indexes = indexes.iter().map(FilledIndex::of).collect();
        })?;
    }
    Ok(())
}

/// The open tables and the store's own, and the names of those of other programs.
pub(crate) fn registry(tx: &Tx, plans: &[Plan]) -> Result<Registry> {
    let names = tx.scan(Catalogued::all())?.into_iter().map(|row| (row.number, row.name.clone()));
    let open = plans.iter().map(|plan| plan.table.clone());
    Ok(Registry::new(own_tables().into_iter().chain(open).collect(), names))
}

impl FilledIndex {
    fn of(index: &IndexShape) -> Self {
        Self {
            name: index.name.to_owned(),
            version: index.version,
            declared: index.declared.to_owned(),
            unique: index.unique,
        }
    }
}

/// Refuses a table that a newer program wrote, or that was written in another way.
fn check_fits(row: &Catalogued, def: &TableDef) -> Result<()> {
    let table = def.name;
    if row.version > def.version {
        let what = format!("table `{table}`");
        return Err(Problem::Newer { what, found: row.version, known: def.version }.into());
    }
    if row.codec != def.codec {
        let (held, asked) = (row.codec, def.codec);
        return Err(Problem::BadSchema(format!(
            "table `{table}` is stored with codec {held:?}, the program declares {asked:?}; copy it into a new table to change that"
        ))
        .into());
    }
    Ok(())
}

/// The indexes whose entries are still right. New record versions make other keys, so all of a
/// table's indexes are filled anew when its version rises; one that becomes unique is, so that
/// its keys are looked through.
fn filled_indexes(row: &Catalogued, def: &TableDef) -> Result<Vec<FilledIndex>> {
    let mut filled = Vec::new();
    for index in &def.indexes {
        let Some(held) = row.indexes.iter().find(|held| held.name == index.name) else { continue };
        if held.version > index.version {
            let what = format!("index `{}.{}`", def.name, index.name);
            return Err(Problem::Newer { what, found: held.version, known: index.version }.into());
        }
        if row.version == def.version && *held == FilledIndex::of(index) {
            filled.push(held.clone());
        }
    }
    Ok(filled)
}

/// Refuses tables that cannot be put in one store.
pub(crate) fn check_defs(defs: &[TableDef]) -> Result<()> {
    let refuse = |reason: String| Err(Problem::BadSchema(reason).into());
    let mut names = HashSet::new();
    let mut prefixes = HashMap::new();
    for own in own_tables() {
        prefixes.insert(own.def.prefix, own.def.name);
    }
    for def in defs {
        let (name, prefix) = (def.name, def.prefix);
        if name.starts_with(OWN_PREFIX) {
            return refuse(format!(
                "the name `{name}` is the store's own; use one that does not begin with `{OWN_PREFIX}`"
            ));
        }
        if !names.insert(name) {
            return refuse(format!("table `{name}` was given twice"));
        }
        if def.indexes.len() > MAX_INDEXES {
            let count = def.indexes.len();
            return refuse(format!("table `{name}` has {count} indexes; the limit is {MAX_INDEXES}"));
        }
        if let Some(other) = prefixes.insert(prefix, name) {
            return refuse(format!(
                "tables `{other}` and `{name}` both have ids that begin with `{prefix}_`"
            ));
        }
    }
    Ok(())
}
