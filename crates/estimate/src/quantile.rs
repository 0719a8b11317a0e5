//! The quantile function of the normal distribution.

/// The `z` with `P(Z <= z) = probability` for a standard normal `Z`. Infinite at 0 and 1, NaN outside [0, 1].
///
/// Wichura 1988, *Algorithm AS 241: The Percentage Points of the Normal Distribution*, Applied Statistics 37(3), 477-484, routine
/// PPND16: relative accuracy about 1e-16.
pub fn normal_quantile(probability: f64) -> f64 {
    if !(0.0..=1.0).contains(&probability) {
        return f64::NAN;
    }
    let from_middle = probability - 0.5;
    if from_middle.abs() <= 0.425 {
        let r = 0.180625 - from_middle * from_middle;
        return from_middle * rational(&MIDDLE, r);
    }
    let tail = if from_middle < 0.0 { probability } else { 1.0 - probability };
    if tail == 0.0 {
        return f64::INFINITY.copysign(from_middle);
    }
    let r = (-tail.ln()).sqrt();
    let z = if r <= 5.0 { rational(&TAIL, r - 1.6) } else { rational(&FAR_TAIL, r - 5.0) };
    z.copysign(from_middle)
}

/// The `z` for which a standard normal lies within `-z..z` with probability `level`, in (0, 1).
pub(crate) fn two_sided(level: f64) -> f64 {
    // From the lower tail: 1 - level keeps its digits where (1 + level) / 2 would round to 1.
    -normal_quantile((1.0 - level) / 2.0)
}

/// Numerator and denominator of a rational function, lowest power first.
type Rational = [[f64; 8]; 2];

fn rational([numerator, denominator]: &Rational, x: f64) -> f64 {
    let polynomial = |coefficients: &[f64; 8]| coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient);
    polynomial(numerator) / polynomial(denominator)
}

const MIDDLE: Rational = [
    [
        3.387_132_872_796_366_5,
        1.331_416_678_917_843_8e2,
        1.971_590_950_306_551_3e3,
        1.373_169_376_550_946e4,
        4.592_195_393_154_987e4,
        6.726_577_092_700_87e4,
        3.343_057_558_358_813e4,
        2.509_080_928_730_122_7e3,
    ],
    [
        1.0,
        4.231_333_070_160_091e1,
        6.871_870_074_920_579e2,
        5.394_196_021_424_751e3,
        2.121_379_430_158_659_7e4,
        3.930_789_580_009_271e4,
        2.872_908_573_572_194_3e4,
        5.226_495_278_852_854e3,
    ],
];

const TAIL: Rational = [
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        2.417_807_251_774_506e-1,
        2.272_384_498_926_918_4e-2,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        6.897_673_349_851e-1,
        1.481_039_764_274_800_8e-1,
        1.519_866_656_361_645_7e-2,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
];

const FAR_TAIL: Rational = [
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        2.965_605_718_285_048_7e-1,
        2.653_218_952_657_612_4e-2,
        1.242_660_947_388_078_4e-3,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        5.998_322_065_558_88e-1,
        1.369_298_809_227_358e-1,
        1.487_536_129_085_061_5e-2,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // The first three are the checks in Wichura's paper; the rest is from tables of the normal distribution.
        let known = [
            (0.25, -0.674_489_750_196_081_7),
            (0.001, -3.090_232_306_167_813_5),
            (1e-20, -9.262_340_089_798_408),
            (0.5, 0.0),
            (0.975, 1.959_963_984_540_054),
            (0.995, 2.575_829_303_548_901),
            (0.95, 1.644_853_626_951_472_7),
            (0.9, 1.281_551_565_544_600_5),
        ];
        for (probability, z) in known {
            let got = normal_quantile(probability);
            assert!((got - z).abs() <= 1e-14 * f64::abs(z).max(1.0), "{probability}: {got}, not {z}");
        }
        assert!((two_sided(0.95) - 1.959_963_984_540_054).abs() < 1e-14);
    }

    #[test]
    fn odd_rising_and_defined_everywhere() {
        assert_eq!((normal_quantile(0.0), normal_quantile(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
        assert!(normal_quantile(-0.1).is_nan() && normal_quantile(1.1).is_nan() && normal_quantile(f64::NAN).is_nan());
        let mut before = f64::NEG_INFINITY;
        for i in 1..1024 {
            let p = f64::from(i) / 1024.0;
            let z = normal_quantile(p);
            assert!(z > before && (z + normal_quantile(1.0 - p)).abs() < 1e-14, "{p}");
            before = z;
        }
        for level in [f64::MIN_POSITIVE, 0.5, 1.0 - f64::EPSILON / 2.0] {
            assert!((0.0..9.0).contains(&two_sided(level)), "{level}");
        }
    }
}
