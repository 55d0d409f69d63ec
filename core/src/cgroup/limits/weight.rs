//! Conversions between the weights of v2 and those of v1 and of I/O schedulers.
//!
//! Host side, pure arithmetic. A weight of libctr is a v2 weight: 1 to 10000,
//! 100 when nothing is said.

/// Largest value of v1 `cpu.shares` (2^18); the smallest is 2, 1024 is usual.
const MOST_SHARES: u32 = 1 << 18;

/// The v2 weight of some v1 shares, before rounding up: the quadratic function
/// through (2, 1), (1024, 100) and (2^18, 10000) that runc 1.3.2, crun 1.23 and
/// Kubernetes use (opencontainers/cgroups `ConvertCPUSharesToCgroupV2Value`,
/// crun `convert_shares_to_weight`).
fn weight_of(shares: u32) -> f64 {
    let l = f64::from(shares).log2();
    10_f64.powf((l * l + 125.0 * l) / 612.0 - 7.0 / 34.0)
}

/// The weight that stands for some `cpu.shares`, 2 to 262144, as container
/// engines convert them: 1024 are the usual 100.
#[must_use]
pub fn weight_of_shares(shares: u32) -> u32 {
    let weight = weight_of(shares.clamp(2, MOST_SHARES)) - 1e-6;
    (1..=10_000).find(|&whole| f64::from(whole) >= weight).unwrap_or(10_000)
}

/// The v1 `cpu.shares` for a v2 weight: the most shares that the engines'
/// function maps to it, so 1 → 2, 100 → 1024, 10000 → 262144.
pub(in crate::cgroup) fn shares(weight: u32) -> u32 {
    // The function grows with the shares, so halve the range; the small extra
    // keeps the three exact points exact in floating point.
    let (mut low, mut high) = (2, MOST_SHARES);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if weight_of(middle) <= f64::from(weight) + 1e-6 {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

/// The weight for the BFQ scheduler (1 to 1000, usually 100), as systemd's
/// `BFQ_WEIGHT` has it: the same up to 100, then a straight line.
pub(in crate::cgroup) fn bfq(weight: u32) -> u32 {
    if weight <= 100 { weight } else { 100 + (weight - 100) * 900 / 9900 }
}

/// The weight for the CFQ scheduler, which Linux had until 4.20 (10 to 1000,
/// usually 500), as systemd's `cgroup_weight_io_to_blkio` has it.
pub(in crate::cgroup) fn cfq(weight: u32) -> u32 {
    weight.saturating_mul(5).clamp(10, 1000)
}

#[cfg(test)]
mod tests {
    use super::{bfq, cfq, shares, weight_of_shares};

    #[test]
    fn shares_meet_the_three_fixed_points() {
        assert_eq!((shares(1), shares(100), shares(10000)), (2, 1024, 262144));
    }

    #[test]
    fn every_weight_comes_back_from_its_shares() {
        for weight in 1..=10000 {
            assert_eq!(weight_of_shares(shares(weight)), weight, "{}", shares(weight));
        }
        assert_eq!([0, u32::MAX].map(weight_of_shares), [1, 10_000]);
    }

    #[test]
    fn io_weights_keep_the_usual_value_and_the_range() {
        assert_eq!([1, 100, 1090, 10000].map(bfq), [1, 100, 190, 1000]);
        assert_eq!([1, 100, 10000].map(cfq), [10, 500, 1000]);
    }
}
