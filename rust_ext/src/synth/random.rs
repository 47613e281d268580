//! Random numbers that are the same bits on every machine: integer arithmetic, IEEE `+ - * /`
//! and square roots, and `libm` for logarithms and exponentials. Nothing of the platform.
//!
//! * `splitmix64`: Steele, Lea, Flood, OOPSLA 2014; the public-domain code of S. Vigna.
//! * `xoshiro256++` 1.0: Blackman and Vigna, ACM TOMS 47(4), 2021; public domain.
//! * exponential variates: the ziggurat of Marsaglia and Tsang, J. Stat. Softw. 5(8), 2000.
//! * normal variates: the polar method of Marsaglia and Bray, SIAM Review 6(3), 1964.

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const LAYERS: usize = 256;
/// Where the ziggurat's tail begins and the area of each of its 256 layers (same paper, table).
const TAIL: f64 = 7.697_117_470_131_05;
const AREA: f64 = 0.003_949_659_822_581_572;

/// The finalizer of splitmix64: a bijection of the 64-bit words that mixes well.
#[must_use]
pub const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// A key of a name: FNV-1a, 64 bits, so that a line's profile hangs on its name, not on its place.
#[must_use]
pub fn text_key(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// One stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream of one thing (a cell, a line, a drug): any other key gives an unrelated stream.
    #[must_use]
    pub const fn of(seed: u64, purpose: u64, key: u64) -> Self {
        let mut word = mix(mix(mix(seed.wrapping_add(GOLDEN)) ^ purpose).wrapping_add(GOLDEN) ^ key);
        let mut state = [0_u64; 4];
        let [a, b, c, d] = &mut state;
        word = word.wrapping_add(GOLDEN);
        *a = mix(word);
        word = word.wrapping_add(GOLDEN);
        *b = mix(word);
        word = word.wrapping_add(GOLDEN);
        *c = mix(word);
        word = word.wrapping_add(GOLDEN);
        // An all-zero state is the one fixed point of xoshiro; the low bit keeps clear of it.
        *d = mix(word) | 1;
        Self { state }
    }

    /// The next 64 bits (xoshiro256++).
    pub const fn bits(&mut self) -> u64 {
        let [s0, s1, s2, s3] = self.state;
        let result = s0.wrapping_add(s3).rotate_left(23).wrapping_add(s0);
        let t = s1 << 17;
        let s2 = s2 ^ s0;
        let s3 = s3 ^ s1;
        self.state = [s0 ^ s3, s1 ^ s2, s2 ^ t, s3.rotate_left(45)];
        result
    }

    /// A number of [0, 1) with 53 bits.
    pub const fn uniform(&mut self) -> f64 {
        to_unit(self.bits())
    }

    /// A standard normal variate.
    pub fn normal(&mut self) -> f64 {
        loop {
            let x = 2.0 * self.uniform() - 1.0;
            let y = 2.0 * self.uniform() - 1.0;
            let square = x * x + y * y;
            if square < 1.0 && square > 0.0 {
                return x * (-2.0 * libm::log(square) / square).sqrt();
            }
        }
    }

    /// A standard normal variate held within ±3, so that no gene runs away.
    pub fn bounded_normal(&mut self) -> f64 {
        self.normal().clamp(-3.0, 3.0)
    }
}

const fn to_unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

/// The tables of the ziggurat for exponential variates, and what is drawn with them.
#[derive(Clone, Debug)]
pub struct Exponential {
    /// Right edge of each layer and the density there: (x, exp(−x)); the last is (0, 1).
    edges: [(f64, f64); LAYERS + 1],
}

impl Default for Exponential {
    fn default() -> Self {
        let mut edges = [(0.0, 1.0); LAYERS + 1];
        let mut edge = TAIL;
        for (layer, slot) in edges.iter_mut().enumerate().take(LAYERS) {
            if layer == 0 {
                // The base layer holds the tail, too: its edge is that of a box of the same area.
                *slot = (AREA * libm::exp(TAIL), 0.0);
                continue;
            }
            *slot = (edge, libm::exp(-edge));
            edge = -libm::log(AREA / edge + libm::exp(-edge));
        }
        Self { edges }
    }
}

