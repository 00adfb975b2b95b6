//! Sums of what calls used.

use loomwork_models::Usage;

#[test]
fn sums_that_are_too_large_stay_at_the_greatest_number() {
    let huge = Usage { input_fresh: u64::MAX, output_text: u64::MAX - 1, ..Usage::default() };
    let mut sum = huge.clone();
    sum += &huge;
    sum.provider_tools.insert("search".into(), u64::MAX);
    let more = sum.clone();
    sum += &more;
    assert_eq!((sum.input(), sum.output(), sum.total()), (u64::MAX, u64::MAX, u64::MAX));
    assert_eq!(sum.provider_tools["search"], u64::MAX);
}
