//! Standing grants: tools that somebody lets run in a thread without being asked.

use loomwork_core::Time;
use loomwork_messages::ThreadId;
use loomwork_store::{Id, Result, Row, Table, Tx};
use serde::{Deserialize, Serialize};

use crate::waiting::CallSite;

/// The id of a standing grant.
pub type GrantId = Id<GrantRow>;

/// A tool that an agent may call in a thread without anybody being asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "agent_grants", id = "grant")]
#[index(unique by_tool(thread, agent, tool))]
#[non_exhaustive]
pub struct GrantRow {
    /// The thread.
    pub thread: ThreadId,
    /// The agent.
    pub agent: String,
    /// The tool.
    pub tool: String,
    /// Who allowed it.
    pub by: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub created: Time,
}

/// Returns what may run in a thread without anybody being asked.
///
/// # Errors
/// When the store cannot be read.
pub fn grants(tx: &Tx, thread: ThreadId) -> Result<Vec<Row<GrantRow>>> {
    tx.scan(GrantRow::by_tool.eq(thread))
}

/// Takes a grant back: from the next call on, somebody is asked again. Says whether there was one.
///
/// # Errors
/// When the store cannot be read or written.
pub fn revoke(tx: &mut Tx, grant: GrantId) -> Result<bool> {
    Ok(tx.delete(grant)?.is_some())
}

/// Lets a tool run from now on. Whoever allowed it first stays the one who did.
pub(crate) fn grant(tx: &mut Tx, site: &CallSite, by: &str, reason: Option<String>) -> Result<()> {
    if is_granted(tx, site.thread, &site.agent, &site.tool)? {
        return Ok(());
    }
    let CallSite { thread, agent, tool, .. } = site.clone();
    let (by, created) = (by.to_owned(), tx.now());
    tx.insert(GrantRow { thread, agent, tool, by, reason, created }).map(drop)
}

pub(crate) fn is_granted(tx: &Tx, thread: ThreadId, agent: &str, tool: &str) -> Result<bool> {
    Ok(tx.first(GrantRow::by_tool.eq(thread).eq(agent).eq(tool))?.is_some())
}
