//! What the victim is beside: processes in an activity of equal weight, or packets from outside.

use std::path::Path;

use anyhow::{Context, Result};
use vortex_sched_config::Process;
use xtask::linux::Unpacked;
use xtask::network::Link;
use xtask::process::{self, Running};
use xtask::userland::GuestFile;

use super::super::{grid, measure};
use super::guest::{ANTAGONIST, FLOODED, server};

/// A neighbour of the victim's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Antagonist {
    /// Four processes for each core that compute
    CpuHogs,
    /// Datagrams to a port where nobody is
    UdpClosed,
    /// Datagrams to a port of the antagonist's, who reads them
    UdpRead,
    /// Datagrams to a port of the antagonist's, who never reads them
    UdpUnread,
    /// The same datagrams, which do not get to the guest: what the generator itself costs
    UdpOutside,
    /// Requests for connections to the antagonist's server, and nothing after them
    SynFlood,
    /// Requests to the antagonist's server
    RequestFlood,
    /// A reader from the disk
    DiskReader,
    /// A writer to the disk
    DiskWriter,
    /// A process that fills memory, and touches all of it
    MemoryHog,
    /// A thousand threads that compute
    ThreadBomb,
    /// Nothing but system calls
    CallStorm,
    /// Debian's stress-ng, which computes, synchronises the disk, fills memory and forks; only if asked
    /// for, since it is fetched
    StressNg,
}

/// Where datagrams go that nobody waits for.
const CLOSED: u16 = 9999;
/// Where the first of its processes waits to be woken; each has a port of its own.
const WAKING: u16 = 9000;
/// Seconds for which the reader of datagrams waits for more, while none come: longer than the victim is alone.
const PATIENCE: &str = "86400";
/// SYN segments, and requests, in a second.
const SYNS: u32 = 10_000;
const REQUESTS: u32 = 1000;
/// MiB that the writer writes again and again, and that the memory hog fills.
pub(super) const WRITTEN: u32 = 32;
const FILLED: u32 = 256;
/// Where Debian's stress-ng is.
const STRESS_NG: &str = "/usr/bin/stress-ng";
/// The reader's folder, and the bytes of each of its files, of which each of its threads has one.
const READER: &str = "/reader";
const READ: u32 = 32 << 20;

impl Antagonist {
    /// Those that are run without a choice: all that is the project's own.
    pub(super) const ALL: [Self; 12] = [
        Self::CpuHogs,
        Self::UdpOutside,
        Self::UdpClosed,
        Self::UdpRead,
        Self::UdpUnread,
        Self::SynFlood,
        Self::RequestFlood,
        Self::DiskReader,
        Self::DiskWriter,
        Self::MemoryHog,
        Self::ThreadBomb,
        Self::CallStorm,
    ];

