//! Vectors as bytes: an eighth of a float's precision and a quarter of its size, for the first look.

/// The greatest code; codes are symmetric, so that a product has no offset.
const TOP: f32 = 127.0;

/// A vector as bytes, and how far it is from what it stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Coded {
    pub(crate) codes: Vec<i8>,
    /// What a code of 1 stands for.
    pub(crate) scale: f32,
    /// The length of the difference to the vector itself.
    pub(crate) error: f32,
}

impl Coded {
    pub(crate) fn of(vector: &[f32]) -> Self {
        let peak = vector.iter().fold(0.0_f32, |peak, part| peak.max(part.abs()));
        if peak == 0.0 {
            return Self { codes: vec![0; vector.len()], scale: 0.0, error: 0.0 };
        }
        let scale = peak / TOP;
        let codes: Vec<i8> =
            vector.iter().map(|part| (part / scale).round().clamp(-TOP, TOP) as i8).collect();
        let apart = vector.iter().zip(&codes).map(|(part, code)| {
            let apart = f64::from(part - f32::from(*code) * scale);
            apart * apart
        });
        let error = apart.sum::<f64>().sqrt() as f32;
        Self { codes, scale, error }
    }
}

/// Brings a vector to length 1; one of zeros stays as it is.
pub(crate) fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|part| f64::from(*part) * f64::from(*part)).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|part| *part = (f64::from(*part) / length) as f32);
    }
}
