//! Counts against a plain model: whatever is attached, detached, deleted and vacuumed.

use std::collections::{BTreeMap, BTreeSet};

use loomwork_files::{
    CheckOptions, FileId, IfOwned, Owner, attach, delete, detach, detach_all, hand_over, set_owned,
};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestCaseError};
use proptest::{prop_assert_eq, proptest};

use super::memory::desk::{DAY, Desk};

const CONTENTS: [&str; 3] = ["one", "two", "three"];
const NAMES: [&str; 2] = ["a", "b"];

#[derive(Clone, Debug)]
enum Step {
    Put(usize, usize),
    Attach(usize, u8),
    Detach(usize, u8),
    DetachAll(u8),
    SetOwned(u8, Vec<usize>),
    HandOver(u8, u8),
    Delete(usize, bool),
    Pass,
}

fn step() -> impl Strategy<Value = Step> {
    let owner = || 0..3_u8;
    let file = || any::<usize>();
    prop_oneof![
        4 => (0..CONTENTS.len(), 0..NAMES.len()).prop_map(|(content, name)| Step::Put(content, name)),
        4 => (file(), owner()).prop_map(|(file, owner)| Step::Attach(file, owner)),
        2 => (file(), owner()).prop_map(|(file, owner)| Step::Detach(file, owner)),
        1 => owner().prop_map(Step::DetachAll),
        2 => (owner(), vec(file(), 0..4)).prop_map(|(owner, files)| Step::SetOwned(owner, files)),
        1 => (owner(), owner()).prop_map(|(from, to)| Step::HandOver(from, to)),
        1 => (file(), any::<bool>()).prop_map(|(file, detaches)| Step::Delete(file, detaches)),
        1 => Just(Step::Pass),
    ]
}

/// What there should be: who owns each file, and which content it has.
#[derive(Debug, Default)]
struct Model {
    files: BTreeMap<FileId, (usize, BTreeSet<u8>)>,
}

impl Model {
    fn pick(&self, at: usize) -> Option<FileId> {
        self.files.keys().nth(at.checked_rem(self.files.len())?).copied()
    }

    fn owners(&mut self, file: FileId) -> &mut BTreeSet<u8> {
        &mut self.files.get_mut(&file).expect("the model knows it").1
    }
}

fn owner(number: u8) -> Owner {
    Owner::new("letters", number.to_string())
}

async fn take(desk: &Desk, model: &mut Model, step: Step) {
    match step {
        Step::Put(content, name) => {
            let file = desk.put(CONTENTS[content], NAMES[name]).await;
            model.files.entry(file.id).or_insert((content, BTreeSet::new()));
        }
        Step::Attach(at, by) => {
            let Some(file) = model.pick(at) else { return };
            let is_new = desk.commit(move |tx| attach(tx, file, owner(by))).await;
            assert_eq!(is_new, model.owners(file).insert(by));
        }
        Step::Detach(at, by) => {
            let Some(file) = model.pick(at) else { return };
            let had = desk.commit(move |tx| detach(tx, file, owner(by))).await;
            assert_eq!(had, model.owners(file).remove(&by));
        }
        Step::DetachAll(by) => {
            let released = desk.commit(move |tx| detach_all(tx, owner(by))).await;
            let held = model.files.values_mut().filter_map(|(_, owners)| owners.remove(&by).then_some(()));
            assert_eq!(released, held.count());
        }
        Step::SetOwned(by, files) => {
            let files: Vec<_> = files.into_iter().filter_map(|at| model.pick(at)).collect();
            let owned = files.clone();
            desk.commit(move |tx| set_owned(tx, owner(by), &owned)).await;
            for (file, (_, owners)) in &mut model.files {
                if files.contains(file) {
                    owners.insert(by)
                } else {
                    owners.remove(&by)
                };
            }
        }
        Step::HandOver(from, to) => {
            desk.commit(move |tx| hand_over(tx, owner(from), owner(to))).await;
            for (_, owners) in model.files.values_mut() {
                if owners.remove(&from) {
                    owners.insert(to);
                }
            }
        }
        Step::Delete(at, detaches) => {
            let Some(file) = model.pick(at) else { return };
            let is_free = model.owners(file).is_empty();
            let if_owned = if detaches { IfOwned::Detach } else { IfOwned::Refuse };
            let deleted = desk.store.mutate(move |tx| delete(tx, file, if_owned)).await;
            assert_eq!(deleted.is_ok(), is_free || detaches);
            if deleted.is_ok() {
                model.files.remove(&file);
            }
        }
        Step::Pass => {
            desk.clock.advance(DAY);
            desk.files.vacuum().await.expect("the vacuum runs");
            model.files.retain(|_, (_, owners)| !owners.is_empty());
        }
    }
}

async fn compare(desk: &Desk, model: &Model) -> Result<(), TestCaseError> {
    let options = CheckOptions { contents: true, ..CheckOptions::default() };
    let report = desk.files.check(options).await.expect("the check runs");
    prop_assert_eq!(report.findings, []);
    prop_assert_eq!(report.files, model.files.len());
    prop_assert_eq!(report.references, model.files.values().map(|(_, owners)| owners.len()).sum::<usize>());
    for (file, (_, owners)) in &model.files {
        let row = desk.file(*file).await;
        prop_assert_eq!(row.map(|row| row.owners), Some(owners.len() as u64));
    }
    Ok(())
}

proptest! {
    #![proptest_config(Config { cases: 48, ..Config::default() })]

    #[test]
    fn counts_are_what_a_recount_finds(steps in vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (desk, mut model) = (Desk::open().await, Model::default());
            for step in steps {
                take(&desk, &mut model, step).await;
                compare(&desk, &model).await?;
            }
            // In the end everybody lets go, and nothing is left of anything.
            for by in 0..3 {
                take(&desk, &mut model, Step::DetachAll(by)).await;
            }
            take(&desk, &mut model, Step::Pass).await;
            desk.holds(0, 0).await;
            Ok::<(), TestCaseError>(())
        })?;
    }
}
