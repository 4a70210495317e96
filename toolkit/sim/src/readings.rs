//! What a grid's books say, in the form in which tables and tests want it.

use vortex_toolkit::ids::{ActivityId, CoreId, ResourceId};
use vortex_toolkit::record::Metric;
use vortex_toolkit::statistics::{BUCKETS, Usage};
use vortex_toolkit::{Grid, System};

/// Where a core's ledger and accounts do not add up to the last cycle; empty if they all do.
#[must_use]
pub fn ledger_faults<Y: System>(grid: &Grid<Y>) -> Vec<String> {
    let accounts = grid.accounts();
    let mut faults = Vec::new();
    for number in 0..grid.cores() {
        let core = CoreId(u16::try_from(number).unwrap_or(u16::MAX));
        let Some(ledger) = grid.ledger(core) else {
            continue;
        };
        let own = accounts.iter().filter(|account| account.core == core);
        let cycles: u64 = own.map(|account| account.usage.cycles).sum();
        let booked = cycles + ledger.scheduling + ledger.interrupt + ledger.idle;
        let elapsed = ledger.through - ledger.since;
        if booked != elapsed {
            faults.push(format!(
                "core {number}: booked {booked} of {elapsed} cycles: {ledger:?}"
            ));
        }
    }
    faults
}

/// The sum of all accounts that `wanted` says.
#[must_use]
pub fn sum<Y: System>(
    grid: &Grid<Y>,
    wanted: impl Fn(CoreId, ResourceId, ActivityId) -> bool,
) -> Usage {
    let mut sum = Usage::default();
    for account in grid.accounts() {
        if wanted(account.core, account.resource, account.activity) {
            sum += &account.usage;
        }
    }
    sum
}

/// What an account says of a metric.
#[must_use]
pub const fn amount(usage: &Usage, metric: Metric) -> u64 {
    match metric {
        Metric::Cpu => usage.cycles,
        Metric::Bytes => usage.bytes,
        Metric::Requests => usage.requests,
        Metric::Memory => usage.memory,
    }
}

/// The value below which `per_mille` thousandths of what a histogram counts lie, as if the values
/// in a bucket lay at equal distances. `None` for an empty one.
#[must_use]
pub fn percentile(histogram: &[u64; BUCKETS], per_mille: u64) -> Option<u64> {
    let total: u64 = histogram.iter().sum();
    if total == 0 {
        return None;
    }
    let mut rank = u128::from(total) * u128::from(per_mille.min(1000)) / 1000;
    for (bucket, count) in histogram.iter().enumerate() {
        let count = u128::from(*count);
        if rank < count || (rank == count && bucket == BUCKETS - 1) {
            let floor = if bucket == 0 { 0 } else { 1_u128 << bucket };
            let width = if bucket == 0 { 2 } else { floor };
            return u64::try_from(floor + width * rank / count.max(1)).ok();
        }
        rank -= count;
    }
    histogram
        .iter()
        .rposition(|count| *count > 0)
        .map(|bucket| 1 << (bucket + 1))
}
