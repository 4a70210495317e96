//! Stories about the toolkit, each of one promise that is hard to keep.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{Act, Scripted, act, machine, submit, work};
use vortex_schedulers::Policy;
use vortex_sim::Machine;
use vortex_toolkit::ids::{ActivityId, AffinityLabel, CoreId, DependencyLabel, ResourceId};
use vortex_toolkit::scheduler::{ClientParams, Reservation, SchedulerParams, Weight};
use vortex_toolkit::{Builder, Control, Outcome, Reason, Request, SchedulerSpec, Task};

fn builder(cores: u16) -> Builder<Scripted> {
    Builder::new((0..cores).map(|_| (Policy::Wfq, SchedulerParams::default())))
}

fn on_core(policy: Policy, core: u16) -> SchedulerSpec<Policy> {
    SchedulerSpec::on(policy, [CoreId(core)], Weight::DEFAULT)
}

/// Something that counts how often it happens.
fn counter() -> (Arc<AtomicU64>, impl Fn() -> Act) {
    let count = Arc::new(AtomicU64::new(0));
    let counts = count.clone();
    let make = move || {
        let count = counts.clone();
        act(move |_, _, _| {
            count.fetch_add(1, Ordering::Relaxed);
            Outcome::Done
        })
    };
    (count, make)
}

fn demotions(machine: &mut Machine<Scripted>) -> u64 {
    machine
        .cores()
        .iter()
        .map(vortex_toolkit::Core::demotions)
        .sum()
}

const RESERVED: ClientParams = ClientParams {
    weight: Weight::DEFAULT,
    priority: 0,
    deadline_cycles: 100_000,
    reservation: Some(Reservation {
        budget: 1_000,
        period_cycles: 100_000,
    }),
    queue_limit: u32::MAX,
};

/// A request that sends itself again, for ever.
fn endless(cycles: u64) -> Act {
    act(move |head, core, context| {
        core.spend(cycles);
        let next = context.request(head.destination, endless(cycles));
        context.send(next);
        Outcome::Done
    })
}

#[test]
fn a_delayed_scheduler_is_asked_again_on_a_core_that_never_rests() {
    let mut builder = builder(1);
    let busy = builder.resource("busy", on_core(Policy::Fifo, 0));
    let reserved = builder.resource("reserved", on_core(Policy::Edf, 0));
    let activity = builder.activity("a", RESERVED);
    let mut machine = machine(builder);
    submit(&mut machine, busy, activity, endless(1_000));
    submit(&mut machine, reserved, activity, endless(1_000));
    machine.run_until(10_000_000);
    let usage = machine.grid().usage(reserved, activity);
    // A budget of one request every 100,000 cycles.
    assert!((99..=101).contains(&usage.requests), "{}", usage.requests);
    assert_eq!(demotions(&mut machine), 0);
}

#[test]
fn a_policy_keeps_its_role_when_its_resource_was_suspended_for_long() {
    let mut builder = builder(1);
    builder.patience(1_000_000);
    let reserved = builder.resource("reserved", on_core(Policy::Edf, 0));
    let activity = builder.activity("a", RESERVED);
    let mut machine = machine(builder);
    submit(&mut machine, reserved, activity, endless(1_000));
    machine.run_until(50_000);
    machine.cores()[0]
        .context()
        .control(&Control::SuspendResource(reserved));
    // The next window begins at 100,000; a charge from elsewhere uses it up.
    machine.run_until(5_000_000);
    let usage = machine.grid().usage(reserved, activity);
    assert_eq!(usage.requests, 1, "while it was suspended");
    machine.cores()[0].context().report(
        reserved,
        activity,
        vortex_toolkit::record::Metric::Bytes,
        1,
    );
    machine.cores()[0]
        .context()
        .control(&Control::ResumeResource(reserved));
    submit(&mut machine, reserved, ActivityId::INFRASTRUCTURE, work(1));
    machine.run_until(10_000_000);
    assert_eq!(demotions(&mut machine), 0);
    let usage = machine.grid().usage(reserved, activity);
    assert!((50..=53).contains(&usage.requests), "{}", usage.requests);
}

