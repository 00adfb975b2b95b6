//! Prints the next five runs of a few schedules, from a fixed moment on.
//!
//! Run it with `cargo run -p loomwork-workpool --example schedule`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use loomwork_core::Time;
use loomwork_workpool::{Schedule, ScheduleError, Weekday};

fn show(name: &str, schedule: &Schedule, from: Time) {
    println!("{name} ({})", schedule.zone());
    let mut last = from;
    for _ in 0..5 {
        let Some(next) = schedule.next_after(last, from) else { break };
        println!("  {next}");
        last = next;
    }
}

fn main() -> Result<(), ScheduleError> {
    // Two days before clocks are put forward in Europe.
    let from = Time::from_millis(1_774_612_800_000);
    println!("from {from}\n");

    show("every 90 minutes", &Schedule::every(Duration::from_secs(90 * 60)), from);
    show("once", &Schedule::at(from + Duration::from_secs(60)), from);
    show("at half past two", &Schedule::daily(2, 30).in_zone("Europe/Berlin")?, from);
    show("on Mondays", &Schedule::weekly(Weekday::Monday, 9, 0).in_zone("America/New_York")?, from);
    show("on the 31st", &Schedule::monthly(31, 0, 0), from);
    show("on the 31st or the last day", &Schedule::monthly_clamped(31, 0, 0), from);
    show("on 13ths and Fridays", &Schedule::cron("0 0 13 * FRI")?, from);
    show("on leap days", &Schedule::cron("0 0 29 2 *")?, from);

    if let Err(error) = Schedule::cron("0 0 31 2 *") {
        println!("\nrefused: {error}");
    }
    Ok(())
}
