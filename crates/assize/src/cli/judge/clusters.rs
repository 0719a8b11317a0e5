//! Limits where items fall into clusters that err together, such as answers to one prompt.

use std::collections::HashMap;

use assize_estimate::{EstimateError, normal_quantile};

use super::figures::Limited;

/// Groups of whole clusters, at the most.
const GROUPS_MAX: usize = 64;

/// Which items belong together.
#[derive(Debug)]
pub struct Clusters {
    group_of: Vec<usize>,
    groups: usize,
    clusters: usize,
}

impl Clusters {
    /// From the clusters' names; an item without one is its own. `None` where no two items share one.
    pub fn of<'c>(names: impl IntoIterator<Item = Option<&'c str>>) -> Option<Self> {
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let mut clusters = 0;
        let mut cluster_of = Vec::new();
        for name in names {
            let next = clusters;
            let number = name.map_or(next, |name| *numbers.entry(name).or_insert(next));
            clusters += usize::from(number == next);
            cluster_of.push(number);
        }
        if clusters == cluster_of.len() {
            return None;
        }
        // Shuffled, then dealt out one by one: dealt in the order of the file, groups would be more alike than chance makes them.
        let mut shuffled: Vec<usize> = (0..clusters).collect();
        shuffled.sort_by_cached_key(|cluster| *blake3::hash(&(*cluster as u64).to_le_bytes()).as_bytes());
        let groups = clusters.clamp(1, GROUPS_MAX);
        let mut dealt = vec![0; clusters];
        for (place, cluster) in shuffled.into_iter().enumerate() {
            if let Some(group) = dealt.get_mut(cluster) {
                *group = place % groups;
            }
        }
        let group_of = cluster_of.into_iter().map(|cluster| dealt.get(cluster).copied().unwrap_or_default());
        Some(Self { group_of: group_of.collect(), groups, clusters })
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.clusters as u64
    }

    /// The figures that `figures` makes of the items that it is told to keep, with limits as wide as the clusters ask for.
    ///
    /// By the jackknife that leaves out a group of whole clusters at a time (Kott 2001, *The delete-a-group jackknife*, Journal of
    /// Official Statistics 17, 521-526): `var = (G-1)/G sum (t_g - mean)^2`. Limits are moved away from the value by the ratio of that
    /// standard error to the one of items on their own, times Student's quantile for `G - 1` degrees over the normal one; never towards
    /// it. Where no variance was seen, a cluster counts as one item. `floors` are the least values that the figures can have.
    pub fn widened<const N: usize>(
        &self,
        floors: [f64; N],
        level: f64,
        figures: impl Fn(&dyn Fn(usize) -> bool) -> Result<[Option<Limited>; N], EstimateError>,
    ) -> Result<[Option<Limited>; N], EstimateError> {
        let mut whole = figures(&|_| true)?;
        let mut without: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
        for left_out in 0..self.groups {
            let found = figures(&|item| self.group_of.get(item) != Some(&left_out))?;
            for (values, figure) in without.iter_mut().zip(found) {
                values.extend(figure.map(|figure| figure.value));
            }
        }
        for ((figure, values), floor) in whole.iter_mut().zip(&without).zip(floors) {
            if let Some(figure) = figure {
                let factor = self.factor(figure, values, level);
                figure.low = (figure.value - factor * (figure.value - figure.low)).max(floor);
                figure.high = (figure.value + factor * (figure.high - figure.value)).min(1.0);
            }
        }
        Ok(whole)
    }

    fn factor(&self, figure: &Limited, without: &[f64], level: f64) -> f64 {
        let n = without.len() as f64;
        let mean = without.iter().sum::<f64>() / n;
        let variance = without.iter().map(|value| (value - mean).powi(2)).sum::<f64>() * (n - 1.0) / n;
        let ratio = variance.sqrt() / figure.std_error;
        let as_one = (self.group_of.len() as f64 / self.clusters as f64).sqrt();
        let ratio = if figure.std_error > 0.0 && ratio.is_finite() && without.len() > 1 { ratio } else { as_one };
        ratio.max(1.0) * student_over_normal(level, (n - 1.0).max(1.0))
    }
}

/// Student's two-sided quantile over the normal one (Fisher's expansion; Abramowitz, Stegun 26.7.5).
fn student_over_normal(level: f64, degrees: f64) -> f64 {
    let z2 = normal_quantile(f64::midpoint(1.0, level)).powi(2);
    let terms = [
        (z2 + 1.0) / 4.0,
        (5.0 * z2 * z2 + 16.0 * z2 + 3.0) / 96.0,
        (3.0 * z2.powi(3) + 19.0 * z2 * z2 + 17.0 * z2 - 15.0) / 384.0,
    ];
    terms.iter().rev().fold(0.0, |sum, term| (sum + term) / degrees) + 1.0
}

#[cfg(test)]
mod tests {
    use super::super::figures::{Point, clustered, figures};
    use super::*;

