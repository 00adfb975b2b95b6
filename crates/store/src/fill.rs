//! Filling indexes that are new, or whose keys are made in another way than before.

use loomwork_core::{RawId, crash_point};

use crate::builder::Opening;
use crate::catalogue::Plan;
use crate::engine::{EntryKey, Stored};
use crate::error::{Problem, Result};
use crate::key::Shown;
use crate::table::TableDef;
use crate::tx::{Tx, key_parts, run_caught};

/// How many rows one mutation of a fill takes.
pub const FILL_STEP: usize = 500;

/// Writes every row's keys, a step at a time. Until the catalogue has the indexes as filled, the
/// next opening begins anew.
pub(crate) fn fill(opening: &mut Opening<'_>, plan: &Plan) -> Result<()> {
    let def = &plan.table.def;
    tracing::info!(table = def.name, "filling indexes");
    let mut after = None;
    while let Some(last) = opening.mutate(|tx| fill_step(tx, plan, after))? {
        after = Some(last);
        crash_point("fill.step");
    }
    crash_point("fill.end");
    Ok(())
}

/// Fills behind the row `after`; returns the last row it filled, or `None` at the end.
fn fill_step(tx: &mut Tx, plan: &Plan, after: Option<RawId>) -> Result<Option<RawId>> {
    let table = plan.table.number;
    let def = &plan.table.def;
    let rows = tx.raw_rows(table, after, FILL_STEP)?;
    let last = rows.last().map(|(id, _, _)| *id);
    for (id, version, body) in rows {
        let keys = run_caught("key or upgrade function", || (def.keys)(id, version, &body))?;
        for (at, key) in keys.iter().enumerate().filter(|(at, _)| plan.fill[*at]) {
            check_free(tx, plan, at, id, key.as_ref())?;
        }
        // The engine has emptied the indexes that are filled, so the row is in none of them.
        let held = keys.iter().zip(&plan.fill).map(|(key, fill)| key.clone().filter(|_| !fill)).collect();
        tx.write_keys(table, id, held, Stored { version, body, keys });
    }
    Ok(last)
}

/// Refuses a key of a unique index that another row was given before.
fn check_free(tx: &Tx, plan: &Plan, at: usize, id: RawId, key: Option<&EntryKey>) -> Result<()> {
    let TableDef { name: table, prefix, indexes, .. } = &plan.table.def;
    let (true, Some(key)) = (indexes[at].unique, key) else { return Ok(()) };
    match tx.holder(plan.table.number, at, key_parts(key))?.filter(|holder| *holder != id) {
        None => Ok(()),
        Some(holder) => {
            let key = Shown(key_parts(key)).to_string();
            Err(Problem::Duplicate { table, index: indexes[at].name, key, prefix, id: holder }.into())
        }
    }
}
