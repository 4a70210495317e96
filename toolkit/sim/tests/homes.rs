//! Homes: what an activity gets, whatever its processes do, and what its CPU budget leaves it.
#![forbid(unsafe_code)]

use vortex_sched_config::{Known, load};
use vortex_sim::Timing;
use vortex_sim::experiment::{Experiment, HERTZ, WorkloadName};

/// Two cores, and an activity `a` with this budget beside `b`, both CPU-bound in slices of 5 ms.
fn experiment(budget: &str) -> Experiment {
    let text = format!(
        "<schedulerconfig>
           <activity name='a'><weight>100</weight><cpu>{budget}</cpu></activity>
           <activity name='b'><weight>100</weight></activity>
           <cpumultiplexor tag='m0'><core>0</core><algorithm>propshare.wfq</algorithm>
           </cpumultiplexor>
           <cpumultiplexor tag='m1'><core>1</core><algorithm>propshare.wfq</algorithm>
           </cpumultiplexor>
         </schedulerconfig>"
    );
    let plan = load(text.as_bytes(), &Known::standard(2))
        .expect("a sound file")
        .plan;
    let timing = Timing::default();
    Experiment::new(plan, WorkloadName::Cpu, timing, 1).expect("a home for each activity")
}

const SLICE: u64 = HERTZ / 200;

#[test]
fn a_budget_holds_over_all_cores_together_and_every_period() {
    let budget = 30 * HERTZ / 1000;
    let mut experiment = experiment("<budget>30000</budget><period>100000</period>");
    for second in 1..=20 {
        experiment.run_until(second * HERTZ);
        let received = experiment.received();
        let entitled = 10 * second * budget;
        // What was chosen before the limit was reached: a slice on each core.
        assert!(
            received[0] <= entitled + 2 * SLICE,
            "{second}: {received:?}"
        );
        assert!(
            received[0] + 4 * SLICE >= entitled,
            "{second}: {received:?}"
        );
        // Nobody else is held back.
        let both: u64 = received.iter().sum();
        assert!(
            both > 2 * second * HERTZ * 99 / 100,
            "{second}: {received:?}"
        );
    }
}

#[test]
fn what_one_slice_uses_beyond_the_budget_is_held_against_later_periods() {
    let mut experiment = experiment("<budget>1000</budget><period>100000</period>");
    let seconds = 60;
    experiment.run_until(seconds * HERTZ);
    let [a, b] = experiment.received()[..] else {
        panic!("two activities")
    };
    let entitled = 10 * seconds * HERTZ / 1000;
    assert!(a.abs_diff(entitled) <= 4 * SLICE, "{a} of {entitled}");
    assert!(a + b > 2 * seconds * HERTZ * 99 / 100, "{a} {b}");
}

#[test]
fn a_budget_that_is_more_than_the_share_has_no_effect() {
    let mut experiment = experiment("<budget>300000</budget><period>100000</period>");
    experiment.run_until(10 * HERTZ);
    let [a, b] = experiment.received()[..] else {
        panic!("two activities")
    };
    assert!(a.abs_diff(b) <= 2 * SLICE, "{a} {b}");
}
