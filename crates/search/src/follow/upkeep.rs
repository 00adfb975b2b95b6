//! Committing what followers have seen.

use std::sync::Arc;
use std::time::Duration;

use loomwork_core::{RawId, Shutdown, crash_point};
use loomwork_store::engine::Seq;
use loomwork_store::feed;

use super::open::row;
use super::{Follower, blocking};
use crate::Result;
use crate::vector::VectorIndex;

/// How often what came in is committed.
pub const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// How many rows are committed at once, if so many come in before it is time.
pub const COMMIT_DOCS: usize = 2_000;

/// How many positions of the feed are left to a later commit while no row of the index changes.
const IDLE_CHANGES: u64 = 1_000;

impl Follower {
    /// Follows and commits until it is asked to end, and once more then.
    pub(crate) async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let mut failed = false;
        while !shutdown.is_requested() {
            // A fill goes on at once; after a failure even that takes a pause.
            if failed || self.filling().is_none() {
                tokio::select! {
                    () = shutdown.requested() => break,
                    () = self.store.clock().sleep(COMMIT_EVERY) => {}
                    () = self.full.notified() => {}
                }
            }
            failed = self.work().await.inspect_err(|error| self.complain(error)).is_err();
        }
        if let Err(error) = self.finish().await {
            self.complain(&error);
        }
    }

    /// Builds the graphs that searches want, one after the other, until it is asked to end.
    pub(crate) async fn build_graphs(self: Arc<Self>, shutdown: Shutdown) {
        while !shutdown.is_requested() {
            let (follower, asked) = (self.clone(), shutdown.clone());
            let built = blocking(move || {
                let mut each = follower.spaces().map(|of| of.index.build_graph(|| !asked.is_requested()));
                each.try_fold(false, |any, built| Ok(any | built?))
            });
            match built.await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => self.complain(&error),
            }
            tokio::select! {
                () = shutdown.requested() => {}
                () = self.store.clock().sleep(COMMIT_EVERY) => {}
            }
        }
    }

    fn complain(&self, error: &crate::Error) {
        tracing::error!(index = self.source.schema().name, %error, "an index fell behind and will try again");
    }

    async fn work(self: &Arc<Self>) -> Result<()> {
        self.fill().await?;
        self.catch_up_within(COMMIT_DOCS).await?;
        let state = *self.state();
        // A fill commits by rows alone, since a commit costs about the same for any number of them; changes
        // of other tables are committed once in a while, so that the feed can be forgotten.
        let is_behind = state.seen.0.saturating_sub(state.committed.0) > IDLE_CHANGES;
        if state.pending >= COMMIT_DOCS || (state.filled && (state.pending > 0 || is_behind)) {
            self.commit().await?;
        }
        Ok(())
    }

    async fn finish(self: &Arc<Self>) -> Result<()> {
        self.commit_all().await?;
        let follower = self.clone();
        blocking(move || follower.text.release()).await
    }

    /// Catches up and commits, several times where it is far behind: what is not committed is in memory.
    pub(crate) async fn commit_all(self: &Arc<Self>) -> Result<()> {
        let target = self.store.committed();
        loop {
            self.catch_up_within(COMMIT_DOCS).await?;
            self.commit().await?;
            if self.seen() >= target {
                return Ok(());
            }
        }
    }

    /// Commits what is in the structures, and tells the store up to where.
    async fn commit(self: &Arc<Self>) -> Result<()> {
        let _turn = self.commits.lock().await;
        // Taken before the commit, which may hold more than this says, and never less.
        let (before, follower) = (*self.state(), self.clone());
        let applied = blocking(move || follower.commit_structures(before.filled && !before.gathered)).await?;
        crash_point("search.committed");
        if let Some(consumer) = self.consumer.clone() {
            let told = self.store.mutate(move |tx| {
                let row = row(tx, &consumer)?;
                tx.update(row.id, |row| {
                    (row.filled, row.after) = (before.filled, before.after.map(RawId::to_bytes));
                })?;
                feed::advance(tx, &consumer, applied)
            });
            told.relaxed().await?;
        }
        let mut state = self.state();
        state.gathered = before.filled && state.filled;
        state.pending = state.pending.saturating_sub(before.pending);
        state.committed = state.committed.max(applied);
        Ok(())
    }

    fn commit_structures(&self, gather: bool) -> Result<Seq> {
        let text = self.text.commit()?;
        crash_point("search.text");
        let commit = |index: &VectorIndex| if gather { index.gather() } else { index.commit() };
        self.spaces().try_fold(text, |applied, vectors| Ok(applied.min(commit(&vectors.index)?)))
    }

    /// Makes what was deleted unreadable on disk too.
    pub(crate) async fn purge(self: &Arc<Self>) -> Result<()> {
        self.commit_all().await?;
        let follower = self.clone();
        blocking(move || {
            follower.text.purge()?;
            follower.spaces().try_for_each(|vectors| vectors.index.purge())
        })
        .await
    }
}
