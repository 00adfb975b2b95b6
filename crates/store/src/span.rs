//! Typed indexes and the ranges over them that reads take.

use std::fmt;
use std::marker::PhantomData;

use crate::id::Id;
use crate::key::{Key, KeyError, after_prefix};
use crate::table::Table;

/// One index of a table, as the constant that `#[derive(Table)]` makes for it.
///
/// `K` is the tuple of its key parts. [`eq`](Index::eq) fixes the first part and leaves a
/// [`Span`] over the others; bounds limit the first part that is left.
pub struct Index<T, K> {
    number: u16,
    types: PhantomData<fn() -> (T, K)>,
}

impl<T, K> Clone for Index<T, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, K> Copy for Index<T, K> {}

impl<T: Table, K> fmt::Debug for Index<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", T::NAME, T::INDEXES[usize::from(self.number)].name)
    }
}

impl<T, K> Index<T, K> {
    /// The `number`-th of the table's indexes; the derive makes these.
    #[doc(hidden)]
    pub const fn new(number: u16) -> Self {
        Self { number, types: PhantomData }
    }
}

impl<T: Table, K: Parts> Index<T, K> {
    /// Every row that is in this index, in its order.
    pub fn all(self) -> Span<T, K> {
        Span::new(Some(self.number))
    }

    /// The rows whose first key part equals `value`.
    pub fn eq(self, value: impl Like<K::Head>) -> Span<T, K::Tail> {
        self.all().eq(value)
    }

    /// The rows whose first key part is at least `value`.
    pub fn ge(self, value: impl Like<K::Head>) -> Span<T, Bounded<K::Head>> {
        self.all().ge(value)
    }

    /// The rows whose first key part is greater than `value`.
    pub fn gt(self, value: impl Like<K::Head>) -> Span<T, Bounded<K::Head>> {
        self.all().gt(value)
    }

    /// The rows whose first key part is at most `value`.
    pub fn le(self, value: impl Like<K::Head>) -> Span<T, Bounded<K::Head>> {
        self.all().le(value)
    }

    /// The rows whose first key part is less than `value`.
    pub fn lt(self, value: impl Like<K::Head>) -> Span<T, Bounded<K::Head>> {
        self.all().lt(value)
    }
}

/// A range of an index: what to read, in which order, and how much of it at most.
///
/// `K` holds the key parts that are not fixed yet.
#[must_use = "a span reads nothing by itself; give it to `tx.scan`, `tx.first`, `tx.page` or `tx.count`"]
pub struct Span<T, K = ()> {
    pub(crate) index: Option<u16>,
    prefix: Vec<u8>,
    low: Option<Vec<u8>>,
    high: Option<Vec<u8>>,
    pub(crate) reverse: bool,
    pub(crate) limit: Option<usize>,
    pub(crate) readable: bool,
    refused: Option<KeyError>,
    types: PhantomData<fn() -> (T, K)>,
}

/// Marks a [`Span`] that has a bound: only a second bound may follow.
#[derive(Clone, Copy, Debug)]
pub struct Bounded<H>(PhantomData<fn() -> H>);

impl<T, K> Clone for Span<T, K> {
    fn clone(&self) -> Self {
        Self {
            index: self.index,
            prefix: self.prefix.clone(),
            low: self.low.clone(),
            high: self.high.clone(),
            reverse: self.reverse,
            limit: self.limit,
            readable: self.readable,
            refused: self.refused.clone(),
            types: PhantomData,
        }
    }
}

impl<T: Table, K> fmt::Debug for Span<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |bytes: &[u8]| crate::key::Shown(bytes).to_string();
        f.debug_struct("Span")
            .field("table", &T::NAME)
            .field("index", &self.index.map_or("id", |number| T::INDEXES[usize::from(number)].name))
            .field("prefix", &shown(&self.prefix))
            .field("low", &self.low.as_deref().map(shown))
            .field("high", &self.high.as_deref().map(shown))
            .field("reverse", &self.reverse)
            .field("limit", &self.limit)
            .finish()
    }
}

impl<T: Table, K> Span<T, K> {
    pub(crate) fn new(index: Option<u16>) -> Self {
        Self {
            index,
            prefix: Vec::new(),
            low: None,
            high: None,
            reverse: false,
            limit: None,
            readable: false,
            refused: None,
            types: PhantomData,
        }
    }