    /// As the command line and the tables have it.
    pub(super) fn name(self) -> String {
        let value = clap::ValueEnum::to_possible_value(&self);
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What it has on the disk besides the project's programs, from files made in `place`: it begins again and
    /// again, and is to be at work at once.
    pub(super) fn files(self, smp: u32, place: &Path) -> Result<Vec<GuestFile>> {
        match self {
            Self::DiskReader => {
                let file = place.join("pattern");
                std::fs::write(&file, measure::pattern(READ)).context("cannot write a file")?;
                let of_thread = |thread| GuestFile {
                    path: format!("{READER}/{thread}.0"),
                    file: file.clone(),
                };
                Ok((0..smp).map(of_thread).collect())
            }
            Self::StressNg => Unpacked::program("stress-ng", STRESS_NG),
            _ => Ok(Vec::new()),
        }
    }

    /// Its processes in the guest: those that wait for packets, and those that wait to be woken.
    pub(super) fn processes(self, smp: u32) -> Vec<Process> {
        let mut processes = self.at_work(smp);
        if self.is_woken() {
            for (process, port) in processes.iter_mut().zip(WAKING..) {
                let words = [
                    "run".into(),
                    port.to_string(),
                    std::mem::take(&mut process.path),
                ];
                process.args.splice(0..0, words);
                process.path = "/bin/later".into();
            }
        }
        processes
    }

    /// Whether it begins only when it is woken. The others do nothing before packets come.
    const fn is_woken(self) -> bool {
        !matches!(
            self,
            Self::UdpClosed
                | Self::UdpRead
                | Self::UdpUnread
                | Self::UdpOutside
                | Self::SynFlood
                | Self::RequestFlood
        )
    }

    /// Whether it has processes that do something. Packets that nobody takes are the kernel's work alone.
    pub(super) const fn has_workers(self) -> bool {
        !matches!(self, Self::UdpClosed | Self::UdpUnread | Self::UdpOutside)
    }

    /// Has its processes begin, if they wait for that.
    pub(super) fn wake(self, link: &Link, smp: u32) -> Result<()> {
        self.tell(link, smp, "wake")
            .context("the neighbour does not begin")
    }

    /// Ends them, if they were woken, and waits until nothing is left to do for them.
    pub(super) fn rest(self, link: &Link, smp: u32) -> Result<()> {
        self.tell(link, smp, "rest")
            .context("the neighbour does not rest")
    }

    /// Tells those of its processes that wait to be told.
    fn tell(self, link: &Link, smp: u32, what: &str) -> Result<()> {
        if !self.is_woken() {
            return Ok(());
        }
        let mut teller = link.clients().command(measure::program_here("later")?);
        teller.arg(what);
        for (port, _) in (WAKING..).zip(self.at_work(smp)) {
            teller.arg(format!("{}:{port}", Link::GUEST));
        }
        process::run(&mut teller)
    }

    /// Its processes, at work.
    fn at_work(self, smp: u32) -> Vec<Process> {
        let port = FLOODED.to_string();
        let [filled, written, read] = [FILLED, WRITTEN, READ].map(|number| number.to_string());
        let one = |path: &str, arguments: &[&str]| vec![process(0, path, arguments)];
        match self {
            Self::CpuHogs => (0..4 * smp)
                .map(|number| process(number, "/bin/cpuhog", &[]))
                .collect(),
            Self::UdpClosed | Self::UdpOutside => Vec::new(),
            Self::UdpRead => one("/bin/udpsink", &["--port", &port, "--quiet", PATIENCE]),
            Self::UdpUnread => one("/bin/udpsink", &["--port", &port, "--never-read"]),
            Self::SynFlood | Self::RequestFlood => vec![server(ANTAGONIST, FLOODED)],
            Self::DiskReader => one(
                "/bin/readfiles",
                &[
                    "--evict",
                    "--random",
                    "--size",
                    &read,
                    "--request",
                    "65536",
                    READER,
                ],
            ),
            Self::DiskWriter => one("/bin/stress", &["writes", "--amount", &written]),
            Self::MemoryHog => (0..smp)
                .map(|number| process(number, "/bin/stress", &["memory", "--amount", &filled]))
                .chain([process(smp, "/bin/stress", &["faults"])])
                .collect(),
            Self::ThreadBomb => one("/bin/stress", &["threads", "--amount", "1000"]),
            Self::CallStorm => one("/bin/stress", &["calls"]),
            // Once for each core; for ever.
            Self::StressNg => {
                let each = smp.to_string();
                let stressors = ["--cpu", "--io", "--vm", "--fork"];
                let asked = stressors.iter().flat_map(|name| [*name, &each]);
                let rest = ["--vm-bytes", "16M", "--timeout", "0", "--temp-path", "/tmp"];
                one(STRESS_NG, &asked.chain(rest).collect::<Vec<_>>())
            }
        }
    }

    /// Starts what it sends from outside, `packets` a second for so many seconds.
    pub(super) fn start(self, link: &Link, packets: u32, seconds: u32) -> Result<Option<Running>> {
        let guest = Link::GUEST;
        let (what, to, rate) = match self {
            Self::UdpClosed => ("udp", format!("{guest}:{CLOSED}"), packets),
            Self::UdpRead | Self::UdpUnread => ("udp", format!("{guest}:{FLOODED}"), packets),
            Self::UdpOutside => return self.control(link, packets, seconds),
            Self::SynFlood => ("syn", format!("{guest}:{FLOODED}"), SYNS),
            Self::RequestFlood => ("requests", format!("{guest}:{FLOODED}"), REQUESTS),
            _ => return Ok(None),
        };
        flood(link, what, &to, rate, seconds).map(Some)
    }

    /// Starts the same packets, where it sends any, to an address at which they end before they get to the
    /// guest: to make them costs the host something, too.
    pub(super) fn control(
        self,
        link: &Link,
        packets: u32,
        seconds: u32,
    ) -> Result<Option<Running>> {
        let (what, rate) = match self {
            Self::UdpClosed | Self::UdpRead | Self::UdpUnread | Self::UdpOutside => {
                ("udp", packets)
            }
            Self::SynFlood => ("syn", SYNS),
            _ => return Ok(None),
        };
        let outside = link.outside().context("a place for packets to end at")?;
        flood(link, what, &format!("{outside}:{CLOSED}"), rate, seconds).map(Some)
    }

    /// The server of its that is to be there before it begins, if it has one.
    pub(super) fn awaits(self) -> Option<u16> {
        matches!(self, Self::SynFlood | Self::RequestFlood).then_some(FLOODED)
    }
}

fn flood(link: &Link, what: &str, to: &str, rate: u32, seconds: u32) -> Result<Running> {
    let mut command = link.clients().command(measure::program_here("flood")?);
    command.args([what, to, "--rate", &rate.to_string()]);
    command.args(["--seconds", &seconds.to_string()]);
    command.stdout(std::process::Stdio::null());
    Running::start(&mut command)
}

fn process(number: u32, path: &str, arguments: &[&str]) -> Process {
    let mut process = grid::process(ANTAGONIST, path, arguments);
    process.name = format!("{ANTAGONIST}{number}");
    process
}