#[test]
fn who_retries_at_once_what_came_back_keeps_nobody_else_from_being_served() {
    let mut builder = builder(1);
    let gone = builder.resource("gone", on_core(Policy::Fifo, 0));
    let other = builder.resource("other", on_core(Policy::Fifo, 0));
    let mut machine = machine(builder);
    let (count, counting) = counter();
    machine.cores()[0].resources().on_return = Some(Box::new(|request, _, context| {
        context.send(request);
    }));
    machine.cores()[0]
        .context()
        .control(&Control::RemoveResource(gone));
    submit(&mut machine, gone, ActivityId::INFRASTRUCTURE, work(1));
    machine.run_until(100_000);
    submit(&mut machine, other, ActivityId::INFRASTRUCTURE, counting());
    machine.run_until(200_000);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn a_reply_does_not_wait_behind_the_request_that_waits_for_it() {
    // A asks B, whose task asks A back, all with one label: the reply comes from A, as the
    // request did that waits for it.
    let mut builder = builder(1);
    let a = builder.resource("a", on_core(Policy::Wfq, 0));
    let b = builder.resource("b", on_core(Policy::Wfq, 0));
    let mut machine = machine(builder);
    let (count, counting) = counter();
    let done = counting();
    let ask_back = act(|head, _, context| {
        context.reply(head, work(0));
        Outcome::Done
    });
    let in_b = act(move |_, _, context| {
        Outcome::Continue(Task::new(context.port(), move |port| async move {
            let answer = port.call(port.request(a, ask_back)).await;
            assert!(answer.is_ok());
            port.send(port.request(a, done));
        }))
    });
    let in_a = act(move |_, _, context| {
        let request = context.request(b, in_b);
        context.send(request);
        Outcome::Done
    });
    let request = Request::new(a, ActivityId::INFRASTRUCTURE, in_a)
        .ordered(DependencyLabel(7))
        .near(AffinityLabel(7));
    machine.world.submit(CoreId(0), request);
    assert!(machine.run_to_rest(1_000));
    assert_eq!(count.load(Ordering::Relaxed), 1);
    assert_eq!(machine.cores()[0].waiting(), 0);
}

#[test]
fn a_reply_is_taken_although_the_queue_is_full() {
    let mut builder = builder(1);
    let a = builder.resource("a", on_core(Policy::Wfq, 0));
    let b = builder.resource("b", on_core(Policy::Wfq, 0));
    let activity = builder.activity(
        "a",
        ClientParams {
            queue_limit: 1,
            ..ClientParams::default()
        },
    );
    let mut machine = machine(builder);
    let (count, counting) = counter();
    let done = counting();
    let fill = counting();
    let answer = act(move |head, _, context| {
        // The queue of A is full when the reply comes to it.
        let filling = context.request(a, fill);
        context.send(filling);
        context.reply(head, work(0));
        Outcome::Done
    });
    let asking = act(move |_, _, context| {
        Outcome::Continue(Task::new(context.port(), move |port| async move {
            let answer = port.call(port.request(b, answer)).await;
            assert!(answer.is_ok(), "{answer:?}");
            port.send(port.request(b, done));
        }))
    });
    submit(&mut machine, a, activity, asking);
    assert!(machine.run_to_rest(1_000));
    assert_eq!(count.load(Ordering::Relaxed), 2);
    assert_eq!(machine.cores()[0].resources().returned, []);
}

#[test]
fn the_last_of_suspending_and_resuming_counts_however_the_news_travel() {
    let mut builder = builder(2);
    builder.inbox_capacity(1);
    let target = builder.resource("target", on_core(Policy::Wfq, 1));
    let control = builder.resource("control", on_core(Policy::Wfq, 0));
    let other = builder.resource("other", on_core(Policy::Wfq, 1));
    let activity = builder.activity("a", ClientParams::default());
    let mut machine = machine(builder);
    let (count, counting) = counter();
    let infrastructure = ActivityId::INFRASTRUCTURE;
    // Core 0 fills the inbox of core 1, so that its news wait; core 1 finds it empty.
    let suspend = act(move |_, _, context| {
        for _ in 0..3 {
            let filling = context.request(other, work(10));
            context.send(filling);
        }
        context.control(&Control::SuspendActivity(activity));
        context.control(&Control::SuspendResource(target));
        Outcome::Done
    });
    let resume = act(move |_, _, context| {
        context.control(&Control::ResumeActivity(activity));
        context.control(&Control::ResumeResource(target));
        Outcome::Done
    });
    submit(&mut machine, target, activity, counting());
    assert!(machine.run_to_rest(1_000));
    submit(&mut machine, control, infrastructure, suspend);
    machine.run_until(machine.now() + 2_000);
    machine
        .world
        .submit(CoreId(1), Request::new(other, infrastructure, resume));
    assert!(machine.run_to_rest(10_000));
    submit(&mut machine, target, activity, counting());
    assert!(machine.run_to_rest(10_000));
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[test]
fn a_trigger_of_another_core_is_not_taken_for_one_of_this() {
    let mut builder = builder(2);
    let a = builder.resource("a", on_core(Policy::Wfq, 0));
    let b = builder.resource("b", on_core(Policy::Wfq, 1));
    let mut machine = machine(builder);
    let infrastructure = ActivityId::INFRASTRUCTURE;
    let (count, counting) = counter();
    let done = counting();
    // Both cores have a pending trigger number 0; that of core 0 has been fired when B waits.
    let of_core_1 = machine.cores()[1].context().trigger();
    let in_a = act(move |_, _, context| {
        let trigger = context.trigger();
        let again = done;
        let waiting = act(move |_, _, _| Outcome::Wait(again, trigger));
        let waiting = context.request(b, waiting);
        context.send(waiting);
        context.fire(trigger);
        Outcome::Done
    });
    submit(&mut machine, a, infrastructure, in_a);
    assert!(machine.run_to_rest(1_000));
    assert_eq!(count.load(Ordering::Relaxed), 1);
    let _still_pending = of_core_1;
}

#[test]
fn a_resource_that_was_removed_hands_back_what_is_sent_to_it() {
    let mut builder = builder(2);
    let target = builder.resource("target", on_core(Policy::Wfq, 1));
    let mut machine = machine(builder);
    let infrastructure = ActivityId::INFRASTRUCTURE;
    machine.cores()[0]
        .context()
        .control(&Control::SuspendResource(target));
    submit(&mut machine, target, infrastructure, work(1));
    assert!(machine.run_to_rest(1_000));
    machine.cores()[0]
        .context()
        .control(&Control::RemoveResource(target));
    assert!(machine.run_to_rest(1_000));
    submit(&mut machine, target, infrastructure, work(1));
    submit(&mut machine, ResourceId(99), infrastructure, work(1));
    submit(&mut machine, ResourceId::OUTSIDE, infrastructure, work(1));
    assert!(machine.run_to_rest(1_000));
    let returned = |machine: &mut Machine<Scripted>, core: usize| {
        machine.cores()[core].resources().returned.clone()
    };
    assert_eq!(returned(&mut machine, 1), [Reason::NoResource]);
    assert_eq!(returned(&mut machine, 0), [Reason::NoResource; 3]);
}
