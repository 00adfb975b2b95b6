//! What a scope costs, as work that can be counted: the steps that its end would have to undo.

use super::*;

const TABLE: TableNo = TableNo(20);

fn id(number: usize) -> RawId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&(number as u64).to_be_bytes());
    RawId::from_bytes(bytes)
}

fn write(overlay: &mut Overlay, number: usize) {
    let stored = Stored { version: 1, body: vec![0], keys: Vec::new() };
    overlay.write(TABLE, id(number), Some(stored), || None);
}

#[test]
fn writes_outside_of_scopes_keep_nothing_to_undo() {
    let mut overlay = Overlay::default();
    (0..100).for_each(|number| write(&mut overlay, number));
    assert!(overlay.undo.is_empty());
}

#[test]
fn scopes_side_by_side_leave_nothing_behind() {
    let mut overlay = Overlay::default();
    for (number, keep) in [true, false].into_iter().cycle().take(100).enumerate() {
        let mark = overlay.begin_scope();
        write(&mut overlay, number);
        assert_eq!(overlay.undo.len(), 1, "only what this scope wrote");
        overlay.end_scope(mark, keep);
        assert!(overlay.undo.is_empty());
    }
    assert_eq!(overlay.writes().len(), 50);
}

#[test]
fn a_write_is_kept_once_however_deep_its_scope_is() {
    const DEPTH: usize = 100;
    let mut overlay = Overlay::default();
    let marks: Vec<_> = (0..DEPTH)
        .map(|number| {
            let mark = overlay.begin_scope();
            write(&mut overlay, number);
            mark
        })
        .collect();
    assert_eq!(overlay.undo.len(), DEPTH);
    // Undoing a scope takes back its own steps and touches none of those around it.
    for (level, mark) in marks.into_iter().enumerate().rev() {
        overlay.end_scope(mark, false);
        assert_eq!((overlay.undo.len(), overlay.rows.len()), (level, level));
    }
}
