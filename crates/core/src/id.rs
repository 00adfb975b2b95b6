//! Ids that sort by creation.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex},
};

use crate::{Clock, Fault, Kind, Random, Time};

/// The length of an id as text: 26 characters of 5 bits hold its 128 bits and 2 that are zero.
const TEXT_LENGTH: usize = 26;
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// An id of 16 bytes, a UUID of version 7: it starts with the time of its creation.
///
/// Its text is 26 characters of lower-case base32hex (`0`-`9`, `a`-`v`), which sort as the bytes do.
/// Each id has one text only. Ids are unique, but no secret: the next one can be guessed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawId([u8; 16]);

impl RawId {
    /// Returns the id with these bytes, whatever they are.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes of the id; they sort as the id does.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the bytes of the id.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Returns when the id was created, or a little later if many were created then.
    pub const fn time(self) -> Time {
        Time::from_millis((u128::from_be_bytes(self.0) >> 80) as i64)
    }
}

impl fmt::Display for RawId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        let mut text = String::with_capacity(TEXT_LENGTH);
        for shift in (3..128).step_by(5).rev() {
            text.push(digit(bits >> shift));
        }
        text.push(digit(bits << 2));
        formatter.pad(&text)
    }
}

impl fmt::Debug for RawId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RawId({self})")
    }
}

impl FromStr for RawId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let length = text.chars().count();
        if length != TEXT_LENGTH {
            return Err(ParseIdError::Length { found: length });
        }
        let mut bits: u128 = 0;
        for (index, found) in text.chars().enumerate() {
            let value = value(found).ok_or(ParseIdError::Character { found, position: index + 1 })?;
            if index + 1 < TEXT_LENGTH {
                bits = bits << 5 | value;
            } else if value & 0b11 == 0 {
                bits = bits << 3 | value >> 2;
            } else {
                return Err(ParseIdError::LastCharacter { found });
            }
        }
        Ok(Self(bits.to_be_bytes()))
    }
}

fn digit(bits: u128) -> char {
    DIGITS[(bits & 0b1_1111) as usize].into()
}

fn value(digit: char) -> Option<u128> {
    match digit {
        '0'..='9' | 'a'..='v' => digit.to_digit(32).map(u128::from),
        _ => None,
    }
}

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// The text is too short or too long.
    #[error("an id has 26 characters, this text has {found}")]
    Length {
        /// The number of characters in the text.
        found: usize,
    },
    /// A character is none of base32hex; upper case is not either.
    #[error("character {position} of the id is {found:?}, only 0 to 9 and a to v are possible")]
    Character {
        /// The character.
        found: char,
        /// Its place, counted from 1.
        position: usize,
    },
    /// The last character carries bits that an id does not have, so the text is not the id's own.
    #[error("the last character of the id is {found:?}, only 0, 4, 8, c, g, k, o and s are possible")]
    LastCharacter {
        /// The character.
        found: char,
    },
}

impl Fault for ParseIdError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// Makes ids, each greater than the one before, also across threads and clones.
///
/// An id takes its time from the clock and 74 random bits. While the clock stands still or runs
/// backwards, the time stays and the random bits grow by random steps.
///
/// ```
/// use loomwork_core::{Clock, Ids, Random, RawId};
///
/// let ids = Ids::new(Clock::system(), Random::system());
/// let (first, second) = (ids.next(), ids.next());
/// assert!(first < second);
/// assert_eq!(first.to_string().parse::<RawId>()?, first);
/// # Ok::<(), loomwork_core::ParseIdError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ids {
    clock: Clock,
    random: Random,
    last: Arc<Mutex<Count>>,
}

impl Ids {
    /// Returns a maker of ids; its clones share one order.
    pub fn new(clock: Clock, random: Random) -> Self {
        Self { clock, random, last: Arc::new(Mutex::new(Count(0))) }
    }

    /// Returns a new id, greater than all before it.
    pub fn next(&self) -> RawId {
        let millis = Count::millis_of(self.clock.now());
        let random = u128::from(self.random.u64()) << 64 | u128::from(self.random.u64());
        let mut last = self.last.lock().expect("nothing panics while it counts");
        *last = last.next(millis, random);
        last.id()
    }

    /// Makes all later ids greater than `id`, such as the last one that a store holds.
    ///
    /// An id from the last millisecond of 48 bits, in the year 10889, is damage and not time: it
    /// is passed over.
    pub fn raise_to(&self, id: RawId) {
        let count = Count::of(id);
        if count.millis() <= Count::LAST_MILLIS {
            let mut last = self.last.lock().expect("nothing panics while it counts");
            *last = count.max(*last);
        }
    }
}

/// The 122 bits of an id that are not fixed, as one number: 48 of milliseconds, then 74 random.
/// Counting it up carries from the random bits into the time by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Count(u128);

impl Count {
    const RANDOM_BITS: u32 = 74;
    const RANDOM: u128 = (1 << Self::RANDOM_BITS) - 1;
    /// One less than what 48 bits hold: the last millisecond is room for the carry.
    const LAST_MILLIS: u128 = (1 << 48) - 2;
    const VERSION: u128 = 7 << 76;
    const VARIANT: u128 = 0b10 << 62;
    const LOW_RANDOM: u128 = (1 << 62) - 1;

    /// A clock before 1970 counts as 1970.
    fn millis_of(time: Time) -> u128 {
        u128::try_from(time.millis()).unwrap_or(0).min(Self::LAST_MILLIS)
    }

    /// Bits that are no version 7 may sort above all of it, so they count as their millisecond's last.
    fn of(id: RawId) -> Self {
        let bits = u128::from_be_bytes(id.0);
        let high = bits >> 80 << 12 | bits >> 64 & 0xfff;
        let count = Self(high << 62 | bits & Self::LOW_RANDOM);
        if count.id() == id { count } else { Self(count.0 | Self::RANDOM) }
    }

    fn id(self) -> RawId {
        let millis = self.millis() << 80;
        let high_random = (self.0 >> 62 & 0xfff) << 64;
        let low_random = self.0 & Self::LOW_RANDOM;
        RawId((millis | Self::VERSION | high_random | Self::VARIANT | low_random).to_be_bytes())
    }

    fn millis(self) -> u128 {
        self.0 >> Self::RANDOM_BITS
    }

    /// A new millisecond starts at a random place. Within one, a random step keeps ids of two
    /// generators apart; 2^74 places are enough for 2^42 steps.
    fn next(self, millis: u128, random: u128) -> Self {
        if millis > self.millis() {
            return Self(millis << Self::RANDOM_BITS | random & Self::RANDOM);
        }
        let step = 1 + u128::from(random as u32);
        Self(self.0 + step)
    }
}
