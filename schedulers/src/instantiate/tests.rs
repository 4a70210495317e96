//! What becomes of the examples, seen through the parameters the toolkit gets.

use alloc::vec::Vec;

use vortex_sched_config::{Known, Plan, load};
use vortex_toolkit::ids::{CoreId, ResourceId};
use vortex_toolkit::scheduler::{ClientParams, LoadSharing, Reservation, Weight};
use vortex_toolkit::{Ask, Context, Message, Outcome, Parent, Platform, Reason, Request};
use vortex_toolkit::{Resources, System};

use super::{InstantiateError, asks, instance_of, instantiate};
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
    let of_bus = asks(&plan, &plan.schedulers[0], &done.schedulers, HERTZ);
    assert_eq!(
        of_bus[0].params.weight,
        Weight::new(20_000).expect("in range")
    );
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
    assert_eq!(of_bus[1], on_second);
    let dwr = instance_of(&plan, &plan.schedulers[1], &done.schedulers, HERTZ);
    let dwr = dwr.expect("the algorithm is there");
    let cores: Vec<_> = dwr.asks.iter().map(|ask| (ask.core, ask.parent)).collect();
    let parent = Parent::Scheduler(bus);
    assert_eq!(cores, [(CoreId(0), parent), (CoreId(1), parent)]);
    assert_eq!(dwr.asks[0].params.deadline_cycles, 14_000);
    assert_eq!(dwr.params.load_sharing, LoadSharing::Fixed(CoreId(1)));
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

#[test]
fn an_instance_for_each_activity_and_none_for_the_pattern() {
    let plan = plan(include_str!("../../../sched-config/examples/cpu.xml"));
    let done = instantiate::<Nothing>(&plan, HERTZ).expect("all algorithms are there");
    let made = done
        .schedulers
        .iter()
        .filter(|built| built.resource.is_some());
    assert_eq!(made.count(), 3);
    let weights: Vec<_> = plan.schedulers[..3]
        .iter()
        .map(|scheduler| {
            asks(&plan, scheduler, &done.schedulers, HERTZ)[0]
                .params
                .weight
                .get()
        })
        .collect();
    assert_eq!(weights, [50_000, 33_000, 17_000]);
}