impl Exponential {
    /// An exponential variate of mean 1.
    #[inline]
    pub fn draw(&self, random: &mut Random) -> f64 {
        loop {
            let bits = random.bits();
            let layer = usize::from((bits & 0xff) as u8);
            let (Some(&(edge, low)), Some(&(inner, high))) =
                (self.edges.get(layer), self.edges.get(layer + 1))
            else {
                continue; // cannot be: a byte plus one is at most LAYERS
            };
            let x = to_unit(bits) * edge;
            if x < inner {
                return x;
            }
            if layer == 0 {
                return TAIL - libm::log(1.0 - random.uniform());
            }
            if high + (low - high) * random.uniform() < libm::exp(-x) {
                return x;
            }
        }
    }

    /// A Poisson variate: arrivals of unit rate before `mean`; above 1,000 the rounded normal.
    pub fn poisson(&self, random: &mut Random, mean: f64) -> u32 {
        if mean > 1_000.0 {
            return whole(mean + mean.sqrt() * random.normal());
        }
        let mut count = 0;
        let mut time = self.draw(random);
        while time < mean {
            count += 1;
            time += self.draw(random);
        }
        count
    }
}

/// The nearest whole number, within 0 and 2³² − 1.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped on the line before; a float cast saturates"
)]
pub fn whole(value: f64) -> u32 {
    (value + 0.5).clamp(0.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mut draw: impl FnMut() -> f64) -> (f64, f64, f64) {
        let n = 400_000;
        let values: Vec<f64> = (0..n).map(|_| draw()).collect();
        let mean = values.iter().sum::<f64>() / f64::from(n);
        let power = |p: i32| values.iter().map(|v| (v - mean).powi(p)).sum::<f64>() / f64::from(n);
        (mean, power(2), power(3))
    }

    #[test]
    fn xoshiro_gives_the_published_first_words() {
        // State 1, 2, 3, 4: the first outputs of the reference C code.
        let mut random = Random { state: [1, 2, 3, 4] };
        let words: Vec<u64> = (0..4).map(|_| random.bits()).collect();
        assert_eq!(words, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn exponential_variates_have_mean_variance_and_third_moment_of_the_law() {
        let (table, mut random) = (Exponential::default(), Random::of(1, 2, 3));
        let (mean, variance, third) = moments(|| table.draw(&mut random));
        assert!((mean - 1.0).abs() < 0.01 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
        assert!((third - 2.0).abs() < 0.2, "{third}");
    }

    #[test]
    fn exponential_variates_pass_a_chi_square_test() {
        let (table, mut random) = (Exponential::default(), Random::of(7, 0, 0));
        let mut bins = [0_u32; 32];
        let n = 320_000;
        for _ in 0..n {
            // exp(−x) of an exponential variate is uniform.
            let uniform = libm::exp(-table.draw(&mut random));
            let bin = whole((uniform * 32.0 - 0.5).min(31.0)) as usize;
            *bins.get_mut(bin).unwrap() += 1;
        }
        let chi: f64 = bins.iter().map(|&b| (f64::from(b) - 1e4).powi(2) / 1e4).sum();
        assert!(chi < 61.1, "31 degrees of freedom, 0.1 % point 61.1, found {chi}");
    }

    #[test]
    fn normal_and_poisson_variates_have_the_moments_of_the_law() {
        let (table, mut random) = (Exponential::default(), Random::of(5, 6, 7));
        let (mean, variance, third) = moments(|| random.normal());
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02 && third.abs() < 0.05);
        for rate in [0.3, 4.0, 2_500.0] {
            let (mean, variance, _) = moments(|| f64::from(table.poisson(&mut random, rate)));
            assert!((mean / rate - 1.0).abs() < 0.01 && (variance / rate - 1.0).abs() < 0.02);
        }
    }
}
