//! The configurations of the experiments, put together from what they have in common.

use std::ops::Range;

use anyhow::{Context, Result};
use vortex_sched_config::value::{
    Address, BitRate, Core, LoadSharingPolicy, Metric, Microseconds, Right, Share, Ttl,
};
use vortex_sched_config::{
    Activity, Configuration, INFRASTRUCTURE, LoadSharing, Multiplexor, Network, Parent, Process,
    Scheduler,
};
use xtask::network::Link;

use super::Common;

/// The activity and process that takes the samples.
pub(super) const SAMPLER: &str = "sampler";
/// Its weight, beside about 100 of all others.
const SAMPLER_WEIGHT: u32 = 5;
const WFQ: &str = "propshare.wfq";

/// The experiments' processes: the activity of each, and its share.
pub(super) fn activities(prefix: &str, common: &Common) -> Vec<(String, u32)> {
    let shares = common.shares.0.iter().enumerate();
    let named = shares.map(|(number, share)| (format!("{prefix}{number}-{share}"), *share));
    named.collect()
}

/// A configuration with these activities, the sampler's, and a fair multiplexor on each core.
pub(crate) fn begin(activities: &[(String, u32)], smp: u32) -> Configuration {
    let all = activities
        .iter()
        .map(|(name, share)| (name.as_str(), *share));
    let multiplexor = |core| Multiplexor {
        tag: tag(core),
        core: Core(core),
        algorithm: WFQ.into(),
        burst: None,
    };
    Configuration {
        activities: all
            .chain([(SAMPLER, SAMPLER_WEIGHT)])
            .map(|(name, weight)| weighted(name, weight))
            .collect(),
        multiplexors: (0..smp).map(multiplexor).collect(),
        ..Configuration::default()
    }
}

/// The infrastructure's weight at every resource.
pub(super) fn infrastructure(weight: u32) -> Activity {
    weighted(INFRASTRUCTURE, weight)
}

fn weighted(name: &str, weight: u32) -> Activity {
    Activity {
        name: name.into(),
        weight: Some(share(weight)),
        memory: None,
        cpu: None,
    }
}

fn share(number: u32) -> Share {
    Share::from_thousandths(number.saturating_mul(1000)).unwrap_or_default()
}

fn tag(core: u32) -> String {
    format!("cpumux{core}")
}

fn parents(cores: Range<u32>, weight: impl Fn(u32) -> u32) -> Vec<Parent> {
    let parent = |core| Parent {
        tag: tag(core),
        share: Some(share(weight(core))),
        ..Parent::default()
    };
    cores.map(parent).collect()
}

/// A resource under fair queueing, with a share of 50 of each of `cores`.
pub(crate) fn resource(name: &str, metric: Metric, cores: Range<u32>) -> Scheduler {
    Scheduler {
        resource: Some(name.into()),
        algorithm: WFQ.into(),
        metric: Some(metric),
        multiplexors: parents(cores, |_| 50),
        ..Scheduler::default()
    }
}

/// Threads in turn, each bound for ever to the core that has the fewest; their share of each core is
/// by `weight`.
pub(super) fn threads(
    smp: u32,
    timeslice_us: Option<u32>,
    weight: impl Fn(u32) -> u32,
) -> Scheduler {
    Scheduler {
        resource: Some("resource.thread".into()),
        algorithm: "propshare.round-robin".into(),
        timeslice: timeslice_us.map(|time| Microseconds::of(time.into())),
        loadsharing: Some(LoadSharing {
            policy: LoadSharingPolicy::LeastBound,
            ttl: Some(Ttl::Forever),
            core: None,
        }),
        multiplexors: parents(0..smp, weight),
        ..Scheduler::default()
    }
}

/// Threads in turn, all on one core, of which their share is so much.
pub(crate) fn threads_on(core: u32, smp: u32, weight: u32) -> Scheduler {
    Scheduler {
        loadsharing: Some(LoadSharing {
            policy: LoadSharingPolicy::Fixed,
            ttl: Some(Ttl::Forever),
            core: Some(Core(core)),
        }),
        ..threads(smp, None, |_| weight)
    }
}

/// The interface at the guest's end of a link, which carries no more than this rate, if one is given.
pub(crate) fn network(rate: Option<BitRate>) -> Network {
    Network {
        interface: "net0".into(),
        address: Some(Address::Static {
            address: Link::GUEST,
            prefix: 24,
        }),
        gateway: None,
        rate,
        congestion: None,
    }
}

/// A process of the activity of its own name.
pub(crate) fn process(name: &str, path: &str, args: &[&str]) -> Process {
    Process {
        name: name.into(),
        path: path.into(),
        activity: Some(name.into()),
        args: args.iter().map(|&arg| arg.into()).collect(),
        env: Vec::new(),
        stdout: None,
        rights: Vec::new(),
    }
}

/// The process that takes samples once a second, `settle` seconds after its start.
pub(super) fn sampler(common: &Common, settle: u32, more: &[&str]) -> Process {
    sampler_of(common.seconds, settle, more)
}

/// The same, for so many seconds.
pub(crate) fn sampler_of(seconds: u32, settle: u32, more: &[&str]) -> Process {
    let (seconds, settle) = (seconds.to_string(), settle.to_string());
    let args = [&["--seconds", &seconds, "--settle", &settle], more].concat();
    Process {
        rights: vec![Right::Statistics],
        ..process(SAMPLER, "/bin/sampler", &args)
    }
}

/// The configuration as a file.
pub(crate) fn xml(configuration: &Configuration) -> Result<String> {
    serde_xml_rs::to_string(configuration).context("cannot write a configuration")
}
