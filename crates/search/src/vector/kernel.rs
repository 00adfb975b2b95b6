//! Products of vectors, compiled for each family of processors and chosen when the program runs.
//!
//! The loops are plain: `pulp` compiles what is inlined into a dispatch for wider registers, which makes
//! them about five times as fast as the build for any processor.

use std::hint::black_box;

use pulp::{Arch, NullaryFnOnce};

/// How many sums of floats run side by side; one alone would wait for itself.
const LANES: usize = 32;

/// How many rows are asked for at once, and how many bytes of them come together.
const TOGETHER: usize = 8;
const LINE: usize = 64;

/// Writes the product of a query with each of many rows of codes, which follow each other in memory.
///
/// `sums` has one place for each row.
pub(crate) fn products_of_codes(query: &[i8], rows: &[i8], sums: &mut [i32]) {
    struct Scan<'a>(&'a [i8], &'a [i8], &'a mut [i32]);
    impl NullaryFnOnce for Scan<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let Self(query, rows, sums) = self;
            for (sum, row) in sums.iter_mut().zip(rows.chunks_exact(query.len())) {
                *sum = dot_codes(query, row);
            }
        }
    }
    debug_assert_eq!(rows.len(), sums.len() * query.len());
    Arch::new().dispatch(Scan(query, rows, sums));
}

/// Writes the product of a query with some rows of codes, each named by its number.
pub(crate) fn products_of_chosen_codes(query: &[i8], rows: &[i8], chosen: &[u32], sums: &mut Vec<i32>) {
    struct Scan<'a>(&'a [i8], &'a [i8], &'a [u32], &'a mut Vec<i32>);
    impl NullaryFnOnce for Scan<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let Self(query, rows, chosen, sums) = self;
            let width = query.len();
            let row_of = |row: &u32| {
                let start = *row as usize * width;
                &rows[start..start + width]
            };
            for some in chosen.chunks(TOGETHER) {
                // The rows lie anywhere. Whoever asks for one after the other waits for memory each time; asked
                // for at once, they come together.
                let touched = some.iter().flat_map(|row| row_of(row).iter().step_by(LINE));
                black_box(touched.fold(0_i8, |all, code| all ^ code));
                sums.extend(some.iter().map(|row| dot_codes(query, row_of(row))));
            }
        }
    }
    sums.clear();
    Arch::new().dispatch(Scan(query, rows, chosen, sums));
}

/// Returns the product of two vectors of one length.
pub(crate) fn product(one: &[f32], two: &[f32]) -> f32 {
    struct Dot<'a>(&'a [f32], &'a [f32]);
    impl NullaryFnOnce for Dot<'_> {
        type Output = f32;

        #[inline(always)]
        fn call(self) -> f32 {
            sum_of(self.0, self.1, |one, two| one * two)
        }
    }
    debug_assert_eq!(one.len(), two.len());
    Arch::new().dispatch(Dot(one, two))
}

/// Returns the square of the distance of two vectors of one length.
pub(crate) fn squared_distance(one: &[f32], two: &[f32]) -> f32 {
    struct Apart<'a>(&'a [f32], &'a [f32]);
    impl NullaryFnOnce for Apart<'_> {
        type Output = f32;

        #[inline(always)]
        fn call(self) -> f32 {
            sum_of(self.0, self.1, |one, two| (one - two) * (one - two))
        }
    }
    debug_assert_eq!(one.len(), two.len());
    Arch::new().dispatch(Apart(one, two))
}

/// Returns the product of two rows of codes of one length.
pub(crate) fn product_of_codes(one: &[i8], two: &[i8]) -> i32 {
    struct Dot<'a>(&'a [i8], &'a [i8]);
    impl NullaryFnOnce for Dot<'_> {
        type Output = i32;

        #[inline(always)]
        fn call(self) -> i32 {
            dot_codes(self.0, self.1)
        }
    }
    debug_assert_eq!(one.len(), two.len());
    Arch::new().dispatch(Dot(one, two))
}

#[inline(always)]
fn dot_codes(one: &[i8], two: &[i8]) -> i32 {
    one.iter().zip(two).map(|(one, two)| i32::from(*one) * i32::from(*two)).sum()
}

#[inline(always)]
fn sum_of(one: &[f32], two: &[f32], of: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (ones, rest_of_one) = one.as_chunks::<LANES>();
    let (twos, rest_of_two) = two.as_chunks::<LANES>();
    for (one, two) in ones.iter().zip(twos) {
        for lane in 0..LANES {
            sums[lane] += of(one[lane], two[lane]);
        }
    }
    let rest: f32 = rest_of_one.iter().zip(rest_of_two).map(|(one, two)| of(*one, *two)).sum();
    sums.iter().sum::<f32>() + rest
}
