//! Snapshots, summed up.

use std::collections::BTreeMap;

use vortex::abi::snapshot::{Account, Activity, Reader};

/// Cycles of each activity on each core.
#[must_use]
pub fn cycles_by_activity(reader: &Reader<'_>) -> BTreeMap<(u64, u64), u64> {
    let mut cycles = BTreeMap::new();
    for account in reader.records::<Account>() {
        *cycles.entry((account.activity, account.core)).or_default() += account.cycles;
    }
    cycles
}

/// The names of activities, by number.
#[must_use]
pub fn activity_names(reader: &Reader<'_>) -> BTreeMap<u64, String> {
    let activities = reader.records::<Activity>();
    activities
        .map(|activity| (activity.activity, activity.name.as_str().to_owned()))
        .collect()
}
