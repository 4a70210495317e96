//! What a configuration file says, element by element.
//!
//! One type per element, one field per child or attribute, in the order the README documents them.
//! A definition carries its name as an attribute (`<cpumultiplexor tag="cpumux0">`), everything
//! else is a child element: the rule of the paper's figure 6. The types go through serde, shaped
//! so that `serde-xml-rs` reads and writes the very same files.
//!
//! Nothing is resolved here: names are text, and what a default depends on is left `None`.
//! [`crate::Plan`] is the resolved form, and the one to instantiate from.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::value::{
    Address, BitRate, Bytes, Congestion, Core, Gateway, LoadSharingPolicy, Metric, Microseconds,
    Priority, Right, Share, Ttl,
};

/// The name of the activity that the kernel's own work is charged to when no other can be found.
/// It always exists; a file names it to give it a weight or a share.
pub const INFRASTRUCTURE: &str = "infrastructure";

/// `<schedulerconfig>`: a whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "schedulerconfig")]
pub struct Configuration {
    /// `<activity>`: what consumption is charged to.
    #[serde(rename = "activity", default, skip_serializing_if = "Vec::is_empty")]
    pub activities: Vec<Activity>,
    /// `<cpumultiplexor>`: one per core that is used.
    #[serde(
        rename = "cpumultiplexor",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    pub multiplexors: Vec<Multiplexor>,
    /// `<scheduler>`: schedulers of schedulers without a resource of their own, such as I/O buses.
    #[serde(rename = "scheduler", default, skip_serializing_if = "Vec::is_empty")]
    pub buses: Vec<Scheduler>,
    /// `<resourcescheduler>`: the schedulers in front of resources.
    #[serde(
        rename = "resourcescheduler",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    pub schedulers: Vec<Scheduler>,
    /// `<network>`: the addresses of the network interfaces.
    #[serde(rename = "network", default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// `<process>`: what to start, in this order.
    #[serde(rename = "process", default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<Process>,
}

/// `<activity name="…">`: something that consumption is charged to and shares are given to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Its name, unlike any other's.
    #[serde(rename = "@name")]
    pub name: String,
    /// `<weight>`: its share wherever no `<client>` gives it another; 100 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Share>,
    /// `<memory>`: the memory it may hold at most, with all its resources; unlimited when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// `<cpu>`: the CPU time it may use at most, on all cores together; unlimited when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuBudget>,
}

/// `<cpu>` of an activity: at most `budget` of CPU time in every `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuBudget {
    /// `<budget>`: CPU time, summed over the cores; it may be longer than the period.
    pub budget: Microseconds,
    /// `<period>`: how often the budget is renewed; 100 ms when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Microseconds>,
}

/// `<cpumultiplexor tag="…">`: the scheduler of schedulers of one core (section 3.1.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Multiplexor {
    /// The tag by which schedulers ask it.
    #[serde(rename = "@tag")]
    pub tag: String,
    /// `<core>`: the core it multiplexes.
    pub core: Core,
    /// `<algorithm>`: the dotted name of its algorithm.
    pub algorithm: String,
    /// `<burst>`: of how much of the core's time a scheduler that has been without work may get its share
    /// first, in microseconds; of none when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Microseconds>,
}

/// `<resourcescheduler>`, or `<scheduler>` when it has no resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduler {
    /// The tag by which other schedulers ask it; a `<scheduler>` must have one.
    #[serde(rename = "@tag", default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// `<resource>`: the dotted name of the resource it is in front of; a `<scheduler>` has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// `<activity>`: the one activity whose instance of the resource this is, for a resource with
    /// an instance per process (`resource.thread`). Left out, it is for all that have no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// `<algorithm>`: the dotted name of its algorithm.
    pub algorithm: String,
    /// `<metric>`: what it charges by; `cpu` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// `<timeslice>`: how long a thread runs before others get a turn, in microseconds; 5 ms when
    /// left out. Only for `resource.thread`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeslice: Option<Microseconds>,
    /// `<loadsharing>`: how it chooses among its cores; by affinity hash when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loadsharing: Option<LoadSharing>,
    /// `<cpumultiplexor>`: the multiplexors it asks for CPU time.
    #[serde(
        rename = "cpumultiplexor",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    pub multiplexors: Vec<Parent>,
    /// `<scheduler>`: the schedulers it asks instead.
    #[serde(rename = "scheduler", default, skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<Parent>,
    /// `<client>`: what single activities get here, unlike their weights.
    #[serde(rename = "client", default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<Client>,
}

/// `<loadsharing>`: how a scheduler binds affinity labels to cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadSharing {
    /// `<policy>`: how the core is chosen.
    pub policy: LoadSharingPolicy,
    /// `<core>`: the core of the policy `fixed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core: Option<Core>,
    /// `<ttl>`: how long a binding holds; when left out, what suits the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Ttl>,
}

/// `<cpumultiplexor>` or `<scheduler>` inside a scheduler: whom it asks, and what it gets there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// `<tag>`: the tag of the multiplexor or scheduler that is asked.
    pub tag: String,
    /// `<share>`: the share there. An algorithm that shares proportionally needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// `<priority>`: the priority there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// `<deadline>`: the deadline there, relative to the arrival of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Microseconds>,
    /// `<budget>`: the CPU time there in every period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Microseconds>,
    /// `<period>`: how often the budget is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Microseconds>,
}

/// `<client>`: what one activity gets at one scheduler.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// `<activity>`: the activity.
    pub activity: String,
    /// `<share>`: its share; the activity's weight when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// `<priority>`: its priority; 128 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// `<deadline>`: its deadline, relative to the arrival of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Microseconds>,
    /// `<budget>`: the CPU time it may use in every period; unlimited when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Microseconds>,
    /// `<period>`: how often the budget is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Microseconds>,
}

/// `<network interface="…">`: how one interface gets its address, and what its link carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The name of the interface: `net0` is the first that is found, and so on.
    #[serde(rename = "@interface")]
    pub interface: String,
    /// `<address>`: `dhcp`, or a static address with its prefix; `dhcp` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// `<gateway>`: the router; only beside a static address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,
    /// `<rate>`: what its link carries, if that is less than what the interface takes: no more is
    /// given to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<BitRate>,
    /// `<congestion>`: how TCP connections by it find their shares of the network, unless a program
    /// says otherwise (`TCP_CONGESTION`); `cubic` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub congestion: Option<Congestion>,
}

/// `<process name="…">`: a program to start at boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its name in messages, unlike any other's.
    #[serde(rename = "@name")]
    pub name: String,
    /// `<path>`: the absolute path of the program.
    pub path: String,
    /// `<activity>`: the activity it belongs to; when left out, one with the name of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// `<arg>`: its arguments after the path, in order.
    #[serde(rename = "arg", default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// `<env>`: its environment.
    #[serde(rename = "env", default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<Variable>,
    /// `<stdout>`: the absolute path of the file its output goes to; the console when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// `<right>`: what it may do beyond its own activity; nothing when left out.
    #[serde(rename = "right", default, skip_serializing_if = "Vec::is_empty")]
    pub rights: Vec<Right>,
}

/// `<env name="…">`: a variable of a process's environment, with its value as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// The name of the variable.
    #[serde(rename = "@name")]
    pub name: String,
    /// Its value; may be empty.
    #[serde(rename = "#text", default)]
    pub value: String,
}
