use std::time::Duration;

use super::ring;
use crate::cutting::CUT_OFF_STEP;
use crate::event::send;
use crate::hands::{Hands, noted};
use crate::order::Note;
use crate::start::start;
use crate::status::{steps, unread};
use crate::tables::StepKind;
use crate::workflow::{Event, Workflow};

const WORK: Workflow<(), ()> = Workflow::new("work");
const GO: Event<u64> = Event::new("go");

fn wait(number: u32, name: &str, timeout: Option<u64>) -> (u32, crate::journal::Label, Note) {
    let timeout = timeout.map(Duration::from_secs);
    noted(number, StepKind::Event, name, Note::Event { awaits: None, timeout })
}

#[tokio::test]
async fn the_end_of_a_wait_takes_no_event_from_the_chapter_behind_it() {
    let hands = Hands::open().await;
    let id = hands.commit(|tx| start(tx, &WORK, (), ())).await;
    let hold = hands.take_one("work").await;
    // The last one is not cut off at once: that is left for later, and nobody comes to it here.
    let last = CUT_OFF_STEP as u32 + 50;
    let mut waits: Vec<_> = (0..last).map(|number| wait(number, "never", None)).collect();
    waits.push(wait(last, "go", Some(60)));
    hands.write(hold, waits).await;
    hands.go_on_anew(hold).await;
    hands.commit(move |tx| send(tx, id, GO, &7)).await;
    hands.clock.advance(Duration::from_secs(60));
    hands.commit(|tx| ring(tx).map(drop)).await;
    assert_eq!(hands.commit(move |tx| unread(tx, id)).await, 1);
    let hold = hands.take_one("work").await;
    hands.write(hold, vec![wait(0, "go", None)]).await;
    let now = hands.commit(move |tx| steps(tx, id)).await;
    assert_eq!(now[0].state, crate::status::StepState::Success("7".to_owned()));
}
