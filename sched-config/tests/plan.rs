//! What a file is resolved into: order, defaults, instances, inherited cores.
#![forbid(unsafe_code)]

use vortex_sched_config::value::{LoadSharingPolicy, Metric, Priority, Share, Ttl};
use vortex_sched_config::{
    ActivityIndex, Asker, Asks, Instance, Known, LoadSharingPlan, Plan, SchedulerIndex, load,
};

fn plan(elements: &str) -> Plan {
    let text = format!("<schedulerconfig>{elements}</schedulerconfig>");
    let loaded = load(text.as_bytes(), &Known::standard(4));
    loaded.unwrap_or_else(|report| panic!("{report}")).plan
}

fn share(text: &str) -> Share {
    text.parse().expect("a share")
}

/// Cores 2 and 0, in this order, so that the order of the file is not that of the cores.
const CORES: &str = "
    <cpumultiplexor tag='two'><core>2</core><algorithm>propshare.wfq</algorithm></cpumultiplexor>
    <cpumultiplexor tag='zero'><core>0</core><algorithm>priority.strict</algorithm></cpumultiplexor>";

#[test]
fn schedulers_stand_after_those_they_ask_and_share_their_cores() {
    let plan = plan(&format!(
        "{CORES}
        <resourcescheduler>
          <resource>resource.drwr</resource><algorithm>fifo</algorithm>
          <scheduler><tag>upper</tag><share>3</share></scheduler>
        </resourcescheduler>
        <scheduler tag='upper'>
          <algorithm>propshare.wfq</algorithm><metric>bytes</metric>
          <scheduler><tag>lower</tag></scheduler>
        </scheduler>
        <scheduler tag='lower'>
          <algorithm>propshare.round-robin</algorithm>
          <cpumultiplexor><tag>two</tag><share>7</share></cpumultiplexor>
          <cpumultiplexor><tag>zero</tag><priority>5</priority></cpumultiplexor>
        </scheduler>"
    ));
    let names: Vec<_> = plan
        .schedulers
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["lower", "upper", "resource.drwr"]);
    let tags: Vec<_> = plan.cores.iter().map(|core| core.tag.as_str()).collect();
    assert_eq!(tags, ["zero", "two"]);
    for scheduler in &plan.schedulers {
        assert_eq!(scheduler.cores, [0, 1], "{}", scheduler.name);
    }
    let [lower, upper, drwr] = &plan.schedulers[..] else {
        panic!("three schedulers")
    };
    assert_eq!(
        lower.asks.iter().map(|(asks, _)| *asks).collect::<Vec<_>>(),
        [Asks::Core(1), Asks::Core(0)]
    );
    assert_eq!(lower.asks[1].1.priority, Priority(5));
    assert_eq!(upper.asks[0].0, Asks::Scheduler(SchedulerIndex(0)));
    assert_eq!(
        (upper.metric, upper.resource.as_deref()),
        (Metric::Bytes, None)
    );
    let third = Asker::Scheduler(SchedulerIndex(2));
    assert_eq!(upper.schedulers, [(third, drwr.asks[0].1)]);
    assert_eq!(drwr.asks[0].1.share, share("3"));
    let first = Asker::Scheduler(SchedulerIndex(0));
    assert_eq!(plan.cores[0].clients[0], (first, lower.asks[1].1));
    assert_eq!(plan.cores[0].clients.len(), 2);
}

#[test]
fn what_the_file_leaves_out_has_its_default() {
    let plan = plan(&format!(
        "{CORES}
        <activity name='a'><weight>20</weight></activity>
        <resourcescheduler>
          <resource>resource.tcp</resource><algorithm>propshare.wfq</algorithm>
          <loadsharing><policy>least-received</policy></loadsharing>
          <cpumultiplexor><tag>two</tag><share>1</share></cpumultiplexor>
          <client><activity>infrastructure</activity><share>5</share></client>
        </resourcescheduler>
        <process name='p'><path>/bin/p</path></process>"
    ));
    let names: Vec<_> = plan
        .activities
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["infrastructure", "a", "p"]);
    assert_eq!(plan.processes[0].activity, ActivityIndex(2));
    assert_eq!(plan.activities[2].weight, Share::DEFAULT);
    let tcp = &plan.schedulers[0];
    assert_eq!(
        (tcp.metric, tcp.instance, tcp.timeslice.get()),
        (Metric::Cpu, Instance::Only, 5000)
    );
    let LoadSharingPlan::Policy(LoadSharingPolicy::LeastReceived, Ttl::For(ttl)) = tcp.load_sharing
    else {
        panic!("{:?}", tcp.load_sharing)
    };
    assert_eq!(ttl.get(), 100_000);
    let gets = |index: usize| {
        tcp.client(ActivityIndex(index), plan.activities[index].weight)
            .share
    };
    assert_eq!(
        (gets(0), gets(1), gets(2)),
        (share("5"), share("20"), Share::DEFAULT)
    );
}

#[test]
fn thread_instances_divide_a_share_unless_they_have_one_of_their_own() {
    let threads = |inner: &str, share: &str| {
        format!(
            "<resourcescheduler><resource>resource.thread</resource>{inner}
             <algorithm>fifo</algorithm>
             <cpumultiplexor><tag>two</tag><share>{share}</share></cpumultiplexor>
             </resourcescheduler>"
        )
    };
    let plan = plan(&format!(
        "{CORES}
        <activity name='a'><weight>30</weight></activity>
        <activity name='b'><weight>10</weight></activity>
        <activity name='c'><weight>60</weight></activity>
        {}{}",
        threads("", "100"),
        threads("<activity>c</activity>", "9"),
    ));
    let clients = plan.cores[1].clients.iter();
    let shares: Vec<_> = clients
        .map(|(asker, given)| (*asker, given.share))
        .collect();
    let home = |index| Asker::Home(ActivityIndex(index));
    assert_eq!(
        shares,
        [
            (home(0), share("250")),
            (home(1), share("75")),
            (home(2), share("25")),
            (home(3), share("9")),
        ]
    );
    let later = plan.home(None, share("20"));
    assert_eq!(later[0].1.share, share("50"));
    // Core 0 gives threads nothing, and has no resource.
    let zero = plan.cores[0].clients.iter().map(|(_, given)| given.share);
    let shares = ["250", "75", "25", "150"].map(share);
    assert_eq!(zero.collect::<Vec<_>>(), shares);
    let instances: Vec<_> = plan.schedulers.iter().map(|one| one.instance).collect();
    assert_eq!(
        instances,
        [Instance::Pattern, Instance::Of(ActivityIndex(3))]
    );
    let of = |index| plan.threads(Some(ActivityIndex(index))).instance;
    assert_eq!(of(1), Instance::Pattern);
    assert_eq!(of(3), Instance::Of(ActivityIndex(3)));
}
