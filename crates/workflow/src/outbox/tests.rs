use super::{NOTES_STEP, Outbox};
use crate::journal::Label;
use crate::order::{Note, Order, Work};
use crate::tables::StepKind;

fn note(number: u32, note: Note) -> Order {
    let name = format!("step {number}");
    let label = Label { kind: StepKind::Event, name, fingerprint: None, args: None, behind: 0 };
    Order { number, label, work: Work::Note(note) }
}

#[test]
fn a_transaction_writes_some_notes_and_the_next_one_goes_on_behind_them() {
    let (mut outbox, count) = (Outbox::default(), 2 * NOTES_STEP + 50);
    outbox.put((0..count as u32).map(|number| note(number, Note::Withdraw)).collect());
    let mut written = Vec::new();
    while let Some(notes) = outbox.notes() {
        assert!(outbox.notes().is_none(), "one write at a time");
        written.push((notes.len(), notes[0].0));
        outbox.written();
    }
    let step = NOTES_STEP as u32;
    assert_eq!(written, [(NOTES_STEP, 0), (NOTES_STEP, step), (50, 2 * step)]);
}

#[test]
fn nothing_is_begun_before_the_mark_of_a_patch_is_written() {
    let mut outbox = Outbox::default();
    let mut orders: Vec<_> = (0..NOTES_STEP as u32).map(|number| note(number, Note::Withdraw)).collect();
    orders.push(note(9_000, Note::Patch));
    orders.push(Order { work: Work::Stop, ..note(9_001, Note::Patch) });
    outbox.put(orders);
    for _ in 0..2 {
        assert!(outbox.notes().is_some());
        assert_eq!(outbox.works().len(), 0, "the mark is not on record");
        outbox.written();
    }
    assert_eq!(outbox.works().len(), 1);
}
