//! Amounts are exact, or an error.

use loomwork_usage::{Currency, Money, MoneyError, Rounding};
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

fn money(text: &str) -> Money {
    text.parse().expect("the text is an amount")
}

#[test]
fn texts_are_read_digit_by_digit() {
    for (text, parts) in [
        ("0", 0),
        ("0.075", 75_000_000_000_000_000),
        ("7.5e-8", 75_000_000_000),
        ("1.5E-07", 150_000_000_000),
        ("-12.5", -12_500_000_000_000_000_000),
        ("3e2", 300_000_000_000_000_000_000),
        ("0.000000000000000001", 1),
        ("1000000000000000000e-36", 1),
    ] {
        assert_eq!(money(text).parts(), parts, "{text}");
    }
}

#[test]
fn what_is_no_amount_is_refused() {
    for text in ["", "-", ".", ".5", "1,5", "1.2.3", "NaN", "1e", "1e999", "0x10", "--1", "1_000", "+1"] {
        let refused = text.parse::<Money>();
        assert!(matches!(refused, Err(MoneyError::Malformed { .. })), "{text}: {refused:?}");
    }
    assert!(matches!("0.0000000000000000001".parse::<Money>(), Err(MoneyError::TooFine { .. })));
    assert!(matches!("1e30".parse::<Money>(), Err(MoneyError::Overflow { .. })));
    assert!(matches!("99999999999999999999999999999".parse::<Money>(), Err(MoneyError::Overflow { .. })));
}

#[test]
fn a_million_times_a_small_price_is_exact() {
    let price = money("0.0000003");
    let mut sum = Money::ZERO;
    for _ in 0..1_000_000 {
        sum = sum.plus(price).expect("it fits");
    }
    assert_eq!(sum, money("0.3"));
    assert_eq!(money("0.075").per_million().expect("it is not too fine"), money("7.5e-8"));
    assert!(matches!(money("0.0000000000001").per_million(), Err(MoneyError::TooFine { .. })));
}

#[test]
fn rounding_is_named_and_minds_the_sign() {
    use Rounding::{Down, HalfEven, HalfUp, Up};
    for (text, decimals, rounding, expected) in [
        ("0.125", 2, HalfEven, "0.12"),
        ("0.135", 2, HalfEven, "0.14"),
        ("-0.125", 2, HalfEven, "-0.12"),
        ("-0.135", 2, HalfEven, "-0.14"),
        ("0.125", 2, HalfUp, "0.13"),
        ("-0.125", 2, HalfUp, "-0.13"),
        ("0.129", 2, Down, "0.12"),
        ("-0.129", 2, Down, "-0.12"),
        ("0.121", 2, Up, "0.13"),
        ("-0.121", 2, Up, "-0.13"),
        ("2.5", 0, HalfEven, "2"),
        ("3.5", 0, HalfEven, "4"),
        ("0.0005", 3, HalfEven, "0"),
        ("0.1250000001", 2, HalfEven, "0.13"),
    ] {
        let rounded = money(text).rounded(decimals, rounding).expect("it fits");
        assert_eq!(rounded, money(expected), "{text} to {decimals}, {rounding:?}");
    }
}

#[test]
fn amounts_are_written_with_the_decimals_of_their_currency() {
    let amount = money("1234.5");
    let written = |code: &str| amount.with_decimals(code.parse::<Currency>().expect("a code").decimals());
    assert_eq!([written("USD"), written("JPY"), written("KWD")], ["1234.50", "1234", "1234.500"]);
    assert_eq!(money("-0.001").with_decimals(2), "0.00");
    assert_eq!(money("-0.01").with_decimals(2), "-0.01");
    assert_eq!(money("-0.5").to_string(), "-0.5");
    assert_eq!(Money::ZERO.to_string(), "0");
    assert!("usd".parse::<Currency>().is_err() && "USDX".parse::<Currency>().is_err());
}

#[test]
fn what_cannot_be_counted_is_an_error_and_never_wraps() {
    let most = Money::from_parts(i128::MAX).expect("it is the largest");
    let least = most.negated();
    assert!(matches!(most.plus(Money::whole(1)), Err(MoneyError::Overflow { .. })));
    assert!(matches!(least.minus(Money::whole(1)), Err(MoneyError::Overflow { .. })));
    assert!(matches!(most.times(2), Err(MoneyError::Overflow { .. })));
    assert!(matches!(most.share(2_000_000), Err(MoneyError::Overflow { .. })));
    assert!(matches!(most.rounded(0, Rounding::Up), Err(MoneyError::Overflow { .. })));
    assert!(Money::from_parts(i128::MIN).is_err());
}

#[test]
fn json_has_amounts_as_texts() {
    let json = serde_json::to_string(&money("0.0003")).expect("it is written");
    assert_eq!(json, "\"0.0003\"");
    assert_eq!(serde_json::from_str::<Money>(&json).expect("it is read"), money("0.0003"));
    assert!(serde_json::from_str::<Money>("0.0003").is_err(), "a float is no amount");
}

#[test]
fn too_many_decimals_are_rounded_where_that_is_asked_for() {
    for (text, expected, is_rounded) in [
        ("2.9999999999999997e-07", "0.0000003", true),
        ("1.5e-18", "2e-18", true),
        ("2.5e-18", "2e-18", true),
        ("1e-30", "0", true),
        ("9e-19", "1e-18", true),
        ("5e-19", "0", true),
        ("9e-20", "0", true),
        ("0.10", "0.1", false),
    ] {
        let read = Money::parse_rounded(text).expect("it is a number");
        assert_eq!(read, (money(expected), is_rounded), "{text}");
    }
}

fn amounts() -> impl Strategy<Value = Money> {
    (any::<i128>(), 0_u32..100)
        .prop_map(|(parts, shift)| Money::from_parts(parts >> shift).unwrap_or_default())
}

proptest! {
    #[test]
    fn a_text_is_the_amount_that_it_was_written_from(amount in amounts()) {
        prop_assert_eq!(amount.to_string().parse::<Money>().expect("it reads its own texts"), amount);
    }

    #[test]
    fn a_rounded_amount_is_less_than_a_coin_away(amount in amounts(), decimals in 0_u32..4) {
        for rounding in [Rounding::HalfEven, Rounding::HalfUp, Rounding::Down, Rounding::Up] {
            let Ok(rounded) = amount.rounded(decimals, rounding) else { continue };
            let coin = 10_i128.pow(18 - decimals);
            prop_assert!(rounded.parts() % coin == 0);
            let away = rounded.minus(amount).expect("they are near").parts().abs();
            let most = if matches!(rounding, Rounding::Down | Rounding::Up) { coin - 1 } else { coin / 2 };
            prop_assert!(away <= most, "{amount} becomes {rounded}");
        }
    }

    #[test]
    fn a_share_is_that_of_exact_numbers(units in -1_000_000_000_000_i64..1_000_000_000_000, share in 0_u64..5_000_000) {
        let amount = Money::from_parts(i128::from(units)).expect("it fits");
        let exact = i128::from(units) * i128::from(share);
        let away = amount.share(share).expect("it fits").parts() * 1_000_000 - exact;
        prop_assert!(away.abs() <= 500_000);
    }
}
