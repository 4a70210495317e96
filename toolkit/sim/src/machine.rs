//! The machine: cores with virtual time, in one thread.
//!
//! [`Machine`] steps, again and again, the core whose clock is behind all others. Each core has a
//! clock of its own, which only its own work moves: a handler by [`VirtualCore::spend`], a
//! scheduling decision by [`Timing::step_cycles`], an interrupt by [`Interrupts::cycles`].
//!
//! Invariants: two runs of the same machine do exactly the same; no clock goes back; an event
//! happens before any core steps at or after its time.
//!
//! A step is indivisible: what a handler sends is on its way from the moment of its dispatch.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use vortex_toolkit::ids::CoreId;
use vortex_toolkit::{Builder, Core, Grid, Platform, PolicyPanicked, Request, Step, System};

use crate::panics;

/// What the machine itself costs, in cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Every step of a core: receiving, deciding, booking. At least 1, or time could stand still.
    pub step_cycles: u64,
    /// From sending a wake-up to the other core's first step.
    pub wake_cycles: u64,
    /// Interrupts that come on every core without being asked for.
    pub interrupts: Option<Interrupts>,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            step_cycles: 300,
            wake_cycles: 1_000,
            interrupts: None,
        }
    }
}

/// Periodic interrupts, whose handlers steal time from whatever runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupts {
    /// From the start of one to the start of the next; more than `cycles`.
    pub every_cycles: u64,
    /// How long the handler takes.
    pub cycles: u64,
}

/// No time at all.
const NEVER: u64 = u64::MAX;

/// A time, in cycles. All happens on one thread, but whoever wakes a task may not know of it.
#[derive(Debug)]
struct Time(AtomicU64);

impl Time {
    const fn new(cycles: u64) -> Self {
        Self(AtomicU64::new(cycles))
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, cycles: u64) {
        self.0.store(cycles, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Clock {
    now: Time,
    interrupted: Time,
    next_interrupt: Time,
    /// When a wake-up sent to this core arrives.
    wake_at: Time,
    timer_at: Time,
    asleep: AtomicBool,
}

#[derive(Debug)]
struct Clocks {
    timing: Timing,
    cores: Vec<Clock>,
    /// The time of the event that is happening.
    event_at: Time,
    /// The core that is stepping, or [`NOBODY`] between two steps.
    stepping: AtomicUsize,
}

/// The number of no core.
const NOBODY: usize = usize::MAX;

impl Clocks {
    /// The time of what is happening.
    fn now(&self) -> u64 {
        let stepping = self.cores.get(self.stepping.load(Ordering::Relaxed));
        stepping.map_or_else(|| self.event_at.get(), |clock| clock.now.get())
    }

    /// Sends a wake-up to a core.
    fn wake(&self, core: CoreId, now: u64) {
        let at = now + self.timing.wake_cycles;
        if let Some(clock) = self.cores.get(core.index()) {
            clock.wake_at.set(clock.wake_at.get().min(at));
        }
    }
}

/// One core of a [`Machine`]: the platform under its toolkit, and the way in which its handlers
/// spend time. Clones are the same core.
#[derive(Clone, Debug)]
pub struct VirtualCore {
    clocks: Arc<Clocks>,
    /// `None` for the world outside the machine.
    core: Option<CoreId>,
}

impl VirtualCore {
    fn clock(&self) -> Option<&Clock> {
        self.clocks.cores.get(self.core?.index())
    }

    /// Lets `cycles` of work pass; interrupts that fall into it take theirs on top.
    pub fn spend(&self, cycles: u64) {
        if let Some(clock) = self.clock() {
            clock.spend(cycles, &self.clocks.timing);
        }
    }
}

impl Clock {
    fn new(number: usize, timing: &Timing) -> Self {
        // Not on all cores at once.
        let first = |interrupts: Interrupts| interrupts.every_cycles + number as u64;
        Self {
            now: Time::new(0),
            interrupted: Time::new(0),
            next_interrupt: Time::new(timing.interrupts.map_or(NEVER, first)),
            wake_at: Time::new(NEVER),
            timer_at: Time::new(NEVER),
            asleep: AtomicBool::new(false),
        }
    }

    fn spend(&self, cycles: u64, timing: &Timing) {
        let mut end = self.now.get() + cycles;
        while let Some(interrupts) = timing.interrupts
            && self.next_interrupt.get() <= end
        {
            end += interrupts.cycles;
            self.interrupted
                .set(self.interrupted.get() + interrupts.cycles);
            self.next_interrupt
                .set(self.next_interrupt.get() + interrupts.every_cycles);
        }
        self.now.set(end);
    }

    fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::Relaxed)
    }

    /// When the core steps next.
    fn next(&self) -> u64 {
        if !self.is_asleep() {
            return self.now.get();
        }
        let wake = self.wake_at.get().min(self.timer_at.get());
        if wake == NEVER {
            NEVER
        } else {
            wake.max(self.now.get())
        }
    }

    /// Ends a sleep at `at`.
    fn wake(&self, at: u64, timing: &Timing) {
        self.asleep.store(false, Ordering::Relaxed);
        self.wake_at.set(NEVER);
        self.timer_at.set(NEVER);
        self.sleep_until(at, timing);
    }

    /// Lets time pass up to `at`, with the interrupts that come meanwhile.
    fn sleep_until(&self, at: u64, timing: &Timing) {
        while let Some(interrupts) = timing.interrupts
            && self.next_interrupt.get() <= at
        {
            let from = self.next_interrupt.get().max(self.now.get());
            self.now.set(from + interrupts.cycles);
            self.interrupted
                .set(self.interrupted.get() + interrupts.cycles);
            self.next_interrupt
                .set(self.next_interrupt.get() + interrupts.every_cycles);
        }
        self.now.set(self.now.get().max(at));
    }
}

impl Platform for VirtualCore {
    fn now(&self) -> u64 {
        self.clock()
            .map_or_else(|| self.clocks.event_at.get(), |clock| clock.now.get())
    }

