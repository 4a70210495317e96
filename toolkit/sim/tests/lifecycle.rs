//! What comes and goes while the system runs: schedulers, resources, activities, shares.
#![forbid(unsafe_code)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{Act, Scripted, act, machine, submit, work};
use vortex_schedulers::Policy;
use vortex_sim::Machine;
use vortex_sim::readings::ledger_faults;
use vortex_toolkit::ids::{ActivityId, AffinityLabel, CoreId, ResourceId};
use vortex_toolkit::scheduler::{ClientParams, SchedulerParams, Weight};
use vortex_toolkit::{
    Ask, Asker, Builder, Control, Outcome, Parent, Platform, Reason, Request, SchedulerId,
    SchedulerSpec,
};

const WORK: u64 = 10_000;

fn builder(cores: usize) -> Builder<Scripted> {
    let multiplexor = || (Policy::Wfq, SchedulerParams::default());
    Builder::new(std::iter::repeat_with(multiplexor).take(cores))
}

fn params(weight: u32) -> ClientParams {
    ClientParams {
        weight: Weight::new(weight).expect("in range"),
        ..ClientParams::default()
    }
}

fn all_cores(cores: usize) -> impl Iterator<Item = CoreId> {
    (0..cores).map(|core| CoreId(u16::try_from(core).expect("few cores")))
}

/// A home that asks all multiplexors with this weight.
fn home(cores: usize, weight: u32) -> SchedulerSpec<Policy> {
    SchedulerSpec::on(Policy::Wfq, all_cores(cores), params(weight).weight)
}

/// A resource below a home.
fn at(home: SchedulerId, cores: usize) -> SchedulerSpec<Policy> {
    let ask = |core| Ask {
        core,
        parent: Parent::Scheduler(home),
        params: ClientParams::default(),
    };
    SchedulerSpec {
        policy: Policy::RoundRobin,
        params: SchedulerParams::default(),
        asks: all_cores(cores).map(ask).collect(),
    }
}

/// A thread that never ends: it takes [`WORK`] and sends itself again.
fn forever() -> Act {
    act(|head, core, context| {
        core.spend(WORK);
        let again = context.request(head.destination, forever());
        context.send(again);
        Outcome::Done
    })
}

/// An activity with a home and one CPU-bound thread, all made at run time.
struct Hog {
    activity: ActivityId,
    home: SchedulerId,
    threads: ResourceId,
}

fn hog(machine: &mut Machine<Scripted>, name: &str, weight: u32) -> Hog {
    let cores = machine.cores().len();
    let grid = machine.grid().clone();
    let activity = grid.add_activity(name, params(weight));
    let home = grid.add_scheduler(home(cores, weight));
    let threads = grid.add_resource("threads", at(home, cores));
    submit(machine, threads, activity, forever());
    Hog {
        activity,
        home,
        threads,
    }
}

fn control(machine: &mut Machine<Scripted>, control: &Control<Scripted>) {
    machine.cores()[0].context().control(control);
}

fn cycles(machine: &Machine<Scripted>, hog: &Hog) -> u64 {
    machine.grid().usage(hog.threads, hog.activity).cycles
}

/// What two hogs have received in the next `time`.
fn shares(machine: &mut Machine<Scripted>, hogs: [&Hog; 2], time: u64) -> [u64; 2] {
    let before = hogs.map(|hog| cycles(machine, hog));
    machine.run_until(machine.now() + time);
    let after = hogs.map(|hog| cycles(machine, hog));
    [after[0] - before[0], after[1] - before[1]]
}

#[test]
fn homes_made_at_run_time_divide_the_core_by_their_weights() {
    let mut machine = machine(builder(1));
    let one = hog(&mut machine, "one", 100);
    machine.run_until(5_000_000);
    let three = hog(&mut machine, "three", 300);
    machine.run_until(6_000_000);
    let [a, b] = shares(&mut machine, [&one, &three], 40_000_000);
    // Within one decision of each, as fair queueing promises.
    assert!((3 * a).abs_diff(b) <= 4 * (WORK + 1_000), "{a} {b}");
    // A second process of the same activity does not change that.
    let second = machine.grid().add_resource("threads", at(one.home, 1));
    submit(&mut machine, second, one.activity, forever());
    machine.run_until(machine.now() + 1_000_000);
    let before = machine.grid().usage(second, one.activity).cycles;
    let [a, b] = shares(&mut machine, [&one, &three], 40_000_000);
    let of_second = machine.grid().usage(second, one.activity).cycles - before;
    assert!((3 * (a + of_second)).abs_diff(b) <= 8 * (WORK + 1_000));
    assert!(
        a.abs_diff(of_second) <= 2 * (WORK + 1_000),
        "{a} {of_second}"
    );
    assert_eq!(ledger_faults(machine.grid()), Vec::<String>::new());
}

