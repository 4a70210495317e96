//! Stories about tasks: who wakes them, when they go on, and who pays.

mod common;

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use common::{Act, Scripted, act, machine, submit, work};
use vortex_schedulers::Policy;
use vortex_sim::Machine;
use vortex_sim::readings::ledger_faults;
use vortex_toolkit::ids::{ActivityId, CoreId, DependencyLabel, ResourceId};
use vortex_toolkit::scheduler::{ClientParams, SchedulerParams, Weight};
use vortex_toolkit::{Builder, Control, Outcome, Reason, Request, SchedulerSpec, Task};

const INFRASTRUCTURE: ActivityId = ActivityId::INFRASTRUCTURE;

fn builder(cores: u16) -> Builder<Scripted> {
    Builder::new((0..cores).map(|_| (Policy::Wfq, SchedulerParams::default())))
}

fn on_core(core: u16) -> SchedulerSpec<Policy> {
    SchedulerSpec::on(Policy::Wfq, [CoreId(core)], Weight::DEFAULT)
}

/// Something that happens once, for which any number of tasks can wait, and how often they were
/// polled for it.
#[derive(Clone, Default)]
struct Event(Arc<EventState>);

#[derive(Default)]
struct EventState {
    has_happened: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
    polls: AtomicU64,
}

