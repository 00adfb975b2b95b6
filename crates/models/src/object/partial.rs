//! JSON that is still being written, as the value that it is so far.

use serde_json::{Map, Value};

/// How deep arrays and objects may be nested, as deep as `serde_json` reads them.
const MAX_DEPTH: usize = 128;

/// Reads JSON piece by piece, and shows at any time the value that the text so far makes.
///
/// What it shows is always contained in the value of the whole text: texts are beginnings, arrays lack
/// their last elements and objects their last keys. Numbers, `true`, `false` and `null` appear when they
/// are complete, so nobody sees the 1 of a 17. The work is linear in the text, however it is cut.
///
/// ```
/// use loomwork_models::PartialJson;
/// use serde_json::json;
///
/// let mut json = PartialJson::default();
/// json.push(r#"{"city": "Par"#)?;
/// assert_eq!(json.value(), Some(&json!({ "city": "Par" })));
/// json.push(r#"is", "degrees": 2"#)?;
/// assert_eq!(json.value(), Some(&json!({ "city": "Paris" })));
/// json.push("1}")?;
/// assert_eq!(json.value(), Some(&json!({ "city": "Paris", "degrees": 21 })));
/// assert!(json.is_complete());
/// # Ok::<_, loomwork_models::PartialJsonError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PartialJson {
    /// The arrays and objects that are not closed, the outermost first. While a value is shown they are
    /// empty, since their contents are in the value.
    open: Vec<Open>,
    token: Token,
    expect: Expect,
    /// The value as it is shown; holds the contents of `open` while `is_shown`.
    shown: Option<Value>,
    is_shown: bool,
    bytes: usize,
    /// How often the value has grown.
    growth: u64,
}

/// Text that is no JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is no JSON at byte {at}: {wrong}")]
pub struct PartialJsonError {
    /// Where in the text, in bytes.
    pub at: usize,
    /// What is wrong there, and what would be right.
    pub wrong: String,
}

/// An array or an object that is not closed.
#[derive(Clone, Debug)]
enum Open {
    Array(Vec<Value>),
    /// The key whose value is being written has the last place among the fields, once it is there.
    Object {
        fields: Map<String, Value>,
        key: Option<String>,
    },
}

/// A text, number or word that is not complete.
#[derive(Clone, Debug, Default)]
enum Token {
    #[default]
    None,
    Text {
        text: String,
        is_key: bool,
        escape: Escape,
    },
    /// A number, `true`, `false` or `null`.
    Word(String),
}

/// Where in an escape sequence a text is.
#[derive(Clone, Copy, Debug, Default)]
enum Escape {
    #[default]
    None,
    Slash,
    /// Hexadecimal digits: how many came, what they make, and the first half of a pair before them.
    Hex {
        digits: u8,
        code: u32,
        high: Option<u32>,
    },
    /// The first half of a pair came; its second half has to follow.
    Low {
        high: u32,
        slash: bool,
    },
}

/// What may come next.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Expect {
    #[default]
    Value,
    /// A value, or the end of an empty array.
    FirstElement,
    /// A key, or the end of an empty object.
    FirstKey,
    Key,
    Colon,
    CommaOrEnd,
    Nothing,
}

