//! A label moves from one core to another while a third one sends: every interleaving up to a
//! number of preemptions, by the loom model checker, of whole cores at work.
//! `RUSTFLAGS="--cfg loom" cargo test -p vortex-toolkit --release --test loom`.
//!
//! Core 0 sends four requests of one label. Its first binding is to core 1 and soon over; the
//! governing policy then names core 2. Whatever the order in which the three cores come to do
//! their steps, the requests are executed once each, in the order sent.
#![cfg(loom)]

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use loom::thread;
use vortex_toolkit::ids::{
    ActivityId, AffinityLabel, ClientId, CoreId, DependencyLabel, ResourceId,
};
use vortex_toolkit::record::Record;
use vortex_toolkit::scheduler::{
    ClientKind, ClientParams, ClientStatistics, CoreBinding, Lifetime, LoadView, Queues, Ready,
    Scheduler, SchedulerParams, Weight,
};
use vortex_toolkit::{
    Builder, Context, Core, Message, Outcome, Platform, Reason, Request, Resources, SchedulerSpec,
    System,
};

/// Serves clients in the order of readiness; binds labels to core 1, later to core 2.
#[derive(Clone, Copy)]
struct Mover;

impl Scheduler for Mover {
    type Shared = AtomicUsize;
    type Core = std::collections::VecDeque<ClientId>;

    fn init(&self, _: &SchedulerParams) -> AtomicUsize {
        AtomicUsize::new(0)
    }

    fn init_core(_: &AtomicUsize, _: CoreId) -> Self::Core {
        Self::Core::new()
    }

    fn add_client(_: &mut Self::Core, _: ClientId, _: ClientKind, _: &ClientParams) {}

    fn update_client(_: &mut Self::Core, _: ClientId, _: &ClientParams) {}

    fn remove_client(ready: &mut Self::Core, client: ClientId) {
        ready.retain(|other| *other != client);
    }

    fn schedule<Q: Queues>(ready: &mut Self::Core, _: &mut Q, _: u64) -> Option<ClientId> {
        ready.pop_front()
    }

    fn client_ready(ready: &mut Self::Core, client: ClientId, _: u64, _: u64) {
        ready.push_back(client);
    }

    fn client_suspended(ready: &mut Self::Core, client: ClientId) {
        ready.retain(|other| *other != client);
    }

    fn poll_ready(ready: &mut Self::Core, _: u64) -> Ready {
        if ready.is_empty() {
            Ready::Never
        } else {
            Ready::Now
        }
    }

    fn resource_record(_: &mut Self::Core, _: ClientId, _: &Record<'_>, _: u64) {}

    fn load_share(asked: &AtomicUsize, _: AffinityLabel, view: &dyn LoadView) -> CoreBinding {
        let (choice, lifetime) = match asked.fetch_add(1, Ordering::Relaxed) {
            0 => (0, Lifetime::Cycles(1)),
            _ => (1, Lifetime::Forever),
        };
        CoreBinding {
            core: view.cores()[choice],
            lifetime,
        }
    }

    fn client_statistics(_: &Self::Core, _: ClientId) -> ClientStatistics {
        ClientStatistics::default()
    }
}

/// A clock that goes on whenever it is read.
struct Clock {
    core: CoreId,
    now: Cell<u64>,
}

impl Platform for Clock {
    fn now(&self) -> u64 {
        self.now.set(self.now.get() + 1);
        self.now.get()
    }

    fn core(&self) -> CoreId {
        self.core
    }

    fn interrupt_cycles(&self) -> u64 {
        0
    }

    /// All cores go on stepping, asleep or not.
    fn wake(&self, _: CoreId) {}

    fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        || {}
    }

    fn set_timer(&self, _: u64) {}
}

struct Numbered(u32);

impl Message for Numbered {}

/// Writes down what is executed, where.
struct Log(Arc<Mutex<Vec<(u32, CoreId)>>>);

struct Model;

impl System for Model {
    type Platform = Clock;
    type Policy = Mover;
    type Message = Numbered;
    type Resources = Log;
}

impl Resources<Model> for Log {
    fn handle(&mut self, message: Numbered, context: &mut Context<'_, Model>) -> Outcome<Numbered> {
        self.0
            .lock()
            .expect("unpoisoned")
            .push((message.0, context.core()));
        Outcome::Done
    }

    fn returned(&mut self, request: Request<Numbered>, reason: Reason, _: &mut Context<'_, Model>) {
        panic!("request {} came back: {reason}", request.message.0);
    }
}

fn send(core: &mut Core<Model>, number: u32) {
    let request = Request::new(ResourceId(0), ActivityId::INFRASTRUCTURE, Numbered(number));
    core.send(request.near(AffinityLabel(7)).ordered(DependencyLabel(9)));
}

fn step(core: &mut Core<Model>, times: usize) {
    for _ in 0..times {
        let _ = core.step();
    }
}

/// Three cores, and a resource on the second and third.
fn cores(log: &Arc<Mutex<Vec<(u32, CoreId)>>>, inbox: usize) -> Vec<Core<Model>> {
    let multiplexors = std::iter::repeat_n((Mover, SchedulerParams::default()), 3);
    let mut builder = Builder::<Model>::new(multiplexors);
    builder.inbox_capacity(inbox);
    builder.resource(
        "moved",
        SchedulerSpec::on(Mover, [CoreId(1), CoreId(2)], Weight::DEFAULT),
    );
    let (_grid, seeds) = builder.build();
    let start = |seed: vortex_toolkit::Seed<Model>| {
        let clock = Clock {
            core: seed.core(),
            now: Cell::new(0),
        };
        Core::new(seed, clock, Log(log.clone()))
    };
    seeds.into_iter().map(start).collect()
}

fn a_label_moves(inbox: usize) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut cores = cores(&log, inbox);
    // The binding is made, and core 1 has executed one request of two.
    send(&mut cores[0], 0);
    send(&mut cores[0], 1);
    step(&mut cores[1], 1);
    let mut threads = Vec::new();
    for mut core in cores {
        threads.push(thread::spawn(move || {
            if core.platform().core() == CoreId(0) {
                send(&mut core, 2);
                step(&mut core, 1);
                send(&mut core, 3);
            }
            step(&mut core, 2);
            core
        }));
    }
    let joined = threads
        .into_iter()
        .map(|thread| thread.join().expect("no panic"));
    let mut cores: Vec<_> = joined.collect();
    // The rest is one of many runs: each core in its turn, more often than messages are left.
    for _ in 0..40 {
        cores.iter_mut().for_each(|core| step(core, 1));
    }
    let log = log.lock().expect("unpoisoned");
    let numbers: Vec<_> = log.iter().map(|(number, _)| *number).collect();
    assert_eq!(
        numbers,
        [0, 1, 2, 3],
        "in the order sent, once each: {log:?}"
    );
    assert_eq!(
        log.last().map(|(_, core)| *core),
        Some(CoreId(2)),
        "the label has moved"
    );
}

fn bounded(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 100_000;
    builder.check(model);
}

#[test]
fn order_is_kept_while_a_label_moves() {
    bounded(1, || a_label_moves(8));
}

#[test]
fn order_is_kept_while_a_label_moves_and_inboxes_are_full() {
    bounded(1, || a_label_moves(2));
}