#[test]
fn a_share_at_the_parent_changes_at_the_next_decision_and_keeps_its_tag() {
    let mut machine = machine(builder(1));
    let one = hog(&mut machine, "one", 100);
    let other = hog(&mut machine, "other", 100);
    machine.run_until(10_000_000);
    let asker = Asker::Scheduler(one.home);
    let outside = machine.cores()[0].platform().clone();
    let set = |weight| Control::SetAsk(asker, None, params(weight));
    let grid = machine.grid().clone();
    assert!(grid.control(&outside, set(900)).is_ok());
    let [a, b] = shares(&mut machine, [&one, &other], 40_000_000);
    assert!(a.abs_diff(9 * b) <= 11 * (WORK + 1_000), "{a} {b}");
    assert_eq!(
        grid.ask(asker, CoreId(0)).map(|ask| ask.params),
        Some(params(900))
    );
    // Changed to and fro, nobody gains: the tag stays.
    let mut total = [0; 2];
    for _ in 0..100 {
        for weight in [100, 200, 100] {
            control(&mut machine, &set(weight));
        }
        let [a, b] = shares(&mut machine, [&one, &other], 400_000);
        total = [total[0] + a, total[1] + b];
    }
    assert!(
        total[0].abs_diff(total[1]) <= 12 * (WORK + 1_000),
        "{total:?}"
    );
    // Of a resource's scheduler, and on one core only.
    let second = machine.grid().add_resource("threads", at(one.home, 1));
    submit(&mut machine, second, one.activity, forever());
    let first = Asker::Resource(one.threads);
    control(
        &mut machine,
        &Control::SetAsk(first, Some(CoreId(0)), params(300)),
    );
    machine.run_until(machine.now() + 1_000_000);
    let before = grid.usage(second, one.activity).cycles;
    let [a, _] = shares(&mut machine, [&one, &other], 40_000_000);
    let b = grid.usage(second, one.activity).cycles - before;
    assert!(a.abs_diff(3 * b) <= 5 * (WORK + 1_000), "{a} {b}");
}

/// Ends all that a hog has, in an order that has to wait for itself: the home first.
fn end(machine: &mut Machine<Scripted>, hog: &Hog) {
    control(machine, &Control::RemoveScheduler(hog.home));
    control(machine, &Control::EndActivity(hog.activity));
    control(machine, &Control::RemoveResource(hog.threads));
}

/// What each activity that is still there has used, in all.
fn totals(machine: &Machine<Scripted>) -> BTreeMap<ActivityId, u64> {
    let mut totals = BTreeMap::new();
    for account in machine.grid().accounts() {
        *totals.entry(account.activity).or_default() += account.usage.cycles;
    }
    totals
}

#[test]
fn processes_that_come_and_go_leave_nothing_behind() {
    const CORES: usize = 2;
    const TIMES: u64 = 100_000;
    let mut machine = machine(builder(CORES));
    let resident = hog(&mut machine, "resident", 100);
    let grid = machine.grid().clone();
    let (mut most, mut previous) = ((0, 0, 0), 0);
    for number in 0..TIMES {
        // Every fourth process is of the resident activity, and nothing else of it goes.
        let own = number % 4 != 0;
        let activity = match own {
            true => grid.add_activity("guest", params(10)),
            false => resident.activity,
        };
        let guest = Hog {
            activity,
            home: grid.add_scheduler(home(CORES, 10)),
            threads: ResourceId(0),
        };
        let threads = grid.add_resource("threads", at(guest.home, CORES));
        let guest = Hog { threads, ..guest };
        submit(&mut machine, threads, activity, forever());
        machine.run_until(machine.now() + 50_000);
        control(&mut machine, &Control::RemoveScheduler(guest.home));
        control(&mut machine, &Control::RemoveResource(guest.threads));
        if own {
            control(&mut machine, &Control::EndActivity(activity));
        }
        machine.run_until(machine.now() + 10_000);
        let accounts = grid.accounts().len();
        most = (
            most.0.max(grid.resources()),
            most.1.max(grid.activities()),
            most.2.max(accounts),
        );
        if number % 1_000 == 0 {
            let total = totals(&machine)[&resident.activity];
            assert!(total > previous, "{number}: {total} after {previous}");
            previous = total;
            assert_eq!(ledger_faults(&grid), Vec::<String>::new());
        }
    }
    // The resident's, a guest's or two on their way, and the heir of all "threads".
    assert!(most.0 <= 4 && most.1 <= 4 && most.2 <= 16, "{most:?}");
    // Two tables with places that are not used again at once, and the nodes.
    for core in machine.cores() {
        assert!(core.places() <= 80, "{}", core.places());
    }
    assert_eq!(
        grid.activity_name(ActivityId::ENDED).as_deref(),
        Some("ended activities")
    );
    assert!(totals(&machine)[&ActivityId::ENDED] > 0);
}

