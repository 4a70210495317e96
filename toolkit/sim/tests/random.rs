//! Random grids, of which the smallest is shown that goes wrong.

use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_assert, proptest};
use proptest::test_runner::RngSeed;
use vortex_schedulers::Policy;
use vortex_sim::stress::{Chances, Scenario, run};
use vortex_sim::{Interrupts, Timing};

fn chances() -> impl Strategy<Value = Chances> {
    (
        (0_u8..40, 0_u8..40, 0_u8..40, 0_u8..40),
        (0_u8..20, 0_u8..20, 0_u8..6, 0_u8..3, 0_u8..40),
    )
        .prop_map(|((reject, wait, task, attribute), rest)| Chances {
            reject,
            wait,
            task,
            attribute,
            suspend: rest.0,
            change: rest.1,
            remove_client: rest.2,
            end: rest.3,
            wake: rest.4,
        })
}

fn timing() -> impl Strategy<Value = Timing> {
    let interrupts = prop::option::of((1_000_u64..50_000, 1_u64..900));
    (1_u64..2_000, 0_u64..20_000, interrupts).prop_map(|(step_cycles, wake_cycles, interrupts)| {
        Timing {
            step_cycles,
            wake_cycles,
            interrupts: interrupts.map(|(every_cycles, cycles)| Interrupts {
                every_cycles,
                cycles,
            }),
        }
    })
}

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    prop::collection::vec(prop::sample::select(Policy::ALL), 1..4)
}

fn scenario() -> impl Strategy<Value = Scenario<Policy>> {
    let sizes = (1_u16..5, 1_u32..5, 1_u32..5, 1_u64..12, 1_u64..80, 0_u8..5);
    let times = (1_u64..5_000, 0_u64..3_000);
    let limits = (
        1_usize..40,
        prop::option::of(500_u64..100_000),
        prop::option::of(1_u32..20),
    );
    let kinds = (policies(), policies(), any::<bool>(), any::<bool>());
    let all = (
        any::<u64>(),
        sizes,
        times,
        limits,
        kinds,
        chances(),
        timing(),
    );
    all.prop_map(
        |(seed, sizes, times, limits, kinds, chances, timing)| Scenario {
            seed,
            cores: sizes.0,
            resources: sizes.1,
            activities: sizes.2,
            labels: sizes.3,
            probes: sizes.4,
            fuel: sizes.5,
            interval_cycles: times.0,
            service_cycles: times.1,
            inbox_capacity: limits.0,
            lifetime_cycles: limits.1,
            queue_limit: limits.2,
            policies: kinds.0,
            multiplexors: kinds.1,
            reservations: kinds.2,
            hierarchy: kinds.3,
            chances,
            timing,
            patience_cycles: 1_000_000_000,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        rng_seed: RngSeed::Fixed(201_170),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_lost_doubled_or_overtaken(scenario in scenario()) {
        let verdict = run(&scenario);
        prop_assert!(verdict.faults.is_empty(), "{:#?}", verdict);
        prop_assert!(verdict.demotions == 0, "{} policies lost their role", verdict.demotions);
    }

    #[test]
    fn the_same_scenario_ends_the_same_way(scenario in scenario()) {
        let (one, other) = (run(&scenario), run(&scenario));
        prop_assert!((one.sent, one.executed, one.cycles) == (other.sent, other.executed, other.cycles));
    }
}
