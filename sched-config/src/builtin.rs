//! The configuration the kernel uses when it is given none that it can use.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::config::{
    Activity, Configuration, INFRASTRUCTURE, LoadSharing, Multiplexor, Network, Parent, Scheduler,
};
use crate::value::{Address, Core, LoadSharingPolicy, Share};

const ALGORITHM: &str = "propshare.wfq";
const THREADS: &str = "resource.thread";

impl Configuration {
    /// The built-in configuration for so many cores.
    ///
    /// Weighted fair queueing on every core, and between the threads of a process. No other
    /// resource has a scheduler of its own: all of them work inside the homes of the activities,
    /// which divide each core by their weights. No process is started. `examples/default.xml` is
    /// the same for four cores.
    #[must_use]
    pub fn builtin(cores: u32) -> Self {
        let cores = cores.clamp(1, Core::MAX.0);
        let multiplexors = (0..cores).map(|core| Multiplexor {
            tag: tag(core),
            core: Core(core),
            algorithm: String::from(ALGORITHM),
            burst: None,
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
            schedulers: vec![threads(cores)],
            networks: vec![Network {
                interface: String::from("net0"),
                address: Some(Address::Dhcp),
                gateway: None,
                rate: None,
                congestion: None,
            }],
            processes: Vec::new(),
        }
    }
}

fn threads(cores: u32) -> Scheduler {
    let parent = |core| Parent {
        tag: tag(core),
        share: Some(Share::DEFAULT),
        ..Parent::default()
    };
    Scheduler {
        resource: Some(String::from(THREADS)),
        algorithm: String::from(ALGORITHM),
        loadsharing: Some(LoadSharing {
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
