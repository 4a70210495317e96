//! Shares over simulated minutes.

use vortex_schedulers::Policy;
use vortex_sim::readings::{ledger_faults, sum};
use vortex_sim::simulation::Load;
use vortex_sim::workload::{Amount, Arrivals, Flow, Stage};
use vortex_sim::{Interrupts, Simulation, Timing};
use vortex_toolkit::ids::{ActivityId, CoreId, ResourceId};
use vortex_toolkit::record::Metric;
use vortex_toolkit::scheduler::{ClientParams, Lifetime, LoadSharing, SchedulerParams, Weight};
use vortex_toolkit::{Ask, Builder, Parent, SchedulerSpec};

type Grid = Builder<Load<Policy>>;

/// A cycle of a simulated second is a nanosecond.
const SECOND: u64 = 1_000_000_000;
const SHARES: [u32; 3] = [50, 33, 17];

fn weight(weight: u32) -> ClientParams {
    ClientParams {
        weight: Weight::new(weight).expect("in range"),
        ..ClientParams::default()
    }
}

fn multiplexors(cores: usize) -> Grid {
    Builder::new(vec![(Policy::Wfq, SchedulerParams::default()); cores])
}

fn wfq(cores: u16, share: u32) -> SchedulerSpec<Policy> {
    let weight = Weight::new(share).expect("in range");
    SchedulerSpec::on(Policy::Wfq, (0..cores).map(CoreId), weight)
}

/// A closed loop with one job per core.
fn spin(activity: ActivityId, resource: ResourceId, cores: u32, cycles: Amount) -> Flow {
    let stage = Stage {
        resource,
        cycles,
        bytes: Amount::Fixed(0),
    };
    let arrivals = Arrivals::Closed { outstanding: cores };
    Flow::new("spin", activity, vec![stage], arrivals)
}

/// Asserts that what was received is as `SHARES` say, within 0.01 percentage points.
fn assert_shares(received: [u64; 3]) {
    let total: u64 = received.iter().sum();
    for (received, share) in received.into_iter().zip(SHARES) {
        let off = i128::from(received) * 100 - i128::from(share) * i128::from(total);
        // |received / total - share / 100| <= 0.0001
        assert!(
            off.abs() * 10_000 <= i128::from(total) * 100,
            "{received} of {total} are not {share} per cent"
        );
    }
}

fn cycles_of(simulation: &Simulation<Policy>, activities: [ActivityId; 3]) -> [u64; 3] {
    activities.map(|activity| sum(simulation.grid(), |_, _, payer| payer == activity).cycles)
}

#[test]
fn fifty_thirty_three_seventeen_on_four_cores() {
    let mut builder = multiplexors(4);
    let mut flows = Vec::new();
    let activities = SHARES.map(|share| {
        let activity = builder.activity("a", weight(share));
        let mut spec = wfq(4, share);
        spec.params.load_sharing = LoadSharing::LeastBound;
        let resource = builder.resource("threads", spec);
        flows.push(spin(activity, resource, 4, Amount::Fixed(1_000_000)));
        activity
    });
    let timing = Timing {
        interrupts: Some(Interrupts {
            every_cycles: 1_000_003,
            cycles: 2_000,
        }),
        ..Timing::default()
    };
    let mut simulation = Simulation::new(builder, flows, timing, 1);
    simulation.run_until(120 * SECOND);
    assert_shares(cycles_of(&simulation, activities));
    for core in (0..4).map(CoreId) {
        let on_core = |payer| sum(simulation.grid(), |at, _, of| at == core && of == payer).cycles;
        assert_shares(activities.map(on_core));
        let ledger = simulation
            .grid()
            .ledger(core)
            .expect("there is such a core");
        assert!(ledger.idle < SECOND / 100, "{ledger:?}");
        assert!(ledger.interrupt > SECOND / 10, "{ledger:?}");
    }
    assert_eq!(ledger_faults(simulation.grid()), [""; 0]);
}

#[test]
fn fifty_thirty_three_seventeen_with_sizes_ten_to_one() {
    let mut builder = multiplexors(2);
    let resource = builder.resource("r", wfq(2, 100));
    let sizes = [
        Amount::Fixed(10_000),
        Amount::Fixed(100_000),
        Amount::Uniform(10_000, 100_000),
    ];
    let mut flows = Vec::new();
    let mut activities = [ActivityId::INFRASTRUCTURE; 3];
    for ((share, size), activity) in SHARES.into_iter().zip(sizes).zip(&mut activities) {
        *activity = builder.activity("a", weight(share));
        flows.push(spin(*activity, resource, 8, size));
    }
    let mut simulation = Simulation::new(builder, flows, Timing::default(), 2);
    simulation.run_until(120 * SECOND);
    assert_shares(cycles_of(&simulation, activities));
    assert_eq!(ledger_faults(simulation.grid()), [""; 0]);
}

