//! A request's whole way through the toolkit.
//!
//! One operation is a request sent, queued, chosen by the multiplexor and by the resource's
//! scheduler, executed by an empty handler, recorded and booked; the loop that drives it is counted
//! too. The system is closed: whoever was served sends the next request, so all activities are busy
//! all the time.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use vortex_schedulers::Policy;
use vortex_toolkit::ids::{ActivityId, CoreId, ResourceId};
use vortex_toolkit::{Core, Request, Step};

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
        name: "wfq-10000",
        operation: "10,000 activities",
        warm_up: 50_000,
        target: scaled(1.2),
        bound: Some(1500.0),
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
        operation: "the same, from another core",
        target: Target {
            instructions: Some(Limit::Below(500.0)),
            ..ONE_CORE
        },
        bound: Some(1500.0),
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
    bound: Some(1350.0),
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

/// Resources, so that the multiplexor has a choice, too. Each activity is busy at all of them.
const RESOURCES: u32 = 2;

/// Cycles of service, between 200 and 2,000 and without a pattern, so that tags do not tie.
const SERVICE_CYCLES: [u64; 64] = {
    let mut cycles = [0; 64];
    let mut state = 1_u64;
    let mut i = 0;
    while i < cycles.len() {
        // Knuth's MMIX generator.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        cycles[i] = 200 + (state >> 33) % 1800;
        i += 1;
    }
    cycles
};

/// Sends requests of varying length.
#[derive(Default)]
struct Source {
    sent: u64,
}

impl Source {
    #[inline]
    fn send(&mut self, core: &mut Core<Machine>, (resource, activity): (ResourceId, ActivityId)) {
        let cycles = SERVICE_CYCLES[self.sent as usize % SERVICE_CYCLES.len()];
        self.sent += 1;
        core.context()
            .send(Request::new(resource, activity, Work { cycles }));
    }
}

/// All on one core: the served activity sends, with `depth` requests of each under way.
fn one_core(policy: Policy, activities: u32, depth: u32) -> Operation {
    let home = CoreId(0);
    let planned = Plan {
        policy,
        cores: 1,
        home,
        resources: RESOURCES,
        activities,
    }
    .build();
    let mut core = planned
        .seeds
        .into_iter()
        .map(start)
        .next()
        .expect("one core was asked for");
    let mut source = Source::default();
    for _ in 0..depth {
        for client in &planned.clients {
            source.send(&mut core, *client);
        }
    }
    Box::new(move |n| {
        let before = core.resources().executed;
        for _ in 0..n {
            let _worked: Step = core.step();
            let served = core.resources().served;
            source.send(&mut core, served);
        }
        assert_eq!(core.resources().executed, before + n, "a request a step");
    })
}

/// Two cores that take turns on one thread: the first sends, the second executes and never sleeps.
fn two_cores_in_turn() -> Operation {
    let planned = remote().build();
    let mut cores = planned.seeds.into_iter().map(start);
    let (Some(mut sender), Some(mut receiver)) = (cores.next(), cores.next()) else {
        unreachable!("two cores were asked for")
    };
    let mut source = Source::default();
    for client in &planned.clients {
        source.send(&mut sender, *client);
    }
    Box::new(move |n| {
        let before = receiver.resources().executed;
        for _ in 0..n {
            let _worked: Step = receiver.step();
            source.send(&mut sender, receiver.resources().served);
        }
        assert_eq!(
            receiver.resources().executed,
            before + n,
            "a request a step"
        );
    })
}

fn remote() -> Plan {
    Plan {
        policy: Policy::Wfq,
        cores: 2,
        home: CoreId(1),
        resources: RESOURCES,
        activities: 16,
    }
}

/// Requests under way between the threads: fewer than an inbox holds.
const WINDOW: u64 = 256;

/// The receiving core on a thread of its own, which ends with this.
struct Receiver {
    executed: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Receiver {
    fn start(seed: vortex_toolkit::Seed<Machine>) -> Self {
        let executed = Arc::new(AtomicU64::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let (count, over) = (Arc::clone(&executed), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            let mut core = start(seed);
            while !over.load(Ordering::Relaxed) {
                let _busy_or_idle = core.step();
                count.store(core.resources().executed, Ordering::Release);
            }
        });
        Self {
            executed,
            is_over,
            thread: Some(thread),
        }
    }

    /// Waits until no more than `most` of `sent` requests are under way. Looks seldom, for each
    /// look takes the count's cache line from the receiver.
    fn wait(&self, sent: u64, most: u64) {
        while sent - self.executed.load(Ordering::Acquire) > most {
            for _ in 0..100 {
                hint::spin_loop();
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Two cores on two threads. The receiver spins, so it is awake but for the moments when it finds
/// nothing to do.
fn two_threads() -> Operation {
    let planned = remote().build();
    let mut seeds = planned.seeds.into_iter();
    let (Some(sender), Some(receiver)) = (seeds.next(), seeds.next()) else {
        unreachable!("two cores were asked for")
    };
    let mut sender = start(sender);
    let receiver = Receiver::start(receiver);
    let mut source = Source::default();
    let mut clients = planned.clients.into_iter().cycle();
    Box::new(move |n| {
        for _ in 0..n {
            if source.sent.is_multiple_of(WINDOW / 2) {
                receiver.wait(source.sent, WINDOW / 2);
            }
            source.send(&mut sender, clients.next().expect("a cycle has no end"));
        }
        receiver.wait(source.sent, 0);
    })
}
