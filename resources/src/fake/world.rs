//! A whole system on a fake machine: grid, resources, programs.
//!
//! Key types: [`World`], which steps, again and again, the core whose clock is behind all others, so
//! that two runs do exactly the same; [`Setup`], what it is made of, which can also be run with a
//! host thread for each core ([`Setup::run_on_threads`]).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Mutex;
use vortex_sched_config::Known;
use vortex_schedulers::instantiate;
use vortex_toolkit::ids::{ActivityId, CoreId};
use vortex_toolkit::memory::Multiplexor;
use vortex_toolkit::{Core, Seed, Step};

use super::processor::{FakeMachine, HERTZ, STEP};
use super::program::{DATA, DATA_BYTES, Program, TEXT};
use crate::executable::{Arguments, Image};
use crate::files::{Archive, Descriptors};
use crate::object::References;
use crate::process::{ExitStatus, Rights, Spawn};
use crate::system::{CoreResources, Layout, Shared, Vortex};

/// The system's types.
pub type System = Vortex<FakeMachine>;

/// A whole system.
pub struct World {
    /// The machine.
    pub machine: FakeMachine,
    /// What its cores share.
    pub shared: Arc<Shared<FakeMachine>>,
    cores: Vec<Core<System>>,
    asleep: Vec<bool>,
    ended: Arc<Mutex<Option<ExitStatus>>>,
    /// Frames that are in use before there is a process.
    pub frames_at_start: usize,
}

/// A program as an ELF file: text of one page for each 4,096 instructions, and [`DATA_BYTES`] of
/// data.
pub(crate) fn elf(entry: u64, text_bytes: usize) -> Vec<u8> {
    const HEADERS: usize = 64 + 2 * 56;
    let mut file = Vec::new();
    let put16 = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
    let put32 = |file: &mut Vec<u8>, value: u32| file.extend(value.to_le_bytes());
    let put64 = |file: &mut Vec<u8>, value: u64| file.extend(value.to_le_bytes());
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    put16(&mut file, 2);
    put16(&mut file, 62);
    put32(&mut file, 1);
    put64(&mut file, entry);
    put64(&mut file, 64);
    put64(&mut file, 0);
    put32(&mut file, 0);
    for value in [64, 56, 2, 64, 0, 0] {
        put16(&mut file, value);
    }
    let text = text_bytes as u64;
    for (flags, offset, address, in_file, in_memory) in [
        (5_u32, 4096_u64, entry, text, text),
        (6, 0, DATA, 0, DATA_BYTES),
    ] {
        put32(&mut file, 1);
        put32(&mut file, flags);
        for value in [offset, address, address, in_file, in_memory, 4096] {
            put64(&mut file, value);
        }
    }
    assert_eq!(file.len(), HEADERS);
    file.resize(4096 + text_bytes, 0);
    file
}

