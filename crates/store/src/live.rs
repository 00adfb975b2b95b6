//! Who has to hear of which commit.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::Waker;

use atomic_waker::AtomicWaker;

use crate::ranges::RangeMap;
use crate::reads::{ReadRange, Space, Touch};

/// A live query's place in the registry. It is *stale* from the moment that a commit touches a
/// range it has read, until it reads again.
#[derive(Debug)]
pub(crate) struct Watcher {
    number: u64,
    stale: AtomicBool,
    waker: AtomicWaker,
    /// What it has read; `None` once it was removed.
    ranges: Mutex<Option<Vec<ReadRange>>>,
}

impl Watcher {
    /// Whether a commit has touched what was read. Registering the waker first means that no
    /// commit slips in between.
    pub(crate) fn poll_stale(&self, waker: &Waker) -> bool {
        self.waker.register(waker);
        self.stale.load(Ordering::Acquire)
    }

    /// Makes it stale and says whether it was fresh.
    pub(crate) fn mark_stale(&self) -> bool {
        !self.stale.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn wake(&self) {
        self.waker.wake();
    }
}

/// So many touched keys are kept for reads under way; beyond that, each of them is run again.
const RECENT_TOUCHES: usize = 100_000;

/// Watchers that a commit made stale and that still have to be woken.
pub(crate) type Hits = Vec<Arc<Watcher>>;

/// The registry of live queries, and the commits that a query now being read may have missed.
#[derive(Debug, Default)]
pub(crate) struct Live(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Counts commits of this process.
    position: u64,
    /// The commits behind the oldest mark, newest last.
    recent: VecDeque<(u64, Vec<Touch>)>,
    /// How many keys those have touched.
    recent_touches: usize,
    /// Reads from before this position count as having missed something.
    forgotten: u64,
    /// How many reads are under way from each position.
    marks: BTreeMap<u64, usize>,
    spaces: HashMap<Space, RangeMap<Arc<Watcher>>>,
    watchers: HashMap<u64, Weak<Watcher>>,
    last_number: u64,
}

/// Holds the commits behind its position until the read that began there has been settled.
#[derive(Debug)]
pub(crate) struct Mark {
    live: Arc<Live>,
    pub(crate) position: u64,
}

impl Drop for Mark {
    fn drop(&mut self) {
        let mut state = self.live.state();
        if let Some(count) = state.marks.get_mut(&self.position) {
            *count -= 1;
            if *count == 0 {
                state.marks.remove(&self.position);
            }
        }
        state.forget();
    }
}

impl State {
    /// Drops the commits that no read under way can have missed.
    fn forget(&mut self) {
        let oldest = self.marks.keys().next().copied().unwrap_or(u64::MAX);
        while let Some((_, touches)) = self.recent.pop_front_if(|(position, _)| *position <= oldest) {
            self.recent_touches -= touches.len();
        }
    }

    /// Keeps a commit for the reads under way, or gives up telling what they have missed.
    fn remember(&mut self, touches: Vec<Touch>) {
        if self.marks.is_empty() {
            return;
        }
        self.recent_touches += touches.len();
        self.recent.push_back((self.position, touches));
        if self.recent_touches > RECENT_TOUCHES {
            self.recent.clear();
            self.recent_touches = 0;
            self.forgotten = self.position;
        }
    }

    /// Whether a commit that the read since `mark` has not seen touched its ranges.
    fn has_missed(&self, ranges: &[ReadRange], mark: &Mark, own: Option<u64>) -> bool {
        let unseen = |position: u64| position > mark.position && Some(position) != own;
        let any_commit = ranges.iter().any(|range| range.space == Space::Commits);
        mark.position < self.forgotten
            || self.recent.iter().filter(|(position, _)| unseen(*position)).any(|(_, touches)| {
                any_commit || touches.iter().any(|touch| ReadRange::any_contains(ranges, touch))
            })
    }
}

impl Live {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("the registry's lock is never held across code that may panic")
    }

