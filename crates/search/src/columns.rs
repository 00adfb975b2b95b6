//! The filter values of a segment's rows, laid out so that a filter gives the set of rows at once.

use std::cmp::Ordering;
use std::collections::HashMap;

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use crate::index::Schema;
use crate::{Filter, Value};

/// From which part of all rows on a set of rows is made of bits.
const MANY: usize = 64;

/// The filter values of the rows 0, 1, 2, … of a segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    rows: u32,
    fields: Vec<Column>,
}

/// One filter field.
#[derive(Clone, Debug, Default)]
struct Column {
    /// Which rows have any value.
    any: RoaringBitmap,
    /// Which rows have a text.
    texts: HashMap<Box<str>, RoaringBitmap>,
    /// Which rows have false, and which true.
    flags: [RoaringBitmap; 2],
    numbers: Numbers,
}

/// Numbers and their rows: sorted when the segment is sealed, as they came before.
#[derive(Clone, Debug, Default)]
struct Numbers {
    entries: Vec<(Number, u32)>,
    sorted: bool,
}

/// A number that keeps whether it was an integer, so that no large one is rounded.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Int(int) => Some(Self::Int(*int)),
            Value::Float(float) if !float.is_nan() => Some(Self::Float(*float)),
            _ => None,
        }
    }

    fn value(self) -> Value {
        match self {
            Self::Int(int) => Value::Int(int),
            Self::Float(float) => Value::Float(float),
        }
    }

    /// Numbers have an order, as none of them is NaN.
    fn compare(self, other: Self) -> Ordering {
        self.value().compare(&other.value()).unwrap_or(Ordering::Equal)
    }
}

/// Columns as they are in a file.
#[derive(Serialize, Deserialize)]
pub(crate) struct Written(Vec<WrittenColumn>);

#[derive(Serialize, Deserialize)]
struct WrittenColumn {
    any: Gaps,
    texts: Vec<(String, Gaps)>,
    flags: [Gaps; 2],
    numbers: Vec<(Number, u32)>,
}

/// Rows in their order, each as how far it is behind the one before: small numbers are short.
#[derive(Serialize, Deserialize)]
struct Gaps(Vec<u32>);

impl Gaps {
    fn of(rows: &RoaringBitmap) -> Self {
        let mut next = 0;
        let gap = |row: u32| row - std::mem::replace(&mut next, row + 1);
        Self(rows.iter().map(gap).collect())
    }

    /// Returns the rows; `None` if one of them is not below `end`.
    fn rows(self, end: u32) -> Option<RoaringBitmap> {
        let mut next = 0_u32;
        let mut rows = Vec::with_capacity(self.0.len());
        for gap in self.0 {
            let row = next.checked_add(gap).filter(|row| *row < end)?;
            rows.push(row);
            next = row + 1;
        }
        RoaringBitmap::from_sorted_iter(rows).ok()
    }
}

impl Columns {
    /// Returns the columns as they go into a file.
    pub(crate) fn write(&self) -> Written {
        let column = |column: &Column| WrittenColumn {
            any: Gaps::of(&column.any),
            texts: column.texts.iter().map(|(text, rows)| (text.to_string(), Gaps::of(rows))).collect(),
            flags: [Gaps::of(&column.flags[0]), Gaps::of(&column.flags[1])],
            numbers: column.numbers.entries.clone(),
        };
        Written(self.fields.iter().map(column).collect())
    }

    /// Returns columns that were written, of so many fields and rows; `None` if they are not.
    pub(crate) fn read(written: Written, fields: usize, rows: u32) -> Option<Self> {
        let column = |column: WrittenColumn| {
            let WrittenColumn { any, texts, flags: [no, yes], numbers } = column;
            let texts = texts.into_iter().map(|(text, of)| Some((text.into(), of.rows(rows)?)));
            let is_sound = numbers.iter().all(|(number, row)| {
                *row < rows && !matches!(number, Number::Float(float) if float.is_nan())
            });
            let numbers = Numbers { entries: numbers, sorted: false };
            is_sound.then_some(Column {
                any: any.rows(rows)?,
                texts: texts.collect::<Option<_>>()?,
                flags: [no.rows(rows)?, yes.rows(rows)?],
                numbers,
            })
        };
        let columns = written.0.into_iter().map(column).collect::<Option<Vec<_>>>()?;
        let mut columns = (columns.len() == fields).then_some(Self { rows, fields: columns })?;
        columns.seal();
        Some(columns)
    }

