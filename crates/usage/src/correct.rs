//! Taking events back, and putting others in their place: what was recorded is never edited.

use loomwork_store::{Result, Row, Tx};

use crate::error::UsageError;
use crate::event::{Event, Window};
use crate::record::{Origin, Recorded, check, enter, event_by_key, repeated};
use crate::tables::EventRow;

/// How the key of an event begins that takes another one back.
pub(crate) const REVERSAL: &str = "reversal:";

/// Takes an event back: another one is recorded that counts the same, negative, by the prices of the first.
/// An event is taken back once; repeating it changes nothing.
///
/// Where its bill is final, the payer's next one makes up for what that is worth less: rounded and taxed as it was, and
/// only as far as the payer still owes for the event, or has paid for it. What was voided, given up or credited before
/// is not given back once more.
///
/// # Errors
/// [`UsageError::UnknownEvent`]; [`UsageError::NotReversible`] for one that takes another back itself.
pub fn reverse(tx: &mut Tx, source: &str, key: &str) -> Result<Recorded> {
    let original = find(tx, source, key)?;
    if original.reversed
        && let Some(found) = event_by_key(tx, source, &reversal_key(key))?
    {
        return Ok(Recorded::Repeated(found.id));
    }
    tx.nested(|tx| Ok(Recorded::New(take_back(tx, &original)?.id)))
}

/// Puts another event in the place of one: takes that one back and records the other, which has a key of its
/// own. It serves for estimates, once the provider's numbers are known, and may be repeated. To correct a
/// correction, name the event that was recorded last.
///
/// Where the bill of the first is final, the right event has its place with it, and the payer's next bill makes up for
/// the difference.
///
/// # Errors
/// As [`reverse`] and [`record`](crate::record()), but the other event may be as old as the first;
/// [`UsageError::NotReversible`] for an event that was taken back before, or corrected by another one, and for
/// one to be replaced by itself or by what was taken back.
pub fn correct(tx: &mut Tx, source: &str, key: &str, right: Event) -> Result<Recorded> {
    let original = find(tx, source, key)?;
    check(&right)?;
    let refuse = |why: &'static str| Err(UsageError::NotReversible { key: key.to_owned(), why }.into());
    if (right.source.as_str(), right.key.as_str()) == (source, key) {
        return refuse("cannot be replaced by itself; give the right event a key of its own");
    }
    let found = event_by_key(tx, &right.source, &right.key)?;
    if original.reversed {
        return match (original.replaced_by, found) {
            (Some(by), Some(found)) if by == found.id => repeated(&found, &right),
            (Some(_), _) => refuse("was corrected by another event before; correct that one"),
            (None, _) => refuse("was taken back before; record the right event on its own"),
        };
    }
    if found.as_ref().is_some_and(|found| found.reversed) {
        return refuse("cannot be replaced by what was taken back; give the right event another key");
    }
    tx.nested(|tx| {
        // In this order no budget counts both.
        take_back(tx, &original)?;
        let (right, recorded) = match found {
            Some(found) => (found.id, repeated(&found, &right)?),
            None => {
                // It may be as old as what it replaces, and no older than others may be.
                let usual = Window::default();
                let back = usual.back.max(tx.now().since(original.event.at));
                right.check_time(tx.now(), &Window { back, ..usual })?;
                let id = enter(tx, right, Origin::Replaces(&original))?.id;
                (id, Recorded::New(id))
            }
        };
        tx.update(original.id, |row| row.replaced_by = Some(right))?;
        Ok(recorded)
    })
}

/// Finds an event that may be taken back.
fn find(tx: &Tx, source: &str, key: &str) -> Result<Row<EventRow>> {
    let Some(original) = event_by_key(tx, source, key)? else {
        let (source_name, key) = (source.to_owned(), key.to_owned());
        return Err(UsageError::UnknownEvent { source_name, key }.into());
    };
    if original.reverses.is_some() {
        let why = "takes another one back itself; record the usage anew instead";
        return Err(UsageError::NotReversible { key: key.to_owned(), why }.into());
    }
    Ok(original)
}

fn take_back(tx: &mut Tx, original: &Row<EventRow>) -> Result<Row<EventRow>> {
    let event = Event { key: reversal_key(&original.event.key), ..original.event.clone() };
    let reversal = enter(tx, event, Origin::Reverses(original))?;
    tx.update(original.id, |row| row.reversed = true)?;
    Ok(reversal)
}

fn reversal_key(key: &str) -> String {
    format!("{REVERSAL}{key}")
}
