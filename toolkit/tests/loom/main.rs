//! Whole cores at work, in every interleaving up to a number of preemptions, by the loom model
//! checker: `RUSTFLAGS="--cfg loom" cargo test -p vortex-toolkit --release --test loom`.
#![cfg(loom)]

mod moving;
mod waking;

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use loom::thread::Thread;
use vortex_toolkit::ids::{AffinityLabel, ClientId, CoreId};
use vortex_toolkit::record::Record;
use vortex_toolkit::scheduler::{
    ClientKind, ClientParams, ClientStatistics, CoreBinding, Lifetime, LoadView, Queues, Ready,
    Scheduler, SchedulerParams,
};
use vortex_toolkit::{
    Context, Core, Message, Outcome, Platform, Reason, Request, Resources, Seed, System, Task,
};
use waking::Event;

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
    /// Who runs the only core, if there is only one.
    thread: Option<Thread>,
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

    /// Where there are several cores, they go on stepping, asleep or not.
    fn wake(&self, _: CoreId) {
        self.thread.iter().for_each(Thread::unpark);
    }

    fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        let thread = self.thread.clone();
        move || thread.iter().for_each(Thread::unpark)
    }

    fn set_timer(&self, _: u64) {}
}

enum Say {
    /// Write down this number.
    Number(u32),
    /// Wait for this as a task, then write down a number.
    Wait(Event, u32),
}

impl Message for Say {}

/// What is executed, where.
type Written = Arc<Mutex<Vec<(u32, CoreId)>>>;

struct Log(Written);

struct Model;

impl System for Model {
    type Platform = Clock;
    type Policy = Mover;
    type Message = Say;
    type Resources = Log;
}

impl Resources<Model> for Log {
    fn handle(&mut self, message: Say, context: &mut Context<'_, Model>) -> Outcome<Say> {
        let (written, core) = (self.0.clone(), context.core());
        let write = move |number| written.lock().expect("unpoisoned").push((number, core));
        match message {
            Say::Number(number) => {
                write(number);
                Outcome::Done
            }
            Say::Wait(event, number) => {
                Outcome::Continue(Task::new(context.port(), move |_| async move {
                    event.wait().await;
                    write(number);
                }))
            }
        }
    }

    fn returned(&mut self, _: Request<Say>, reason: Reason, _: &mut Context<'_, Model>) {
        panic!("a request came back: {reason}");
    }
}

fn start(seed: Seed<Model>, thread: Option<Thread>, written: &Written) -> Core<Model> {
    let clock = Clock {
        core: seed.core(),
        now: Cell::new(0),
        thread,
    };
    Core::new(seed, clock, Log(written.clone()))
}

fn step(core: &mut Core<Model>, times: usize) {
    for _ in 0..times {
        let _ = core.step();
    }
}

fn bounded(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 100_000;
    builder.check(model);
}
