//! Retries a service that has a bad day, on a clock that is turned by hand: half a minute of waiting
//! is over at once.
//!
//! Run it with `cargo run -p loomwork-core --example retry`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use loomwork_core::{Clock, Fault, Kind, ManualClock, Random, RetryPolicy, Time, retry};

#[derive(Debug, thiserror::Error)]
enum ServiceError {
    #[error("the service does not answer")]
    Silent,
    #[error("the service is asked too often")]
    Busy { wait: Duration },
    #[error("the service does not know the city {0}")]
    UnknownCity(&'static str),
}

impl Fault for ServiceError {
    fn kind(&self) -> Kind {
        match *self {
            Self::Silent => Kind::Unavailable,
            Self::Busy { wait } => Kind::Limited { wait },
            Self::UnknownCity(_) => Kind::NotFound,
        }
    }
}

fn temperature(city: &'static str, attempt: u32) -> Result<i32, ServiceError> {
    match (city, attempt) {
        ("Atlantis", _) => Err(ServiceError::UnknownCity(city)),
        (_, 1 | 2) => Err(ServiceError::Silent),
        (_, 3) => Err(ServiceError::Busy { wait: Duration::from_secs(30) }),
        _ => Ok(21),
    }
}

async fn ask(city: &'static str, clock: &Clock, random: &Random) {
    let policy = RetryPolicy::default();
    let answer = retry(&policy, clock, random, ServiceError::kind, async |attempt| {
        let answer = temperature(city, attempt);
        match &answer {
            Ok(degrees) => println!("{}  {city}, attempt {attempt}: {degrees} degrees", clock.now()),
            Err(error) => println!("{}  {city}, attempt {attempt}: {error} ({})", clock.now(), error.kind()),
        }
        answer
    });
    match answer.await {
        Ok(_) => println!("done\n"),
        Err(error) => println!("given up: retrying would not help, since this is {}\n", error.kind()),
    }
}

/// Moves time on whenever somebody waits for it.
async fn turn(manual: &ManualClock) {
    loop {
        manual.timers_waiting(1).await;
        manual.advance_to_next_timer();
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let manual = Clock::manual(Time::from_millis(1_767_225_600_000));
    let (clock, random) = (manual.clock(), Random::seeded(7));
    for city in ["Lisbon", "Atlantis"] {
        tokio::select! {
            () = ask(city, &clock, &random) => {}
            () = turn(&manual) => {}
        }
    }
}
