use loomwork_core::Stopwatch;

#[test]
fn a_stopwatch_never_runs_backwards() {
    let stopwatch = Stopwatch::start();
    let first = stopwatch.elapsed();
    assert!(first <= stopwatch.elapsed());
}