    pub(crate) fn new(fields: usize) -> Self {
        Self { rows: 0, fields: (0..fields).map(|_| Column::default()).collect() }
    }

    /// Returns how many fields there are.
    pub(crate) fn fields(&self) -> usize {
        self.fields.len()
    }

    /// Adds the values of the next row.
    pub(crate) fn push(&mut self, values: &[Vec<Value>]) {
        let row = self.rows;
        self.rows += 1;
        for (column, values) in self.fields.iter_mut().zip(values) {
            for value in values {
                column.put(value, row);
            }
        }
    }

    /// Sorts the numbers, as no row will be added.
    pub(crate) fn seal(&mut self) {
        for column in &mut self.fields {
            column.numbers.entries.sort_by(|one, two| one.0.compare(two.0).then(one.1.cmp(&two.1)));
            column.numbers.sorted = true;
        }
    }

    /// Returns the values of each row, to be written or moved to another segment.
    pub(crate) fn values(&self) -> Vec<Vec<Vec<Value>>> {
        let mut rows = vec![vec![Vec::new(); self.fields.len()]; self.rows as usize];
        let mut put = |row: u32, field: usize, value: Value| rows[row as usize][field].push(value);
        for (field, column) in self.fields.iter().enumerate() {
            for (text, having) in &column.texts {
                having.iter().for_each(|row| put(row, field, Value::Text(text.to_string())));
            }
            for (flag, having) in [false, true].into_iter().zip(&column.flags) {
                having.iter().for_each(|row| put(row, field, Value::Bool(flag)));
            }
            for (number, row) in &column.numbers.entries {
                put(*row, field, number.value());
            }
        }
        rows
    }

    /// Returns the rows that meet a filter, or `None` if all do.
    pub(crate) fn matching(&self, filter: &Filter, schema: &Schema) -> Option<RoaringBitmap> {
        match filter {
            Filter::Everything => None,
            Filter::All(filters) => {
                let met = filters.iter().filter_map(|filter| self.matching(filter, schema));
                met.reduce(|one, two| one & two)
            }
            Filter::Any(filters) => {
                let mut any = RoaringBitmap::new();
                for filter in filters {
                    any |= self.matching(filter, schema)?;
                }
                Some(any)
            }
            Filter::Not(filter) => match self.matching(filter, schema) {
                None => Some(RoaringBitmap::new()),
                Some(met) => Some(self.everything() - met),
            },
            Filter::Eq(field, value) => Some(
                self.column(field, schema)
                    .map_or_else(RoaringBitmap::new, |column| column.having(value, self.rows)),
            ),
            Filter::In(field, values) => {
                let column = self.column(field, schema);
                let having =
                    values.iter().filter_map(|value| column.map(|column| column.having(value, self.rows)));
                Some(having.fold(RoaringBitmap::new(), |one, two| one | two))
            }
            Filter::Range { field, from, to } => {
                Some(self.column(field, schema).map_or_else(RoaringBitmap::new, |column| {
                    column.between(from.as_ref(), to.as_ref(), self.rows)
                }))
            }
            Filter::Has(field) => {
                Some(self.column(field, schema).map_or_else(RoaringBitmap::new, |column| column.any.clone()))
            }
        }
    }

    fn everything(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.rows);
        all
    }

    fn column(&self, field: &str, schema: &Schema) -> Option<&Column> {
        self.fields.get(schema.field(field).ok()?)
    }

    /// Returns about how many bytes are held.
    pub(crate) fn bytes(&self) -> usize {
        self.fields.iter().map(Column::bytes).sum()
    }
}