/// Paper, footnote 7: who is served in small pieces pays for the decisions, and not its neighbour.
#[test]
fn a_multiplexor_charges_decisions_to_whom_they_are_for() {
    let mut builder = multiplexors(1);
    let sizes = [600, 100_000];
    let mut flows = Vec::new();
    let activities = sizes.map(|size| {
        let activity = builder.activity("a", weight(50));
        let resource = builder.resource("r", wfq(1, 50));
        flows.push(spin(activity, resource, 2, Amount::Fixed(size)));
        activity
    });
    let timing = Timing::default();
    let mut simulation = Simulation::new(builder, flows, timing, 4);
    simulation.run_until(10 * SECOND);
    for (activity, size) in activities.into_iter().zip(sizes) {
        let received = sum(simulation.grid(), |_, _, payer| payer == activity).cycles;
        let with_decisions = received / size * (size + timing.step_cycles);
        let off = with_decisions.abs_diff(5 * SECOND);
        assert!(off < SECOND / 1_000, "{size}: {received}, off by {off}");
    }
    assert_eq!(ledger_faults(simulation.grid()), [""; 0]);
}

/// Packets of 10 us, one every `every_us`, which the infrastructure finds to be for one of two
/// CPU-bound activities; the three have homes of equal weight. What the neighbour of that activity
/// gets, the activity's own, and its packets, in thousandths of the core.
fn beside_packets(every_us: u64) -> [u64; 3] {
    let mut builder = multiplexors(1);
    let below_a_home = |builder: &mut Grid, name: &str| {
        let home = builder.scheduler(wfq(1, 50));
        let mut spec = wfq(1, 50);
        spec.asks[0].parent = Parent::Scheduler(home);
        (home, builder.resource(name, spec))
    };
    let (_, demultiplexing) = below_a_home(&mut builder, "demultiplexing");
    let mut flows = Vec::new();
    let [neighbour, flooded] = ["neighbour", "flooded"].map(|name| {
        let activity = builder.activity(name, weight(50));
        let (home, threads) = below_a_home(&mut builder, "threads");
        builder.home(activity, home);
        flows.push(spin(activity, threads, 2, Amount::Fixed(100_000)));
        activity
    });
    let packet = Stage {
        resource: demultiplexing,
        cycles: Amount::Fixed(10_000),
        bytes: Amount::Fixed(64),
    };
    let every_cycles = every_us * 1_000;
    let packets = Arrivals::Periodic { every_cycles };
    let infrastructure = ActivityId::INFRASTRUCTURE;
    flows.push(Flow {
        found: Some(flooded),
        ..Flow::new("packets", infrastructure, vec![packet], packets)
    });
    let mut simulation = Simulation::new(builder, flows, Timing::default(), 5);
    simulation.run_until(10 * SECOND);
    assert_eq!(ledger_faults(simulation.grid()), [""; 0]);
    let part = |of: &dyn Fn(ResourceId, ActivityId) -> bool| {
        let sum = sum(simulation.grid(), |_, resource, payer| of(resource, payer));
        sum.cycles * 1_000 / (10 * SECOND)
    };
    [
        part(&|_, payer| payer == neighbour),
        part(&|resource, payer| payer == flooded && resource != demultiplexing),
        part(&|resource, _| resource == demultiplexing),
    ]
}

#[test]
fn who_packets_are_for_pays_for_finding_that_out() {
    // A fifth of the core for packets: without them, the activity has so much less for itself.
    let [neighbour, flooded, packets] = beside_packets(50);
    assert!((198..=200).contains(&packets), "{packets}");
    assert!((485..=500).contains(&neighbour), "{neighbour}");
    assert!((285..=300).contains(&flooded), "{flooded}");
    // More packets than there can be: they have no more than the infrastructure's part, and the
    // activity itself has nothing.
    let [neighbour, flooded, packets] = beside_packets(5);
    assert!((470..=500).contains(&packets), "{packets}");
    assert!((470..=500).contains(&neighbour), "{neighbour}");
    assert!(flooded <= 5, "{flooded}");
}

