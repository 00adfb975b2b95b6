//! Commits of an answer: of each call that has ended, and of each step with what follows it.

use std::collections::HashSet;

use loomwork_messages::runs::{self, Step, Then};
use loomwork_messages::streams::Rest;
use loomwork_messages::{MessageId, MessageRow, NewMessage, Run, UiChunk};
use loomwork_models::{Message, Usage};
use loomwork_store::{Row, Store, Tx};

use super::super::attempt::Attempt;
use super::super::ending::{Ending, call_ended};
use super::super::joined::joined;
use super::super::opening::step_row;
use super::{Kept, Record, lock};
use crate::admission::Holds;
use crate::error::AgentError;
use crate::tool::{CallEnd, Outcome};
use crate::{journal, waiting};

impl Record {
    /// Commits the end of a call, so that it is not made again. One that waits for somebody, or that was called
    /// off, has no end that counts for whoever takes the run up.
    pub(crate) async fn ended(&self, step: u32, end: CallEnd) -> Result<(), AgentError> {
        let Some(kept) = &self.kept else { return Ok(()) };
        if end.result.is_none() || end.outcome == Outcome::Cancelled {
            return Ok(());
        }
        let hold = kept.hold;
        let ended = self.store.mutate(move |tx| {
            runs::held(tx, hold)?;
            call_ended(tx, hold.run, step, end)
        });
        Ok(ended.await?)
    }

    /// Notes the end of a call of a step that is complete, until a message has it: if the run ends before, that end
    /// says it.
    pub(crate) fn is_unsaid(&self, step: u32, end: CallEnd) {
        if end.result.is_some() && end.outcome != Outcome::Cancelled {
            self.attempt().unsaid.get_or_insert_with(|| (step, Vec::new())).1.push(end);
        }
    }

    /// Leaves the end of a call to the end of the step, which comes at once.
    pub(crate) fn ends_with(&self, end: CallEnd) {
        self.attempt().last_call = Some(end);
    }

    /// Returns the end of the call that the end of the step writes.
    pub(crate) fn last_call(&self) -> Option<CallEnd> {
        self.attempt().last_call.clone()
    }

    /// Commits a step with the last chunks of its stream, which nobody sees before, and returns what has joined the turn
    /// meanwhile: then the run goes on in any case, unless it waits for somebody.
    pub(crate) async fn commit(
        &mut self,
        messages: Vec<NewMessage>,
        then: Then,
        last: Vec<UiChunk>,
    ) -> Result<Vec<Message>, AgentError> {
        let goes_on = then == Then::GoOn;
        let ending = self.ending_of(&messages, goes_on);
        let used = ending.closing.usage.clone();
        let (plan, step) = {
            let attempt = self.attempt();
            (attempt.plan.with(&messages), attempt.step)
        };
        let next =
            move |goes_on: bool, row| goes_on.then(|| Attempt::new(plan, step + 1, 1, row, Holds::default()));
        let Some(kept) = &mut self.kept else {
            self.attempt().has_ended = true;
            self.written(ending, None).await?;
            self.go_on(next(goes_on, None), &used);
            return Ok(Vec::new());
        };
        let (hold, known) = (kept.hold, kept.joined.clone());
        let (reporter, opens) = (self.reporter.clone(), next.clone());
        let write = move |tx: &mut Tx, run: Row<Run>| {
            // A run that waits reads what has joined when it is taken up.
            let joined = if then == Then::Wait { Vec::new() } else { newly_joined(tx, &run, &known)? };
            let goes_on = goes_on || !joined.is_empty();
            let then = if goes_on { Then::GoOn } else { then };
            let done = runs::step(tx, hold, Step { messages, then })?;
            let total = ending.total.clone().filter(|_| !goes_on);
            Ending { total, ..ending }.apply(tx)?;
            if then == Then::Wait {
                waiting::begin(tx, hold.run, step)?;
            }
            let opened = match (opens(goes_on, None), done.run.host) {
                (Some(next), Some(host)) => {
                    let row = step_row(tx, &reporter, &next, done.run.thread, host);
                    Some((tx.insert(row)?.id, host))
                }
                _ => None,
            };
            Ok((done, opened, joined))
        };
        let done = kept.commit(&self.store, last, write).await;
        match done {
            Ok((done, opened, joined)) => {
                kept.messages.extend(done.messages.iter().map(|row| row.id));
                kept.joined.extend(joined.iter().map(|row| row.id));
                kept.run = done.run;
                self.reporter.delegated.report(&used);
                self.go_on(next(goes_on || !joined.is_empty(), opened), &used);
                Ok(joined.into_iter().map(|row| row.record.message).collect())
            }
            // A step that cannot be stored is a failed run, and is told.
            Err(error) => Err(self.fail(error.into()).await),
        }
    }