impl Column {
    fn put(&mut self, value: &Value, row: u32) {
        self.any.insert(row);
        match value {
            Value::Text(text) => match self.texts.get_mut(text.as_str()) {
                Some(having) => drop(having.insert(row)),
                None => drop(self.texts.insert(text.as_str().into(), RoaringBitmap::from_iter([row]))),
            },
            Value::Bool(flag) => drop(self.flags[usize::from(*flag)].insert(row)),
            Value::Int(_) | Value::Float(_) => {
                if let Some(number) = Number::of(value) {
                    self.numbers.entries.push((number, row));
                    self.numbers.sorted = false;
                }
            }
        }
    }

    fn having(&self, value: &Value, rows: u32) -> RoaringBitmap {
        match value {
            Value::Text(text) => self.texts.get(text.as_str()).cloned().unwrap_or_default(),
            Value::Bool(flag) => self.flags[usize::from(*flag)].clone(),
            Value::Int(_) | Value::Float(_) => match Number::of(value) {
                Some(number) => self.numbers.between(Some(number), Some(number), rows),
                // NaN equals nothing.
                None => RoaringBitmap::new(),
            },
        }
    }

    /// Returns the rows with a value of a type that the bounds have, between the bounds.
    fn between(&self, from: Option<&Value>, to: Option<&Value>, rows: u32) -> RoaringBitmap {
        let bounds = [from, to];
        let mut given = bounds.into_iter().flatten();
        match given.next() {
            None => self.any.clone(),
            Some(Value::Int(_) | Value::Float(_)) => {
                let (low, high) = (from.map(Number::of), to.map(Number::of));
                match (low, high) {
                    // A bound of another type, or NaN, has no numbers on its side.
                    (Some(None), _) | (_, Some(None)) => RoaringBitmap::new(),
                    (low, high) => self.numbers.between(low.flatten(), high.flatten(), rows),
                }
            }
            Some(_) => {
                let inside = |value: &Value| {
                    let above = |from: &Value| {
                        matches!(value.compare(from), Some(Ordering::Greater | Ordering::Equal))
                    };
                    let below =
                        |to: &Value| matches!(value.compare(to), Some(Ordering::Less | Ordering::Equal));
                    from.is_none_or(above) && to.is_none_or(below)
                };
                let texts = self.texts.iter().filter(|(text, _)| inside(&Value::Text(text.to_string())));
                let flags = [false, true]
                    .into_iter()
                    .zip(&self.flags)
                    .filter(|(flag, _)| inside(&Value::Bool(*flag)));
                let rows = texts.map(|(_, having)| having).chain(flags.map(|(_, having)| having));
                rows.fold(RoaringBitmap::new(), |all, having| all | having)
            }
        }
    }

    fn bytes(&self) -> usize {
        let of = |rows: &RoaringBitmap| rows.serialized_size() + size_of::<RoaringBitmap>();
        let texts: usize =
            self.texts.iter().map(|(text, rows)| text.len() + size_of::<Box<str>>() + of(rows)).sum();
        let numbers = self.numbers.entries.capacity() * size_of::<(Number, u32)>();
        texts + numbers + of(&self.any) + self.flags.iter().map(of).sum::<usize>()
    }
}

impl Numbers {
    /// `rows` is how many rows there are.
    fn between(&self, low: Option<Number>, high: Option<Number>, rows: u32) -> RoaringBitmap {
        let above = |number: Number| low.is_none_or(|low| number.compare(low).is_ge());
        let below = |number: Number| high.is_none_or(|high| number.compare(high).is_le());
        if !self.sorted {
            let inside = self.entries.iter().filter(|(number, _)| above(*number) && below(*number));
            return inside.map(|(_, row)| *row).collect();
        }
        let start = self.entries.partition_point(|(number, _)| !above(*number));
        let end = self.entries.partition_point(|(number, _)| below(*number));
        let inside = self.entries.get(start..end).unwrap_or_default();
        if inside.len() < rows as usize / MANY {
            return inside.iter().map(|(_, row)| *row).collect();
        }
        // Rows in the order of their numbers are in no order; setting bits does not mind.
        let mut bits = vec![0_u8; (rows as usize).div_ceil(8)];
        inside.iter().for_each(|(_, row)| bits[*row as usize / 8] |= 1 << (row % 8));
        RoaringBitmap::from_lsb0_bytes(0, &bits)
    }
}