impl Event {
    /// Waits for it.
    async fn wait(&self) {
        poll_fn(|context| {
            self.0.polls.fetch_add(1, Ordering::SeqCst);
            if self.0.has_happened.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            self.0.wakers.lock().unwrap().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Wakes all who wait, `times` times each.
    fn wake(&self, times: usize) {
        for waker in &*self.0.wakers.lock().unwrap() {
            (0..times).for_each(|_| waker.wake_by_ref());
        }
    }

    fn happen(&self) {
        self.0.has_happened.store(true, Ordering::SeqCst);
        self.wake(1);
    }

    fn polls(&self) -> u64 {
        self.0.polls.load(Ordering::SeqCst)
    }
}

/// A request whose task waits for `event` and then counts.
fn waiting(event: &Event, ended: &Arc<AtomicU64>) -> Act {
    let (event, ended) = (event.clone(), ended.clone());
    act(move |_, _, context| {
        Outcome::Continue(Task::new(context.port(), move |_| async move {
            event.wait().await;
            ended.fetch_add(1, Ordering::SeqCst);
        }))
    })
}

/// A request that does this to `event`.
fn with(event: &Event, does: impl FnOnce(&Event) + Send + 'static) -> Act {
    let event = event.clone();
    act(move |_, _, _| {
        does(&event);
        Outcome::Done
    })
}

/// Two cores, a resource on each, and a task on core 0 that waits for an event.
fn one_that_waits() -> (Machine<Scripted>, [ResourceId; 2], Event, Arc<AtomicU64>) {
    let mut builder = builder(2);
    builder.inbox_capacity(1);
    let near = builder.resource("near", on_core(0));
    let far = builder.resource("far", on_core(1));
    let mut machine = machine(builder);
    let (event, ended) = (Event::default(), Arc::default());
    submit(&mut machine, near, INFRASTRUCTURE, waiting(&event, &ended));
    assert!(machine.run_to_rest(1_000));
    assert_eq!((event.polls(), machine.cores()[0].waiting()), (1, 1));
    (machine, [near, far], event, ended)
}

#[test]
fn a_task_is_woken_from_its_own_core_and_from_another() {
    for from in 0..2 {
        let (mut machine, resources, event, ended) = one_that_waits();
        let happen = with(&event, Event::happen);
        submit(&mut machine, resources[from], INFRASTRUCTURE, happen);
        assert!(machine.run_to_rest(1_000));
        assert_eq!(ended.load(Ordering::SeqCst), 1);
        assert_eq!((event.polls(), machine.cores()[0].waiting()), (2, 0));
        assert_eq!(ledger_faults(machine.grid()), [""; 0]);
    }
}

#[test]
fn many_wakes_are_one_poll() {
    let (mut machine, [near, far], event, ended) = one_that_waits();
    for (resource, polls) in [(near, 2), (far, 3)] {
        let wake = with(&event, |event| event.wake(100));
        submit(&mut machine, resource, INFRASTRUCTURE, wake);
        assert!(machine.run_to_rest(1_000));
        assert_eq!(event.polls(), polls);
    }
    assert_eq!(ended.load(Ordering::SeqCst), 0);
}

#[test]
fn a_wake_finds_room_in_a_full_inbox() {
    let (mut machine, [near, far], event, ended) = one_that_waits();
    let wakes = event.clone();
    // Core 0 does not step while core 1 fills its inbox and wakes its task.
    let flood = act(move |_, _, context| {
        for _ in 0..5 {
            let request = context.request(near, work(10));
            context.send(request);
        }
        wakes.happen();
        Outcome::Done
    });
    machine
        .world
        .submit(CoreId(1), Request::new(far, INFRASTRUCTURE, flood));
    assert!(machine.run_to_rest(1_000));
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    let usage = machine.grid().usage(near, INFRASTRUCTURE);
    assert_eq!(usage.requests, 6);
}

#[test]
fn a_wake_during_the_poll_is_another_poll() {
    let mut builder = builder(1);
    let resource = builder.resource("resource", on_core(0));
    let mut machine = machine(builder);
    let polls = Arc::new(AtomicU64::new(0));
    let counts = polls.clone();
    let yielding = act(move |_, _, context| {
        Outcome::Continue(Task::new(context.port(), move |_| {
            poll_fn(move |context| {
                // Twice in one poll is once more all the same.
                context.waker().wake_by_ref();
                let waker = context.waker().clone();
                waker.wake();
                match counts.fetch_add(1, Ordering::SeqCst) {
                    9 => Poll::Ready(()),
                    _ => Poll::Pending,
                }
            })
        }))
    });
    submit(&mut machine, resource, INFRASTRUCTURE, yielding);
    assert!(machine.run_to_rest(1_000));
    assert_eq!(polls.load(Ordering::SeqCst), 10);
    assert_eq!(machine.cores()[0].waiting(), 0);
}

#[test]
fn who_wakes_a_task_that_has_ended_wakes_nobody_else() {
    let (mut machine, [near, far], event, ended) = one_that_waits();
    submit(
        &mut machine,
        near,
        INFRASTRUCTURE,
        with(&event, Event::happen),
    );
    assert!(machine.run_to_rest(1_000));
    // The next task has the number of the one that has ended.
    let next = Event::default();
    submit(&mut machine, near, INFRASTRUCTURE, waiting(&next, &ended));
    assert!(machine.run_to_rest(1_000));
    for resource in [near, far] {
        submit(
            &mut machine,
            resource,
            INFRASTRUCTURE,
            with(&event, |event| event.wake(3)),
        );
        assert!(machine.run_to_rest(1_000));
    }
    assert_eq!(next.polls(), 1);
    submit(
        &mut machine,
        far,
        INFRASTRUCTURE,
        with(&next, Event::happen),
    );
    assert!(machine.run_to_rest(1_000));
    assert_eq!((next.polls(), ended.load(Ordering::SeqCst)), (2, 2));
    // Nor one that has been dropped.
    let dropped = Event::default();
    submit(
        &mut machine,
        near,
        INFRASTRUCTURE,
        waiting(&dropped, &ended),
    );
    assert!(machine.run_to_rest(1_000));
    machine.cores()[0]
        .context()
        .control(&Control::RemoveClient(near, INFRASTRUCTURE));
    submit(
        &mut machine,
        far,
        INFRASTRUCTURE,
        with(&dropped, Event::happen),
    );
    assert!(machine.run_to_rest(1_000));
    assert_eq!((dropped.polls(), ended.load(Ordering::SeqCst)), (1, 2));
}

#[test]
fn a_suspended_activitys_task_goes_on_when_that_is_resumed() {
    let mut builder = builder(1);
    let resource = builder.resource("resource", on_core(0));
    let activity = builder.activity("a", ClientParams::default());
    let mut machine = machine(builder);
    let (event, ended) = (Event::default(), Arc::default());
    submit(&mut machine, resource, activity, waiting(&event, &ended));
    assert!(machine.run_to_rest(1_000));
    let control = |machine: &mut Machine<Scripted>, control| {
        machine.cores()[0].context().control(&control);
        assert!(machine.run_to_rest(1_000));
    };
    control(&mut machine, Control::SuspendActivity(activity));
    submit(
        &mut machine,
        resource,
        INFRASTRUCTURE,
        with(&event, Event::happen),
    );
    assert!(machine.run_to_rest(1_000));
    assert_eq!(event.polls(), 1);
    control(&mut machine, Control::ResumeActivity(activity));
    assert_eq!((event.polls(), ended.load(Ordering::SeqCst)), (2, 1));
}

#[test]
fn a_task_of_its_own_has_its_own_payer_and_holds_nobody_back() {
    let mut builder = builder(1);
    let starting = builder.resource("starting", on_core(0));
    let running = builder.resource("running", on_core(0));
    let activity = builder.activity("a", ClientParams::default());
    let mut machine = machine(builder);
    let event = Event::default();
    let label = DependencyLabel(5);
    let order: Arc<Mutex<Vec<(&str, u64)>>> = Arc::default();
    let (in_task, in_request) = (order.clone(), order.clone());
    let waits = event.clone();
    let second = act(move |_, core, _| {
        in_request.lock().unwrap().push(("request", 0));
        core.spend(1_000);
        Outcome::Done
    });
    let start = act(move |_, core, context| {
        let head = Request::new(running, activity, ()).ordered(label).head;
        let core = core.clone();
        let spawned = context.spawn(&head, move |port| async move {
            core.spend(10_000);
            in_task.lock().unwrap().push(("task", port.now()));
            waits.wait().await;
            in_task.lock().unwrap().push(("task", port.now()));
            assert_eq!(port.head().dependency, label);
        });
        assert_eq!(spawned, Ok(()));
        // Behind the task, and not held back by it.
        context.send(Request::new(running, activity, second).ordered(label));
        Outcome::Done
    });
    submit(&mut machine, starting, INFRASTRUCTURE, start);
    assert!(machine.run_to_rest(1_000));
    let at_rest = machine.now();
    machine.run_until(at_rest + 1_000_000);
    submit(
        &mut machine,
        starting,
        INFRASTRUCTURE,
        with(&event, Event::happen),
    );
    assert!(machine.run_to_rest(1_000));
    let usage = machine.grid().usage(running, activity);
    assert_eq!(
        (usage.cycles, usage.requests),
        (11_000, 1),
        "polls are no requests"
    );
    let order = order.lock().unwrap();
    let [("task", first), ("request", _), ("task", second)] = order[..] else {
        panic!("{order:?}");
    };
    assert!(
        first < at_rest && second >= at_rest + 1_000_000,
        "{order:?}"
    );
    assert_eq!(ledger_faults(machine.grid()), [""; 0]);
}

#[test]
fn no_task_begins_where_it_could_not_run() {
    let mut builder = builder(2);
    let here = builder.resource("here", on_core(0));
    let there = builder.resource("there", on_core(1));
    let activity = builder.activity("a", ClientParams::default());
    let mut machine = machine(builder);
    let mut context = machine.cores()[0].context();
    let mut spawn = |resource, activity| {
        let head = Request::new(resource, activity, ()).head;
        context.spawn(&head, |_| async {})
    };
    assert_eq!(spawn(there, activity), Err(Reason::NoCore));
    assert_eq!(spawn(ResourceId(7), activity), Err(Reason::NoResource));
    assert_eq!(spawn(here, ActivityId(7)), Err(Reason::NoActivity));
    assert_eq!(spawn(here, activity), Ok(()));
    assert!(machine.run_to_rest(1_000));
    assert_eq!(machine.cores()[0].waiting(), 0);
}
