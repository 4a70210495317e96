//! Processes of several activities in one guest, and samples of what each activity has used.
//!
//! Key type: [`Sampled`]. The samples are counters in cycles that the kernel keeps, so that what a
//! test says about them holds on a busy host, too.

use std::ffi::OsString;
use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xtask::accel::{self, Accel};
use xtask::network::Link;
use xtask::packages::{self, Package};
use xtask::program::{self, Program};
use xtask::qemu::{Guest, Next};
use xtask::samples::Sample;

use crate::log_file::LogFile;
use crate::root_disk::RootDisk;
use crate::slots::Slots;

/// How long a guest may take beyond what it measures.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many of its last lines a failure shows.
const SHOWN: usize = 40;
/// The weight of the activity of the program that takes the samples, beside 100 for all others.
const SAMPLER_WEIGHT: u32 = 5;

/// What runs in a guest, and how it is sampled.
#[derive(Clone, Debug)]
#[must_use = "nothing runs before it is told to"]
pub struct Sampled {
    smp: u32,
    seconds: u32,
    activities: String,
    processes: String,
    sampler: Vec<String>,
    /// QEMU's arguments for a disk.
    disk: Vec<OsString>,
    /// Schedulers of resources besides that of the threads.
    schedulers: String,
    /// What the link carries, in megabits a second, if the guest is told.
    rate: Option<u32>,
    /// Of the network, if the guest has one: QEMU's arguments, and what QEMU is started by.
    network: Option<(Vec<OsString>, Vec<OsString>)>,
}

/// What came out of a guest.
#[derive(Clone, Debug)]
pub struct Samples {
    /// In the order of their times.
    pub samples: Vec<Sample>,
    /// What the programs wrote otherwise.
    pub lines: Vec<String>,
}

impl Sampled {
    /// A guest with so many processors, without any activity so far; sampled every second, for five.
    pub fn new(smp: u32) -> Self {
        Self {
            smp,
            seconds: 5,
            activities: String::new(),
            processes: String::new(),
            sampler: Vec::new(),
            disk: Vec::new(),
            schedulers: String::new(),
            rate: None,
            network: None,
        }
    }

    /// With an activity of this weight. The weights of all should sum to about 100.
    pub fn activity(mut self, name: &str, weight: u32) -> Self {
        // Writing to a string does not fail.
        let _ = writeln!(
            self.activities,
            "<activity name=\"{name}\"><weight>{weight}</weight></activity>"
        );
        self
    }

    /// With one more process in an activity. The command line is divided at blanks.
    pub fn process(mut self, activity: &str, command: &str) -> Self {
        let number = self.processes.lines().count();
        let mut words = command.split(' ');
        let path = words.next().unwrap_or_default();
        let arguments: String = words.map(|word| format!("<arg>{word}</arg>")).collect();
        let _ = writeln!(
            self.processes,
            "<process name=\"{activity} {number}\"><path>{path}</path>\
             <activity>{activity}</activity>{arguments}</process>"
        );
        self
    }

    /// Sampled for so long.
    pub fn seconds(mut self, seconds: u32) -> Self {
        self.seconds = seconds;
        self
    }

    /// With more arguments for the program that takes the samples.
    pub fn sampler(mut self, arguments: &[&str]) -> Self {
        self.sampler
            .extend(arguments.iter().map(|text| (*text).into()));
        self
    }

    /// With its root file system on a disk.
    pub fn on(mut self, disk: &RootDisk) -> Self {
        self.disk = disk.device("");
        self
    }

    /// At the guest's end of a link.
    pub fn at(mut self, link: &Link) -> Self {
        let device = link.device("virtio-net-pci").to_vec();
        self.network = Some((device, link.guest().launcher()));
        self
    }

    /// Told that the link carries so many megabits a second: what waits does so at this resource, which is
    /// on the first core and scheduled fairly by bytes.
    pub fn paced(mut self, megabits: u32, resource: &str) -> Self {
        self.rate = Some(megabits);
        self.schedulers = format!(
            "<resourcescheduler><resource>{resource}</resource><algorithm>propshare.wfq</algorithm>\
             <metric>bytes</metric><cpumultiplexor><tag>cpumux0</tag><share>50</share></cpumultiplexor>\
             </resourcescheduler>\n"
        );
        self
    }

    /// Runs the guest until it has sent all samples; while no other does, unless its clock is of its own.
    ///
    /// # Panics
    /// When it ends before, or does not send them in time.
    #[must_use]
    pub fn run(&self) -> Samples {
        self.run_watched(|_| {})
    }

