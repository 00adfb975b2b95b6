//! Tables and JSON as text: a paragraph for each record, a line for each field.
//!
//! They are written down as they are parsed, so that what is held is their text, and that has a bound.

use std::fmt;

use csv::StringRecord;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::Document;
use crate::{Error, Result};

/// How much of the name of a column or field is written before each of its values, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 200;

/// How much of the names of fields within fields, in bytes.
const MAX_PATH_BYTES: usize = 1_000;

/// What is read as records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Records {
    /// A JSON document. The items of a list at the top are records.
    Json,
    /// JSON documents, a line each.
    JsonLines,
    /// A table whose first line names its columns, with what is between two of them.
    Table(u8),
}

impl Records {
    /// Writes records as text, of at most so many bytes.
    pub(super) fn read(self, name: &str, text: &str, limit: usize) -> Result<Document> {
        let mut sheet = Sheet { limit, ..Sheet::default() };
        let read = match self {
            Self::Json => json(text, true, &mut sheet).map_err(|error| unreadable(name, "JSON", &error)),
            Self::JsonLines => json_lines(name, text, &mut sheet),
            Self::Table(delimiter) => {
                table(text, delimiter, &mut sheet).map_err(|error| unreadable(name, "a table", &error))
            }
        };
        if sheet.is_full {
            let right = "names are repeated for each record: shorten them, or split it";
            let (what, bytes) = (format!("the text of {name}"), sheet.text.len() as u64);
            return Err(Error::TooLarge { what, bytes, limit, right });
        }
        read?;
        Ok(Document { text: sheet.text, ..Document::default() })
    }
}

fn unreadable(name: &str, format: &'static str, reason: &dyn fmt::Display) -> Error {
    Error::Unreadable { name: name.to_owned(), format, reason: reason.to_string() }
}

fn json(text: &str, has_records: bool, sheet: &mut Sheet) -> serde_json::Result<()> {
    let mut parser = serde_json::Deserializer::from_str(text);
    Fields { sheet, place: if has_records { Place::Top } else { Place::Field } }.deserialize(&mut parser)?;
    sheet.end_record();
    parser.end()
}

fn json_lines(name: &str, text: &str, sheet: &mut Sheet) -> Result<()> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    for (at, line) in lines {
        let read = json(line, false, sheet);
        read.map_err(|error| unreadable(name, "JSON lines", &format_args!("line {}: {error}", at + 1)))?;
    }
    Ok(())
}

fn table(text: &str, delimiter: u8, sheet: &mut Sheet) -> csv::Result<()> {
    let mut reader = csv::ReaderBuilder::new();
    let mut reader =
        reader.delimiter(delimiter).flexible(true).has_headers(false).from_reader(text.as_bytes());
    let (mut columns, mut row) = (StringRecord::new(), StringRecord::new());
    reader.read_record(&mut columns)?;
    while !sheet.is_full && reader.read_record(&mut row)? {
        for (at, field) in row.iter().enumerate().filter(|(_, field)| !field.trim().is_empty()) {
            let before = sheet.enter(columns.get(at).unwrap_or_default());
            sheet.line(field);
            sheet.leave(before);
        }
        sheet.end_record();
    }
    Ok(())
}

/// What is written, and where it is in what is read.
#[derive(Debug, Default)]
struct Sheet {
    text: String,
    /// The names of the fields that it is within.
    path: String,
    /// Where the record begins.
    record: usize,
    /// The last line is a list that goes on.
    is_list: bool,
    limit: usize,
    is_full: bool,
}

impl Sheet {
    /// Goes into a field, and returns what to [`leave`](Self::leave) it with.
    fn enter(&mut self, name: &str) -> usize {
        let before = self.path.len();
        if before > 0 {
            self.path.push('.');
        }
        self.path.push_str(&name[..name.floor_char_boundary(MAX_NAME_BYTES)]);
        self.path.truncate(self.path.floor_char_boundary(MAX_PATH_BYTES));
        self.is_list = false;
        before.min(self.path.len())
    }

    fn leave(&mut self, before: usize) {
        self.path.truncate(before);
        self.is_list = false;
    }

    /// Writes a line: the path, and a value.
    fn line(&mut self, value: &str) {
        if self.text.len() > self.record {
            self.text.push('\n');
        } else if self.record > 0 {
            self.text.push_str("\n\n");
        }
        if !self.path.is_empty() {
            self.text.push_str(&self.path);
            self.text.push_str(": ");
        }
        self.text.push_str(value);
        self.is_full |= self.text.len() > self.limit;
    }

    /// Writes an item of a list, on the line of those before it.
    fn item(&mut self, value: &str) {
        if !self.is_list {
            self.is_list = true;
            return self.line(value);
        }
        self.text.push_str(", ");
        self.text.push_str(value);
        self.is_full |= self.text.len() > self.limit;
    }

    fn end_record(&mut self) {
        if self.text[self.record..].trim().is_empty() {
            self.text.truncate(self.record);
        }
        self.record = self.text.len();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The whole: the items of a list are records.
    Top,
    /// A field.
    Field,
    /// An item of a list.
    Item,
}

/// Writes a JSON value as it is parsed.
struct Fields<'a> {
    sheet: &'a mut Sheet,
    place: Place,
}

impl Fields<'_> {
    fn write<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        match self.place {
            Place::Item => self.sheet.item(value),
            Place::Top | Place::Field => self.sheet.line(value),
        }
        if self.sheet.is_full { Err(E::custom("its text is too long")) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<(), D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.write(if value { "true" } else { "false" })
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.write(&value.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.write(&value.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.write(&Number::from_f64(value).map_or_else(String::new, |number| number.to_string()))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.write(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { sheet, place } = self;
        let of_items = if place == Place::Top { Place::Field } else { Place::Item };
        sheet.is_list = false;
        while items.next_element_seed(Fields { sheet: &mut *sheet, place: of_items })?.is_some() {
            if place == Place::Top {
                sheet.end_record();
            }
        }
        sheet.is_list = false;
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let sheet = self.sheet;
        while let Some(name) = fields.next_key::<String>()? {
            let before = sheet.enter(&name);
            fields.next_value_seed(Fields { sheet: &mut *sheet, place: Place::Field })?;
            sheet.leave(before);
        }
        sheet.is_list = false;
        Ok(())
    }
}
