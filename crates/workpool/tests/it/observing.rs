//! What a pool tells its log.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use loomwork_core::Kind;
use loomwork_testkit::soon;
use loomwork_workpool::{Job, Options, OutcomeKind, REPORT_EVERY, enqueue, enqueue_all};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use super::yard::{Yard, fault};

const WORK: Job<u32, ()> = Job::new("observed work");

/// Writes every event down as a line.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<String>>>);

impl Listener {
    fn heard(&self, what: &str) -> Vec<String> {
        let lines = self.0.lock().expect("nothing panics while it listens");
        lines.iter().filter(|line| line.contains(what)).cloned().collect()
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("loomwork_workpool")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().expect("nothing panics while it listens").push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Jobs of even numbers succeed.
fn pool(yard: &Yard) -> loomwork_workpool::Builder {
    yard.pool().on(WORK, |_, number| async move {
        if number % 2 == 0 { Ok(()) } else { Err(fault(Kind::Invalid, "odd")) }
    })
}

#[tokio::test]
async fn a_minute_with_work_ends_in_a_report_and_an_idle_one_does_not() {
    let listener = Listener::default();
    let _listening = tracing::subscriber::set_default(listener.clone());
    let yard = Yard::open().await;
    let _pool = pool(&yard).start().await.unwrap();
    let jobs = yard.commit(|tx| enqueue_all(tx, &WORK, 0..4, ())).await;
    yard.all_end(&jobs).await;
    yard.rests().await;
    for minutes in 1..=3 {
        let end = yard.clock.clock().now() + REPORT_EVERY;
        yard.turn_to(end).await;
        soon(async {
            while listener.heard("workpool report").is_empty() {
                yard.rests().await;
            }
        })
        .await;
        yard.rests().await;
        assert_eq!(listener.heard("workpool report").len(), 1, "after {minutes} minutes");
    }
    let report = &listener.heard("workpool report")[0];
    for part in ["completed=4", "succeeded=2", "failed=2", "retries=0", "running=0", "backlog=0"] {
        assert!(report.contains(part), "{part} is missing in {report}");
    }
    assert!(report.contains("failure_rate=0.5 permanent_failure_rate=0.5"), "{report}");
}

#[tokio::test]
async fn a_job_is_heard_of_when_it_starts_and_when_it_ends() {
    let listener = Listener::default();
    let _listening = tracing::subscriber::set_default(listener.clone());
    let yard = Yard::open().await;
    let _pool = pool(&yard).start().await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &WORK, 1, ())).await;
    assert_eq!(yard.ends(job).await, OutcomeKind::Failed);
    soon(async {
        while listener.heard("a job ended").is_empty() {
            yard.rests().await;
        }
    })
    .await;
    let (started, ended) = (listener.heard("a job starts"), listener.heard("a job ended"));
    let expected = format!("job={job} name=\"observed work\" attempt=1");
    assert!(started[0].contains(&expected) && started[0].contains("waited="), "{started:?}");
    assert!(ended[0].contains(&expected) && ended[0].contains("kind=Failed error=\"odd\""), "{ended:?}");
}

#[tokio::test]
async fn an_enqueuing_is_heard_of_where_its_mutation_runs() {
    let listener = Listener::default();
    let yard = Yard::open().await;
    let hears = listener.clone();
    let job = yard
        .commit(move |tx| {
            tracing::subscriber::with_default(hears, || enqueue(tx, &WORK, 1, Options::default()))
        })
        .await;
    let heard = listener.heard("a job is enqueued");
    let expected = format!("job={job} name=\"observed work\" pool=\"default\" due=");
    assert!(heard[0].contains(&expected), "{heard:?}");
}
