//! What engines do, done by hand: for tests of single transactions.

use std::sync::Arc;

use loomwork_core::{Clock, ManualClock, Time};
use loomwork_store::{Id, Result, Store, Tx};

use crate::claim::{Taken, claim};
use crate::completion::Completions;
use crate::end::{Ending, conclude};
use crate::host::{beat, register};
use crate::journal::{Hold, Label, Place};
use crate::order::{Note, Noted, write_down};
use crate::tables::{HostRow, StepKind, WorkflowId, tables};

/// A store that nobody looks after, and a host in it.
#[derive(Debug)]
pub(crate) struct Hands {
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    host: Id<HostRow>,
}

impl Hands {
    pub(crate) async fn open() -> Self {
        let clock = Clock::manual(Time::from_millis(1_000_000));
        let builder = Store::memory().tables(tables()).tables(loomwork_workpool::tables());
        let store = builder.clock(clock.clock()).open().await.expect("the store opens");
        let host = store.mutate(register).await.expect("a host is entered");
        Self { store, clock, host }
    }

    pub(crate) async fn commit<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
    ) -> T {
        self.store.mutate(change).await.expect("the mutation commits")
    }

    /// Takes what is ready under a name.
    pub(crate) async fn take(&self, name: &'static str) -> Vec<Taken> {
        let (host, names): (_, Arc<[&'static str]>) = (self.host, [name].into());
        let taken = self.commit(move |tx| {
            // Its lease may have run out, since nobody looks after it.
            beat(tx, host)?;
            claim(tx, host, &names, 256)
        });
        taken.await.expect("the host is entitled")
    }

    /// Takes the one run that is ready under a name.
    pub(crate) async fn take_one(&self, name: &'static str) -> Hold {
        let mut taken = self.take(name).await;
        assert_eq!(taken.len(), 1);
        taken.remove(0).hold
    }

    /// Writes notes down in one transaction.
    pub(crate) async fn write(&self, hold: Hold, notes: Vec<Noted>) {
        let written = self.commit(move |tx| write_down(tx, hold, Place::default(), notes)).await;
        assert!(written.is_some(), "the hold is good");
    }

    /// Has a run go on anew that leaves these waits behind.
    pub(crate) async fn go_on_anew(&self, hold: Hold) {
        let ending = Ending::Continue(crate::journal::null());
        let concluded =
            self.commit(move |tx| conclude(tx, &Completions::default(), hold, ending.clone(), &[])).await;
        assert!(concluded, "the hold is good");
    }
}

/// A note of a step.
pub(crate) fn noted(number: u32, kind: StepKind, name: &str, note: Note) -> Noted {
    (number, Label { kind, name: name.to_owned(), fingerprint: None, args: None, behind: 0 }, note)
}

/// A note that starts a child.
pub(crate) fn child_of(parent: WorkflowId, number: u32, name: &'static str) -> Noted {
    let part = move |tx: &mut Tx, step| {
        let nested = crate::start::Nested { parent, step, depth: 1, chapter: 0 };
        let options = crate::options::Options::<()>::default().into();
        crate::start::insert(tx, name, crate::journal::null(), options, Some(nested))
    };
    noted(number, StepKind::Child, name, Note::Child(Box::new(part)))
}