#[test]
fn fifty_thirty_three_seventeen_of_the_bytes() {
    let mut builder = multiplexors(1);
    let mut spec = wfq(1, 100);
    spec.params.metric = Metric::Bytes;
    let resource = builder.resource("nic", spec);
    let mut flows = Vec::new();
    let sizes = [
        Amount::Fixed(64),
        Amount::Fixed(1_500),
        Amount::Uniform(64, 1_500),
    ];
    let mut activities = [ActivityId::INFRASTRUCTURE; 3];
    for ((share, bytes), activity) in SHARES.into_iter().zip(sizes).zip(&mut activities) {
        *activity = builder.activity("a", weight(share));
        let mut flow = spin(*activity, resource, 2, Amount::Fixed(5_000));
        flow.route[0].bytes = bytes;
        flows.push(flow);
    }
    let mut simulation = Simulation::new(builder, flows, Timing::default(), 3);
    simulation.run_until(60 * SECOND);
    let bytes =
        activities.map(|activity| sum(simulation.grid(), |_, _, payer| payer == activity).bytes);
    assert_shares(bytes);
}

#[test]
fn a_hierarchy_divides_at_every_level() {
    // The multiplexor gives the bus 50 and a resource of its own 50; two resources share the bus
    // as 66 and 34, which makes 33 and 17 of the core.
    let mut builder = multiplexors(1);
    let bus = builder.scheduler(wfq(1, 50));
    let below = |share| {
        let mut spec = wfq(1, share);
        spec.asks = vec![Ask {
            parent: Parent::Scheduler(bus),
            ..spec.asks[0]
        }];
        spec
    };
    let resources = [
        builder.resource("own", wfq(1, 50)),
        builder.resource("first on the bus", below(66)),
        builder.resource("second on the bus", below(34)),
    ];
    let activity = builder.activity("a", weight(1));
    let flow = |resource| spin(activity, resource, 2, Amount::Uniform(10_000, 90_000));
    let flows = resources.map(flow).to_vec();
    let mut simulation = Simulation::new(builder, flows, Timing::default(), 4);
    simulation.run_until(60 * SECOND);
    assert_shares(
        resources.map(|resource| sum(simulation.grid(), |_, at, _| at == resource).cycles),
    );
}

#[test]
fn footnote_three_evens_out_what_cores_give() {
    // One resource with very different shares on two cores; its labels move to where the activity
    // has received least, in proportion, so that neither core idles while the other is behind.
    let mut builder = multiplexors(2);
    let mut spec = wfq(2, 100);
    spec.params = SchedulerParams {
        load_sharing: LoadSharing::LeastReceived,
        lifetime: Lifetime::Cycles(SECOND / 100),
        ..SchedulerParams::default()
    };
    let resource = builder.resource("r", spec);
    let activity = builder.activity("a", weight(100));
    let flows = vec![spin(activity, resource, 8, Amount::Fixed(100_000))];
    let mut simulation = Simulation::new(builder, flows, Timing::default(), 5);
    simulation.run_until(20 * SECOND);
    let on = |core| sum(simulation.grid(), |at, _, _| at == CoreId(core)).cycles;
    let (first, second) = (on(0), on(1));
    assert!(
        first.abs_diff(second) < (first + second) / 20,
        "{first} {second}"
    );
}

#[test]
fn the_trace_is_the_same_for_one_seed_and_another_for_another() {
    let run = |seed| {
        let mut builder = multiplexors(3);
        let mut spec = wfq(3, 100);
        spec.params.lifetime = Lifetime::Cycles(50_000);
        let front = builder.resource("front", spec);
        let back = builder.resource("back", wfq(3, 50));
        let activity = builder.activity("a", weight(1));
        let stage = |resource| Stage {
            resource,
            cycles: Amount::Exponential(4_000),
            bytes: Amount::Uniform(64, 1_500),
        };
        let mut flow = Flow::new(
            "web",
            activity,
            vec![stage(front), stage(back)],
            Arrivals::Poisson { mean_cycles: 9_000 },
        );
        flow.labels = 16;
        let flows = vec![flow, spin(activity, back, 4, Amount::Uniform(1, 5_000))];
        let mut simulation = Simulation::new(builder, flows, Timing::default(), seed);
        simulation.run_until(SECOND / 10);
        assert!(simulation.dispatches() > 10_000);
        simulation.trace_hash()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
