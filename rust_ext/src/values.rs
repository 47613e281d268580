//! What a stored number stands for.

use crate::error::Code;

/// The marker entry carries this value.
const MARKER_VALUE: f64 = -2.0;
/// Beyond this no molecule count can be.
const MOST: f64 = 4_294_967_295.0;
/// Up to here `f32` holds every whole number.
const EXACT: f64 = 16_777_216.0;

/// What a stored value stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A count that can be trusted.
    Count(u32),
    /// A count beyond 2²⁴, which `f32` may have rounded.
    Rounded(u32),
    /// An entry of zero.
    Zero,
    /// The value of the marker entry, legal in no other place.
    Marker,
    /// Not a count, with the reason.
    Bad(Code),
}

impl Value {
    /// Judges a stored value.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number in 1..=MOST by then"
    )]
    pub fn of(stored: f64) -> Self {
        if !stored.is_finite() {
            Self::Bad(Code::NonFinite)
        } else if stored.to_bits() == MARKER_VALUE.to_bits() {
            Self::Marker
        } else if stored < 0.0 {
            Self::Bad(Code::NegativeValue)
        } else if stored > MOST {
            Self::Bad(Code::ValueRange)
        } else if stored.fract() != 0.0 {
            Self::Bad(Code::NonInteger)
        } else if stored > EXACT {
            Self::Rounded(stored as u32)
        } else if stored > 0.0 {
            Self::Count(stored as u32)
        } else {
            Self::Zero
        }
    }
}

/// A defective value in words.
#[must_use]
pub fn bad_value(code: Code) -> &'static str {
    match code {
        Code::NonFinite => "a value that is not finite",
        Code::NegativeValue => "a value below zero",
        Code::ValueRange => "a value beyond any molecule count",
        Code::NonInteger => "a value with a fraction where whole molecule counts belong",
        _ => "a value index beyond its dictionary",
    }
}
