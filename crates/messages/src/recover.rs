//! What a stream has of a message, as messages.

use loomwork_models::Message;
use loomwork_store::{Result, Tx};

use crate::tables::StreamId;

pub(crate) fn recover(_tx: &Tx, _stream: StreamId, _from: u64) -> Result<Vec<Message>> {
    Ok(Vec::new())
}
