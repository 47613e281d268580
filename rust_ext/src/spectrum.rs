//! The histogram of a row: each distinct count with how often it occurs.
//!
//! A cell of 1,300 entries has a few dozen distinct counts, so everything that depends on the values
//! alone is computed from its spectrum instead of from the entries.

use crate::hybrid::Piece;

/// One distinct count of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bin {
    /// The count.
    pub value: u32,
    /// How many entries of the row have it.
    pub times: u32,
    /// The value code.
    pub code: u32,
}

/// Counts codes in four lanes, since the same counter a hundred times in a row would wait for itself.
#[derive(Default)]
pub struct Histogram {
    lanes: Vec<[u32; 4]>,
    beyond: bool,
}

impl Histogram {
    /// Makes room for codes below `codes`.
    pub fn reserve(&mut self, codes: usize) {
        if self.lanes.len() < codes {
            self.lanes.resize(codes, [0; 4]);
        }
    }

    /// Whether a code was beyond the room that was reserved; asking forgets it.
    pub fn take_beyond(&mut self) -> bool {
        std::mem::take(&mut self.beyond)
    }

    /// Gives its room back: the next row group may have fewer codes.
    pub fn forget(&mut self) {
        self.lanes.clear();
    }

    /// Adds a piece of a row.
    #[inline]
    pub fn add(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Same(code, times) => match self.lanes.get_mut(code as usize) {
                Some([lane, ..]) => *lane = lane.wrapping_add(u32::try_from(times).unwrap_or(u32::MAX)),
                None => self.beyond = true,
            },
            Piece::Each(codes) => self.add_each(codes),
        }
    }

    #[inline]
    fn add_each(&mut self, codes: &[u32]) {
        let mut beyond = false;
        let (quads, rest) = codes.as_chunks::<4>();
        let mut one =
            |code: u32, lane: usize| match self.lanes.get_mut(code as usize).and_then(|l| l.get_mut(lane)) {
                Some(slot) => *slot = slot.wrapping_add(1),
                None => beyond = true,
            };
        for [a, b, c, d] in quads {
            one(*a, 0);
            one(*b, 1);
            one(*c, 2);
            one(*d, 3);
        }
        for code in rest {
            one(*code, 0);
        }
        self.beyond |= beyond;
    }

    /// Whether walking all codes would cost more than walking the row again.
    #[must_use]
    pub fn is_wide(&self, entries: usize) -> bool {
        self.lanes.len() > 4_096_usize.max(entries.saturating_mul(4))
    }

    /// Empties the histogram into `visit(code, times)`, knowing that only these codes were added.
    pub fn drain_codes(&mut self, codes: &[u32], mut visit: impl FnMut(u32, u32)) {
        for code in codes {
            if let Some(lanes) = self.lanes.get_mut(*code as usize) {
                let times = lanes.iter().fold(0_u32, |sum, lane| sum.wrapping_add(*lane));
                if times > 0 {
                    visit(*code, times);
                    *lanes = [0; 4];
                }
            }
        }
    }

    /// Takes one off again: the marker entry of a row.
    pub fn take_one(&mut self, code: u32) {
        if let Some(lanes) = self.lanes.get_mut(code as usize)
            && let Some(slot) = lanes.iter_mut().find(|slot| **slot > 0)
        {
            *slot = slot.wrapping_sub(1);
        }
    }

    /// Empties the histogram into `visit(code, times)`, in order of the code.
    pub fn drain(&mut self, mut visit: impl FnMut(u32, u32)) {
        for (code, lanes) in (0_u32..).zip(self.lanes.iter_mut()) {
            let [a, b, c, d] = *lanes;
            if a | b | c | d != 0 {
                visit(code, a.wrapping_add(b).wrapping_add(c).wrapping_add(d));
                *lanes = [0; 4];
            }
        }
    }
}
