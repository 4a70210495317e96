//! The toolkit on real threads, one for each core.
//!
//! [`run`] is the loop that a kernel has on each of its cores: step, and park when there is nothing
//! to do. Time is the time of the machine, in nanoseconds. What happens here is not the same every
//! time; the simulated machine is for that.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use vortex_toolkit::ids::CoreId;
use vortex_toolkit::{Builder, Core, Grid, Platform, PolicyPanicked, Seed, Step, System};

use crate::panics;

struct Machine {
    started: Instant,
    /// The cores' threads, once they run.
    threads: Vec<OnceLock<Thread>>,
    stop: AtomicBool,
}

impl Machine {
    fn wake(&self, core: CoreId) {
        let thread = self.threads.get(core.index());
        if let Some(thread) = thread.and_then(OnceLock::get) {
            thread.unpark();
        }
    }
}

/// One core: a thread.
pub struct ThreadCore {
    machine: Arc<Machine>,
    core: CoreId,
    timer_at: Cell<Option<u64>>,
}

impl Platform for ThreadCore {
    const CATCHES_PANICS: bool = true;

    fn now(&self) -> u64 {
        u64::try_from(self.machine.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn core(&self) -> CoreId {
        self.core
    }

    fn interrupt_cycles(&self) -> u64 {
        0
    }

    fn wake(&self, core: CoreId) {
        self.machine.wake(core);
    }

    fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        let (machine, core) = (self.machine.clone(), self.core);
        move || machine.wake(core)
    }

    fn set_timer(&self, at: u64) {
        self.timer_at.set(Some(at));
    }

    fn guard<R>(&self, call: impl FnOnce() -> R) -> Result<R, PolicyPanicked> {
        panics::catch(call)
    }
}

/// Says when a run is over: handlers count down what is left to be done.
#[derive(Debug)]
pub struct Remaining {
    left: Mutex<u64>,
    none: Condvar,
}

impl Remaining {
    /// So much is left.
    #[must_use]
    pub fn new(left: u64) -> Arc<Self> {
        Arc::new(Self {
            left: Mutex::new(left),
            none: Condvar::new(),
        })
    }

    /// So much of it has been done. Call it seldom: all threads meet here.
    pub fn done(&self, n: u64) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = left.saturating_sub(n);
        if *left == 0 {
            self.none.notify_all();
        }
    }

    /// Waits until nothing is left. False if that has not come by `deadline` from now.
    fn wait(&self, deadline: Duration) -> bool {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self
            .none
            .wait_timeout_while(left, deadline, |left| *left > 0);
        let (left, _) = result.unwrap_or_else(PoisonError::into_inner);
        *left == 0
    }
}

/// Runs a grid until nothing is `remaining`, on a thread for each core, with what `resources`
/// makes there. `first` is called on each core before its first step.
///
/// Returns the grid with its books, and whether it was over by `deadline`.
///
/// # Panics
/// If a handler panics.
pub fn run<Y>(
    builder: Builder<Y>,
    resources: impl Fn(CoreId) -> Y::Resources + Sync,
    first: impl Fn(&mut Core<Y>) + Sync,
    remaining: &Remaining,
    deadline: Duration,
) -> (Arc<Grid<Y>>, bool)
where
    Y: System<Platform = ThreadCore>,
    Seed<Y>: Send,
    Grid<Y>: Send + Sync,
{
    let (grid, seeds) = builder.build();
    let machine = Arc::new(Machine {
        started: Instant::now(),
        threads: seeds.iter().map(|_| OnceLock::new()).collect(),
        stop: AtomicBool::new(false),
    });
    // Nobody is woken before its thread is known.
    let barrier = Barrier::new(seeds.len() + 1);
    let over = thread::scope(|scope| {
        for seed in seeds {
            let machine = machine.clone();
            let (resources, first, barrier) = (&resources, &first, &barrier);
            scope.spawn(move || {
                let core = seed.core();
                // Set once, here.
                let _ = machine.threads[core.index()].set(thread::current());
                barrier.wait();
                let platform = ThreadCore {
                    machine: machine.clone(),
                    core,
                    timer_at: Cell::new(None),
                };
                let mut core = Core::new(seed, platform, resources(core));
                first(&mut core);
                work(&mut core, &machine);
            });
        }
        barrier.wait();
        let over = remaining.wait(deadline);
        machine.stop.store(true, Ordering::SeqCst);
        for thread in machine.threads.iter().filter_map(OnceLock::get) {
            thread.unpark();
        }
        over
    });
    (grid, over)
}

/// One core's loop.
fn work<Y: System<Platform = ThreadCore>>(core: &mut Core<Y>, machine: &Machine) {
    while !machine.stop.load(Ordering::SeqCst) {
        let Step::Asleep { .. } = core.step() else {
            continue;
        };
        // A wake-up that has come since the core went to sleep ends this at once.
        match core.platform().timer_at.take() {
            None => thread::park(),
            Some(at) => {
                let wait = at.saturating_sub(core.platform().now());
                thread::park_timeout(Duration::from_nanos(wait));
            }
        }
    }
}
