//! Random configurations and random XML, for the property tests.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use vortex_sched_config::value::{
    Address, BitRate, Bytes, Congestion, Core, Gateway, LoadSharingPolicy, Metric, Microseconds,
    Priority, Right, Share, Ttl,
};
use vortex_sched_config::{
    ALGORITHMS, Activity, Client, Configuration, CpuBudget, LoadSharing, Multiplexor, Network,
    Parent, Process, RESOURCES, Scheduler, Variable,
};

/// Printable text without blanks around it, with all that XML has to escape.
fn word() -> impl Strategy<Value = String> {
    "[!-~æ☃]([ -~æ☃]{0,10}[!-~æ☃])?"
}

/// The same, or nothing.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![word(), Just(String::new())]
}

fn share() -> impl Strategy<Value = Share> {
    (1..=10_000_000u32)
        .prop_map(|thousandths| Share::from_thousandths(thousandths).expect("in range"))
}

fn time() -> impl Strategy<Value = Microseconds> {
    (1..=Microseconds::MAX.get()).prop_map(|time| Microseconds::new(time).expect("in range"))
}

fn core() -> impl Strategy<Value = Core> {
    (0..=Core::MAX.0).prop_map(Core)
}

fn algorithm() -> impl Strategy<Value = String> {
    proptest::sample::select(ALGORITHMS).prop_map(|algorithm| algorithm.name.to_string())
}

fn resource() -> impl Strategy<Value = String> {
    proptest::sample::select(RESOURCES).prop_map(|resource| resource.name.to_string())
}

fn activity() -> impl Strategy<Value = Activity> {
    let bytes = (1..=Bytes::MAX.get()).prop_map(|bytes| Bytes::new(bytes).expect("in range"));
    let cpu =
        (time(), option::of(time())).prop_map(|(budget, period)| CpuBudget { budget, period });
    (
        word(),
        option::of(share()),
        option::of(bytes),
        option::of(cpu),
    )
        .prop_map(|(name, weight, memory, cpu)| Activity {
            name,
            weight,
            memory,
            cpu,
        })
}

fn multiplexor() -> impl Strategy<Value = Multiplexor> {
    (word(), core(), algorithm(), option::of(time())).prop_map(|(tag, core, algorithm, burst)| {
        Multiplexor {
            tag,
            core,
            algorithm,
            burst,
        }
    })
}

fn priority() -> impl Strategy<Value = Priority> {
    any::<u8>().prop_map(Priority)
}

fn parent() -> impl Strategy<Value = Parent> {
    let times = (option::of(time()), option::of(time()), option::of(time()));
    (word(), option::of(share()), option::of(priority()), times).prop_map(
        |(tag, share, priority, (deadline, budget, period))| Parent {
            tag,
            share,
            priority,
            deadline,
            budget,
            period,
        },
    )
}

fn client() -> impl Strategy<Value = Client> {
    parent().prop_map(
        |Parent {
             tag,
             share,
             priority,
             deadline,
             budget,
             period,
         }| Client {
            activity: tag,
            share,
            priority,
            deadline,
            budget,
            period,
        },
    )
}

fn load_sharing() -> impl Strategy<Value = LoadSharing> {
    let ttl = prop_oneof![Just(Ttl::Forever), time().prop_map(Ttl::For)];
    let policy = proptest::sample::select(LoadSharingPolicy::ALL);
    (policy, option::of(core()), option::of(ttl)).prop_map(|(policy, core, ttl)| LoadSharing {
        policy,
        core,
        ttl,
    })
}

fn bus() -> impl Strategy<Value = Scheduler> {
    let metric = option::of(proptest::sample::select(Metric::ALL));
    (
        word(),
        algorithm(),
        metric,
        vec(parent(), 0..3),
        vec(parent(), 0..3),
    )
        .prop_map(|(tag, algorithm, metric, multiplexors, asks)| Scheduler {
            tag: Some(tag),
            algorithm,
            metric,
            multiplexors,
            asks,
            ..Scheduler::default()
        })
}

fn scheduler() -> impl Strategy<Value = Scheduler> {
    let instance = (resource(), option::of(word()), option::of(word()));
    let sharing = (option::of(time()), option::of(load_sharing()));
    (bus(), instance, sharing, vec(client(), 0..3)).prop_map(
        |(bus, (resource, tag, activity), (timeslice, loadsharing), clients)| Scheduler {
            tag,
            resource: Some(resource),
            activity,
            timeslice,
            loadsharing,
            clients,
            ..bus
        },
    )
}

fn network() -> impl Strategy<Value = Network> {
    let fixed = (any::<u32>(), 1..=31u8).prop_filter_map("no host has it", |(bits, prefix)| {
        Address::fixed(bits.into(), prefix).ok()
    });
    let address = prop_oneof![Just(Address::Dhcp), fixed];
    let gateway =
        any::<u32>().prop_filter_map("no router has it", |bits| Gateway::new(bits.into()).ok());
    let rate = (BitRate::MIN.get()..=BitRate::MAX.get())
        .prop_map(|bits| BitRate::new(bits).expect("in range"));
    let parts = (
        word(),
        option::of(address),
        option::of(gateway),
        option::of(rate),
        option::of(proptest::sample::select(Congestion::ALL)),
    );
    parts.prop_map(|(interface, address, gateway, rate, congestion)| Network {
        interface,
        address,
        gateway,
        rate,
        congestion,
    })
}

fn process() -> impl Strategy<Value = Process> {
    let variable = (word(), any_text()).prop_map(|(name, value)| Variable { name, value });
    let names = (word(), word(), option::of(word()), option::of(word()));
    let rights = vec(proptest::sample::select(Right::ALL), 0..3);
    (names, vec(any_text(), 0..4), vec(variable, 0..3), rights).prop_map(
        |((name, path, activity, stdout), args, env, rights)| Process {
            name,
            path,
            activity,
            args,
            env,
            stdout,
            rights,
        },
    )
}

/// A configuration that can be written, but need not make sense.
pub(crate) fn configuration() -> impl Strategy<Value = Configuration> {
    let grid = (
        vec(multiplexor(), 0..4),
        vec(bus(), 0..3),
        vec(scheduler(), 0..4),
    );
    (
        vec(activity(), 0..4),
        grid,
        vec(network(), 0..3),
        vec(process(), 0..3),
    )
        .prop_map(
            |(activities, (multiplexors, buses, schedulers), networks, processes)| Configuration {
                activities,
                multiplexors,
                buses,
                schedulers,
                networks,
                processes,
            },
        )
}
