//! What a level changes about the tools of the levels above.

use futures_util::future::join_all;
use loomwork_core::Clock;

use super::{LIST_TIMEOUT, ToolMount, Tools, ToolsError};

/// What is different about the tools of the levels above, in its order: tools and sources that come to them, and
/// names that go.
#[derive(Debug)]
pub struct ToolChanges<S = ()> {
    changes: Vec<Change<S>>,
}

#[derive(Debug)]
enum Change<S> {
    Add(Tools<S>),
    Source(ToolMount),
    Without(String),
}

impl<S> ToolChanges<S> {
    /// Adds tools.
    #[must_use]
    pub fn with_tools(self, tools: Tools<S>) -> Self {
        self.change(Change::Add(tools))
    }

    /// Adds what a source lists when the tools are needed.
    #[must_use]
    pub fn with_source(self, source: impl Into<ToolMount>) -> Self {
        self.change(Change::Source(source.into()))
    }

    /// Takes a tool away.
    #[must_use]
    pub fn without(self, name: impl Into<String>) -> Self {
        self.change(Change::Without(name.into()))
    }

    /// Returns whether nothing is different.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Returns these changes and then those of a nearer level.
    #[must_use]
    pub fn then(mut self, nearer: Self) -> Self {
        self.changes.extend(nearer.changes);
        self
    }

    fn change(mut self, change: Change<S>) -> Self {
        self.changes.push(change);
        self
    }
}

impl<S: Send + Sync + 'static> ToolChanges<S> {
    /// Returns the tools that there are with these changes. All sources are asked at the same time.
    ///
    /// # Errors
    /// As [`Tools::load`], [`Tools::union`] and [`Tools::without`].
    pub(crate) async fn apply(&self, base: Tools<S>, clock: &Clock) -> Result<Tools<S>, ToolsError> {
        let mounts = self.changes.iter().filter_map(|change| match change {
            Change::Source(mount) => Some(mount.list(clock)),
            Change::Add(_) | Change::Without(_) => None,
        });
        let mut listed = join_all(mounts).await.into_iter();
        let mut tools = base;
        // What a source would have brought cannot be missed.
        let mut is_complete = true;
        for change in &self.changes {
            tools = match change {
                Change::Add(more) => tools.union(more.clone())?,
                Change::Source(_) => match listed.next().transpose()?.flatten() {
                    Some(more) => tools.union(more)?,
                    None => {
                        is_complete = false;
                        tools
                    }
                },
                Change::Without(name) if !is_complete && tools.get(name).is_none() => tools,
                Change::Without(name) => tools.without(name)?,
            };
        }
        Ok(tools)
    }
}

impl ToolMount {
    /// Returns the source's tools; `None` if they cannot be listed, and may be missing.
    async fn list<S: Send + Sync + 'static>(&self, clock: &Clock) -> Result<Option<Tools<S>>, ToolsError> {
        let listed = tokio::select! {
            biased;
            listed = Tools::load(self.source.clone(), &self.prefix) => listed,
            () = clock.sleep(LIST_TIMEOUT) => {
                let source = format!("it took longer than {LIST_TIMEOUT:?}").into();
                Err(ToolsError::Source { source_name: self.source.name().to_owned(), source })
            }
        };
        match listed {
            Err(ToolsError::Source { source_name, source }) if self.may_fail => {
                tracing::warn!(source = source_name, error = %source, "the tools of a source are left out");
                Ok(None)
            }
            listed => listed.map(Some),
        }
    }
}

impl<S> Default for ToolChanges<S> {
    fn default() -> Self {
        Self { changes: Vec::new() }
    }
}

impl<S> Clone for ToolChanges<S> {
    fn clone(&self) -> Self {
        Self { changes: self.changes.clone() }
    }
}

impl<S> Clone for Change<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Add(tools) => Self::Add(tools.clone()),
            Self::Source(mount) => Self::Source(mount.clone()),
            Self::Without(name) => Self::Without(name.clone()),
        }
    }
}