    /// Adds a watcher; it is stale from the start, since it has read nothing yet.
    pub(crate) fn watcher(&self) -> Arc<Watcher> {
        let mut state = self.state();
        state.last_number += 1;
        let watcher = Arc::new(Watcher {
            number: state.last_number,
            stale: AtomicBool::new(true),
            waker: AtomicWaker::new(),
            ranges: Mutex::new(Some(Vec::new())),
        });
        state.watchers.insert(watcher.number, Arc::downgrade(&watcher));
        watcher
    }

    /// Removes a watcher and its ranges.
    pub(crate) fn remove(&self, watcher: &Arc<Watcher>) {
        let mut state = self.state();
        state.watchers.remove(&watcher.number);
        replace_ranges(&mut state.spaces, watcher, None);
    }

    /// How many watchers there are.
    pub(crate) fn registered(&self) -> usize {
        self.state().watchers.len()
    }

    /// Wakes every watcher, so that it sees that the store is closed.
    pub(crate) fn wake_all(&self) {
        let watchers: Vec<_> = self.state().watchers.values().filter_map(Weak::upgrade).collect();
        watchers.iter().for_each(|watcher| watcher.wake());
    }

    /// Marks where a read begins. Take it before the read's snapshot is opened.
    pub(crate) fn mark(self: &Arc<Self>) -> Mark {
        let mut state = self.state();
        let position = state.position;
        *state.marks.entry(position).or_default() += 1;
        Mark { live: self.clone(), position }
    }

    /// Gives a watcher the ranges that its read covered. It is stale again at once if a commit
    /// behind `mark` touched one, except the commit `own`, in which it read.
    ///
    /// Positions are given when a commit is published. Among several writers that is not the order
    /// of the commits: what stands before `own` may have been committed after it, unseen by it.
    pub(crate) fn settle(
        &self,
        watcher: &Arc<Watcher>,
        ranges: Vec<ReadRange>,
        mark: &Mark,
        own: Option<u64>,
    ) {
        let mut state = self.state();
        let missed = state.has_missed(&ranges, mark, own);
        replace_ranges(&mut state.spaces, watcher, Some(ranges));
        watcher.stale.store(missed, Ordering::Release);
        drop(state);
        if missed {
            watcher.wake();
        }
    }

    /// Makes the watchers of a commit stale. Returns the commit's position; add its hits to
    /// those of its batch and wake them after the callers were answered.
    pub(crate) fn publish(&self, touches: Vec<Touch>, hits: &mut Hits) -> u64 {
        let mut state = self.state();
        state.position += 1;
        let touched = touches.iter().map(|touch| (touch.space, &*touch.key));
        for (space, key) in touched.chain([(Space::Commits, [].as_slice())]) {
            if let Some(ranges) = state.spaces.get(&space) {
                ranges.holding(key, &mut |_, watcher| {
                    if watcher.mark_stale() {
                        hits.push(watcher.clone());
                    }
                });
            }
        }
        state.remember(touches);
        state.position
    }
}

/// Puts `next` in place of a watcher's ranges. One that was removed stays so: its last read may
/// end after it.
fn replace_ranges(
    spaces: &mut HashMap<Space, RangeMap<Arc<Watcher>>>,
    watcher: &Arc<Watcher>,
    next: Option<Vec<ReadRange>>,
) {
    let mut ranges = watcher.ranges.lock().expect("nothing panics while a watcher's ranges are held");
    let Some(current) = ranges.as_ref() else { return };
    if next.as_ref() == Some(current) {
        return;
    }
    for range in current {
        if let Some(space) = spaces.get_mut(&range.space) {
            space.remove(&range.low, &range.high, watcher.number);
            if space.is_empty() {
                spaces.remove(&range.space);
            }
        }
    }
    for range in next.iter().flatten() {
        let space = spaces.entry(range.space).or_default();
        space.insert(&range.low, &range.high, watcher.number, watcher.clone());
    }
    *ranges = next;
}

#[cfg(test)]
mod tests;
