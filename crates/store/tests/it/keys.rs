//! Key bytes: their order is that of the values, and they read back as what was written.

use std::fmt::Debug;

use loomwork_core::{RawId, Time};
use loomwork_store::{Id, Key, KeyError};
use loomwork_testkit::store::Note;
use proptest::prelude::*;

fn written<K: Key>(value: &K) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.write(&mut bytes).expect("the value is a key");
    bytes
}

/// The order of two values is that of their bytes, whatever follows them in the key, and each reads
/// back as itself and not a byte further.
fn check<K: Key + PartialOrd + Debug>(a: &K, b: &K) {
    let expected = a.partial_cmp(b).expect("the values have an order");
    let (mut low, mut high) = (written(a), written(b));
    assert_eq!(low.cmp(&high), expected, "{a:?}, {b:?}: {low:02x?}, {high:02x?}");
    if expected.is_ne() {
        low.push(0xff);
        high.push(0x00);
        assert_eq!(low.cmp(&high), expected, "{a:?} begins {b:?}, or the other way round");
    }
    for value in [a, b] {
        let bytes = [&written(value)[..], &[0x00, 0xff, 0x01]].concat();
        let mut rest = &bytes[..];
        assert_eq!(K::read(&mut rest).as_ref(), Ok(value));
        assert_eq!(rest, [0x00, 0xff, 0x01]);
    }
}

/// Integers of every size, not only of the largest.
macro_rules! integers {
    ($type:ty) => {
        (any::<$type>(), 0..<$type>::BITS).prop_map(|(bits, shift)| bits >> shift)
    };
}

fn floats() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("NaN has no order", |float| !float.is_nan()),
        (-3..3_i32).prop_map(f64::from),
        prop::sample::select(vec![
            -0.0,
            f64::MIN_POSITIVE,
            f64::MIN,
            f64::MAX,
            f64::INFINITY,
            f64::NEG_INFINITY
        ]),
    ]
}

/// Short texts of few characters, zero among them, so that prefixes and escapes are common.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof!["[\0\u{1}a]{0,4}", "\\PC{0,6}", any::<String>()]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(prop::sample::select(vec![0x00, 0x01, 0xfe, 0xff]), 0..5),
        any::<Vec<u8>>(),
    ]
}

fn ids() -> impl Strategy<Value = RawId> {
    any::<[u8; 16]>().prop_map(RawId::from_bytes)
}

macro_rules! ordered_as_values {
    ($($name:ident: $values:expr;)*) => {
        proptest! {$(
            #[test]
            fn $name(a in $values, b in $values) {
                check(&a, &b);
                check(&a, &a);
            }
        )*}
    };
}

ordered_as_values! {
    bools: any::<bool>();
    u8s: any::<u8>();
    u16s: integers!(u16);
    u32s: integers!(u32);
    u64s: integers!(u64);
    u128s: integers!(u128);
    i8s: any::<i8>();
    i16s: integers!(i16);
    i32s: integers!(i32);
    i64s: integers!(i64);
    f64s: floats();
    f32s: any::<f32>().prop_filter("NaN has no order", |float| !float.is_nan());
    strings: texts();
    byte_strings: bytes();
    raw_ids: ids();
    typed_ids: ids().prop_map(Id::<Note>::from_raw);
    times: integers!(i64).prop_map(Time::from_millis);
    options: prop::option::of(integers!(i64));
    optional_texts: prop::option::of(texts());
    nested_options: prop::option::of(prop::option::of(any::<bool>()));
    deeply_nested_options: prop::option::of(prop::option::of(prop::option::of(texts())));
}

fn pair_bytes<A: Key, B: Key>((first, second): &(A, B)) -> Vec<u8> {
    [written(first), written(second)].concat()
}

/// Parts in a row compare as the tuple that they are.
fn check_pairs<A: Key + PartialOrd + Debug, B: Key + PartialOrd + Debug>(a: &(A, B), b: &(A, B)) {
    assert_eq!(
        pair_bytes(a).cmp(&pair_bytes(b)),
        a.partial_cmp(b).expect("they have an order"),
        "{a:?}, {b:?}"
    );
}

