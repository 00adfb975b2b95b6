//! A chat with its limits, offline: messages per user, tokens on hold while a model answers, a refusal that says
//! how long to wait, and a countdown that needs no store. It ends by itself.
//!
//! Run it with `cargo run -p loomwork-rate-limiter --example limits`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use loomwork_core::{Clock, Time};
use loomwork_rate_limiter::{
    Held, Limit, MINUTE, RateLimited, estimated_tokens, hold, limit_all, settle, status,
};
use loomwork_store::{Result, Store, Tx};

const SEND_MESSAGE: Limit = Limit::fixed_window("send-message", 1, Duration::from_secs(5)).capacity(2);
const SEND_GLOBAL: Limit = Limit::token_bucket("send-global", 1_000, MINUTE);
const TOKENS: Limit = Limit::token_bucket("tokens", 2_000, MINUTE).capacity(10_000);
const TOKENS_GLOBAL: Limit = Limit::token_bucket("tokens-global", 100_000, MINUTE);

/// All that a question needs, or nothing of it.
fn admit(tx: &mut Tx, user: &str, question: &str) -> Result<Held> {
    limit_all(tx, &[SEND_MESSAGE.ask(user, 1), SEND_GLOBAL.ask(&(), 1)])?;
    let estimate = estimated_tokens(question, None);
    hold(tx, &[TOKENS.ask(user, estimate), TOKENS_GLOBAL.ask(&(), estimate)], 10 * MINUTE)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // A clock that is turned by hand, so that nobody has to wait for the example.
    let clock = Clock::manual(Time::from_millis(1_700_000_000_000));
    let builder = Store::builder(loomwork_store::Memory::new()).clock(clock.clock());
    let store = builder.tables(loomwork_rate_limiter::tables()).open().await?;

    for question in ["What is a loom?", "And a weft?", "And a shuttle?"] {
        match store.mutate(move |tx| admit(tx, "ada", question)).await {
            Ok(held) => {
                // The model answers here; then what it used takes the place of the estimate.
                store.mutate(move |tx| settle(tx, held.id, &[5_500, 5_500])).await?;
                println!("{question} 5,500 tokens");
            }
            Err(error) => match RateLimited::of(&error) {
                Some(_) => println!("{question} refused: {error}"),
                None => return Err(error),
            },
        }
    }

    // What a browser gets once, and counts down by itself.
    let status = store.query(|tx| status(tx, &TOKENS, "ada", 1)).await?;
    println!("{} tokens left, enough for one: {}", status.value, status.ok);
    let now = clock.clock().now();
    for seconds in [0, 15, 30, 31] {
        let later = now + Duration::from_secs(seconds);
        match status.snapshot.predict(later, 1).retry_at {
            Some(time) => println!("in {seconds:2} s: not yet, but in {:?}", time.since(later)),
            None => println!("in {seconds:2} s: yes"),
        }
    }
    Ok(())
}
