//! What becomes of the examples, seen through the parameters the toolkit gets.

use alloc::vec::Vec;

use vortex_sched_config::value::Share;
use vortex_sched_config::{ActivityIndex, Known, Plan, load};
use vortex_toolkit::ids::{ActivityId, CoreId, ResourceId};
use vortex_toolkit::scheduler::{ClientParams, LoadSharing, Reservation, Weight};
use vortex_toolkit::{
    Ask, Asker, Context, Grid, Message, Outcome, Parent, Platform, Reason, Request,
};
use vortex_toolkit::{Resources, System};

use super::{
    InstantiateError, Instantiated, home, home_params, instantiate, kernel_instance,
    scheduler_params, thread_instance, timeslice,
};
use crate::Policy;

struct Nothing;

impl System for Nothing {
    type Platform = Self;
    type Policy = Policy;
    type Message = Self;
    type Resources = Self;
}

impl Message for Nothing {}

impl Platform for Nothing {
    fn now(&self) -> u64 {
        0
    }
    fn core(&self) -> CoreId {
        CoreId(0)
    }
    fn interrupt_cycles(&self) -> u64 {
        0
    }
    fn wake(&self, _: CoreId) {}
    fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        || {}
    }
    fn set_timer(&self, _: u64) {}
}

impl Resources<Self> for Nothing {
    fn handle(&mut self, _: Self, _: &mut Context<'_, Self>) -> Outcome<Self> {
        Outcome::Done
    }
    fn returned(&mut self, _: Request<Self>, _: Reason, _: &mut Context<'_, Self>) {}
}

const HERTZ: u64 = 2_000_000_000;

fn plan(text: &str) -> Plan {
    load(text.as_bytes(), &Known::standard(8))
        .expect("a sound file")
        .plan
}

const HIERARCHY: &str = "<schedulerconfig>
  <activity name='a'><weight>50</weight></activity>
  <cpumultiplexor tag='m1'><core>3</core><algorithm>realtime.edf</algorithm></cpumultiplexor>
  <cpumultiplexor tag='m0'><core>1</core><algorithm>propshare.wfq</algorithm></cpumultiplexor>
  <scheduler tag='bus'>
    <algorithm>realtime.edf</algorithm>
    <cpumultiplexor><tag>m0</tag><share>20</share></cpumultiplexor>
    <cpumultiplexor><tag>m1</tag><deadline>100</deadline><budget>10</budget><period>50</period>
    </cpumultiplexor>
  </scheduler>
  <resourcescheduler>
    <resource>resource.dwr</resource>
    <algorithm>propshare.wfq</algorithm>
    <metric>bytes</metric>
    <loadsharing><policy>fixed</policy><core>3</core><ttl>30</ttl></loadsharing>
    <scheduler><tag>bus</tag><deadline>7</deadline></scheduler>
    <client><activity>a</activity><share>0.5</share></client>
  </resourcescheduler>
</schedulerconfig>";

#[test]
fn cores_are_numbered_without_gaps_and_schedulers_ask_schedulers() {
    let text = HIERARCHY;
    let plan = plan(text);
    let done = instantiate::<Nothing>(&plan, HERTZ).expect("all algorithms are there");
    assert_eq!(done.cores, [1, 3]);
    let bus = done.schedulers[0].scheduler.expect("the bus can be asked");
    assert_eq!(done.schedulers[0].resource, None);
    assert_eq!(done.schedulers[1].resource, Some(ResourceId(0)));
    let grid = done.builder.build().0;
    let ask = |asker, core| grid.ask(asker, CoreId(core)).expect("it asks there");
    let of_bus = ask(Asker::Scheduler(bus), 0);
    assert_eq!(of_bus.params.weight, Weight::new(20_000).expect("in range"));
    let reserved = ClientParams {
        weight: Weight::new(100_000).expect("in range"),
        deadline_cycles: 200_000,
        reservation: Some(Reservation {
            budget: 20_000,
            period_cycles: 100_000,
        }),
        ..ClientParams::default()
    };
    let on_second = Ask {
        core: CoreId(1),
        parent: Parent::Multiplexor,
        params: reserved,
    };
    assert_eq!(ask(Asker::Scheduler(bus), 1), on_second);
    let parent = Parent::Scheduler(bus);
    for core in 0..2 {
        let dwr = ask(Asker::Resource(ResourceId(0)), core);
        assert_eq!((dwr.core, dwr.parent), (CoreId(core), parent));
        assert_eq!(dwr.params.deadline_cycles, 14_000);
    }
    let params = scheduler_params(&plan.schedulers[1], HERTZ);
    assert_eq!(params.load_sharing, LoadSharing::Fixed(CoreId(1)));
}

#[test]
fn an_algorithm_that_is_not_there_is_named() {
    let mut plan = plan(HIERARCHY);
    plan.schedulers[1].algorithm = "disk.cello".into();
    let error = instantiate::<Nothing>(&plan, HERTZ).err();
    let expected = InstantiateError::UnknownPolicy {
        scheduler: plan.schedulers[1].name.clone(),
        algorithm: "disk.cello".into(),
    };
    assert_eq!(error, Some(expected));
}

fn weight(ask: &Ask) -> u32 {
    ask.params.weight.get()
}

/// The weights that the homes of a plan's activities have on a core, in order.
fn homes(grid: &Grid<Nothing>, done: &[vortex_toolkit::SchedulerId], core: u16) -> Vec<u32> {
    let asks = done
        .iter()
        .filter_map(|home| grid.ask(Asker::Scheduler(*home), CoreId(core)));
    asks.map(|ask| {
        assert_eq!(ask.parent, Parent::Multiplexor);
        weight(&ask)
    })
    .collect()
}

#[test]
fn every_activity_has_a_home_and_threads_ask_it() {
    let plan = plan(include_str!("../../../sched-config/examples/cpu.xml"));
    let Instantiated {
        builder,
        schedulers,
        homes: of,
        ..
    } = instantiate::<Nothing>(&plan, HERTZ).expect("all algorithms are there");
    assert!(schedulers.iter().all(|built| built.resource.is_none()));
    let grid = builder.build().0;
    for core in 0..4 {
        assert_eq!(homes(&grid, &of, core), [100_000, 50_000, 33_000, 17_000]);
    }
    assert_eq!(grid.activity_named("cpu33"), Some(ActivityId(2)));
    let threads = thread_instance(&plan, Some(ActivityIndex(2)), of[2], HERTZ);
    let threads = threads.expect("the algorithm is there");
    assert_eq!(threads.policy, Policy::RoundRobin);
    assert_eq!(threads.params.load_sharing, LoadSharing::LeastBound);
    let cores: Vec<_> = threads.asks.iter().map(|ask| ask.core.0).collect();
    assert_eq!(cores, [0, 1, 2, 3]);
    let kernel = kernel_instance(&plan, of[2]);
    for ask in threads.asks.iter().chain(&kernel.asks) {
        assert_eq!(ask.parent, Parent::Scheduler(of[2]));
    }
    assert_eq!(timeslice(&plan, None, HERTZ), 10_000_000);
}

#[test]
fn an_activity_that_comes_later_or_changes_its_weight_gets_what_the_weight_says() {
    let plan = plan(include_str!("../../../sched-config/examples/cpu.xml"));
    let done = instantiate::<Nothing>(&plan, HERTZ).expect("all algorithms are there");
    let share: Share = "66".parse().expect("a share");
    let later = home(&plan, share, &done.schedulers, HERTZ);
    assert_eq!(
        later.asks.iter().map(weight).collect::<Vec<_>>(),
        [66_000; 4]
    );
    let changed = home_params(
        &plan,
        Some(ActivityIndex(2)),
        share,
        &done.schedulers,
        HERTZ,
    );
    let weights = changed.iter().map(|(_, params)| params.weight.get());
    assert_eq!(weights.collect::<Vec<_>>(), [66_000; 4]);
}
