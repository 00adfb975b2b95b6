//! Products of vectors, compiled for each family of processors and chosen when the program runs.
//!
//! The loops are plain: `pulp` compiles what is inlined into a dispatch for wider registers, which makes
//! them about five times as fast as the build for any processor.

use pulp::{Arch, NullaryFnOnce};

/// How many sums of floats run side by side; one alone would wait for itself.
const LANES: usize = 32;

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
            sums.extend(chosen.iter().map(|row| {
                let start = *row as usize * width;
                dot_codes(query, &rows[start..start + width])
            }));
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
            dot(self.0, self.1)
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
fn dot(one: &[f32], two: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let (ones, rest_of_one) = one.as_chunks::<LANES>();
    let (twos, rest_of_two) = two.as_chunks::<LANES>();
    for (one, two) in ones.iter().zip(twos) {
        for lane in 0..LANES {
            sums[lane] += one[lane] * two[lane];
        }
    }
    let rest: f32 = rest_of_one.iter().zip(rest_of_two).map(|(one, two)| one * two).sum();
    sums.iter().sum::<f32>() + rest
}
