use super::Counters;

#[test]
fn rates_are_those_of_the_report() {
    let counters = Counters { succeeded: 6, failed: 2, retried: 2, ..Counters::default() };
    assert_eq!(counters.completed(), 10);
    assert_eq!((counters.failure_rate(), counters.permanent_failure_rate()), (0.4, 0.25));
    assert_eq!(
        (Counters::default().failure_rate(), Counters::default().permanent_failure_rate()),
        (0.0, 0.0)
    );
}
