//! What handlers return.

use loomwork_models::{OutputItem, ToolOutput};
use serde::Serialize;
use serde_json::Value;

use super::{BoxError, ToolError};

/// What a tool's handler may return.
///
/// Text, any serde value in [`Json`], texts and files, nothing, and a result of these whose error is an
/// error type, a text, or anything else that `?` puts into a box.
#[diagnostic::on_unimplemented(
    message = "a tool cannot return `{Self}`",
    label = "this is no output of a tool",
    note = "return text, `Json(value)` for what serde writes, `ToolOutput`, or a `Result` of these"
)]
pub trait IntoToolOutput {
    /// Returns what the model is given.
    ///
    /// # Errors
    ///
    /// The error is given to the model, as an output that says that the tool failed.
    fn into_tool_output(self) -> Result<ToolOutput, ToolError>;
}

/// Anything that serde writes, as a tool's output.
///
/// It is JSON, whatever its fields are called; a text stays text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoToolOutput for Json<T> {
    fn into_tool_output(self) -> Result<ToolOutput, ToolError> {
        match serde_json::to_value(self.0) {
            Ok(Value::String(text)) => Ok(ToolOutput::Text(text)),
            Ok(value) => Ok(ToolOutput::Json(value)),
            Err(error) => Err(ToolError::internal(format!("the output cannot be written as JSON: {error}"))),
        }
    }
}

impl IntoToolOutput for ToolOutput {
    fn into_tool_output(self) -> Result<ToolOutput, ToolError> {
        Ok(self)
    }
}

impl IntoToolOutput for Value {
    fn into_tool_output(self) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::from_value(self))
    }
}

impl IntoToolOutput for String {
    fn into_tool_output(self) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::Text(self))
    }
}

impl IntoToolOutput for &'static str {
    fn into_tool_output(self) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::from(self))
    }
}

impl IntoToolOutput for Vec<OutputItem> {
    fn into_tool_output(self) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::Content(self))
    }
}

/// Nothing is null.
impl IntoToolOutput for () {
    fn into_tool_output(self) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::Json(Value::Null))
    }
}

impl<T: IntoToolOutput, E: Into<BoxError>> IntoToolOutput for Result<T, E> {
    fn into_tool_output(self) -> Result<ToolOutput, ToolError> {
        self.map_err(ToolError::from_error)?.into_tool_output()
    }
}
