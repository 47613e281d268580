//! Packed numbers of one to thirty-two bits, least significant bit first.
#![allow(clippy::inline_always, reason = "compiled twice, see `wide`: the copies must be whole")]

/// One value of `width` bits that starts at `bit`.
#[inline(always)]
#[must_use]
pub fn packed(data: &[u8], bit: usize, width: u8) -> u32 {
    let mask = (1_u64 << width).wrapping_sub(1);
    let start = bit >> 3;
    let word = match data.get(start..).and_then(<[u8]>::first_chunk::<8>) {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => data
            .get(start..)
            .unwrap_or_default()
            .iter()
            .rev()
            .fold(0, |sum, byte| (sum << 8) | u64::from(*byte)),
    };
    let value = (word >> (bit & 7)) & mask;
    // The mask is at most 32 bits wide.
    u32::try_from(value).unwrap_or_default()
}

/// Unpacks `out.len()` values of `width` bits from `bit` on.
#[inline(always)]
pub fn unpack(data: &[u8], bit: usize, width: u8, out: &mut [u32]) {
    macro_rules! by_width {
        ($($w:literal)+) => {
            match width {
                $($w => unpack_const::<$w>(data, bit, out),)+
                _ => unpack_any(data, bit, width, out),
            }
        };
    }
    by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
}

#[inline(always)]
fn unpack_any(data: &[u8], bit: usize, width: u8, out: &mut [u32]) {
    for (i, slot) in out.iter_mut().enumerate() {
        *slot = packed(data, bit.wrapping_add(i.wrapping_mul(usize::from(width))), width);
    }
}

/// The same with the width known to the compiler: eight values of at most sixteen bits come out of
/// one 128-bit word and seven spare bits at its start.
#[inline(always)]
fn unpack_const<const WIDTH: usize>(data: &[u8], mut bit: usize, out: &mut [u32]) {
    let mask = (1_u64 << WIDTH).wrapping_sub(1);
    let (groups, rest) = out.as_chunks_mut::<8>();
    for group in groups {
        let start = bit >> 3;
        let Some(bytes) = data.get(start..).and_then(<[u8]>::first_chunk::<24>) else {
            unpack_any(data, bit, u8::try_from(WIDTH).unwrap_or_default(), group);
            bit = bit.wrapping_add(8 * WIDTH);
            continue;
        };
        let shift = bit & 7;
        for (j, slot) in group.iter_mut().enumerate() {
            let first = j * WIDTH / 8;
            let word =
                bytes.get(first..).and_then(<[u8]>::first_chunk::<8>).map_or(0, |b| u64::from_le_bytes(*b));
            #[allow(clippy::cast_possible_truncation, reason = "masked to at most sixteen bits")]
            {
                *slot = ((word >> (j * WIDTH % 8 + shift)) & mask) as u32;
            }
        }
        bit = bit.wrapping_add(8 * WIDTH);
    }
    unpack_any(data, bit, u8::try_from(WIDTH).unwrap_or_default(), rest);
}