    /// As [`Self::run`]; `watch` is told each line that the guest's programs write, when it comes.
    ///
    /// # Panics
    /// As [`Self::run`].
    #[must_use]
    pub fn run_watched(&self, mut watch: impl FnMut(&str)) -> Samples {
        // Kept when this panics.
        let mut file = LogFile::create().expect("a log can be written");
        match self.try_run(&mut file, &mut watch) {
            Ok(samples) => samples,
            Err(error) => panic!("{error:#}"),
        }
    }

    fn try_run(&self, file: &mut LogFile, watch: &mut dyn FnMut(&str)) -> Result<Samples> {
        packages::require(&[Package::Qemu, Package::Firmware])?;
        // Under emulation a single processor can have a clock that does not see the host's load; who
        // sends packets has the host's.
        let is_alone = self.smp == 1 && self.network.is_none();
        let counted = is_alone && accel::detect()? == Accel::Tcg;
        let _slots = if counted {
            Slots::one()?
        } else {
            Slots::all()?
        };
        let (mut extra, launcher) = self.network.clone().unwrap_or_default();
        extra.extend(self.disk.iter().cloned());
        let mut guest = program::start(&Program {
            accel: counted.then_some(Accel::Counted { shift: 3 }),
            configuration: self.configuration(),
            smp: self.smp,
            memory: "512M".into(),
            extra,
            launcher,
            ..Program::default()
        })?;
        let limit = Duration::from_secs(self.seconds.into()) * 2 + PATIENCE;
        collect(&mut guest, limit, file, watch)
    }

    fn configuration(&self) -> String {
        let mut xml = format!(
            "<schedulerconfig>\n{}<activity name=\"sampler\"><weight>{SAMPLER_WEIGHT}</weight>\
             </activity>\n<resourcescheduler><resource>resource.thread</resource>\
             <algorithm>propshare.round-robin</algorithm><timeslice>5000</timeslice>\
             <loadsharing><policy>least-bound</policy><ttl>forever</ttl></loadsharing>\n",
            self.activities
        );
        for core in 0..self.smp {
            let _ = writeln!(
                xml,
                "<cpumultiplexor><tag>cpumux{core}</tag><share>100</share></cpumultiplexor>"
            );
        }
        xml.push_str("</resourcescheduler>\n");
        xml.push_str(&self.schedulers);
        for core in 0..self.smp {
            let _ = writeln!(
                xml,
                "<cpumultiplexor tag=\"cpumux{core}\"><core>{core}</core>\
                 <algorithm>propshare.wfq</algorithm></cpumultiplexor>"
            );
        }
        if self.network.is_some() {
            let rate = self.rate.map(|rate| format!("<rate>{rate}Mbit</rate>"));
            let _ = writeln!(
                xml,
                "<network interface=\"net0\"><address>{}/24</address>{}</network>",
                Link::GUEST,
                rate.unwrap_or_default()
            );
        }
        let arguments: String = (self.sampler.iter())
            .map(|argument| format!("<arg>{argument}</arg>"))
            .collect();
        let _ = writeln!(
            xml,
            "{}<process name=\"sampler\"><path>/bin/sampler</path><activity>sampler</activity>\
             <arg>--seconds</arg><arg>{}</arg>{arguments}\
             <right>statistics</right><right>weights</right></process>\n</schedulerconfig>",
            self.processes, self.seconds
        );
        xml
    }
}

/// Reads what a guest sends up to the last sample.
fn collect(
    guest: &mut Guest,
    limit: Duration,
    file: &mut LogFile,
    watch: &mut dyn FnMut(&str),
) -> Result<Samples> {
    let deadline = guest.started() + limit;
    let mut log = Vec::new();
    let mut seen = Samples {
        samples: Vec::new(),
        lines: Vec::new(),
    };
    let mut rest = Vec::new();
    let problem = loop {
        match guest.next(deadline) {
            Next::Line(line) => {
                file.add(&line.text)?;
                log.push(line.text);
            }
            Next::Output(bytes) => rest.extend_from_slice(&bytes),
            Next::Over => break "the guest ended before its last sample",
            Next::Deadline => break "the samples did not come in time",
        }
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if let Some(sample) = Sample::parse(&line) {
                seen.samples.push(sample.context("what the sampler wrote")?);
            } else if line == "samples end" {
                return Ok(seen);
            } else {
                file.add(&line)?;
                watch(&line);
                seen.lines.push(line);
            }
        }
    };
    let from = |lines: &[String]| lines[lines.len().saturating_sub(SHOWN)..].join("\n  | ");
    bail!(
        "{problem}; its log ends so:\n  | {}\nand its programs' output so:\n  | {}",
        from(&log),
        from(&seen.lines)
    )
}
