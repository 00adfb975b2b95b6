//! Runs under a scheduler that draws what happens next: which process takes, polls, records, hears, dies or
//! comes back late, when jobs end, events come, time passes and somebody cancels. All of it follows from a seed:
//! nothing runs but what the scheduler does, one transaction after the other.
//!
//! `LOOMWORK_SEED=n` runs one seed alone, `LOOMWORK_SEEDS=n` so many of them.

mod checks;
mod code;
mod moves;
mod process;
mod world;

use world::World;

/// How many seeds each part runs, if nobody says.
const SEEDS: u64 = 250;

/// How many parts there are, so that they run beside each other.
const PARTS: u64 = 4;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("the variable is a number"))
}

async fn run(part: u64) {
    if let Some(seed) = number("LOOMWORK_SEED") {
        if part == 0 {
            simulate(seed).await;
        }
        return;
    }
    let seeds = number("LOOMWORK_SEEDS").unwrap_or(SEEDS * PARTS);
    for seed in (part..seeds).step_by(PARTS as usize) {
        simulate(seed).await;
    }
}

/// Runs one seed; what does not hold fails with the seed and all that happened.
async fn simulate(seed: u64) {
    let mut world = World::open(seed).await;
    world.begin().await;
    world.stir().await;
    world.come_to_rest().await;
    world.check().await;
}

#[tokio::test]
async fn whatever_happens_runs_come_to_their_end_first_part() {
    run(0).await;
}

#[tokio::test]
async fn whatever_happens_runs_come_to_their_end_second_part() {
    run(1).await;
}

#[tokio::test]
async fn whatever_happens_runs_come_to_their_end_third_part() {
    run(2).await;
}

#[tokio::test]
async fn whatever_happens_runs_come_to_their_end_fourth_part() {
    run(3).await;
}

#[tokio::test]
async fn a_seed_does_the_same_each_time() {
    for seed in 0..5 {
        let mut histories = Vec::new();
        for _ in 0..2 {
            let mut world = World::open(seed).await;
            world.begin().await;
            world.stir().await;
            world.come_to_rest().await;
            histories.push(world.happened());
        }
        assert_eq!(histories[0], histories[1]);
    }
}
