use std::{
    future,
    sync::{Arc, Mutex},
    time::Duration,
};

use loomwork_core::{Fault, Kind, Tasks};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

const PLENTY: Duration = Duration::from_secs(60);

#[tokio::test]
async fn shutdown_asks_every_task_and_waits_for_it() {
    let tasks = Tasks::new();
    let (ended, mut tidied_up) = oneshot::channel();
    tasks.spawn("tidy", |shutdown| async move {
        shutdown.requested().await;
        assert!(shutdown.is_requested());
        tokio::task::yield_now().await;
        let _ = ended.send(());
    });
    tasks.spawn("idle", |shutdown| async move { shutdown.requested().await });
    assert_eq!(tasks.running(), ["tidy", "idle"]);
    assert_eq!(tasks.shutdown(PLENTY).await, Ok(()));
    assert_eq!(tidied_up.try_recv(), Ok(()));
    assert!(tasks.running().is_empty());
}

#[tokio::test]
async fn a_task_that_ends_by_itself_leaves_the_list() {
    let tasks = Tasks::new();
    let (ended, end) = oneshot::channel::<()>();
    tasks.spawn("short", |_| async move { drop(ended) });
    end.await.unwrap_err();
    assert_eq!(tasks.shutdown(PLENTY).await, Ok(()));
    assert!(tasks.running().is_empty());
}

#[tokio::test]
async fn a_task_that_does_not_end_is_named_and_aborted() {
    let tasks = Tasks::new();
    let (held, mut dropped) = oneshot::channel::<()>();
    tasks.spawn("stuck", |_| async move {
        let _held = held;
        future::pending::<()>().await;
    });
    let error = tasks.shutdown(Duration::ZERO).await.unwrap_err();
    assert_eq!(error.names, ["stuck"]);
    assert_eq!(error.to_string(), "background tasks did not end in time: stuck");
    assert_eq!(error.kind(), Kind::Internal);
    assert_eq!(dropped.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(tasks.shutdown(Duration::ZERO).await, Ok(()), "nothing is left to wait for");
}

#[tokio::test]
async fn nothing_starts_after_a_shutdown() {
    let tasks = Tasks::new();
    tasks.shutdown(PLENTY).await.unwrap();
    let (held, dropped) = oneshot::channel();
    tasks.spawn("late", |_| async move {
        let _ = held.send(());
    });
    assert!(tasks.running().is_empty());
    dropped.await.unwrap_err();
}

#[tokio::test]
async fn dropping_the_last_handle_requests_shutdown() {
    let tasks = Tasks::new();
    let (ended, end) = oneshot::channel();
    tasks.spawn("orphan", |shutdown| async move {
        shutdown.requested().await;
        let _ = ended.send("asked");
    });
    let other = tasks.clone();
    drop(tasks);
    assert_eq!(other.running(), ["orphan"]);
    drop(other);
    assert_eq!(end.await, Ok("asked"));
}

#[tokio::test]
async fn a_panic_is_logged_with_the_name_and_harms_nobody_else() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let tasks = Tasks::new();
    tasks.spawn("healthy", |shutdown| async move { shutdown.requested().await });
    let number = 13;
    tasks.spawn("clumsy", move |_| async move { panic!("dropped plate {number}") });
    tasks.spawn("early", |_| -> future::Ready<()> { panic!("before the first step") });
    while tasks.running().len() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(tasks.running(), ["healthy"]);
    assert_eq!(tasks.shutdown(PLENTY).await, Ok(()));
    let errors = log.errors.lock().unwrap();
    let [clumsy, early] = errors.as_slice() else { panic!("two errors, not {errors:?}") };
    assert!(clumsy.contains("\"clumsy\"") && clumsy.contains("dropped plate 13"), "{clumsy}");
    assert!(early.contains("\"early\"") && early.contains("before the first step"), "{early}");
}

#[test]
fn a_runtime_that_ends_takes_its_tasks_with_it() {
    let tasks = Tasks::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { tasks.spawn("cut off", |_| future::pending()) });
    drop(runtime);
    assert!(tasks.running().is_empty());
}

#[tokio::test]
async fn debug_names_the_tasks() {
    let tasks = Tasks::new();
    tasks.spawn("idle", |shutdown| async move { shutdown.requested().await });
    assert_eq!(format!("{tasks:?}"), r#"Tasks { running: ["idle"], .. }"#);
}

/// Keeps the fields of each error that is logged.
#[derive(Clone, Default)]
struct Log {
    errors: Arc<Mutex<Vec<String>>>,
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        if *event.metadata().level() == Level::ERROR {
            let mut fields = Fields(String::new());
            event.record(&mut fields);
            self.errors.lock().expect("no test panics here").push(fields.0);
        }
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{}={value:?} ", field.name());
    }
}