/// A file of a tar in ustar format, executable.
pub(crate) fn entry(tar: &mut Vec<u8>, name: &str, contents: &[u8]) {
    let mut block = [0_u8; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    let mut put = |at: usize, text: &str| {
        block[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    put(100, "0000755");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", contents.len()));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend(block);
    tar.extend(contents);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// Configuration of so many cores with activities of these names and weights.
fn configuration(cores: u16, activities: &[(&str, u32)], timeslice_us: u64) -> String {
    let mut text = String::from("<schedulerconfig>\n");
    for (name, weight) in activities {
        text += &format!("<activity name=\"{name}\"><weight>{weight}</weight></activity>\n");
    }
    for core in 0..cores {
        text += &format!(
            "<cpumultiplexor tag=\"c{core}\"><core>{core}</core>\
             <algorithm>propshare.wfq</algorithm></cpumultiplexor>\n"
        );
    }
    text += "<resourcescheduler><resource>resource.thread</resource>\
             <algorithm>propshare.wfq</algorithm>";
    text += &format!("<timeslice>{timeslice_us}</timeslice>");
    text += "<loadsharing><policy>least-bound</policy><ttl>forever</ttl></loadsharing>";
    for core in 0..cores {
        text += &format!("<cpumultiplexor><tag>c{core}</tag><share>100</share></cpumultiplexor>");
    }
    text + "</resourcescheduler>\n</schedulerconfig>\n"
}

/// A system that has not begun.
pub struct Setup {
    /// The machine.
    pub machine: FakeMachine,
    /// What its cores share.
    pub shared: Arc<Shared<FakeMachine>>,
    seeds: Vec<Seed<System>>,
    ended: Arc<Mutex<Option<ExitStatus>>>,
}

impl Setup {
    /// A system on a machine of so many cores, with activities of these names and weights (numbered
    /// from 1) and these programs, at `/0`, `/1` and so on.
    ///
    /// # Panics
    /// If something does not fit.
    #[must_use]
    pub fn new(
        machine: FakeMachine,
        cores: u16,
        activities: &[(&str, u32)],
        timeslice_us: u64,
        programs: Vec<Program>,
    ) -> Self {
        let text = configuration(cores, activities, timeslice_us);
        let known = Known::standard(u32::from(cores));
        let plan = vortex_sched_config::parse(&text)
            .and_then(|configuration| configuration.plan(&known))
            .expect("the configuration is right");
        let made = instantiate::<System>(&plan, HERTZ).expect("the plan can be built");
        let (grid, seeds) = made.builder.build();
        let layout = Layout {
            plan,
            schedulers: made.schedulers,
            homes: made.homes,
            hertz: HERTZ,
        };
        let memory = Arc::new(Multiplexor::new(machine.clone()));
        let archive = archive(&machine, &memory, programs);
        let ended = Arc::new(Mutex::new(None));
        let report = ended.clone();
        let on_end = Box::new(move |status| *report.lock() = Some(status));
        let shared = Shared::new(machine.clone(), memory, archive, grid, layout, on_end);
        Self {
            machine,
            shared,
            seeds,
            ended,
        }
    }

    /// The program of a number, for an activity, with all rights.
    ///
    /// # Panics
    /// If there is no such program.
    #[must_use]
    pub fn spawn(
        shared: &Shared<FakeMachine>,
        program: usize,
        activity: u32,
    ) -> Spawn<FakeMachine> {
        let archive = &shared.archive;
        let path = format!("/{program}").into_bytes();
        Spawn {
            caller: None,
            activity: ActivityId(activity),
            rights: Rights::all(),
            image: Image {
                program: archive.program(&path).expect("the program is there"),
                interpreter: None,
            },
            arguments: Arguments {
                path: path.clone(),
                arguments: alloc::vec![path.clone()],
                ..Arguments::default()
            },
            descriptors: Descriptors::new(shared.names(), shared.terminal.get(), path),
        }
    }

    /// Runs program 0 for activity 1, and what it starts, with a host thread for each core, until
    /// all cores sleep with no process left; then checks that nothing is.
    ///
    /// # Panics
    /// If something is left.
    pub fn run_on_threads(self) -> ExitStatus {
        let Self {
            machine,
            shared,
            seeds,
            ended,
        } = self;
        let frames_at_start = machine.memory().taken();
        let (count, asleep) = (seeds.len(), AtomicU64::new(0));
        let (machine, shared_by_all, ended) = (&machine, &shared, &ended);
        let (asleep, all) = (&asleep, (1_u64 << count) - 1);
        std::thread::scope(|scope| {
            for seed in seeds {
                scope.spawn(move || {
                    let number = seed.core();
                    let mut core = begin(machine, shared_by_all, seed);
                    if number == CoreId(0) {
                        let spawn = Self::spawn(shared_by_all, 0, 1);
                        shared_by_all.spawn(&mut core.context(), spawn);
                    }
                    while !(ended.lock().is_some() && asleep.load(Ordering::SeqCst) == all) {
                        live(machine, number, &mut core, asleep);
                    }
                });
            }
        });
        let status = *ended.lock();
        check_empty(&shared, machine, frames_at_start);
        status.expect("it has ended")
    }
}

/// A core, on the host thread that is to step it.
fn begin(
    machine: &FakeMachine,
    shared: &Arc<Shared<FakeMachine>>,
    seed: Seed<System>,
) -> Core<System> {
    let core = seed.core();
    machine.be(core);
    let resources = CoreResources::new(shared.clone(), core);
    Core::new(seed, machine.platform(core), resources)
}

/// One round of a core's idle loop, as the kernel's: true if it sleeps now.
fn turn(machine: &FakeMachine, number: CoreId, core: &mut Core<System>) -> bool {
    let now = machine.clock_of(number);
    if core.resources().next_deadline().is_some_and(|at| at <= now) {
        core.outside(CoreResources::run_timers);
    }
    let sleeps = matches!(core.step(), Step::Asleep { .. });
    if sleeps && let Some(at) = core.resources().next_deadline() {
        crate::machine::Machine::set_deadline(machine, at);
    }
    sleeps
}

/// Steps a core in real time; while it sleeps, its bit is set.
fn live(machine: &FakeMachine, number: CoreId, core: &mut Core<System>, asleep: &AtomicU64) {
    let bit = 1 << number.0;
    if asleep.load(Ordering::SeqCst) & bit != 0 {
        let now = machine.clock_of(number);
        if machine.wakes_at(number) > now {
            return std::thread::yield_now();
        }
        asleep.fetch_and(!bit, Ordering::SeqCst);
        machine.wake_up(number, now);
    }
    if turn(machine, number, core) {
        asleep.fetch_or(bit, Ordering::SeqCst);
    }
}

/// The files of programs, which the machine is told of.
fn archive(
    machine: &FakeMachine,
    memory: &Arc<Multiplexor<FakeMachine>>,
    programs: Vec<Program>,
) -> Archive {
    let mut tar = Vec::new();
    for (index, program) in programs.into_iter().enumerate() {
        let length = program.instructions.len().max(1);
        let begin = TEXT + (index as u64) * 0x1_0000;
        entry(&mut tar, &format!("{index}"), &elf(begin, length));
        machine.add_program(begin, program);
    }
    let references: Arc<dyn References> = memory.clone();
    tar.extend([0; 1024]);
    let (archive, problems) = Archive::new(tar.leak(), &[], &references);
    assert!(problems.is_empty(), "{problems:?}");
    archive
}

impl World {
    /// As [`Setup::new`], with so many frames.
    ///
    /// # Panics
    /// If something does not fit.
    #[must_use]
    pub fn new(
        cores: u16,
        frames: u32,
        activities: &[(&str, u32)],
        timeslice_us: u64,
        programs: Vec<Program>,
    ) -> Self {
        let machine = FakeMachine::new(cores, frames);
        let Setup {
            machine,
            shared,
            seeds,
            ended,
        } = Setup::new(machine, cores, activities, timeslice_us, programs);
        let seeds = seeds.into_iter();
        let cores: Vec<_> = seeds.map(|seed| begin(&machine, &shared, seed)).collect();
        Self {
            frames_at_start: machine.memory().taken(),
            asleep: cores.iter().map(|_| false).collect(),
            machine,
            shared,
            cores,
            ended,
        }
    }

    /// Starts the program of a number, for an activity, with all rights.
    ///
    /// # Panics
    /// If there is no such program.
    pub fn start(&mut self, program: usize, activity: u32) {
        let spawn = Setup::spawn(&self.shared, program, activity);
        self.machine.be(CoreId(0));
        let shared = self.shared.clone();
        shared.spawn(&mut self.cores[0].context(), spawn);
        self.asleep[0] = false;
    }

    /// Steps the core that is behind. False if all sleep for ever.
    fn step(&mut self) -> bool {
        let next = |core: CoreId| match self.asleep[core.index()] {
            true => self.machine.wakes_at(core).max(self.machine.clock_of(core)),
            false => self.machine.clock_of(core),
        };
        let cores = (0..self.cores.len()).map(|core| CoreId(u16::try_from(core).unwrap_or(0)));
        let Some(core) = cores.min_by_key(|core| next(*core)) else {
            return false;
        };
        let at = next(core);
        let wakes = self.machine.wakes_at(core);
        if self.asleep[core.index()] && wakes == u64::MAX {
            return false;
        }
        self.machine.be(core);
        if self.asleep[core.index()] {
            self.machine.wake_up(core, at);
            self.asleep[core.index()] = false;
        }
        self.machine.spend(STEP);
        self.asleep[core.index()] = turn(&self.machine, core, &mut self.cores[core.index()]);
        true
    }

    /// Runs until the last process has ended, at most so many cycles; how the first one did.
    ///
    /// # Panics
    /// If it has not, or all cores sleep before.
    pub fn run(&mut self, limit: u64) -> ExitStatus {
        while self.ended.lock().is_none() {
            let now = self.now();
            assert!(now < limit, "still running after {now} cycles");
            assert!(
                self.step(),
                "all cores sleep, for ever, with processes left"
            );
        }
        let ended = *self.ended.lock();
        // What is still under way: control messages, requests that nobody waits for.
        for _ in 0..1000 {
            if !self.step() {
                break;
            }
        }
        ended.expect("it was there just now")
    }

    /// Whether the last process has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.lock().is_some()
    }

    /// Runs for so many cycles.
    pub fn run_for(&mut self, cycles: u64) {
        let end = self.now() + cycles;
        while self.now() < end && self.step() {}
    }

    /// The time of the core that is behind, of those that are awake; if none is, of the one that was
    /// awake last. The clock of one that sleeps stands still.
    #[must_use]
    pub fn now(&self) -> u64 {
        let cores = (0..self.cores.len()).map(|core| CoreId(u16::try_from(core).unwrap_or(0)));
        let clock = |core: CoreId| self.machine.clock_of(core);
        let awake = cores.clone().filter(|core| !self.asleep[core.index()]);
        let behind = awake.map(clock).min();
        behind.or_else(|| cores.map(clock).max()).unwrap_or(0)
    }

    /// Checks that nothing is left of any process, and that the ledgers add up.
    ///
    /// # Panics
    /// If not.
    pub fn check_empty(&self) {
        check_empty(&self.shared, &self.machine, self.frames_at_start);
    }
}

/// Checks that nothing is left of any process, and that the ledgers add up.
fn check_empty(shared: &Shared<FakeMachine>, machine: &FakeMachine, frames_at_start: usize) {
    assert_eq!(shared.processes.len(), 0, "processes are left");
    assert!(shared.futexes.is_empty(), "waiters are left");
    assert_eq!(shared.sleepers(), 0, "sleepers are left");
    let (connections, half_open, _, endpoints) = shared.network.len();
    let sockets = (connections, half_open, endpoints);
    assert_eq!(sockets, (0, 0, 0), "sockets are left");
    let taken = machine.memory().taken();
    assert_eq!(taken, frames_at_start + cached(shared), "frames are left");
    let snapshot = shared.grid.snapshot(machine.clock_of(CoreId(0)));
    for core in 0..shared.grid.cores() {
        let core = CoreId(u16::try_from(core).unwrap_or(0));
        let missing = snapshot.missing_cycles(core);
        assert_eq!(missing, 0, "cycles in no account on {core:?}");
    }
}

/// Frames that hold pages of files.
fn cached(shared: &Shared<FakeMachine>) -> usize {
    let mut cached = 0;
    for number in 0..shared.archive.len() as u64 {
        let Some(object) = shared.archive.object(number) else {
            continue;
        };
        for page in 0..object.length().div_ceil(4096) {
            if let Some(frame) = object.cached(page) {
                shared.memory.release(frame);
                cached += 1;
            }
        }
    }
    cached
}