    /// So many items, each repeated.
    fn repeated(items: usize, times: usize, wrong: impl Fn(usize) -> bool) -> (Vec<Point>, Vec<String>) {
        let of = |n: usize| {
            let gold = f64::from(u8::from(n.is_multiple_of(2)));
            let score = if wrong(n) { 1.0 - gold } else { gold };
            std::iter::repeat_n((Point { gold, score, probability: None }, format!("c{n}")), times)
        };
        (0..items).flat_map(of).unzip()
    }

    fn width(limited: Limited) -> f64 {
        limited.high - limited.low
    }

    #[test]
    fn repeated_items_are_worth_no_more_than_once() {
        let once = figures(&repeated(400, 1, |n| n % 7 == 0).0, 0.5, 0.95).unwrap().unwrap();
        let (points, names) = repeated(400, 5, |n| n % 7 == 0);
        let alone = figures(&points, 0.5, 0.95).unwrap().unwrap();
        let found = clustered(&points, names.iter().map(|name| Some(name.as_str())), 0.5, 0.95).unwrap().unwrap();
        for (once, alone, found) in [
            (Some(once.agreement), Some(alone.agreement), Some(found.agreement)),
            (once.kappa, alone.kappa, found.kappa),
            (once.precision, alone.precision, found.precision),
            (once.f1, alone.f1, found.f1),
            (once.calibration.auc, alone.calibration.auc, found.calibration.auc),
        ] {
            let (once, alone, found) = (once.unwrap(), alone.unwrap(), found.unwrap());
            assert!((once.value - found.value).abs() < 1e-9);
            let ratio = width(found) / width(once);
            assert!((0.8..1.35).contains(&ratio) && width(alone) < 0.5 * width(once), "{once:?} {alone:?} {found:?}");
        }
    }

    #[test]
    fn without_any_error_a_cluster_counts_as_one_item() {
        let once = figures(&repeated(100, 1, |_| false).0, 0.5, 0.95).unwrap().unwrap();
        let (points, names) = repeated(100, 4, |_| false);
        let found = clustered(&points, names.iter().map(|name| Some(name.as_str())), 0.5, 0.95).unwrap().unwrap();
        assert_eq!((found.agreement.value, found.agreement.high), (1.0, 1.0));
        // Wilson's limit falls a little less than with the root of the number.
        assert!(found.agreement.low > 0.9 && found.agreement.low < once.agreement.low + 0.02, "{found:?}");
    }

    /// Clusters of five, half of which err as one: of 95 % intervals as many have to hold the true 0.8.
    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        let uniform = |replicate: u64, cluster: u64, item: u64| {
            let hash = blake3::hash(&[replicate, cluster, item].map(u64::to_le_bytes).concat());
            f64::from(u32::from_le_bytes(*hash.as_bytes().first_chunk().unwrap())) / 2.0_f64.powi(32)
        };
        let (mut aware, mut unaware) = (0, 0);
        for replicate in 0..200 {
            let (mut points, mut names) = (Vec::new(), Vec::new());
            for cluster in 0..60 {
                let rate = if uniform(replicate, cluster, 9) < 0.5 {
                    f64::from(u8::from(uniform(replicate, cluster, 8) < 0.2))
                } else {
                    0.2
                };
                for item in 0..5 {
                    let score = if uniform(replicate, cluster, item) < rate { 0.0 } else { 1.0 };
                    points.push(Point { gold: 1.0, score, probability: None });
                    names.push(cluster.to_string());
                }
            }
            let holds = |limited: Limited| u32::from(limited.low <= 0.8 && 0.8 <= limited.high);
            unaware += holds(figures(&points, 0.5, 0.95).unwrap().unwrap().agreement);
            let found = clustered(&points, names.iter().map(|name| Some(name.as_str())), 0.5, 0.95).unwrap().unwrap();
            aware += holds(found.agreement);
        }
        assert!((184..=199).contains(&aware) && unaware < 172, "{aware} and {unaware} of 200");
    }

    #[test]
    fn items_on_their_own_stay_as_they_are() {
        let (points, _) = repeated(50, 1, |n| n % 5 == 0);
        let alone = figures(&points, 0.5, 0.95).unwrap();
        assert_eq!(clustered(&points, points.iter().map(|_| None), 0.5, 0.95).unwrap(), alone);
        assert!(Clusters::of([Some("a"), Some("b"), None]).is_none());
        let clusters = Clusters::of([Some("a"), None, Some("a"), Some("b"), None]).unwrap();
        assert_eq!((clusters.count(), clusters.groups), (4, 4));
        let mut groups = clusters.group_of.clone();
        assert_eq!(groups[0], groups[2], "never parted");
        groups.sort_unstable();
        groups.dedup();
        assert_eq!(groups, [0, 1, 2, 3]);
        // t of 63 degrees is 1.9983, of 9 degrees 2.2622.
        assert!((student_over_normal(0.95, 63.0) * 1.959_964 - 1.9983).abs() < 1e-3);
        assert!((student_over_normal(0.95, 9.0) * 1.959_964 - 2.2622).abs() < 1e-3);
    }
}
