//! The tables that a store was opened with.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::TableNo;
use crate::error::{Problem, Result};
use crate::table::{Table, TableDef};

/// A table as this store holds it.
#[derive(Clone, Debug)]
pub(crate) struct OpenTable {
    pub(crate) number: TableNo,
    /// Whether its changes are logged: the code or, once, an earlier program asked for it.
    pub(crate) feed: bool,
    pub(crate) def: TableDef,
}

/// The open tables, by type and by number.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    by_type: HashMap<TypeId, usize>,
    by_number: HashMap<TableNo, usize>,
    tables: Vec<OpenTable>,
    /// The names of all tables of the store, those of other programs too.
    names: HashMap<TableNo, Arc<str>>,
}

impl Registry {
    pub(crate) fn new(tables: Vec<OpenTable>, others: impl IntoIterator<Item = (TableNo, String)>) -> Self {
        let mut names: HashMap<_, Arc<str>> =
            others.into_iter().map(|(number, name)| (number, name.into())).collect();
        names.extend(tables.iter().map(|table| (table.number, table.def.name.into())));
        Self {
            by_type: tables.iter().enumerate().map(|(at, table)| (table.def.record, at)).collect(),
            by_number: tables.iter().enumerate().map(|(at, table)| (table.number, at)).collect(),
            tables,
            names,
        }
    }

    pub(crate) fn of<T: Table>(&self) -> Result<&OpenTable> {
        let at = self.by_type.get(&TypeId::of::<T>());
        at.map(|at| &self.tables[*at]).ok_or_else(|| Problem::UnknownTable { table: T::NAME }.into())
    }

    pub(crate) fn numbered(&self, number: TableNo) -> Option<&OpenTable> {
        self.by_number.get(&number).map(|at| &self.tables[*at])
    }

    pub(crate) fn name(&self, number: TableNo) -> Option<&Arc<str>> {
        self.names.get(&number)
    }

    pub(crate) fn tables(&self) -> &[OpenTable] {
        &self.tables
    }
}