#[test]
fn a_late_request_never_reaches_a_successor() {
    let mut machine = machine(builder(2));
    let grid = machine.grid().clone();
    let first = hog(&mut machine, "first", 100);
    machine.run_until(100_000);
    end(&mut machine, &first);
    machine.run_until(200_000);
    let executed = Arc::new(AtomicU64::new(0));
    let count = || {
        let executed = executed.clone();
        act(move |_, _, _| {
            executed.fetch_add(1, Ordering::Relaxed);
            Outcome::Done
        })
    };
    // Until the places are used again.
    let mut successors = Vec::new();
    let mut same = (false, false);
    for _ in 0..100 {
        let next = hog(&mut machine, "next", 100);
        machine.run_until(machine.now() + 20_000);
        same.0 |= next.threads.index() == first.threads.index();
        same.1 |= next.activity.index() == first.activity.index();
        for (resource, activity) in [
            (first.threads, next.activity),
            (next.threads, first.activity),
            (first.threads, first.activity),
        ] {
            submit(&mut machine, resource, activity, count());
        }
        machine.run_until(machine.now() + 20_000);
        end(&mut machine, &next);
        machine.run_until(machine.now() + 20_000);
        successors.push(next);
    }
    assert_eq!(same, (true, true), "no number's place was used again");
    assert_eq!(executed.load(Ordering::Relaxed), 0);
    let returned = machine.cores().iter_mut();
    let returned: usize = returned.map(|core| core.resources().returned.len()).sum();
    // And one of each hog, which was running when its resource went.
    assert!((300..=401).contains(&returned), "{returned}");
    assert_eq!(grid.activity_name(first.activity), None);
    assert_eq!(grid.resource_name(first.threads), None);
}

#[test]
fn a_scheduler_goes_with_the_last_that_asks_it() {
    let mut machine = machine(builder(2));
    let grid = machine.grid().clone();
    let one = hog(&mut machine, "one", 100);
    let asker = Asker::Scheduler(one.home);
    machine.run_until(100_000);
    control(&mut machine, &Control::RemoveScheduler(one.home));
    machine.run_until(200_000);
    // Still asked, and serving.
    assert!(grid.ask(asker, CoreId(0)).is_some());
    let before = cycles(&machine, &one);
    machine.run_until(300_000);
    assert!(cycles(&machine, &one) > before);
    // But nobody begins to ask it.
    let late = grid.add_resource("late", at(one.home, 2));
    submit(&mut machine, late, one.activity, work(1));
    machine.run_until(400_000);
    let returned = |machine: &mut Machine<Scripted>| -> Vec<Reason> {
        let cores = machine.cores().iter_mut();
        cores
            .flat_map(|core| core.resources().returned.clone())
            .collect()
    };
    assert_eq!(returned(&mut machine), [Reason::NoCore]);
    control(&mut machine, &Control::RemoveResource(late));
    control(&mut machine, &Control::RemoveResource(one.threads));
    machine.run_until(500_000);
    assert_eq!(grid.ask(asker, CoreId(0)), None);
}

