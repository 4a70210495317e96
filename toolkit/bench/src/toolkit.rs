//! A request's whole way through the toolkit.
//!
//! One operation is a request that is sent, queued, chosen by the multiplexor and by the resource's
//! scheduler, executed, recorded and booked. The handler does nothing but send the next request, to
//! the other of two resources; so the system is closed, and all activities are busy all the time. With one
//! request, both schedulers have nothing to do in between, as in a system that is not overloaded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use vortex_schedulers::Policy;
use vortex_toolkit::ids::CoreId;
use vortex_toolkit::{Core, Request, Seed, Step};

use crate::machine::{Machine, Plan, Work, start};
use crate::workload::{Limit, Operation, Target, Workload};

/// What was promised for one core.
const ONE_CORE: Target = Target {
    instructions: Some(Limit::Below(300.0)),
    locked: Some(1.0),
    allocations: Some(0.0),
};

/// The toolkit's rows.
pub const WORKLOADS: &[Workload] = &[
    WFQ_16,
    Workload {
        name: "wfq-16-queued",
        operation: "the same, 8 requests each",
        counted: || one_core(Policy::Wfq, 16, 8),
        timed: || one_core(Policy::Wfq, 16, 8),
        bound: Some(547.0),
        ..WFQ_16
    },
    Workload {
        name: "wfq-10",
        operation: "10 activities",
        bound: None,
        counted: || one_core(Policy::Wfq, 10, 1),
        timed: || one_core(Policy::Wfq, 10, 1),
        ..WFQ_16
    },
    Workload {
        name: "wfq-1",
        operation: "1 activity, 1 request: all else idle",
        bound: Some(638.0),
        counted: || one_core(Policy::Wfq, 1, 1),
        timed: || one_core(Policy::Wfq, 1, 1),
        ..WFQ_16
    },
    Workload {
        name: "wfq-1-by-label",
        operation: "the same, bound by label",
        bound: Some(715.0),
        counted: || on_one_core(BY_LABEL),
        timed: || on_one_core(BY_LABEL),
        ..WFQ_16
    },
    Workload {
        name: "wfq-10000",
        operation: "10,000 activities",
        warm_up: 50_000,
        target: scaled(1.2),
        bound: Some(606.0),
        counted: || one_core(Policy::Wfq, 10_000, 1),
        timed: || one_core(Policy::Wfq, 10_000, 1),
        ..WFQ_16
    },
    Workload {
        name: "wfq-100000",
        operation: "100,000 activities",
        warm_up: 500_000,
        target: scaled(2.0),
        bound: None,
        counted: || one_core(Policy::Wfq, 100_000, 1),
        timed: || one_core(Policy::Wfq, 100_000, 1),
        ..WFQ_16
    },
    Workload {
        name: "round-robin-16",
        operation: "16 activities, round-robin",
        bound: None,
        counted: || one_core(Policy::RoundRobin, 16, 1),
        timed: || one_core(Policy::RoundRobin, 16, 1),
        ..WFQ_16
    },
    Workload {
        name: "strict-16",
        operation: "16 activities, strict priority",
        bound: None,
        counted: || one_core(Policy::Strict, 16, 1),
        timed: || one_core(Policy::Strict, 16, 1),
        ..WFQ_16
    },
    Workload {
        name: "edf-16",
        operation: "16 activities, EDF",
        bound: None,
        counted: || one_core(Policy::Edf, 16, 1),
        timed: || one_core(Policy::Edf, 16, 1),
        ..WFQ_16
    },
    Workload {
        name: "fifo-16",
        operation: "16 activities, no policy",
        bound: None,
        counted: || one_core(Policy::Fifo, 16, 1),
        timed: || one_core(Policy::Fifo, 16, 1),
        ..WFQ_16
    },
    Workload {
        name: "remote-wfq-16",
        operation: "the same, each to another core",
        target: Target {
            instructions: Some(Limit::Below(500.0)),
            ..ONE_CORE
        },
        bound: Some(741.0),
        counted: two_cores_in_turn,
        timed: two_threads,
        ..WFQ_16
    },
];

