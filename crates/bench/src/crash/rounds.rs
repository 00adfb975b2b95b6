//! The rounds of a group whose processes work over one place and say what they have done.

use std::path::Path;
use std::str::FromStr;

use anyhow::Result;
use loomwork_testkit::crash::{Moment, kill, this_program};

use super::deck::{Deck, READY, shuffled};
use super::tally::Tally;
use super::{Plan, folder, within_time};

/// What is known from outside of a place, which is a folder, over all processes that were killed there.
pub(super) trait Ledger: Default {
    /// One thing that a process says.
    type Word: FromStr<Err = anyhow::Error>;

    /// Takes in what a process said before it was killed.
    fn hear(&mut self, words: Vec<Self::Word>, tally: &mut Tally);

    /// Compares the place with what is known of it, behind each kill.
    async fn between(&mut self, place: &Path, tally: &mut Tally) -> Result<()>;

    /// Brings what is left in the place to its end, and compares once more.
    async fn at_the_end(&mut self, place: &Path, tally: &mut Tally) -> Result<()>;
}

/// Runs the rounds of a group until one fails. What a process left half done is met by those after it; each
/// deck has a place of its own.
pub(super) fn run<L: Ledger>(group: &str, deck: &Deck, plan: &Plan, tally: &mut Tally) -> Result<()> {
    let folder = folder()?;
    let rounds = rounds::<L>(group, deck, plan, folder.path(), tally);
    if rounds.is_err() || !tally.is_clean() {
        println!("the files are kept in {}", folder.keep().display());
    }
    rounds
}

fn rounds<L: Ledger>(group: &str, deck: &Deck, plan: &Plan, folder: &Path, tally: &mut Tally) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for (place, first) in (0..plan.rounds).step_by(deck.cards.len()).enumerate() {
        let cards = shuffled(deck.cards, &plan.random(&[place as u64]));
        let place = folder.join(place.to_string());
        std::fs::create_dir(&place)?;
        let mut ledger = L::default();
        for (round, card) in (first..plan.rounds).zip(cards) {
            tally.begin_round(plan.rounds, card);
            let said =
                strike(group, plan, round, &place, deck.moment(card, &plan.random(&[round, 1])), tally)?;
            let words = said.iter().map(|line| line.parse()).collect::<Result<Vec<L::Word>>>()?;
            ledger.hear(words, tally);
            within_time(&runtime, ledger.between(&place, tally))?;
            if !tally.is_clean() {
                return Ok(());
            }
        }
        within_time(&runtime, ledger.at_the_end(&place, tally))?;
        if !tally.is_clean() {
            return Ok(());
        }
    }
    Ok(())
}

/// Starts a process of a group over a place, kills it at its moment and returns what it has said.
pub(super) fn strike(
    group: &str,
    plan: &Plan,
    round: u64,
    place: &Path,
    moment: Moment,
    tally: &mut Tally,
) -> Result<Vec<String>> {
    let mut command = this_program();
    command.args(["crash-child", group]).arg(place);
    command.args([plan.seed, round].map(|number| number.to_string()));
    // Its last words should be its error, not where that came from.
    command.env("RUST_BACKTRACE", "0");
    let said = kill(&mut command, moment)?;
    tally.killed();
    tally.count("killed while opening", u64::from(!said.iter().any(|line| line == READY)));
    Ok(said)
}
