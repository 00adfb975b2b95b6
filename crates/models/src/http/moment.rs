//! Moments as headers write them.

use std::time::Duration;

use loomwork_core::Time;

const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// Reads an RFC 3339 time such as `2026-11-21T12:00:00Z` or `2026-11-21T13:00:00.5+01:00`.
pub(super) fn read(text: &str) -> Option<Time> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok())?
    };
    let is_apart = |at: usize, signs: &[u8]| text.as_bytes().get(at).is_some_and(|sign| signs.contains(sign));
    let apart = [(4, &b"-"[..]), (7, b"-"), (10, b"Tt "), (13, b":"), (16, b":")];
    if !apart.iter().all(|(at, signs)| is_apart(*at, signs)) {
        return None;
    }
    let days = days_since_1970(number(0, 4)?, number(5, 7)?, number(8, 10)?)?;
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // A leap second is the last one of its minute, and one more.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = text.get(19..)?;
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (fraction, zone) = rest.split_at(zone_at);
    let fraction: f64 = if fraction.is_empty() { 0.0 } else { format!("0{fraction}").parse().ok()? };
    let offset = match zone.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign, _, _, b':', _, _] => {
            let minutes = zone.get(1..3)?.parse::<i64>().ok()? * 60 + zone.get(4..6)?.parse::<i64>().ok()?;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    let seconds = days * SECONDS_PER_DAY + hour * 3600 + (minute - offset) * 60 + second;
    Some(Time::from_millis(seconds * 1000) + Duration::try_from_secs_f64(fraction).ok()?)
}

/// Counts the days to a date of the Gregorian calendar. Years are taken to begin in March, so that the leap
/// day is the last of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_they_are_written() {
        for millis in [0, 951_782_400_000, 1_709_208_000_123, 1_795_262_400_000, 4_102_444_799_999] {
            let time = Time::from_millis(millis);
            assert_eq!(read(&time.to_string()), Some(time));
        }
    }

    #[test]
    fn zones_and_fractions_are_read_and_all_else_is_not() {
        let noon = read("2026-11-21T12:00:00Z");
        assert!(noon.is_some());
        assert_eq!(read("2026-11-21T13:00:00+01:00"), noon);
        assert_eq!(read("2026-11-21T06:30:00-05:30"), noon);
        assert_eq!(read("2026-11-21T12:00:00.250Z"), noon.map(|noon| noon + Duration::from_millis(250)));
        for text in [
            "",
            "soon",
            "2026-11-21",
            "2026-13-21T12:00:00Z",
            "2026-11-21T25:00:00Z",
            "2026-11-21T12:00:00",
            "2026-11-21T12:00:00+1",
            "2026-11-21T12:00:00.xZ",
            "2026-11-21T12:00:00+ä:00",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
