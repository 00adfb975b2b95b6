use super::{CrateTable, MayUse, refusal};

const PAGE: &str = "\
# Architecture

| not | this |
|---|---|
| 0 | `core` |

| floor | crate | owns | depends on |
|---|---|---|---|
| 0 | `core` | clock | – |
| 1 | `store` | tables \\| indexes | core |
| 2 | `workpool` | jobs | store |
| 2 | `rate-limiter` | buckets | store |
| 3 | `usage` | metering | store, rate-limiter (holds), `workpool` (monthly run) |
| 6 | `app` (`loomwork`) | composition | all |
| – | `testkit` | suites | dev-dependency only, used in `tests/it` |
| – | `bench` | workloads | any |
";

fn table() -> CrateTable {
    CrateTable::parse(PAGE).expect("the page has a table")
}

/// The part of the refusal that says what is wrong.
fn wrong(from: &str, to: &str) -> Option<String> {
    let table = table();
    let from = table.of_package(from).expect("the table knows the package");
    refusal(&table, from, to).map(|(wrong, _right)| wrong)
}

#[test]
fn crate_table_is_read() {
    let table = table();
    let usage = table.of_package("loomwork-usage").expect("usage has a row");
    assert_eq!(usage.floor, Some(3));
    let names = ["store", "rate-limiter", "workpool"].map(str::to_owned);
    assert_eq!(usage.may_use, MayUse::Named(names.to_vec()));

    let core = table.of_package("loomwork-core").expect("core has a row");
    assert_eq!(core.may_use, MayUse::Named(Vec::new()));
    let app = table.of_package("loomwork").expect("the app's package has a name of its own");
    assert_eq!((app.name.as_str(), &app.may_use), ("app", &MayUse::Any));
    let testkit = table.of_package("loomwork-testkit").expect("testkit has a row");
    assert_eq!((testkit.floor, &testkit.may_use), (None, &MayUse::Any));
}

#[test]
fn broken_rows_are_refused_with_their_line() {
    let refusal = |row: &str| {
        let page = format!("| floor | crate | owns | depends on |\n|---|---|---|---|\n{row}\n");
        CrateTable::parse(&page).expect_err("the row is broken").to_string()
    };
    let path = "docs/architecture.md:3";
    assert_eq!(
        refusal("| low | `core` | clock | – |"),
        format!("{path}: the floor `low` is neither a number nor –")
    );
    assert_eq!(refusal("| 0 | core | clock | – |"), format!("{path}: `core` names no crate in backticks"));
    assert_eq!(
        refusal("| 0 | `core` | clock |"),
        format!("{path}: a row of the crate table has 3 cells, not 4")
    );
    assert!(
        refusal("| 1 | `store` | tables | whatever it needs |").contains("`whatever it needs` is no crate")
    );
    let no_table = CrateTable::parse("# Architecture").expect_err("there is no table").to_string();
    assert!(no_table.contains("has no table"));
}

#[test]
fn named_crate_of_a_lower_floor_may_be_used() {
    assert_eq!(wrong("loomwork-usage", "loomwork-workpool"), None);
    assert_eq!(wrong("loomwork", "loomwork-usage"), None);
}

#[test]
fn packages_of_others_may_be_used() {
    assert_eq!(wrong("loomwork-core", "serde"), None);
}

#[test]
fn unnamed_crate_is_refused() {
    let expected = "`workpool` depends on `core`, which its row does not name";
    assert_eq!(wrong("loomwork-workpool", "loomwork-core").as_deref(), Some(expected));
}

#[test]
fn same_and_higher_floors_are_refused() {
    let expected = "`workpool` of floor 2 depends on `rate-limiter` of floor 2";
    assert_eq!(wrong("loomwork-workpool", "loomwork-rate-limiter").as_deref(), Some(expected));
    let expected = "`store` of floor 1 depends on `usage` of floor 3";
    assert_eq!(wrong("loomwork-store", "loomwork-usage").as_deref(), Some(expected));
}

#[test]
fn testkit_is_refused_outside_tests_but_in_bench() {
    let expected = "`testkit` is for tests and tools, and `app` depends on it";
    assert_eq!(wrong("loomwork", "loomwork-testkit").as_deref(), Some(expected));
    assert_eq!(wrong("loomwork-bench", "loomwork-testkit"), None);
}
