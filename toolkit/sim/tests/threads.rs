//! Real threads: order and exactly-once while labels move from core to core all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vortex_schedulers::Policy;
use vortex_sim::readings::ledger_faults;
use vortex_sim::threads::{Remaining, ThreadCore, run};
use vortex_toolkit::ids::{ActivityId, AffinityLabel, CoreId, DependencyLabel, ResourceId};
use vortex_toolkit::scheduler::{ClientParams, Lifetime, LoadSharing, SchedulerParams, Weight};
use vortex_toolkit::{
    Builder, Context, Message, Outcome, Reason, Request, Resources, SchedulerSpec, System,
};

/// How far a label's feeder may be ahead of its sink.
const WINDOW: u64 = 32;

struct Threads;

impl System for Threads {
    type Platform = ThreadCore;
    type Policy = Policy;
    type Message = Numbered;
    type Resources = Checker;
}

/// The `number`th request of a label, from 1 on.
#[derive(Clone, Copy, Debug)]
struct Numbered {
    label: usize,
    number: u64,
}

impl Message for Numbered {}

/// What all cores share.
struct Board {
    feeder: ResourceId,
    sink: ResourceId,
    per_label: u64,
    /// For each label, the last request that the sink has started.
    last: Vec<AtomicU64>,
    faults: AtomicU64,
    moves: Vec<AtomicU64>,
    remaining: Arc<Remaining>,
}

struct Checker {
    board: Arc<Board>,
    core: CoreId,
}

impl Resources<Threads> for Checker {
    fn handle(
        &mut self,
        message: Numbered,
        context: &mut Context<'_, Threads>,
    ) -> Outcome<Numbered> {
        let board = &self.board;
        let Numbered { label, number } = message;
        if context.head().destination == board.feeder {
            let ahead = number - 1 - board.last[label].load(Ordering::SeqCst);
            if ahead >= WINDOW {
                let again = context.request(board.feeder, message);
                context.send(again);
                return Outcome::Done;
            }
            let request = context.request(board.sink, message);
            context.send(request);
            if number < board.per_label {
                let next = Numbered {
                    number: number + 1,
                    ..message
                };
                let request = context.request(board.feeder, next);
                context.send(request);
            }
            return Outcome::Done;
        }
        // Exactly the next one: none is lost, doubled or overtaken.
        let before = board.last[label].swap(number, Ordering::SeqCst);
        if before + 1 != number {
            board.faults.fetch_add(1, Ordering::SeqCst);
        }
        let core = u64::from(self.core.0) + 1;
        if board.moves[label].swap(core, Ordering::Relaxed) != core {
            context.add_bytes(1);
        }
        if number == board.per_label {
            board.remaining.done(1);
        }
        Outcome::Done
    }

    fn returned(&mut self, _: Request<Numbered>, _: Reason, _: &mut Context<'_, Threads>) {
        self.board.faults.fetch_add(1, Ordering::SeqCst);
    }
}

const LABELS: usize = 48;
const PER_LABEL: u64 = 25_000;

/// Sends the first request of each label, on core 0.
fn feed(core: &mut vortex_toolkit::Core<Threads>, feeder: ResourceId, activities: &[ActivityId]) {
    let mut context = core.context();
    if context.core() != CoreId(0) {
        return;
    }
    for label in 0..LABELS {
        let first = Numbered { label, number: 1 };
        let request = Request::new(feeder, activities[label % activities.len()], first)
            .ordered(DependencyLabel(label as u64 + 1))
            .near(AffinityLabel(label as u64 + 1));
        context.send(request);
    }
}

#[test]
fn millions_of_requests_in_order_and_once() {
    let cores = 2;
    let multiplexors = (0..cores).map(|_| (Policy::Wfq, SchedulerParams::default()));
    let mut builder = Builder::<Threads>::new(multiplexors);
    builder.inbox_capacity(64);
    let spec = |load_sharing| {
        let mut spec = SchedulerSpec::on(Policy::Wfq, (0..cores).map(CoreId), Weight::DEFAULT);
        spec.params.load_sharing = load_sharing;
        spec.params.lifetime = Lifetime::Cycles(50_000);
        spec
    };
    let feeder = builder.resource("feeder", spec(LoadSharing::LeastReceived));
    let sink = builder.resource("sink", spec(LoadSharing::LeastReceived));
    let activities: Vec<_> = (0..3)
        .map(|_| builder.activity("a", ClientParams::default()))
        .collect();
    let remaining = Remaining::new(LABELS as u64);
    let zeros = || (0..LABELS).map(|_| AtomicU64::new(0)).collect();
    let board = Arc::new(Board {
        feeder,
        sink,
        per_label: PER_LABEL,
        last: zeros(),
        faults: AtomicU64::new(0),
        moves: zeros(),
        remaining: remaining.clone(),
    });
    let resources = |core| Checker {
        board: board.clone(),
        core,
    };
    let start = |core: &mut vortex_toolkit::Core<Threads>| feed(core, feeder, &activities);
    let (grid, over) = run(
        builder,
        resources,
        start,
        &remaining,
        Duration::from_secs(120),
    );
    let started: Vec<_> = board
        .last
        .iter()
        .map(|n| n.load(Ordering::SeqCst))
        .collect();
    assert!(over, "stuck at {started:?}");
    assert_eq!(started, [PER_LABEL; LABELS]);
    assert_eq!(board.faults.load(Ordering::SeqCst), 0);
    assert_eq!(ledger_faults(&grid), [""; 0]);
    // The test is about labels that move: they have.
    let moves: u64 = activities.iter().map(|a| grid.usage(sink, *a).bytes).sum();
    assert!(moves > 10 * LABELS as u64, "{moves}");
    println!("{moves} moves");
}
