use std::future::IntoFuture as _;
use std::sync::{Arc, Mutex};

use loomwork_core::{Clock, Time};
use loomwork_store::{Result, Store};

use super::{Advance, Handler, Machine};
use crate::claim::{Taken, claim};
use crate::difference::Trouble;
use crate::flow::Flow;
use crate::host::register;
use crate::journal::{Arrived, null};
use crate::limits::{MAX_STEPS, SPARE_STEPS};
use crate::order::{Note, Order, Work, refusal};
use crate::start::start;
use crate::steps::result;
use crate::tables::{StepKind, StoredOutcome, tables};
use crate::workflow::Workflow;

const WORK: Workflow<(), ()> = Workflow::new("work");

/// A run of this code that has just been taken.
async fn machine<F, W>(code: F) -> Machine
where
    F: Fn(Flow) -> W + Send + Sync + 'static,
    W: Future<Output = Result<()>> + Send + 'static,
{
    let clock = Clock::manual(Time::from_millis(1_000_000));
    let tables = Store::memory().tables(tables()).tables(loomwork_workpool::tables());
    let store = tables.clock(clock.clock()).open().await.expect("the store opens");
    let taken = store.mutate(|tx| {
        start(tx, &WORK, (), ())?;
        let host = register(tx)?;
        claim(tx, host, &["work"].into(), 1)
    });
    let mut taken = taken.await.expect("it is taken").expect("the host is entitled");
    let Taken { run, input, journal, .. } = taken.remove(0);
    let code = Arc::new(code);
    let handler: Handler = Arc::new(move |flow, _| {
        let code = code.clone();
        Box::pin(async move { result(&code(flow).await?) })
    });
    Machine::new(&handler, &run, input, journal)
}

/// What a sleep comes to.
fn slept(order: &Order, position: u64) -> Arrived {
    Arrived {
        position,
        number: order.number,
        kind: StepKind::Sleep,
        at: Time::from_millis(2_000_000 + position as i64),
        outcome: StoredOutcome::Success(null()),
        total: 0,
    }
}

#[tokio::test]
async fn outcomes_reach_the_code_in_the_order_of_their_positions_however_they_come() {
    let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
    let log = seen.clone();
    let mut machine = machine(move |wf: Flow| {
        let log = log.clone();
        async move {
            let branch = |number: u64| {
                let (wf, log) = (wf.clone(), log.clone());
                async move {
                    wf.sleep(std::time::Duration::from_secs(1)).await;
                    log.lock().expect("nobody panics").push(number);
                    Ok(())
                }
            };
            wf.join_all((0..4).map(branch)).await.map(drop)
        }
    })
    .await;
    assert!(matches!(machine.advance(), Advance::Waiting));
    let orders = machine.orders();
    for (number, position) in [(3, 3), (1, 2), (1, 2), (0, 1)] {
        machine.arrive(slept(&orders[number], position));
        assert!(matches!(machine.advance(), Advance::Waiting));
        assert_eq!(*seen.lock().expect("nobody panics"), [0; 0]);
    }
    machine.arrive(slept(&orders[2], 0));
    assert!(matches!(machine.advance(), Advance::Ended(Ok(_))));
    assert_eq!(*seen.lock().expect("nobody panics"), [2, 0, 1, 3]);
    machine.arrive(slept(&orders[2], 0));
    assert_eq!(machine.known().position, 4, "what has come is not taken in again");
}

#[tokio::test]
async fn a_journal_that_is_full_ends_the_run_and_names_the_limits() {
    let mut machine = machine(|wf: Flow| async move {
        loop {
            wf.sleep(std::time::Duration::from_secs(1)).await;
        }
    })
    .await;
    for position in 0..(MAX_STEPS + SPARE_STEPS) as u64 {
        assert!(matches!(machine.advance(), Advance::Waiting));
        machine.arrive(slept(&machine.orders()[0], position));
    }
    let Advance::Stuck(trouble @ Trouble::Full { .. }) = machine.advance() else { panic!("it is full") };
    let text = trouble.to_string();
    assert!(text.contains("MAX_STEPS") && text.contains("50000") && text.contains("continue_with"), "{text}");
}