#[test]
fn a_snapshot_has_what_runs_and_what_sleeps() {
    let mut machine = machine(builder(2));
    let activity = machine.grid().add_activity("a", params(100));
    let spec = SchedulerSpec::on(Policy::Wfq, [CoreId(0)], Weight::DEFAULT);
    let threads = machine.grid().add_resource("threads", spec);
    machine.run_until(1_000_000);
    let (entered, yields) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counts = (entered.clone(), yields.clone());
    let thread = act(move |head, core, context| {
        let (activity, threads) = (head.activity, head.destination);
        let used = |context: &common::Ctx<'_>, now| {
            let snapshot = context.grid().snapshot(now);
            for number in all_cores(2) {
                assert_eq!(snapshot.missing_cycles(number), 0, "{number:?}");
                assert_eq!(snapshot.ledgers[number.index()].through, now, "{number:?}");
            }
            let own = snapshot.accounts.iter().filter(|one| {
                (one.resource, one.activity, one.core) == (threads, activity, CoreId(0))
            });
            own.map(|one| one.usage.cycles).sum::<u64>()
        };
        let began = context.now();
        counts
            .0
            .fetch_add(u64::from(context.enter_user()), Ordering::Relaxed);
        core.spend(5_000_000);
        context.leave_user();
        assert!(!context.should_yield());
        let now = core.now();
        assert_eq!(used(context, now), now - began);
        assert!(context.enter_user(), "nothing has come");
        core.spend(5_000_000);
        // Something comes for this core: who sends it is told to wake it.
        let request = Request::new(threads, activity, work(7));
        assert!(context.grid().submit_to(core, CoreId(0), request).is_ok());
        context.leave_user();
        counts
            .1
            .fetch_add(u64::from(context.should_yield()), Ordering::Relaxed);
        assert!(!context.enter_user(), "something is in the inbox");
        let now = core.now();
        assert_eq!(used(context, now), now - began);
        Outcome::Done
    });
    submit(&mut machine, threads, activity, thread);
    assert!(machine.run_to_rest(1_000));
    assert_eq!(entered.load(Ordering::Relaxed), 1);
    assert_eq!(yields.load(Ordering::Relaxed), 1);
    let usage = machine.grid().usage(threads, activity);
    assert_eq!((usage.cycles, usage.requests), (10_000_007, 2));
    // What was published has been booked, once.
    let snapshot = machine.grid().snapshot(machine.now() + 500);
    for core in all_cores(2) {
        assert_eq!(snapshot.missing_cycles(core), 0);
        assert_eq!(snapshot.ledgers[core.index()].through, machine.now() + 500);
    }
    assert_eq!(ledger_faults(machine.grid()), Vec::<String>::new());
}

#[test]
fn a_label_is_bound_where_it_is_told_to_for_ever() {
    const CORES: usize = 4;
    let mut builder = builder(CORES);
    // Bindings of this resource are reconsidered often.
    let mut spec = SchedulerSpec::on(Policy::Wfq, all_cores(CORES), Weight::DEFAULT);
    spec.params.lifetime = vortex_toolkit::scheduler::Lifetime::Cycles(100_000);
    let target = builder.resource("target", spec);
    let mut machine = machine(builder);
    let infrastructure = ActivityId::INFRASTRUCTURE;
    let label = AffinityLabel(5);
    let seen = Arc::new(AtomicU64::new(u64::MAX));
    let where_it_runs = |machine: &mut Machine<Scripted>| {
        let told = seen.clone();
        let tell = act(move |_, _, context| {
            told.store(context.core().0.into(), Ordering::Relaxed);
            Outcome::Done
        });
        let request = Request::new(target, infrastructure, tell).near(label);
        machine.world.submit(CoreId(0), request);
        assert!(machine.run_to_rest(100_000));
        seen.swap(u64::MAX, Ordering::Relaxed)
    };
    let bind = |machine: &mut Machine<Scripted>, core| {
        let by = &mut machine.cores()[1];
        by.context()
            .bind(target, infrastructure, label, CoreId(core))
    };
    // Unbound yet, bound elsewhere, and used or unused in between.
    for core in [2, 3, 0, 1, 1] {
        assert_eq!(bind(&mut machine, core), Ok(()));
        assert!(machine.run_to_rest(100_000));
        for _ in 0..20 {
            assert_eq!(where_it_runs(&mut machine), u64::from(core));
            machine.run_until(machine.now() + 150_000);
        }
        assert_eq!(machine.grid().bindings(target), 1);
    }
    assert_eq!(bind(&mut machine, 9), Err(Reason::NoCore));
    machine.cores()[2]
        .context()
        .release(target, infrastructure, label);
    assert!(machine.run_to_rest(100_000));
    assert_eq!(machine.grid().bindings(target), 0);
}
