//! The load-sharing policies over a made-up machine.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use vortex_toolkit::ids::{AffinityLabel, CoreId};
use vortex_toolkit::record::Metric;
use vortex_toolkit::scheduler::{Lifetime, LoadSharing, LoadView, SchedulerParams, Weight};

use super::bind;

struct View {
    cores: Vec<CoreId>,
    bound: Vec<u64>,
    received: Vec<u64>,
    shares: Vec<u32>,
}

impl View {
    /// Cores with the odd numbers from 1, so that a number is no index.
    fn new(count: u16) -> Self {
        let count = usize::from(count);
        Self {
            cores: (0..).map(|n| CoreId(2 * n + 1)).take(count).collect(),
            bound: vec![0; count],
            received: vec![0; count],
            shares: vec![100; count],
        }
    }

    fn index(&self, core: CoreId) -> usize {
        let position = self.cores.iter().position(|&c| c == core);
        position.expect("the policies ask about the resource's cores only")
    }
}

impl LoadView for View {
    fn cores(&self) -> &[CoreId] {
        &self.cores
    }

    fn bound(&self, core: CoreId) -> u64 {
        self.bound[self.index(core)]
    }

    fn received(&self, core: CoreId, metric: Metric) -> u64 {
        assert_eq!(
            metric,
            Metric::Bytes,
            "it should ask by the scheduler's metric"
        );
        self.received[self.index(core)]
    }

    fn share(&self, core: CoreId) -> Weight {
        Weight::new(self.shares[self.index(core)]).expect("shares in these tests are weights")
    }
}

fn bound_core(load_sharing: LoadSharing, label: u64, view: &View) -> CoreId {
    let params = SchedulerParams {
        metric: Metric::Bytes,
        load_sharing,
        lifetime: Lifetime::Cycles(17),
        ..SchedulerParams::default()
    };
    let binding = bind(&params, AffinityLabel(label), view);
    assert_eq!(binding.lifetime, Lifetime::Cycles(17));
    binding.core
}

#[test]
fn hashes_spread_evenly_over_any_number_of_cores() {
    for count in [1, 2, 3, 8, 13] {
        let view = View::new(count);
        // Labels as resources make them: counters, pointers, counters in the upper half.
        for shift in [0, 6, 12, 32] {
            let mut hits = vec![0_u32; usize::from(count)];
            for label in 0..10_000_u64 {
                let core = bound_core(LoadSharing::AffinityHash, label << shift, &view);
                hits[view.index(core)] += 1;
            }
            let even = 10_000 / u32::from(count);
            let spread = hits.iter().all(|&n| n.abs_diff(even) < even / 5 + 1);
            assert!(spread, "{count} cores, labels << {shift}: {hits:?}");
        }
    }
}

#[test]
fn least_bound_gives_each_label_a_core_of_its_own() {
    for first_label in [0, 1, 77, 1 << 40] {
        let mut view = View::new(8);
        for label in first_label..first_label + 16 {
            let core = bound_core(LoadSharing::LeastBound, label, &view);
            let index = view.index(core);
            view.bound[index] += 1;
        }
        assert_eq!(view.bound, [2; 8]);
    }
}

#[test]
fn ties_depend_on_the_label_alone_and_not_all_on_the_first_core() {
    let view = View::new(8);
    let mut seen = [false; 8];
    for label in 0..100 {
        let hashed = bound_core(LoadSharing::AffinityHash, label, &view);
        assert_eq!(bound_core(LoadSharing::LeastBound, label, &view), hashed);
        assert_eq!(bound_core(LoadSharing::LeastReceived, label, &view), hashed);
        seen[view.index(hashed)] = true;
    }
    assert!(seen.iter().all(|&seen| seen));
}

#[test]
fn a_fixed_core_that_is_not_there_becomes_the_first() {
    let view = View::new(3);
    assert_eq!(
        bound_core(LoadSharing::Fixed(CoreId(3)), 9, &view),
        CoreId(3)
    );
    assert_eq!(
        bound_core(LoadSharing::Fixed(CoreId(2)), 9, &view),
        CoreId(1)
    );
}

proptest! {
    #![proptest_config(crate::same_every_time())]

    #[test]
    fn least_received_is_least_in_proportion(
        label in any::<u64>(),
        cores in prop::collection::vec((any::<u64>(), 1..=Weight::MAX), 1..12),
    ) {
        let mut view = View::new(cores.len() as u16);
        (view.received, view.shares) = cores.iter().copied().unzip();
        let chosen = view.index(bound_core(LoadSharing::LeastReceived, label, &view));
        let (received, share) = cores[chosen];
        for (other_received, other_share) in cores {
            let one = u128::from(received) * u128::from(other_share);
            let other = u128::from(other_received) * u128::from(share);
            prop_assert!(one <= other);
        }
    }

    #[test]
    fn least_bound_is_least(label in any::<u64>(), bound in prop::collection::vec(0..9_u64, 1..12)) {
        let mut view = View::new(bound.len() as u16);
        view.bound.clone_from(&bound);
        let chosen = view.index(bound_core(LoadSharing::LeastBound, label, &view));
        prop_assert_eq!(Some(&bound[chosen]), bound.iter().min());
    }
}
