//! A slow closure: warned of, and survived by its neighbours.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use loomwork_core::Stopwatch;
use loomwork_store::{Result, SLOW_CLOSURE, Tx};
use loomwork_testkit::{GUARD, soon};
use tokio::sync::watch;

use crate::gate::{hold, queued};
use crate::logged;
use crate::place::TempFile;
use crate::tables::{add, sound};

/// Works for so long.
fn work(time: Duration) {
    let watch = Stopwatch::start();
    while watch.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[tokio::test]
async fn a_slow_closure_is_warned_of_by_its_callers_place() {
    logged::begin();
    let file = TempFile::new();
    let store = file.open().await;
    let slow = |tx: &mut Tx| {
        work(SLOW_CLOSURE + Duration::from_millis(10));
        add(tx)
    };
    let (place, mutation) = (Location::caller(), store.mutate(slow));
    let line = place.line();
    mutation.await.unwrap();
    store.mutate(add).await.unwrap();

    let warned = logged::lines_with(&format!("slow.rs:{line}"));
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].starts_with("WARN") && warned[0].contains("slow mutation"), "{warned:?}");
    assert_eq!(logged::lines_with("slow.rs").len(), 1, "the quick one is not warned of");
}

/// Slow mutations alternate with quick ones, all waiting at once. Each slow one but the first two
/// works until the quick one two places before it is answered: were the quick ones kept until
/// the slow ones are through, nobody would get on.
#[tokio::test]
async fn slow_closures_do_not_starve_others() {
    const PAIRS: usize = 6;
    let file = TempFile::new();
    let store = file.open().await;
    let (gate, held) = hold(&store).await;
    let answered = Arc::new(watch::Sender::new(0));
    let mut quick = Vec::new();
    let mut slow = Vec::new();
    for pair in 0..PAIRS {
        let answers = answered.subscribe();
        slow.push(queued(store.mutate(move |tx: &mut Tx| -> Result<_> {
            work(Duration::from_millis(20));
            let watch = Stopwatch::start();
            while *answers.borrow() + 2 < pair + 1 {
                assert!(watch.elapsed() < GUARD, "the quick ones starve");
                std::thread::yield_now();
            }
            add(tx)
        })));
        quick.push(queued(store.mutate(add)));
    }
    gate.open();
    held.await.unwrap();
    for quick in quick {
        soon(quick).await.unwrap();
        answered.send_modify(|answers| *answers += 1);
    }
    for slow in slow {
        soon(slow).await.unwrap();
    }
    sound(&store, 2 * PAIRS as u64).await;
}
