//! Percentiles of measured times.

use std::time::Duration;

/// The value below which `per_mille` thousandths of the sorted `values` are; zero without any.
#[must_use]
pub fn percentile(sorted: &[Duration], per_mille: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let index = (sorted.len() * per_mille / 1000).min(last);
    sorted.get(index).copied().unwrap_or_default()
}

/// In microseconds.
#[must_use]
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_values() {
        let values: Vec<_> = (1..=1000).map(Duration::from_micros).collect();
        assert_eq!(percentile(&values, 500), Duration::from_micros(501));
        assert_eq!(percentile(&values, 990), Duration::from_micros(991));
        assert_eq!(percentile(&values, 1000), Duration::from_micros(1000));
        assert_eq!(percentile(&[], 500), Duration::ZERO);
    }
}