    /// Reads from the end of the range to its start.
    pub fn desc(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// Reads `limit` rows at most.
    pub fn take(mut self, limit: usize) -> Self {
        self.limit = Some(self.limit.map_or(limit, |before| before.min(limit)));
        self
    }

    /// Leaves out the rows that cannot be read, instead of failing at the first one: for loops that must
    /// not stand still because of one damaged row. Each is logged as an error, once. A
    /// [`count`](crate::Tx::count) reads no rows, so it counts these too.
    pub fn readable(mut self) -> Self {
        self.readable = true;
        self
    }

    /// The byte range `[low, high)` of the index that this span covers.
    pub(crate) fn bounds(&self) -> Result<(Vec<u8>, Vec<u8>), KeyError> {
        if let Some(refused) = &self.refused {
            return Err(refused.clone());
        }
        let low = self.low.clone().unwrap_or_else(|| self.prefix.clone());
        let high = self.high.clone().unwrap_or_else(|| after_prefix(&self.prefix));
        Ok((low, high))
    }

    fn next_part<N>(self) -> Span<T, N> {
        Span {
            index: self.index,
            prefix: self.prefix,
            low: self.low,
            high: self.high,
            reverse: self.reverse,
            limit: self.limit,
            readable: self.readable,
            refused: self.refused,
            types: PhantomData,
        }
    }

    /// The prefix continued by `value`.
    fn continued<H: Key>(&mut self, value: impl Like<H>) -> Vec<u8> {
        let mut bytes = self.prefix.clone();
        if let Err(refused) = value.into_part().write(&mut bytes) {
            self.refused.get_or_insert(refused);
        }
        bytes
    }

    fn bound_below<H: Key, N>(mut self, value: impl Like<H>, inclusive: bool) -> Span<T, N> {
        let at = self.continued(value);
        let low = if inclusive { at } else { after_prefix(&at) };
        self.low = self.low.max(Some(low));
        self.next_part()
    }

    fn bound_above<H: Key, N>(mut self, value: impl Like<H>, inclusive: bool) -> Span<T, N> {
        let at = self.continued(value);
        let high = if inclusive { after_prefix(&at) } else { at };
        self.high = self.high.into_iter().chain([high]).min();
        self.next_part()
    }
}

impl<T: Table, K: Parts> Span<T, K> {
    /// Fixes the next key part.
    pub fn eq(mut self, value: impl Like<K::Head>) -> Span<T, K::Tail> {
        self.prefix = self.continued(value);
        self.next_part()
    }

    /// Keeps the rows whose next key part is at least `value`.
    pub fn ge(self, value: impl Like<K::Head>) -> Span<T, Bounded<K::Head>> {
        self.bound_below(value, true)
    }

    /// Keeps the rows whose next key part is greater than `value`.
    pub fn gt(self, value: impl Like<K::Head>) -> Span<T, Bounded<K::Head>> {
        self.bound_below(value, false)
    }

    /// Keeps the rows whose next key part is at most `value`.
    pub fn le(self, value: impl Like<K::Head>) -> Span<T, Bounded<K::Head>> {
        self.bound_above(value, true)
    }

    /// Keeps the rows whose next key part is less than `value`.
    pub fn lt(self, value: impl Like<K::Head>) -> Span<T, Bounded<K::Head>> {
        self.bound_above(value, false)
    }
}

impl<T: Table, H: Key> Span<T, Bounded<H>> {
    /// Keeps the rows whose bounded part is at least `value`.
    pub fn ge(self, value: impl Like<H>) -> Self {
        self.bound_below(value, true)
    }

    /// Keeps the rows whose bounded part is greater than `value`.
    pub fn gt(self, value: impl Like<H>) -> Self {
        self.bound_below(value, false)
    }

    /// Keeps the rows whose bounded part is at most `value`.
    pub fn le(self, value: impl Like<H>) -> Self {
        self.bound_above(value, true)
    }

    /// Keeps the rows whose bounded part is less than `value`.
    pub fn lt(self, value: impl Like<H>) -> Self {
        self.bound_above(value, false)
    }
}

/// The key parts of an index, taken one by one from the left.
pub trait Parts {
    /// The next part.
    type Head: Key;
    /// The parts behind it.
    type Tail: Parts;
}

/// What follows the last part of an index; no value is like it.
#[derive(Clone, Copy, Debug)]
pub enum NoFurtherPart {}

#[diagnostic::do_not_recommend]
impl Key for NoFurtherPart {
    fn write(&self, _: &mut Vec<u8>) -> Result<(), KeyError> {
        match *self {}
    }

    fn read(_: &mut &[u8]) -> Result<Self, KeyError> {
        Err(KeyError::Mismatch { expected: "nothing" })
    }
}

impl Parts for () {
    type Head = NoFurtherPart;
    type Tail = ();
}

macro_rules! parts {
    ($($head:ident $($tail:ident)*;)*) => {$(
        impl<$head: Key, $($tail: Key),*> Parts for ($head, $($tail,)*) {
            type Head = $head;
            type Tail = ($($tail,)*);
        }
    )*};
}

parts! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
}

/// A value that can be given where a key part `K` is wanted: `K` itself, a reference to it, a
/// `&str` for a `String`, and for an optional part also the bare value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a value of this index's next key part, which is `{K}`",
    label = "expected a value for the key part `{K}`"
)]
pub trait Like<K> {
    /// Returns the value as the key part.
    fn into_part(self) -> K;
}

#[diagnostic::do_not_recommend]
impl<K: Key> Like<K> for K {
    fn into_part(self) -> K {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<K: Key + Clone> Like<K> for &K {
    fn into_part(self) -> K {
        self.clone()
    }
}

#[diagnostic::do_not_recommend]
impl<K: Key> Like<Option<K>> for K {
    fn into_part(self) -> Option<K> {
        Some(self)
    }
}

#[diagnostic::do_not_recommend]
impl Like<String> for &str {
    fn into_part(self) -> String {
        self.to_owned()
    }
}

#[diagnostic::do_not_recommend]
impl Like<Option<String>> for &str {
    fn into_part(self) -> Option<String> {
        Some(self.to_owned())
    }
}

#[diagnostic::do_not_recommend]
impl Like<Vec<u8>> for &[u8] {
    fn into_part(self) -> Vec<u8> {
        self.to_vec()
    }
}

impl<T: Table> Span<T, (Id<T>,)> {
    pub(crate) fn by_id() -> Self {
        Self::new(None)
    }
}
