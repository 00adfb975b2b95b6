//! Giving up what nobody uses: rows in an upkeep of the store, then objects behind them.

use std::time::Duration;

use loomwork_core::{Tasks, Time, crash_point};
use loomwork_store::{Id, Next, Result, Tx, Upkeep};

use crate::claim::doom;
use crate::delete::remove;
use crate::files::Files;
use crate::tables::{Blob, File};

/// How many files, blobs or objects one step of the vacuum gives up.
pub const VACUUM_STEP: usize = 128;

/// How long the removal of objects rests after one could not be removed.
pub const VACUUM_PAUSE: Duration = Duration::from_secs(60);

/// What a vacuum gave up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// Files without owners whose grace was over.
    pub files: usize,
    /// Contents that no file has, and uploads whose lease was over.
    pub objects: usize,
}

impl Files {
    /// Starts the vacuum as two of `tasks`: an upkeep that gives up rows when their time comes, and a
    /// loop that removes the objects of those that were given up. Several processes may run it.
    pub fn start_vacuum(&self, tasks: &Tasks) {
        let grace = self.options.grace;
        self.store.start_upkeep(tasks, Upkeep::new("files vacuum", move |tx| Ok(step(tx, grace)?.next)));
        let files = self.clone();
        tasks.spawn("files sweep", |shutdown| async move {
            tokio::select! {
                () = shutdown.requested() => {}
                () = files.keep_sweeping() => {}
            }
        });
    }

    /// Gives up all that is due now, and returns how much it was.
    ///
    /// # Errors
    /// When the store or the object store fails; what was given up before stays so.
    pub async fn vacuum(&self) -> Result<Vacuumed> {
        let mut vacuumed = Vacuumed::default();
        loop {
            let grace = self.options.grace;
            let step = self.store.mutate(move |tx| step(tx, grace)).await?;
            vacuumed.files += step.files;
            if !matches!(step.next, Next::More) {
                break;
            }
        }
        loop {
            match self.sweep().await? {
                0 => return Ok(vacuumed),
                removed => vacuumed.objects += removed,
            }
        }
    }

    async fn keep_sweeping(&self) {
        let mut doomed = self.store.watch(doomed);
        while let Some(now) = doomed.next().await {
            if let Err(error) = now {
                tracing::error!(%error, "the objects to remove could not be listed");
                self.store.clock().sleep(VACUUM_PAUSE).await;
                continue;
            }
            loop {
                match self.sweep().await {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) => {
                        tracing::error!(%error, "an object could not be removed and will be tried again");
                        self.store.clock().sleep(VACUUM_PAUSE).await;
                    }
                }
            }
        }
    }

    /// Removes some doomed objects, then their rows; returns how many. One that fails goes to the end
    /// of the line, so that it holds up no other.
    async fn sweep(&self) -> Result<usize> {
        let (mut removed, mut stuck, mut failure) = (Vec::new(), Vec::new(), None);
        for blob in self.store.query(doomed).await? {
            match self.blobs.remove(blob).await {
                Ok(()) => removed.push(blob),
                Err(error) => {
                    stuck.push(blob);
                    failure = Some(error);
                }
            }
        }
        crash_point("files.removed");
        let count = removed.len();
        let settle = move |tx: &mut Tx| {
            for blob in removed {
                tx.delete(blob)?;
            }
            let now = tx.now();
            for blob in stuck {
                if tx.get(blob)?.is_some() {
                    tx.update(blob, |blob| blob.until = now)?;
                }
            }
            Ok(())
        };
        if count > 0 || failure.is_some() {
            self.store.mutate(settle).await?;
        }
        failure.map_or(Ok(count), |failure| Err(failure.into()))
    }
}

fn doomed(tx: &Tx) -> Result<Vec<Id<Blob>>> {
    let doomed = tx.scan(Blob::doomed.all().readable().take(VACUUM_STEP))?;
    Ok(doomed.into_iter().map(|blob| blob.id).collect())
}

struct Step {
    files: usize,
    next: Next,
}

/// Gives up files without owners after their grace, and then blobs without files that nobody can be
/// about to use. Owners come and go in transactions too, so none is overlooked.
fn step(tx: &mut Tx, grace: Duration) -> Result<Step> {
    let forgotten = tx.scan(File::unowned.le(tx.now() - grace).readable().take(VACUUM_STEP))?;
    for file in &forgotten {
        remove(tx, file)?;
    }
    let unused = tx.scan(Blob::unused.le(tx.now()).readable().take(VACUUM_STEP))?;
    for blob in &unused {
        doom(tx, blob.id)?;
    }
    let files = forgotten.len();
    let next = if files == VACUUM_STEP || unused.len() == VACUUM_STEP {
        Next::More
    } else {
        next_due(tx, grace)?.map_or(Next::Idle, Next::At)
    };
    Ok(Step { files, next })
}

fn next_due(tx: &Tx, grace: Duration) -> Result<Option<Time>> {
    let file = tx.first(File::unowned.all().readable())?.map(|file| file.touched + grace);
    let blob = tx.first(Blob::unused.all().readable())?.map(|blob| blob.until);
    Ok(file.into_iter().chain(blob).min())
}