    /// Core 0 for the world outside.
    fn core(&self) -> CoreId {
        self.core.unwrap_or(CoreId(0))
    }

    fn interrupt_cycles(&self) -> u64 {
        self.clock().map_or(0, |clock| clock.interrupted.get())
    }

    fn wake(&self, core: CoreId) {
        self.clocks.wake(core, self.now());
    }

    fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        let (clocks, core) = (self.clocks.clone(), self.core());
        move || clocks.wake(core, clocks.now())
    }

    fn set_timer(&self, at: u64) {
        if let Some(clock) = self.clock() {
            clock.timer_at.set(at);
        }
    }

    const CATCHES_PANICS: bool = true;

    fn guard<R>(&self, call: impl FnOnce() -> R) -> Result<R, PolicyPanicked> {
        panics::catch(call)
    }
}

/// Something that happens at its time.
type Event<Y> = Box<dyn FnOnce(&mut World<Y>)>;

/// What happens from outside, by time; at one time in the order in which it was planned.
struct Calendar<Y: System> {
    times: BinaryHeap<Reverse<(u64, u64)>>,
    events: std::collections::HashMap<u64, Event<Y>>,
    numbers: u64,
}

/// What an event may touch: everything but the cores' own state.
pub struct World<Y: System> {
    /// The grid.
    pub grid: Arc<Grid<Y>>,
    outside: VirtualCore,
    calendar: Calendar<Y>,
    /// What did not fit into a core's inbox.
    backlog: Vec<VecDeque<Request<Y::Message>>>,
}

/// Cycles after which requests are tried again that did not fit into an inbox.
const RETRY_CYCLES: u64 = 10_000;

impl<Y: System<Platform = VirtualCore>> World<Y> {
    /// The time of the event that is happening.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.outside.now()
    }

    /// Plans an event. One whose time has passed happens as soon as possible.
    pub fn at(&mut self, time: u64, event: impl FnOnce(&mut Self) + 'static) {
        let number = self.calendar.numbers;
        self.calendar.numbers += 1;
        self.calendar.times.push(Reverse((time, number)));
        self.calendar.events.insert(number, Box::new(event));
    }

    /// Sends a request from outside by way of `core`, behind all others sent by way of it. If its
    /// inbox is full, the request waits outside.
    pub fn submit(&mut self, core: CoreId, request: Request<Y::Message>) {
        let Some(backlog) = self.backlog.get_mut(core.index()) else {
            return;
        };
        backlog.push_back(request);
        if backlog.len() == 1 {
            self.try_backlog(core);
        }
    }

    fn try_backlog(&mut self, core: CoreId) {
        while let Some(request) = self.backlog[core.index()].pop_front() {
            if let Err(request) = self.grid.submit_to(&self.outside, core, request) {
                self.backlog[core.index()].push_front(request);
                let at = self.now() + RETRY_CYCLES;
                return self.at(at, move |world| world.try_backlog(core));
            }
        }
    }
}

/// A machine with a grid on it.
pub struct Machine<Y: System> {
    /// What events may touch.
    pub world: World<Y>,
    cores: Vec<Core<Y>>,
    clocks: Arc<Clocks>,
    steps: u64,
    /// The core that went to sleep in the last advance.
    fell_asleep: Option<CoreId>,
}

