//! The variance of an estimate of the process, with conversations that are alike within.

use super::telescoped::dot;
use crate::bucket::{GROUPS, group_stride, group_tier};
use crate::nonresponse::Adjusted;

/// A stratum's part in an estimate.
pub(crate) struct Share<'a> {
    pub sums: &'a Adjusted,
    /// The estimate of the stratum.
    pub value: f64,
    /// As [`Telescoped::slopes`](super::Telescoped::slopes); nothing where free and cheap scores play no part.
    pub slopes: &'a [Vec<f64>],
    /// Whether weighted sums are taken relative to `N_h`, not `W_h`: Horvitz-Thompson.
    pub is_total: bool,
}

/// The variance between groups.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Clustered {
    pub variance: f64,
    /// `G - 1`, `G` being the number of groups that hold anything.
    pub degrees: f64,
    /// The same where few conversations make up the variance: `2 (sum D^2)^2/(sum D^4 - (sum D^2)^2/G)`, at most `G - 1`. This is how well
    /// `sum D^2` is known with the kurtosis that the groups have (Satterthwaite 1946, Biometrics Bulletin 2, 110-114); about `G` for normal ones.
    pub few: f64,
}

/// `var = G/(G-1) sum_groups D^2 / N^2`; `None` with fewer than two groups that hold anything.
///
/// `D_i = a_0i - mean a_0 + sum_k (N_h/W_k) w_ki (e_ki - mean e_k) + est_h - est`, `e_k = a_k - a_{k-1}`, is what interaction `i` adds to
/// the error (for one tier `lam (g_i - g_bar) + (N/W) w_i (e_i - e_w) + est_h - est`), and is summed over the interactions of a
/// group: conversations are whole within groups, and groups are independent. With all 64 groups, a factor 64/63 and Student's
/// distribution with 63 degrees. Sarndal, Swensson, Wretman, section 4.6 (random groups of clusters).
pub(crate) fn clustered(shares: &[Share<'_>]) -> Option<Clustered> {
    let n: f64 = shares.iter().map(|share| share.sums.population as f64).sum();
    let value: f64 = shares.iter().map(|share| share.sums.population as f64 / n * share.value).sum();
    let mut deviations = [0.0; GROUPS];
    let mut is_used = [false; GROUPS];
    for share in shares {
        let sums = share.sums;
        let (tiers, size) = (sums.tiers(), sums.population as f64);
        let stride = group_stride(tiers);
        if !sums.is_grouped() || sums.groups.len() != GROUPS * stride {
            return None;
        }
        let slope = share.slopes.first().and_then(|slopes| slopes.first()).copied().unwrap_or(0.0);
        let free_mean = sums.g / size;
        let w: Vec<f64> = (0..tiers + 2).map(|i| sums.w.entry(tiers + 2, 0, 0, i)).collect();
        let difference = |tier: usize, linear: &[f64]| {
            let after =
                if tier == tiers { linear.get(tier + 1).copied().unwrap_or(0.0) } else { dot(share.slopes.get(tier), linear) };
            after - dot(share.slopes.get(tier - 1), linear)
        };
        // Of each tier the factor N_h/W_k and the mean of its differences.
        let scales: Vec<(f64, f64)> = (1..=tiers)
            .map(|tier| {
                let linear = sums.between.get(tier - 1).map_or(w.as_slice(), |(_, linear)| linear);
                let total = linear.first().copied().unwrap_or(0.0);
                if total > 0.0 { (size / total, difference(tier, linear) / total) } else { (0.0, 0.0) }
            })
            .collect();
        for ((deviation, used), group) in deviations.iter_mut().zip(&mut is_used).zip(sums.groups.chunks(stride)) {
            let [members, free, ..] = group else { continue };
            *used |= *members > 0.0;
            *deviation += slope * (free - free_mean * members) + (share.value - value) * members;
            for (tier, (scale, mean)) in (1..).zip(&scales) {
                let Some(linear) = group.get(group_tier(tier)..group_tier(tier + 1)) else { continue };
                let total = linear.first().copied().unwrap_or(0.0);
                *deviation += match share.is_total {
                    // w H - est, summed.
                    true if tier == tiers => difference(tier, linear) - share.value * members,
                    true => 0.0,
                    false => scale * (difference(tier, linear) - mean * total),
                };
            }
        }
    }
    let used = is_used.iter().filter(|used| **used).count();
    let squares: f64 = deviations.iter().map(|deviation| deviation * deviation).sum();
    let fourth: f64 = deviations.iter().map(|deviation| deviation.powi(4)).sum();
    let groups = used as f64;
    let degrees = groups - 1.0;
    let apart = fourth - squares * squares / groups;
    let few = if apart > 0.0 { (2.0 * squares * squares / apart).clamp(1.0, degrees.max(1.0)) } else { degrees };
    (used >= 2).then(|| Clustered { variance: groups / degrees * squares / (n * n), degrees, few })
}