proptest! {
    #[test]
    fn tuples_are_ordered_part_by_part(
        a in (texts(), prop::option::of(texts())),
        b in (texts(), prop::option::of(texts())),
        c in (prop::option::of(prop::option::of(any::<i8>())), floats()),
        d in (prop::option::of(prop::option::of(any::<i8>())), floats()),
        e in (bytes(), integers!(i64)),
        f in (bytes(), integers!(i64)),
        same in texts(),
    ) {
        check_pairs(&a, &b);
        check_pairs(&c, &d);
        check_pairs(&e, &f);
        check_pairs(&(same.clone(), c.0), &(same, d.0));
    }

    #[test]
    fn integers_of_different_types_share_one_order(a in integers!(i64), b in integers!(u64)) {
        prop_assert_eq!(written(&a).cmp(&written(&b)), i128::from(a).cmp(&i128::from(b)));
        if let (Ok(small), Ok(wide)) = (i8::try_from(a), u128::try_from(a)) {
            prop_assert_eq!(written(&small), written(&wide));
        }
    }

    #[test]
    fn bytes_that_nobody_wrote_are_refused_without_a_panic(bytes in bytes(), tag in any::<u8>()) {
        read_as_everything(&[&[tag], &bytes[..]].concat());
        read_as_everything(&bytes);
    }

    #[test]
    fn damaged_keys_are_read_without_a_panic(
        key in (texts(), prop::option::of(integers!(i64)), floats()),
        at in any::<prop::sample::Index>(),
        damage in 1..=u8::MAX,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = [written(&key.0), written(&key.1), written(&key.2)].concat();
        let at = at.index(bytes.len());
        bytes[at] ^= damage;
        read_as_everything(&bytes);
        read_as_everything(&bytes[..cut.index(bytes.len())]);
    }
}

/// Reads bytes as each type until they end or are refused.
fn read_as_everything(bytes: &[u8]) {
    fn read_all<K: Key>(mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let before = bytes.len();
            match K::read(&mut bytes) {
                Ok(_) => assert!(bytes.len() < before, "a part takes at least its tag"),
                Err(KeyError::Mismatch { .. }) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
    read_all::<bool>(bytes);
    read_all::<u8>(bytes);
    read_all::<u128>(bytes);
    read_all::<i8>(bytes);
    read_all::<i64>(bytes);
    read_all::<f64>(bytes);
    read_all::<f32>(bytes);
    read_all::<String>(bytes);
    read_all::<Vec<u8>>(bytes);
    read_all::<Id<Note>>(bytes);
    read_all::<Time>(bytes);
    read_all::<Option<i64>>(bytes);
    read_all::<Option<Option<String>>>(bytes);
}

#[test]
fn parts_of_different_types_have_one_order() {
    let ascending = [
        written(&None::<i64>),
        written(&Some(None::<i64>)),
        written(&Some(Some(0_u8))),
        written(&false),
        written(&true),
        written(&i64::MIN),
        written(&-1_i8),
        written(&0_u8),
        written(&u128::MAX),
        written(&f64::NEG_INFINITY),
        written(&f64::INFINITY),
        written(&String::new()),
        written(&"\u{10ffff}".to_owned()),
        written(&Vec::<u8>::new()),
        written(&vec![0xff; 9]),
        written(&RawId::from_bytes([0; 16])),
        written(&RawId::from_bytes([0xff; 16])),
    ];
    assert!(ascending.is_sorted_by(|a, b| a < b), "{ascending:02x?}");
    // No key begins with a byte that marks the ends of ranges.
    assert!(ascending.iter().all(|key| !matches!(key[0], 0x00 | 0xff)));
}

#[test]
fn nan_is_refused() {
    let quiet_and_negative = [f64::NAN, -f64::NAN, f64::from_bits(0x7ff0_0000_0000_0001)];
    for nan in quiet_and_negative {
        assert_eq!(nan.write(&mut Vec::new()), Err(KeyError::NotANumber));
        assert_eq!((nan as f32).write(&mut Vec::new()), Err(KeyError::NotANumber));
        assert_eq!(Some(Some(nan)).write(&mut Vec::new()), Err(KeyError::NotANumber));
    }
}

#[test]
fn zeros_of_both_signs_are_one_key() {
    assert_eq!(written(&-0.0_f64), written(&0.0_f64));
    assert_eq!(written(&-0.0_f32), written(&0.0_f64));
}