impl PartialJson {
    /// Adds what comes next. After an error the value stays what it was before the wrong byte.
    pub fn push(&mut self, text: &str) -> Result<(), PartialJsonError> {
        self.hide();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let taken = self.step(next, rest).map_err(|wrong| PartialJsonError { at: self.bytes, wrong })?;
            self.bytes += taken;
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// Ends the text: a number at its end is complete now. An error says that the JSON is not.
    pub fn finish(mut self) -> Result<Value, PartialJsonError> {
        self.hide();
        let at = self.bytes;
        let error = |wrong: String| PartialJsonError { at, wrong };
        self.end_word().map_err(error)?;
        if self.is_complete() {
            return self.shown.ok_or_else(|| error("there is no value".to_owned()));
        }
        Err(error("the text ends before its value does".to_owned()))
    }

    /// Returns the value so far; `None` while nothing of it is certain.
    pub fn value(&mut self) -> Option<&Value> {
        self.show();
        self.shown.as_ref()
    }

    /// Returns whether the value is complete. A number alone is so only when [finished](Self::finish).
    pub fn is_complete(&self) -> bool {
        self.expect == Expect::Nothing
    }

    /// Returns how often the value has grown: no more often, and it looks the same.
    pub fn growth(&self) -> u64 {
        self.growth
    }

    /// Returns how many bytes were read.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns how many arrays and objects are open, with one more for a text that is.
    pub(super) fn depth(&self) -> usize {
        let text = matches!(&self.token, Token::Text { is_key: false, .. });
        self.open.len() + usize::from(text)
    }

    /// Reads the next character, or more than one where that is quicker, and returns how many bytes.
    fn step(&mut self, next: char, rest: &str) -> Result<usize, String> {
        match &mut self.token {
            Token::Text { escape: Escape::None, text, is_key } => {
                let plain = rest.find(|letter: char| matches!(letter, '"' | '\\') || letter < ' ');
                match plain.unwrap_or(rest.len()) {
                    0 => self.text_mark(next)?,
                    plain => {
                        text.push_str(&rest[..plain]);
                        self.growth += u64::from(!*is_key);
                        return Ok(plain);
                    }
                }
            }
            Token::Text { text, escape, is_key } => {
                *escape = unescape(*escape, next, text)?;
                self.growth += u64::from(!*is_key && matches!(escape, Escape::None));
            }
            Token::Word(word) if matches!(next, '0'..='9' | 'a'..='z' | 'E' | '+' | '-' | '.') => {
                word.push(next);
            }
            Token::Word(_) => {
                self.end_word()?;
                return Ok(0);
            }
            Token::None => self.structure(next)?,
        }
        Ok(next.len_utf8())
    }

    /// Reads a character inside a text that is not a plain part of it.
    fn text_mark(&mut self, next: char) -> Result<(), String> {
        match (next, &mut self.token) {
            ('\\', Token::Text { escape, .. }) => *escape = Escape::Slash,
            ('"', token) => {
                if let Token::Text { text, is_key, .. } = std::mem::take(token) {
                    if is_key { self.set_key(text) } else { self.add(Value::String(text)) }
                }
            }
            _ => return Err(format!("a text holds {next:?}; it would have to be escaped")),
        }
        Ok(())
    }

    /// Reads a character between values.
    fn structure(&mut self, next: char) -> Result<(), String> {
        match (next, self.expect) {
            (' ' | '\t' | '\n' | '\r', _) => {}
            ('{', Expect::Value | Expect::FirstElement) => {
                self.open(Open::Object { fields: Map::new(), key: None }, Expect::FirstKey)?;
            }
            ('[', Expect::Value | Expect::FirstElement) => {
                self.open(Open::Array(Vec::new()), Expect::FirstElement)?;
            }
            ('"', Expect::Value | Expect::FirstElement) => {
                self.growth += 1;
                self.begin_text(false);
            }
            ('"', Expect::FirstKey | Expect::Key) => self.begin_text(true),
            ('0'..='9' | '-' | 't' | 'f' | 'n', Expect::Value | Expect::FirstElement) => {
                self.token = Token::Word(next.into());
            }
            (':', Expect::Colon) => self.expect = Expect::Value,
            (',', Expect::CommaOrEnd) => {
                let in_object = matches!(self.open.last(), Some(Open::Object { .. }));
                self.expect = if in_object { Expect::Key } else { Expect::Value };
            }
            (']', Expect::FirstElement | Expect::CommaOrEnd) => self.close(next)?,
            ('}', Expect::FirstKey | Expect::CommaOrEnd) => self.close(next)?,
            _ => return Err(format!("{next:?} stands where {} would be right", self.expect.as_words())),
        }
        Ok(())
    }

    fn begin_text(&mut self, is_key: bool) {
        self.token = Token::Text { text: String::new(), is_key, escape: Escape::None };
    }

    /// A key that comes again replaces its value, as it does for other readers.
    fn set_key(&mut self, text: String) {
        if let Some(Open::Object { fields, key }) = self.open.last_mut() {
            fields.swap_remove(&text);
            *key = Some(text);
        }
        self.expect = Expect::Colon;
    }

    /// Ends a number or a word, if one is being written.
    fn end_word(&mut self) -> Result<(), String> {
        let Token::Word(word) = &mut self.token else { return Ok(()) };
        let word = std::mem::take(word);
        self.token = Token::None;
        let value = serde_json::from_str(&word)
            .map_err(|_| format!("`{word}` is no number and none of true, false and null"))?;
        self.growth += 1;
        self.add(value);
        Ok(())
    }

    fn open(&mut self, open: Open, expect: Expect) -> Result<(), String> {
        if self.open.len() == MAX_DEPTH {
            return Err(format!("the value is nested deeper than {MAX_DEPTH} levels"));
        }
        self.open.push(open);
        self.expect = expect;
        self.growth += 1;
        Ok(())
    }

    fn close(&mut self, mark: char) -> Result<(), String> {
        match (self.open.pop(), mark) {
            (Some(Open::Array(elements)), ']') => self.add(Value::Array(elements)),
            (Some(Open::Object { fields, .. }), '}') => self.add(Value::Object(fields)),
            (open, mark) => {
                self.open.extend(open);
                return Err(format!("`{mark}` closes what is not open"));
            }
        }
        Ok(())
    }

    /// Puts a complete value where it belongs.
    fn add(&mut self, value: Value) {
        self.expect = if self.open.is_empty() { Expect::Nothing } else { Expect::CommaOrEnd };
        attach(&mut self.open, &mut self.shown, value);
    }

    /// Puts the contents of what is open, and a text that is being written, into the shown value.
    fn show(&mut self) {
        if std::mem::replace(&mut self.is_shown, true) {
            return;
        }
        if let Token::Text { text, is_key: false, .. } = &mut self.token {
            attach(&mut self.open, &mut self.shown, Value::String(std::mem::take(text)));
        }
        for level in (0..self.open.len()).rev() {
            let (outer, inner) = self.open.split_at_mut(level);
            let value = match &mut inner[0] {
                Open::Array(elements) => Value::Array(std::mem::take(elements)),
                Open::Object { fields, .. } => Value::Object(std::mem::take(fields)),
            };
            attach(outer, &mut self.shown, value);
        }
    }

    /// Takes them out again; the opposite of `show`.
    fn hide(&mut self) {
        let is_open = !self.open.is_empty() || matches!(self.token, Token::Text { is_key: false, .. });
        if !std::mem::take(&mut self.is_shown) || !is_open {
            return;
        }
        let levels = self.depth();
        let mut inner = self.shown.take();
        for (level, open) in self.open.iter_mut().enumerate() {
            let holds_open = level + 1 < levels;
            inner = match (open, inner) {
                (Open::Array(elements), Some(Value::Array(shown))) => {
                    *elements = shown;
                    if holds_open { elements.pop() } else { None }
                }
                (Open::Object { fields, .. }, Some(Value::Object(shown))) => {
                    *fields = shown;
                    let last = fields.values_mut().next_back();
                    last.filter(|_| holds_open).map(Value::take)
                }
                (_, inner) => inner,
            };
        }
        if let (Token::Text { text, is_key: false, .. }, Some(Value::String(shown))) =
            (&mut self.token, inner)
        {
            *text = shown;
        }
    }
}

/// Puts a value into the innermost of what is open, or makes it the whole.
fn attach(open: &mut [Open], whole: &mut Option<Value>, value: Value) {
    match open.last_mut() {
        None => *whole = Some(value),
        Some(Open::Array(elements)) => elements.push(value),
        Some(Open::Object { fields, key }) => match (key.take(), fields.values_mut().next_back()) {
            (Some(key), _) => drop(fields.insert(key, value)),
            (None, Some(last)) => *last = value,
            (None, None) => {}
        },
    }
}

/// Reads the next character of an escape sequence, and adds to the text what the sequence means.
fn unescape(escape: Escape, next: char, text: &mut String) -> Result<Escape, String> {
    let letter = match (escape, next) {
        (Escape::Slash, 'u') => return Ok(Escape::Hex { digits: 0, code: 0, high: None }),
        (Escape::Slash, '"' | '\\' | '/') => next,
        (Escape::Slash, 'b') => '\u{8}',
        (Escape::Slash, 'f') => '\u{c}',
        (Escape::Slash, 'n') => '\n',
        (Escape::Slash, 'r') => '\r',
        (Escape::Slash, 't') => '\t',
        (Escape::Hex { digits, code, high }, _) => {
            let digit = next.to_digit(16).ok_or_else(|| format!("`{next}` is no hexadecimal digit"))?;
            let code = code << 4 | digit;
            if digits < 3 {
                return Ok(Escape::Hex { digits: digits + 1, code, high });
            }
            match (high, code) {
                (None, 0xD800..=0xDBFF) => return Ok(Escape::Low { high: code, slash: false }),
                (None, _) => char::from_u32(code).ok_or_else(lone)?,
                (Some(high), 0xDC00..=0xDFFF) => {
                    char::from_u32(0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00)).ok_or_else(lone)?
                }
                (Some(_), _) => return Err(lone()),
            }
        }
        (Escape::Low { high, slash: false }, '\\') => return Ok(Escape::Low { high, slash: true }),
        (Escape::Low { high, slash: true }, 'u') => {
            return Ok(Escape::Hex { digits: 0, code: 0, high: Some(high) });
        }
        (Escape::Low { .. }, _) => return Err(lone()),
        (Escape::Slash | Escape::None, _) => return Err(format!("`\\{next}` is no escape sequence")),
    };
    text.push(letter);
    Ok(Escape::None)
}

fn lone() -> String {
    "half of a surrogate pair stands alone".to_owned()
}

impl Expect {
    fn as_words(self) -> &'static str {
        match self {
            Self::Value => "a value",
            Self::FirstElement => "a value or `]`",
            Self::FirstKey => "a key or `}`",
            Self::Key => "a key",
            Self::Colon => "`:`",
            Self::CommaOrEnd => "`,` or an end",
            Self::Nothing => "nothing more",
        }
    }
}
