//! A thread in user mode inside a request: who sends something to its core wakes it, once, and only
//! while it is there. On cores that are stepped by hand, with a platform that counts.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use vortex_schedulers::Policy;
use vortex_toolkit::ids::{ActivityId, CoreId, ResourceId};
use vortex_toolkit::scheduler::{ClientParams, SchedulerParams, Weight};
use vortex_toolkit::{
    Builder, Context, Core, Grid, Message, Outcome, Platform, Reason, Request, Resources,
    SchedulerSpec, Step, System,
};

/// One core of a machine whose clock goes on with every look at it.
#[derive(Clone)]
struct Counting {
    core: CoreId,
    now: Rc<Cell<u64>>,
    interrupted: Rc<Cell<u64>>,
    /// Wake-ups sent to core 0.
    wakes: Arc<AtomicU32>,
}

impl Platform for Counting {
    fn now(&self) -> u64 {
        self.now.set(self.now.get() + 1);
        self.now.get()
    }
    fn core(&self) -> CoreId {
        self.core
    }
    fn interrupt_cycles(&self) -> u64 {
        self.interrupted.get()
    }
    fn wake(&self, core: CoreId) {
        if core == CoreId(0) {
            self.wakes.fetch_add(1, Ordering::Relaxed);
        }
    }
    fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        let wakes = self.wakes.clone();
        let counts = u32::from(self.core == CoreId(0));
        move || {
            wakes.fetch_add(counts, Ordering::Relaxed);
        }
    }
    fn set_timer(&self, _: u64) {}
}

/// What a request does.
type Does = fn(&mut Context<'_, Test>, &Counting);

struct Test;

struct Do(Does);

impl Message for Do {}

impl System for Test {
    type Platform = Counting;
    type Policy = Policy;
    type Message = Do;
    type Resources = Player;
}

/// Has the platform of the other core.
struct Player(Counting);

impl Resources<Test> for Player {
    fn handle(&mut self, message: Do, context: &mut Context<'_, Test>) -> Outcome<Do> {
        message.0(context, &self.0);
        Outcome::Done
    }
    fn returned(&mut self, _: Request<Do>, _: Reason, _: &mut Context<'_, Test>) {}
}

const NOTHING: Do = Do(|_, _| {});

struct Pair {
    grid: Arc<Grid<Test>>,
    cores: Vec<Core<Test>>,
    platforms: [Counting; 2],
    on_0: ResourceId,
}

fn pair() -> Pair {
    let multiplexor = || (Policy::Wfq, SchedulerParams::default());
    let mut builder = Builder::<Test>::new([multiplexor(), multiplexor()]);
    let spec = SchedulerSpec::on(Policy::Wfq, [CoreId(0)], Weight::DEFAULT);
    let on_0 = builder.resource("threads", spec);
    let (grid, seeds) = builder.build();
    let (now, wakes) = (Rc::new(Cell::new(0)), Arc::new(AtomicU32::new(0)));
    let platforms = [0, 1].map(|core| Counting {
        core: CoreId(core),
        now: now.clone(),
        interrupted: Rc::default(),
        wakes: wakes.clone(),
    });
    let cores = seeds.into_iter().enumerate().map(|(index, seed)| {
        let other = platforms[1 - index].clone();
        Core::new(seed, platforms[index].clone(), Player(other))
    });
    Pair {
        cores: cores.collect(),
        grid,
        platforms,
        on_0,
    }
}

/// Sends something to core 0 from core 1's side; how often that core was woken until then.
fn send(context: &Context<'_, Test>, from: &Counting) -> u32 {
    let request = Request::new(context.head().destination, context.head().activity, NOTHING);
    let sent = context.grid().submit_to(from, CoreId(0), request);
    assert!(sent.is_ok());
    from.wakes.load(Ordering::Relaxed)
}

#[test]
fn a_sender_wakes_the_core_of_a_thread_in_user_mode() {
    let mut pair = pair();
    let thread: Does = |context, other| {
        assert_eq!(send(context, other), 0, "it is awake");
        assert!(!context.enter_user(), "something is there already");
    };
    let request = Request::new(pair.on_0, ActivityId::INFRASTRUCTURE, Do(thread));
    pair.cores[0].send(request);
    assert_eq!(pair.cores[0].step(), Step::Worked);
    while pair.cores[0].step() == Step::Worked {}
    assert_eq!(pair.platforms[0].wakes.load(Ordering::Relaxed), 0);
    let thread: Does = |context, other| {
        assert!(context.enter_user());
        assert!(!context.should_yield());
        assert_eq!(send(context, other), 1);
        assert_eq!(send(context, other), 1, "once");
        context.leave_user();
        assert!(context.should_yield());
        assert_eq!(send(context, other), 1, "it is awake again");
        assert!(!context.enter_user());
    };
    let request = Request::new(pair.on_0, ActivityId::INFRASTRUCTURE, Do(thread));
    pair.cores[0].send(request);
    assert_eq!(pair.cores[0].step(), Step::Worked);
}

#[test]
fn interrupts_are_not_the_threads_in_a_snapshot() {
    let mut pair = pair();
    let activity = pair.grid.add_activity("a", ClientParams::default());
    let thread: Does = |context, _| {
        let (began, platform) = (context.now(), context.platform().clone());
        platform.interrupted.set(400);
        assert!(context.enter_user());
        let at = began + 10_000;
        let snapshot = context.grid().snapshot(at);
        assert_eq!(snapshot.missing_cycles(CoreId(0)), 0);
        let ledger = snapshot.ledgers[0];
        assert_eq!((ledger.through, ledger.interrupt), (at, 400));
        let cycles = |snapshot: &vortex_toolkit::Snapshot| -> u64 {
            let all = snapshot.accounts.iter();
            all.map(|account| account.usage.cycles).sum()
        };
        assert_eq!(cycles(&snapshot), 9_600);
        // What `accounts` has does not grow before it is booked.
        let booked = context.grid().accounts();
        assert!(booked.iter().all(|account| account.usage.cycles == 0));
        // A reader whose clock is behind does not go below what is booked.
        assert_eq!(cycles(&context.grid().snapshot(0)), 0);
        platform.now.set(began + 20_000);
    };
    pair.cores[0].send(Request::new(pair.on_0, activity, Do(thread)));
    assert_eq!(pair.cores[0].step(), Step::Worked);
    let usage = pair.grid.usage(pair.on_0, activity);
    assert!((19_600..19_700).contains(&usage.cycles), "{}", usage.cycles);
    let snapshot = pair.grid.snapshot(pair.platforms[0].now.get());
    assert_eq!(snapshot.missing_cycles(CoreId(0)), 0);
    assert_eq!(snapshot.ledgers[0].interrupt, 400);
}

#[test]
fn what_a_thread_sends_has_not_waited_since_the_thread_began() {
    let mut pair = pair();
    let thread: Does = |context, _| {
        assert!(context.enter_user());
        let clock = &context.platform().now;
        clock.set(clock.get() + 100_000);
        context.leave_user();
        context.send(context.request(context.head().destination, NOTHING));
    };
    let request = Request::new(pair.on_0, ActivityId::INFRASTRUCTURE, Do(thread));
    pair.cores[0].send(request);
    while pair.cores[0].step() == Step::Worked {}
    let usage = pair.grid.usage(pair.on_0, ActivityId::INFRASTRUCTURE);
    assert_eq!(usage.requests, 2);
    let long = usage.waiting.iter().skip(10).sum::<u64>();
    assert_eq!(long, 0, "{:?}", usage.waiting);
}
