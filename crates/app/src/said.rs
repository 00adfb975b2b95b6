//! What callers say: which messages and parts are theirs to write.

use loomwork_core::Kind;
use loomwork_messages::file_of_url;
use loomwork_models::{Data, Message, Part, Role};
use loomwork_store::Tx;

use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::uploads::readable;

/// Makes sure that a caller may say these messages: users say texts, images and files of their own, in the role `user`.
/// Whatever else a thread holds (answers, results of tools, approvals) is for programs to write.
pub(crate) fn check<'a>(
    tx: &Tx,
    caller: &Caller,
    messages: impl IntoIterator<Item = &'a Message>,
) -> Result<()> {
    if caller.as_user().is_none() {
        return Ok(());
    }
    for (number, message) in messages.into_iter().enumerate() {
        if message.role != Role::User {
            let text = "users write messages of the role `user`; only programs say what others said";
            return Err(Error::new(Kind::Denied, text).about(format!("messages[{number}].role")));
        }
        for (at, part) in message.parts.iter().enumerate() {
            check_part(tx, caller, part)
                .map_err(|error| error.about(format!("messages[{number}].content[{at}]")))?;
        }
    }
    Ok(())
}

fn check_part(tx: &Tx, caller: &Caller, part: &Part) -> Result<()> {
    let data = match part {
        Part::Text(_) => return Ok(()),
        Part::Image(image) => &image.data,
        Part::File(file) => &file.data,
        _ => {
            let text = "users say texts, images and files; only programs write other parts";
            return Err(Error::new(Kind::Denied, text));
        }
    };
    match data {
        Data::Reference(_) => {
            let text = "files that a provider keeps are not the user's; upload the file, or send its bytes";
            Err(Error::new(Kind::Denied, text))
        }
        Data::Url(url) => match file_of_url(url) {
            Some(file) => readable(tx, caller, file).map(drop),
            None => Ok(()),
        },
        Data::Bytes(_) => Ok(()),
    }
}
