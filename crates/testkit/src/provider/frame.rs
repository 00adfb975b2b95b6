//! The pieces that an answer's body is made of.

use bytes::Bytes;
use serde_json::Value;

/// One event of a stream, or a whole body.
#[derive(Clone, Debug)]
pub(super) enum Frame {
    /// A server-sent event.
    Event { name: Option<&'static str>, data: Value },
    /// The `[DONE]` of OpenAI's chat streams.
    Done,
    /// A whole JSON body.
    Json(Value),
    /// Bytes as they were given.
    Raw(Bytes),
}

/// How lines end in events that the fake writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineEnd {
    /// A line feed.
    #[default]
    Lf,
    /// A carriage return and a line feed.
    CrLf,
    /// A carriage return.
    Cr,
}

impl LineEnd {
    fn as_str(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::CrLf => "\r\n",
            Self::Cr => "\r",
        }
    }
}

impl Frame {
    pub(super) fn event(name: &'static str, data: Value) -> Self {
        Self::Event { name: Some(name), data }
    }

    pub(super) fn data(data: Value) -> Self {
        Self::Event { name: None, data }
    }

    /// The JSON of it, if it has any.
    pub(super) fn json_mut(&mut self) -> Option<&mut Value> {
        match self {
            Self::Event { data, .. } | Self::Json(data) => Some(data),
            Self::Done | Self::Raw(_) => None,
        }
    }

    pub(super) fn into_bytes(self, line_end: LineEnd) -> Bytes {
        let end = line_end.as_str();
        match self {
            Self::Event { name: Some(name), data } => {
                format!("event: {name}{end}data: {data}{end}{end}").into()
            }
            Self::Event { name: None, data } => format!("data: {data}{end}{end}").into(),
            Self::Done => format!("data: [DONE]{end}{end}").into(),
            Self::Json(body) => body.to_string().into(),
            Self::Raw(bytes) => bytes,
        }
    }
}