    /// Commits the results of calls that waited for somebody; they belong to a step that is complete. Returns what has
    /// joined the turn meanwhile: then the run goes on in any case. Where no other step follows, it ends.
    pub(crate) async fn settle(
        &mut self,
        step: u32,
        said: Option<NewMessage>,
        goes_on: bool,
    ) -> Result<Vec<Message>, AgentError> {
        let (row, call_holds) = {
            let attempt = self.attempt();
            (attempt.row, attempt.holds.clone())
        };
        let (run_holds, total) = (self.run_holds.clone(), self.total.clone());
        let Some(kept) = &mut self.kept else { return Ok(Vec::new()) };
        let (hold, known) = (kept.hold, kept.joined.clone());
        let write = move |tx: &mut Tx, run: Row<Run>| {
            let joined = newly_joined(tx, &run, &known)?;
            let goes_on = goes_on || !joined.is_empty();
            let then = if goes_on { Then::GoOn } else { Then::End };
            let done = runs::rest_of_step(tx, hold, Step { messages: said.into_iter().collect(), then })?;
            journal::let_go(tx, hold.run, step)?;
            if let Some((row, _)) = row.filter(|_| !goes_on) {
                // The step that the run was taken up for is not made.
                tx.delete(row)?;
                call_holds.settle(tx, None)?;
                run_holds.settle(tx, Some(&total))?;
            }
            Ok((done, joined))
        };
        let done = kept.commit(&self.store, Vec::new(), write).await;
        match done {
            Ok((done, joined)) => {
                kept.messages.extend(done.messages.iter().map(|row| row.id));
                kept.joined.extend(joined.iter().map(|row| row.id));
                kept.run = done.run;
                lock(&self.attempt).unsaid = None;
                self.has_ended = !goes_on && joined.is_empty();
                Ok(joined.into_iter().map(|row| row.record.message).collect())
            }
            Err(error) => Err(self.fail(error.into()).await),
        }
    }

    /// Goes on to the next attempt; without one the answer is complete.
    fn go_on(&mut self, next: Option<Attempt>, used: &Usage) {
        self.total += used;
        self.has_ended = next.is_none();
        if let Some(next) = next {
            *self.attempt() = next;
        }
    }
}

impl Kept {
    /// Writes of the run that is held, together with what its stream has in hand; nobody sees the `last` chunks before.
    async fn commit<T: Send + 'static>(
        &mut self,
        store: &Store,
        last: Vec<UiChunk>,
        write: impl FnOnce(&mut Tx, Row<Run>) -> loomwork_store::Result<T> + Clone + Send + 'static,
    ) -> loomwork_store::Result<T> {
        let hold = self.hold;
        let rest = self.writer.rest(last).await?;
        let slice = rest.as_ref().map(Rest::slice);
        let written = store.mutate(move |tx| {
            let run = runs::held(tx, hold)?;
            if let Some(slice) = slice {
                slice.store(tx)?;
            }
            write(tx, run)
        });
        let written = written.await?;
        if let Some(rest) = rest {
            rest.is_stored();
        }
        Ok(written)
    }
}

/// Returns what has joined the turn of a run, and its model is not yet told of.
fn newly_joined(
    tx: &Tx,
    run: &Run,
    known: &HashSet<MessageId>,
) -> loomwork_store::Result<Vec<Row<MessageRow>>> {
    Ok(joined(tx, run)?.into_iter().filter(|row| !known.contains(&row.id)).collect())
}
