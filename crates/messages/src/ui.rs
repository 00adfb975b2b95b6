//! Messages as a page shows them: calls joined with their results, and the rows of one answer with each
//! other.

mod group;
mod merge;
mod message;
mod part;
mod rows;
mod tool;

pub(crate) use group::DYNAMIC;
pub use message::{UiMessage, UiStatus};
pub use part::{GrowthState, UiCustom, UiFile, UiPart, UiSourceDocument, UiSourceUrl, UiText};
pub(crate) use tool::Outcome;
pub use tool::{ToolName, ToolState, UiApproval, UiTool};