/// The headline, and what the other rows differ from.
const WFQ_16: Workload = Workload {
    name: "wfq-16",
    operation: "16 activities, WFQ twice",
    warm_up: 10_000,
    iterations: 100_000,
    target: ONE_CORE,
    bound: Some(538.0),
    counted: || one_core(Policy::Wfq, 16, 1),
    timed: || one_core(Policy::Wfq, 16, 1),
};

/// At most `times` the instructions with 10 activities.
const fn scaled(times: f64) -> Target {
    Target {
        instructions: Some(Limit::Ratio {
            of: "wfq-10",
            times,
        }),
        ..ONE_CORE
    }
}

/// Both resources on one core, with `depth` requests of each activity going round.
fn one_core(policy: Policy, activities: u32, depth: u32) -> Operation {
    on_one_core(Plan {
        policy,
        homes: [CoreId(0); 2],
        by_label: false,
        activities,
        depth,
    })
}

/// As [`one_core`]; further cores of the plan have nothing to do.
fn on_one_core(plan: Plan) -> Operation {
    let (mut seeds, requests) = plan.build();
    seeds.truncate(1);
    let [mut core] = cores(seeds, requests);
    Box::new(move |n| {
        let executed = core.resources().executed;
        for _ in 0..n {
            let _worked: Step = core.step();
        }
        assert_eq!(core.resources().executed, executed + n, "one a step");
    })
}

/// One request of one activity, at resources that could run on another core, too.
const BY_LABEL: Plan = Plan {
    policy: Policy::Wfq,
    homes: [CoreId(0); 2],
    by_label: true,
    activities: 1,
    depth: 1,
};

/// A resource on each of two cores: every request goes to the other core. There are enough of them
/// that both cores are busy.
const ACROSS: Plan = Plan {
    policy: Policy::Wfq,
    homes: [CoreId(0), CoreId(1)],
    by_label: false,
    activities: 16,
    depth: 32,
};

/// The two cores take turns on one thread. None goes to sleep, for it has always something to do.
fn two_cores_in_turn() -> Operation {
    let (seeds, requests) = ACROSS.build();
    let [mut one, mut other] = cores(seeds, requests);
    Box::new(move |n| {
        let executed = one.resources().executed + other.resources().executed;
        for _ in 0..n / 2 {
            let _worked: Step = one.step();
            let _worked: Step = other.step();
        }
        assert_eq!(
            one.resources().executed + other.resources().executed,
            executed + n / 2 * 2,
            "one a step"
        );
    })
}

/// All cores, and the requests on their way.
fn cores<const N: usize>(
    seeds: Vec<Seed<Machine>>,
    requests: Vec<Request<Work>>,
) -> [Core<Machine>; N] {
    let cores: Vec<_> = seeds.into_iter().map(start).collect();
    let Ok(mut cores): Result<[_; N], _> = cores.try_into() else {
        panic!("the plan has {N} cores");
    };
    for request in requests {
        cores[0].context().send(request);
    }
    cores
}

/// A thread that ends with this.
struct Running {
    is_over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Running {
    /// Runs a core that has nothing to do yet.
    fn start(seed: Seed<Machine>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let mut core = start(seed);
            while !over.load(Ordering::Relaxed) {
                step_or_yield(&mut core);
            }
        });
        Self {
            is_over,
            thread: Some(thread),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Each core on a thread of its own, and never halted. What this one executes, the other one has
/// executed just before.
fn two_threads() -> Operation {
    let (mut seeds, requests) = ACROSS.build();
    let other = Running::start(seeds.remove(1));
    let [mut core] = cores(seeds, requests);
    Box::new(move |n| {
        let _runs_until_dropped = &other;
        let until = core.resources().executed + n.div_ceil(2);
        while core.resources().executed < until {
            step_or_yield(&mut core);
        }
    })
}

/// Where there are fewer processors than busy threads, the one that has work for this core may be
/// waiting for this thread's.
fn step_or_yield(core: &mut Core<Machine>) {
    if let Step::Asleep { .. } = core.step() {
        thread::yield_now();
    }
}
