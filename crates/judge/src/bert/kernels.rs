//! The arithmetic between the matrix products, row by row and in place. Written as plain loops over fixed lanes that the compiler
//! vectorises; [`pulp`] picks the machine's widest instructions at run time.

use std::sync::OnceLock;

use pulp::Arch;

use super::config::Activation;

/// Independent partial sums: one register of eight, twice, hides the latency of an addition.
const LANES: usize = 16;

/// Runs `work` with the widest instructions that this machine has.
pub(crate) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    ARCH.get_or_init(Arch::new).dispatch(work)
}

/// e^x within 2 ulp for x in [-87, 88]; values beyond are taken as the bound. Cody-Waite reduction and the polynomial of Cephes'
/// `expf` (S. Moshier, netlib.org/cephes).
#[inline(always)]
fn exp(x: f32) -> f32 {
    // 1.5 * 2^23: adding it rounds to the nearest integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5e-1;
    let mantissa = p * r * r + r + 1.0;
    let scale = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    mantissa * scale
}

/// erf(x) within 5 ulp: the rational approximation that XLA and Eigen use for single precision.
#[inline(always)]
fn erf(x: f32) -> f32 {
    const BOUND: f32 = 3.832_507;
    let x = x.clamp(-BOUND, BOUND);
    let s = x * x;
    let p = 2.290_506_5e-4;
    let p = p * s + 3.408_291e-3;
    let p = p * s + 5.095_569_4e-2;
    let p = p * s + 1.852_083_2e-1;
    let p = p * s + std::f32::consts::FRAC_2_SQRT_PI;
    let q = -1.179_160_3e-7;
    let q = q * s + 2.354_796_7e-5;
    let q = q * s + 1.017_962_6e-3;
    let q = q * s + 1.407_047e-2;
    let q = q * s + 1.109_850_5e-1;
    let q = q * s + 4.974_692_5e-1;
    let q = q * s + 1.0;
    (x * p / q).clamp(-1.0, 1.0)
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    // 0.5 (1 + tanh(u)) = 1 / (1 + e^(-2u))
    let u = 0.797_884_6 * (x + 0.044_715 * x * x * x);
    x / (1.0 + exp(-2.0 * u))
}

#[inline(always)]
fn total(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let chunks = row.chunks_exact(LANES);
    let mut rest = 0.0;
    for &x in chunks.remainder() {
        rest += f(x);
    }
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f(x);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// Adds `bias` to each row.
pub(crate) fn add_bias(rows: &mut [f32], bias: &[f32]) {
    vectorised(
        #[inline(always)]
        || {
            for row in rows.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
            }
        },
    );
}

/// `activation(row + bias)` for each row.
pub(crate) fn add_bias_activate(rows: &mut [f32], bias: &[f32], activation: Activation) {
    #[inline(always)]
    fn each(rows: &mut [f32], bias: &[f32], f: impl Fn(f32) -> f32) {
        for row in rows.chunks_exact_mut(bias.len()) {
            row.iter_mut().zip(bias).for_each(|(x, b)| *x = f(*x + b));
        }
    }
    vectorised(
        #[inline(always)]
        || match activation {
            Activation::Gelu => each(rows, bias, gelu),
            Activation::GeluTanh => each(rows, bias, gelu_tanh),
            Activation::Relu => each(rows, bias, |x| x.max(0.0)),
        },
    );
}

/// A layer's normalisation: `(x - mean) / sqrt(variance + epsilon) * gain + shift` for each row (Ba, Kiros, Hinton 2016).
pub(crate) struct Norm {
    pub gain: Vec<f32>,
    pub shift: Vec<f32>,
    pub epsilon: f32,
}

impl Norm {
    #[inline(always)]
    fn row(&self, row: &mut [f32]) {
        let n = row.len() as f32;
        let mean = total(row, |x| x) / n;
        let variance = total(row, |x| (x - mean) * (x - mean)) / n;
        let scale = 1.0 / (variance + self.epsilon).sqrt();
        for ((x, gain), shift) in row.iter_mut().zip(&self.gain).zip(&self.shift) {
            *x = (*x - mean) * scale * gain + shift;
        }
    }

    /// Normalises each row.
    pub fn apply(&self, rows: &mut [f32]) {
        vectorised(
            #[inline(always)]
            || rows.chunks_exact_mut(self.gain.len()).for_each(|row| self.row(row)),
        );
    }

    /// Normalises `row + bias + residual` for each row.
    pub fn apply_after_adding(&self, rows: &mut [f32], bias: &[f32], residual: &[f32]) {
        vectorised(
            #[inline(always)]
            || {
                let width = self.gain.len();
                for (row, residual) in rows.chunks_exact_mut(width).zip(residual.chunks_exact(width)) {
                    for ((x, b), r) in row.iter_mut().zip(bias).zip(residual) {
                        *x += b + r;
                    }
                    self.row(row);
                }
            },
        );
    }
}

