//! What a configuration may refer to: the algorithms, resources and cores there are.
//!
//! The checker takes these as a parameter ([`Known`]), so a new algorithm or resource is one line
//! in a table here, and a kernel that was built without one can leave it out.

/// What tells the clients of an algorithm apart, and so what its clients are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// A share each.
    Share,
    /// A priority each.
    Priority,
    /// A deadline each, with an optional budget and period.
    Deadline,
    /// Nothing: all clients are alike.
    Nothing,
}

/// An algorithm in the repository of schedulers (section 3.1.2 of the paper).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algorithm<'a> {
    /// The dotted name: category, then algorithm.
    pub name: &'a str,
    /// What its clients are given.
    pub takes: Takes,
    /// Whether it can keep a promise about time to the schedulers that ask it.
    pub keeps_deadlines: bool,
}

/// A resource of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    /// The dotted name.
    pub name: &'a str,
    /// Whether there is an instance for every process, with a scheduler each.
    pub per_process: bool,
    /// What it does, in a few words.
    pub does: &'a str,
}

/// What a configuration may refer to.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The algorithms.
    pub algorithms: &'a [Algorithm<'a>],
    /// The resources.
    pub resources: &'a [Resource<'a>],
    /// How many cores the machine has; they are numbered from 0.
    pub cores: u32,
}

impl Known<'static> {
    /// All algorithms and resources of Vortex, on a machine with so many cores.
    #[must_use]
    pub const fn standard(cores: u32) -> Self {
        Self {
            algorithms: ALGORITHMS,
            resources: RESOURCES,
            cores,
        }
    }
}

impl<'a> Known<'a> {
    /// The algorithm of this name.
    #[must_use]
    pub fn algorithm(&self, name: &str) -> Option<&Algorithm<'a>> {
        self.algorithms
            .iter()
            .find(|algorithm| algorithm.name == name)
    }

    /// The resource of this name.
    #[must_use]
    pub fn resource(&self, name: &str) -> Option<&Resource<'a>> {
        self.resources.iter().find(|resource| resource.name == name)
    }
}

const fn algorithm(name: &str, takes: Takes, keeps_deadlines: bool) -> Algorithm<'_> {
    Algorithm {
        name,
        takes,
        keeps_deadlines,
    }
}

/// The algorithms of Vortex.
pub const ALGORITHMS: &[Algorithm<'static>] = &[
    algorithm("propshare.wfq", Takes::Share, false),
    algorithm("propshare.round-robin", Takes::Nothing, false),
    algorithm("priority.strict", Takes::Priority, true),
    algorithm("realtime.edf", Takes::Deadline, true),
    algorithm("fifo", Takes::Nothing, false),
];

const fn resource<'a>(name: &'a str, does: &'a str) -> Resource<'a> {
    Resource {
        name,
        per_process: false,
        does,
    }
}

/// The resources of Vortex: section 3 and tables 1 and 2 of the paper, and those we add.
pub const RESOURCES: &[Resource<'static>] = &[
    resource("resource.interrupt", "interrupts into requests"),
    resource("resource.process", "processes and their system calls"),
    Resource {
        name: "resource.thread",
        per_process: true,
        does: "threads of one process",
    },
    resource(
        "resource.addressspace",
        "page tables, page faults, address space mappings",
    ),
    resource("resource.executable", "segments of executable files"),
    resource("resource.swap", "reclaimed memory on disk"),
    resource("resource.memory", "reclaiming memory"),
    resource("resource.aio", "orchestrates asynchronous I/O"),
    resource("resource.filecache", "file caching"),
    resource("resource.ext2", "the ext2 file system"),
    resource("resource.storage", "disk volumes"),
    resource("resource.scsi", "SCSI messages"),
    resource("resource.sdrwr", "buffer translations for storage devices"),
    resource(
        "resource.drwr",
        "inserts read or write requests into the disk controller",
    ),
    resource("resource.disk.dir", "interrupts of the disk controller"),
    resource(
        "resource.dir",
        "interrupts of the network interface, received packets",
    ),
    resource("resource.dwr", "inserts packets into the transmit ring"),
    resource("resource.ndwr", "Ethernet headers of outgoing packets"),
    resource("resource.ndrr", "demultiplexes incoming packets"),
    resource("resource.tcp", "TCP packets"),
    resource("resource.tcptimer", "TCP timers"),
    resource("resource.udp", "UDP packets"),
    resource("resource.icmp", "ICMP packets"),
    resource("resource.arp", "ARP packets"),
    resource("resource.dhcp", "addresses by DHCP"),
    resource("resource.console", "the console"),
];
