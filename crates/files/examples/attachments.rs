//! Letters with enclosures: stored once, owned by rows, handed out by link, gone when nobody has them.
//!
//! Run it with `cargo run -p loomwork-files --example attachments`.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use loomwork_core::{Clock, Kind, Secret, Time};
use loomwork_files::{
    Blobs, CheckOptions, Disposition, Files, Link, Options, attach, detach_all, files_of, register,
};
use loomwork_store::{Error, Id, Result, Store, Table};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "letters", id = "letter")]
struct Letter {
    text: String,
}

/// Sends a letter with its enclosure, or neither.
async fn send(
    store: &Store,
    files: &Files,
    text: &str,
    name: &str,
    content: &'static str,
) -> Result<Id<Letter>> {
    let staged = files.stage(content, name).await?;
    let letter = Letter { text: text.to_owned() };
    store
        .mutate(move |tx| {
            let letter = tx.insert(letter)?.id;
            let file = register(tx, &staged)?;
            attach(tx, file.id, letter)?;
            Ok(letter)
        })
        .await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // A clock that is turned by hand shows a day of grace in no time.
    let clock = Clock::manual(Time::from_millis(1_767_225_600_000));
    let folder = tempfile::tempdir().map_err(|error| Error::message(Kind::Unavailable, error.to_string()))?;
    let tables = [Letter::table()].into_iter().chain(loomwork_files::tables());
    let store = Store::memory().clock(clock.clock()).tables(tables).open().await?;
    let files = Files::new(&store, Blobs::folder(folder.path())?, Options::default());

    let first = send(&store, &files, "see the list", "people.csv", "id,name\n1,Ada\n").await?;
    let second = send(&store, &files, "the same again", "copy.csv", "id,name\n1,Ada\n").await?;
    let enclosed = store.query(move |tx| files_of(tx, first)).await?.remove(0);
    println!("{} is {} bytes of {:?}", enclosed.id, enclosed.size, enclosed.media_type);
    println!("its content is {}", enclosed.hash);
    println!("two letters, {} content", files.check(CheckOptions::default()).await?.contents);

    // A server would put its own path in front, and verify what it is asked for.
    let key = Secret::from("in earnest, 32 bytes or more at random");
    let now = clock.clock().now();
    let link =
        Link { disposition: Disposition::Inline, ..Link::new(enclosed.id, now + Duration::from_secs(300)) };
    let text = link.sign(&key)?;
    println!("/files/{text}");
    let asked = Link::verify(&text, &key, now)?;
    println!("served: {:?}", files.read(asked.file).await?);
    clock.advance(Duration::from_secs(300));
    if let Err(refused) = Link::verify(&text, &key, clock.clock().now()) {
        println!("five minutes later: {refused}");
    }

    for letter in [first, second] {
        store
            .mutate(move |tx| {
                tx.delete(letter)?;
                detach_all(tx, letter)
            })
            .await?;
    }
    clock.advance(files.options().grace);
    let gone = files.vacuum().await?;
    println!("a day after the letters: {} files and {} content given up", gone.files, gone.objects);
    Ok(())
}
