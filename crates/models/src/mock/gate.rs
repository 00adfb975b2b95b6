//! Stops an answer where a test wants to look.

use tokio_util::sync::CancellationToken;

/// A gate in an answer: the answer waits before it until the test opens it.
///
/// ```
/// use futures_util::StreamExt as _;
/// use loomwork_models::{Gate, LanguageModel, MockModel, MockReply, Request};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> loomwork_models::Result<()> {
/// let gate = Gate::new();
/// let model = MockModel::always(MockReply::default().text("Once").gate(&gate).text("upon a time"));
/// let reply = model.generate(Request::default());
/// let test = async {
///     gate.reached().await;
///     // "Once" has been said, and nothing more.
///     gate.open();
/// };
/// let (reply, ()) = tokio::join!(reply, test);
/// assert_eq!(reply?.text(), "Onceupon a time");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Gate {
    reached: CancellationToken,
    opened: CancellationToken,
}

impl Gate {
    /// Returns a closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until an answer stands before the gate.
    pub async fn reached(&self) {
        self.reached.cancelled().await;
    }

    /// Opens the gate for good.
    pub fn open(&self) {
        self.opened.cancel();
    }

    /// Waits before the gate.
    pub(crate) async fn pass(&self) {
        self.reached.cancel();
        self.opened.cancelled().await;
    }
}
