//! The configuration the kernel uses when it is given none that it can use.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::config::{
    Activity, Configuration, INFRASTRUCTURE, LoadSharing, Multiplexor, Network, Parent, Scheduler,
};
use crate::known::RESOURCES;
use crate::value::{Address, Core, LoadSharingPolicy, Share};

const ALGORITHM: &str = "propshare.wfq";
const THREADS: &str = "resource.thread";

impl Configuration {
    /// The built-in configuration for so many cores.
    ///
    /// As in the experiments of section 4 of the paper: weighted fair queueing everywhere, half of
    /// every core for threads and half for all other resources, alike, half of every resource
    /// for the infrastructure if it has use for it. No process is started. `examples/default.xml`
    /// is the same for four cores.
    #[must_use]
    pub fn builtin(cores: u32) -> Self {
        let cores = cores.clamp(1, Core::MAX.0);
        let others = RESOURCES.len().saturating_sub(1).max(1) as u64;
        let half = Share::DEFAULT;
        let multiplexors = (0..cores).map(|core| Multiplexor {
            tag: tag(core),
            core: Core(core),
            algorithm: String::from(ALGORITHM),
        });
        let schedulers = RESOURCES.iter().map(|resource| {
            let threads = resource.name == THREADS;
            let share = if threads {
                half
            } else {
                half.scaled(1, others)
            };
            scheduler(resource.name, threads, share, cores)
        });
        Self {
            activities: vec![Activity {
                name: String::from(INFRASTRUCTURE),
                weight: Some(Share::DEFAULT),
                memory: None,
                cpu: None,
            }],
            multiplexors: multiplexors.collect(),
            buses: Vec::new(),
            schedulers: schedulers.collect(),
            networks: vec![Network {
                interface: String::from("net0"),
                address: Some(Address::Dhcp),
                gateway: None,
            }],
            processes: Vec::new(),
        }
    }
}

fn scheduler(resource: &str, threads: bool, share: Share, cores: u32) -> Scheduler {
    let parent = |core| Parent {
        tag: tag(core),
        share: Some(share),
        ..Parent::default()
    };
    Scheduler {
        resource: Some(String::from(resource)),
        algorithm: String::from(ALGORITHM),
        loadsharing: threads.then(|| LoadSharing {
            policy: LoadSharingPolicy::LeastBound,
            ..LoadSharing::default()
        }),
        multiplexors: (0..cores).map(parent).collect(),
        ..Scheduler::default()
    }
}

fn tag(core: u32) -> String {
    format!("cpumux{core}")
}