impl<Y: System<Platform = VirtualCore>> Machine<Y> {
    /// A machine with the grid of `builder`, and on each core what `resources` makes.
    pub fn new(
        builder: Builder<Y>,
        timing: Timing,
        mut resources: impl FnMut(&Arc<Grid<Y>>, VirtualCore) -> Y::Resources,
    ) -> Self {
        let (grid, seeds) = builder.build();
        let timing = Timing {
            step_cycles: timing.step_cycles.max(1),
            ..timing
        };
        let clocks = Arc::new(Clocks {
            timing,
            cores: (0..seeds.len())
                .map(|number| Clock::new(number, &timing))
                .collect(),
            event_at: Time::new(0),
            stepping: AtomicUsize::new(NOBODY),
        });
        let core = |seed: vortex_toolkit::Seed<Y>| {
            let core = VirtualCore {
                clocks: clocks.clone(),
                core: Some(seed.core()),
            };
            let resources = resources(&grid, core.clone());
            Core::new(seed, core, resources)
        };
        let cores: Vec<_> = seeds.into_iter().map(core).collect();
        Self {
            world: World {
                outside: VirtualCore {
                    clocks: clocks.clone(),
                    core: None,
                },
                backlog: cores.iter().map(|_| VecDeque::new()).collect(),
                grid,
                calendar: Calendar {
                    times: BinaryHeap::new(),
                    events: std::collections::HashMap::new(),
                    numbers: 0,
                },
            },
            cores,
            clocks,
            steps: 0,
            fell_asleep: None,
        }
    }

    /// The core that steps next, and when. Ties go to the lower number.
    fn next_core(&self) -> (u64, usize) {
        let times = self.clocks.cores.iter().map(Clock::next);
        times.zip(0..).min().unwrap_or((NEVER, 0))
    }

    /// Does what comes next: one event or one core's step. False, without doing it, if nothing
    /// comes before `until`.
    pub fn advance(&mut self, until: u64) -> bool {
        let (core_at, core) = self.next_core();
        self.fell_asleep = None;
        if let Some(&Reverse((at, number))) = self.world.calendar.times.peek()
            && at <= core_at
        {
            if at >= until {
                return false;
            }
            self.world.calendar.times.pop();
            self.clocks.event_at.set(at.max(self.clocks.event_at.get()));
            if let Some(event) = self.world.calendar.events.remove(&number) {
                event(&mut self.world);
            }
            return true;
        }
        if core_at >= until {
            return false;
        }
        let clock = &self.clocks.cores[core];
        let timing = &self.clocks.timing;
        if clock.is_asleep() {
            clock.wake(core_at, timing);
        }
        clock.spend(timing.step_cycles, timing);
        self.steps += 1;
        self.clocks.stepping.store(core, Ordering::Relaxed);
        let step = self.cores[core].step();
        self.clocks.stepping.store(NOBODY, Ordering::Relaxed);
        if let Step::Asleep { .. } = step {
            clock.asleep.store(true, Ordering::Relaxed);
            self.fell_asleep = u16::try_from(core).ok().map(CoreId);
        }
        true
    }

    /// The core that went to sleep in the last [`Self::advance`], if one did.
    #[must_use]
    pub const fn fell_asleep(&self) -> Option<CoreId> {
        self.fell_asleep
    }

    /// Runs until every core has reached `time`, asleep or not.
    pub fn run_until(&mut self, time: u64) {
        while self.advance(time) {}
        let clocks = self.clocks.cores.iter();
        for clock in clocks.filter(|clock| clock.is_asleep()) {
            clock.sleep_until(time, &self.clocks.timing);
        }
        self.clocks
            .event_at
            .set(time.max(self.clocks.event_at.get()));
    }

    /// Runs until nothing is left to be done: all cores asleep, no timer, no event. False if that
    /// has not come after `steps` steps and events.
    #[must_use]
    pub fn run_to_rest(&mut self, steps: u64) -> bool {
        let rests = (0..steps).any(|_| !self.advance(NEVER));
        self.run_until(self.now());
        rests
    }

    /// The cores' parts of the toolkit, in order.
    pub fn cores(&mut self) -> &mut [Core<Y>] {
        &mut self.cores
    }

    /// Whether events are planned.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.world.calendar.times.is_empty()
    }

    /// How often cores have stepped.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// The latest clock.
    #[must_use]
    pub fn now(&self) -> u64 {
        let clocks = self.clocks.cores.iter().map(|clock| clock.now.get());
        clocks.max().unwrap_or(0)
    }

    /// The grid.
    #[must_use]
    pub const fn grid(&self) -> &Arc<Grid<Y>> {
        &self.world.grid
    }
}