/// Softmax of each row of `width`.
pub(crate) fn softmax(rows: &mut [f32], width: usize) {
    vectorised(
        #[inline(always)]
        || {
            for row in rows.chunks_exact_mut(width.max(1)) {
                let mut lanes = [f32::NEG_INFINITY; LANES];
                let chunks = row.chunks_exact(LANES);
                let mut highest = chunks.remainder().iter().fold(f32::NEG_INFINITY, |high, &x| high.max(x));
                for chunk in chunks {
                    for (lane, &x) in lanes.iter_mut().zip(chunk) {
                        *lane = if x > *lane { x } else { *lane };
                    }
                }
                highest = lanes.iter().fold(highest, |high, &x| high.max(x));
                row.iter_mut().for_each(|x| *x = exp(*x - highest));
                let scale = 1.0 / total(row, |x| x);
                row.iter_mut().for_each(|x| *x *= scale);
            }
        },
    );
}

/// `weight * x + bias`, with one row of `weight` per element of `bias`.
pub(crate) fn affine(weight: &[f32], bias: &[f32], x: &[f32]) -> Vec<f32> {
    #[inline(always)]
    fn dot(a: &[f32], b: &[f32]) -> f32 {
        let mut lanes = [0f32; LANES];
        let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
        for (a, b) in a.zip(b) {
            for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                *lane += a * b;
            }
        }
        lanes.iter().sum::<f32>() + rest
    }
    vectorised(
        #[inline(always)]
        || weight.chunks_exact(x.len().max(1)).zip(bias).map(|(row, b)| dot(row, x) + b).collect(),
    )
}

/// The mean of the rows of `width`.
pub(crate) fn mean(rows: &[f32], width: usize) -> Vec<f32> {
    let mut sum = vec![0f32; width];
    let mut n = 0f32;
    for row in rows.chunks_exact(width.max(1)) {
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        n += 1.0;
    }
    sum.iter_mut().for_each(|x| *x /= n.max(1.0));
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// erf by its Maclaurin series in double precision: exact enough for |x| <= 4.
    fn erf_series(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    #[test]
    fn functions_are_what_they_say_over_their_range() {
        for step in -8_000..=8_000 {
            let x = step as f32 / 1_000.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 3e-7, "exp({x})");
            if x.abs() <= 4.0 {
                assert!((f64::from(erf(x)) - erf_series(f64::from(x))).abs() < 4e-7, "erf({x})");
            }
            let tanh = (0.797_884_560_8 * (f64::from(x) + 0.044_715 * f64::from(x).powi(3))).tanh();
            assert!((f64::from(gelu_tanh(x)) - 0.5 * f64::from(x) * (1.0 + tanh)).abs() < 2e-6, "gelu_tanh({x})");
        }
        assert!(exp(-1e30) > 0.0 && exp(-1e30) < 1e-37 && exp(f32::MAX).is_finite());
        assert_eq!((erf(100.0), erf(-100.0)), (1.0, -1.0));
        assert_eq!(gelu(-50.0).abs(), 0.0);
        assert!(gelu_tanh(-100.0).abs() < 1e-30);
    }

    #[test]
    fn rows_of_every_width_are_whole() {
        for width in [1, 2, 7, 15, 16, 17, 31, 32, 33, 100] {
            let mut rows: Vec<f32> = (0..3 * width).map(|i| (i as f32 * 0.7).sin() * 5.0).collect();
            let before = rows.clone();
            softmax(&mut rows, width);
            for (row, before) in rows.chunks(width).zip(before.chunks(width)) {
                let highest = before.iter().copied().fold(f32::MIN, f32::max);
                let sum: f32 = before.iter().map(|x| (x - highest).exp()).sum();
                for (x, b) in row.iter().zip(before) {
                    assert!((x - (b - highest).exp() / sum).abs() < 1e-6, "{width}");
                }
            }
            let norm = Norm { gain: vec![2.0; width], shift: vec![0.5; width], epsilon: 1e-5 };
            let (bias, residual) = (vec![0.25; width], before.clone());
            let mut rows = before.clone();
            norm.apply_after_adding(&mut rows, &bias, &residual);
            for (row, before) in rows.chunks(width).zip(before.chunks(width)) {
                let sums: Vec<f32> = before.iter().map(|x| 2.0 * x + 0.25).collect();
                let mean = sums.iter().sum::<f32>() / width as f32;
                let variance = sums.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / width as f32;
                for (x, s) in row.iter().zip(&sums) {
                    assert!((x - (2.0 * (s - mean) / (variance + 1e-5).sqrt() + 0.5)).abs() < 1e-4, "{width}");
                }
            }
            let affine = affine(&before, &[1.0, 2.0, 3.0], &before[..width]);
            for (at, (row, value)) in before.chunks(width).zip(&affine).enumerate() {
                let expected: f32 = row.iter().zip(&before[..width]).map(|(a, b)| a * b).sum::<f32>() + at as f32 + 1.0;
                assert!((value - expected).abs() < 1e-3 * expected.abs().max(1.0), "{width}");
            }
        }
    }
}
