use std::{collections::BTreeSet, thread, time::Duration};

use loomwork_core::{Clock, Fault, Ids, Kind, ManualClock, ParseIdError, Random, RawId, Time};
use proptest::prelude::*;

const START: Time = Time::from_millis(1_700_000_000_000);

fn ids_at(start: Time) -> (Ids, ManualClock) {
    let manual = Clock::manual(start);
    (Ids::new(manual.clock(), Random::seeded(1)), manual)
}

/// The greatest id of version 7 in a millisecond.
fn last_of(millis: u64) -> RawId {
    let bits = u128::from(millis) << 80 | 0x7fff << 64 | 0xbfff_ffff_ffff_ffff;
    RawId::from_bytes(bits.to_be_bytes())
}

fn check_refused(text: &str, error: ParseIdError, message: &str) {
    assert_eq!(text.parse::<RawId>(), Err(error));
    assert_eq!(error.to_string(), message);
    assert_eq!(error.kind(), Kind::Invalid);
}

#[test]
fn an_id_is_a_uuid_of_version_7_with_the_clocks_time() {
    let (ids, _manual) = ids_at(START);
    for id in [ids.next(), ids.next()] {
        assert_eq!(id.time(), START);
        assert_eq!(id.as_bytes()[6] >> 4, 7);
        assert_eq!(id.as_bytes()[8] >> 6, 0b10);
    }
}

#[test]
fn a_known_id_has_a_known_text() {
    assert_eq!(RawId::from_bytes([0; 16]).to_string(), "00000000000000000000000000");
    assert_eq!(RawId::from_bytes([0xff; 16]).to_string(), "vvvvvvvvvvvvvvvvvvvvvvvvvs");
    let id = RawId::from_bytes(*b"foobarfoobarfoob");
    assert_eq!(id.to_string(), "cpnmuoj1e9j6urr2c5p6crrfc8");
    assert_eq!(format!("{id:?}"), format!("RawId({id})"));
}

#[test]
fn a_wrong_text_is_refused_and_says_why() {
    let length = "an id has 26 characters, this text has 3";
    check_refused("abc", ParseIdError::Length { found: 3 }, length);
    let upper = "character 2 of the id is 'A', only 0 to 9 and a to v are possible";
    let found = ParseIdError::Character { found: 'A', position: 2 };
    check_refused("0A000000000000000000000000", found, upper);
    let wide = "character 26 of the id is 'ä', only 0 to 9 and a to v are possible";
    let found = ParseIdError::Character { found: 'ä', position: 26 };
    check_refused("0000000000000000000000000ä", found, wide);
    let last = "the last character of the id is '1', only 0, 4, 8, c, g, k, o and s are possible";
    check_refused("00000000000000000000000001", ParseIdError::LastCharacter { found: '1' }, last);
}

#[test]
fn a_full_millisecond_flows_into_the_next() {
    let (ids, _manual) = ids_at(START);
    let full = last_of(START.millis() as u64);
    ids.raise_to(full);
    let id = ids.next();
    assert!(id > full);
    assert_eq!(id.time(), START + Duration::from_millis(1));
}

#[test]
fn ids_go_on_from_a_store_that_is_ahead_of_the_clock() {
    let (earlier, _) = ids_at(START + Duration::from_secs(60));
    let stored = earlier.next();
    let (ids, manual) = ids_at(START);
    ids.raise_to(stored);
    assert!(ids.next() > stored);
    manual.advance(Duration::from_secs(61));
    assert_eq!(ids.next().time(), START + Duration::from_secs(61));
}

#[test]
fn raising_never_lowers() {
    let (ids, _manual) = ids_at(START);
    let first = ids.next();
    ids.raise_to(RawId::from_bytes([0; 16]));
    assert!(ids.next() > first);
}

#[test]
fn a_damaged_id_from_the_end_of_time_is_passed_over() {
    let (ids, _manual) = ids_at(START);
    ids.raise_to(RawId::from_bytes([0xff; 16]));
    assert_eq!(ids.next().time(), START);
}

#[test]
fn clocks_beyond_48_bits_still_give_ids() {
    for time in [Time::MIN, Time::MAX] {
        let (ids, _manual) = ids_at(time);
        assert!(ids.next() < ids.next());
    }
}

#[test]
fn threads_share_one_order_and_no_id() {
    let (ids, _manual) = ids_at(START);
    let make = || (0..500).map(|_| ids.next()).collect::<Vec<_>>();
    let made: Vec<_> = thread::scope(|scope| {
        let threads = [(); 4].map(|()| scope.spawn(make));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(made.iter().all(|ids| ids.is_sorted()));
    assert_eq!(made.into_iter().flatten().collect::<BTreeSet<_>>().len(), 2000);
}

proptest! {
    #[test]
    fn text_gives_the_id_back(bytes: [u8; 16]) {
        let id = RawId::from_bytes(bytes);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        prop_assert_eq!(id.to_bytes(), bytes);
    }

    #[test]
    fn text_sorts_as_bytes_do(a: [u8; 16], b: [u8; 16]) {
        let (left, right) = (RawId::from_bytes(a), RawId::from_bytes(b));
        prop_assert_eq!(left.cmp(&right), a.cmp(&b));
        prop_assert_eq!(left.to_string().cmp(&right.to_string()), a.cmp(&b));
    }

    #[test]
    fn an_id_has_one_text_only(text in "[0-9a-w]{25,26}[048cgkos1]?") {
        if let Ok(id) = text.parse::<RawId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn ids_increase_however_the_clock_moves(moves in prop::collection::vec(-5_000..5_000_i64, 1..100)) {
        let (ids, manual) = ids_at(START);
        let mut latest = START;
        let mut last = ids.next();
        for offset in moves {
            let now = Time::from_millis(START.millis() + offset);
            manual.set(now);
            latest = latest.max(now);
            let id = ids.next();
            prop_assert!(id > last);
            prop_assert_eq!(id.time(), latest);
            last = id;
        }
    }

    #[test]
    fn ids_are_greater_than_what_they_were_raised_to(millis in 0..(1_u64 << 48) - 1, rest: [u8; 10]) {
        let (ids, _manual) = ids_at(START);
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&rest);
        let id = RawId::from_bytes(bytes);
        ids.raise_to(id);
        prop_assert!(ids.next() > id);
    }
}