#[tokio::test]
async fn code_that_wakes_itself_for_ever_is_stopped() {
    let mut machine = machine(|_| async move {
        loop {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(matches!(machine.advance(), Advance::Stuck(Trouble::Foreign)));
}

#[tokio::test]
async fn ids_and_random_numbers_follow_from_the_run() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = seen.clone();
    let mut machine = machine(move |wf: Flow| {
        let (id, other) =
            (wf.new_id::<crate::tables::WorkflowRow>(), wf.new_id::<crate::tables::WorkflowRow>());
        assert_ne!(id, other);
        assert_eq!(id.time(), wf.now());
        log.lock().expect("nobody panics").push(format!("{id} {}", wf.random().u64()));
        async move { Ok(()) }
    })
    .await;
    assert!(matches!(machine.advance(), Advance::Ended(Ok(_))));
    assert_eq!(seen.lock().expect("nobody panics").len(), 1);
}

#[tokio::test]
async fn a_saga_of_a_full_journal_is_undone() {
    async fn goes_on(wf: Flow) -> Result<()> {
        loop {
            wf.event::<()>("go").await?;
        }
    }
    let mut machine = machine(|wf: Flow| async move {
        wf.saga(|wf, saga| async move {
            saga.undo("it", |wf| async move { wf.event("undone").await });
            goes_on(wf).await
        })
        .await
    })
    .await;
    let came = |order: &Order, position| Arrived { kind: StepKind::Event, ..slept(order, position) };
    for position in 0..MAX_STEPS as u64 {
        assert!(matches!(machine.advance(), Advance::Waiting));
        machine.arrive(came(&machine.orders()[0], position));
    }
    assert!(matches!(machine.advance(), Advance::Waiting));
    let refused = machine.orders();
    assert!(matches!(refused[0].work, Work::Note(Note::Refuse)));
    let outcome = refusal(loomwork_core::Kind::Invalid, "MAX_STEPS");
    machine.arrive(Arrived { outcome, ..came(&refused[0], MAX_STEPS as u64) });
    assert!(matches!(machine.advance(), Advance::Waiting));
    let undone = machine.orders();
    assert_eq!(undone[0].label.name, "undone");
    machine.arrive(came(&undone[0], MAX_STEPS as u64 + 1));
    let Advance::Ended(Err(error)) = machine.advance() else { panic!("it fails") };
    assert!(error.to_string().contains("MAX_STEPS"), "{error}");
}

#[tokio::test]
async fn a_waker_of_another_thread_is_foreign_while_the_code_is_polled_too() {
    let mut machine = machine(|wf: Flow| async move {
        let rings = std::future::poll_fn(|context| {
            let waker = context.waker().clone();
            std::thread::spawn(move || waker.wake()).join().expect("it rings");
            std::task::Poll::Ready(())
        });
        rings.await;
        wf.sleep(std::time::Duration::from_secs(1)).await;
        Ok(())
    })
    .await;
    assert!(matches!(machine.advance(), Advance::Stuck(Trouble::Foreign)));
}

#[tokio::test]
async fn what_the_code_has_dropped_may_hold_its_other_steps_and_may_panic() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let mut machine = machine(|wf: Flow| async move {
        let second = std::time::Duration::from_secs(1);
        let mut inner = wf.sleep(second);
        assert!(futures_util::poll!(&mut inner).is_pending());
        let mut holds = wf
            .effect("holds", move || {
                let _inner = &inner;
                async { Ok(()) }
            })
            .into_future();
        let bomb = Bomb;
        let mut breaks = wf
            .effect("breaks", move || {
                let _bomb = &bomb;
                async { Ok(()) }
            })
            .into_future();
        assert!(futures_util::poll!(&mut holds).is_pending());
        assert!(futures_util::poll!(&mut breaks).is_pending());
        drop((holds, breaks));
        wf.sleep(second).await;
        Ok(())
    })
    .await;
    assert!(matches!(machine.advance(), Advance::Waiting));
    let names: Vec<_> = machine.orders().into_iter().map(|order| (order.number, order.label.name)).collect();
    assert_eq!(names, [(0, "sleep".to_owned()), (3, "sleep".to_owned())]);
    // The step that was held is called off with what held it.
    assert_eq!(machine.orders().len(), 1);
    drop(machine);
}

#[tokio::test]
async fn a_waker_that_owns_a_step_is_dropped_without_the_lock() {
    /// A waker that is the last owner of a step.
    struct Owner(
        #[expect(dead_code, reason = "it is owned, and no more")] Mutex<Option<crate::steps::Sleep>>,
    );
    impl std::task::Wake for Owner {
        fn wake(self: Arc<Self>) {}
    }
    let mut machine = machine(|wf: Flow| async move {
        let second = std::time::Duration::from_secs(1);
        let (mut waits, mut owned) = (wf.sleep(second), wf.sleep(second));
        assert!(futures_util::poll!(&mut owned).is_pending());
        let waker = std::task::Waker::from(Arc::new(Owner(Mutex::new(Some(owned)))));
        let first = std::pin::Pin::new(&mut waits).poll(&mut std::task::Context::from_waker(&waker));
        assert!(first.is_pending());
        drop(waker);
        // The step's waker is the only one that is left, and another one takes its place.
        waits.await;
        Ok(())
    })
    .await;
    assert!(matches!(machine.advance(), Advance::Waiting));
    let names: Vec<_> = machine.orders().into_iter().map(|order| order.number).collect();
    assert_eq!(names, [0], "the one that was owned is called off");
}
