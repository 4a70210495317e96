//! What the files of `/proc` say (proc(5)), as far as ordinary tools read it.
//!
//! Times are in ticks of which a second has [`TICKS`]. What Linux says and is not known here is 0.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;

use super::{Kind, Shared};
use crate::calls::RELEASE;
use crate::files::Node;
use crate::files::{ProcessFile, Processes, SystemFile};
use crate::machine::{Machine, PAGE_SIZE};
use crate::process::Process;
use crate::thread::State;

/// Ticks of a second (`_SC_CLK_TCK`).
const TICKS: u64 = 100;
const NS_OF_TICK: u64 = 1_000_000_000 / TICKS;
/// The device number of the terminal, `/dev/console`: 5, 1.
const TERMINAL: u32 = 5 << 8 | 1;

impl<M: Machine> Processes for Shared<M> {
    fn ids(&self) -> Vec<u32> {
        let all = self.processes.with_zombies();
        all.iter().map(|process| process.id()).collect()
    }

    fn is_there(&self, id: u32) -> bool {
        self.processes.find(id).is_some()
    }

    fn program(&self, id: u32) -> Option<Vec<u8>> {
        let process = self.processes.find(id)?;
        let program = process.descriptors().lock().program.clone();
        Some(program)
    }

    fn system_file(&self, file: SystemFile) -> Vec<u8> {
        let text = match file {
            SystemFile::Cpuinfo => self.cpuinfo(),
            SystemFile::Filesystems => "\text2\nnodev\tproc\n".into(),
            SystemFile::Loadavg => self.loadavg(),
            SystemFile::Meminfo => self.meminfo(),
            SystemFile::Mounts => self.mounts(),
            SystemFile::Stat => self.stat(),
            SystemFile::Uptime => self.uptime(),
            SystemFile::Version => {
                alloc::format!(
                    "Linux version {RELEASE} Vortex {}\n",
                    env!("CARGO_PKG_VERSION")
                )
            }
        };
        text.into_bytes()
    }

    fn process_file(&self, id: u32, file: ProcessFile) -> Option<Vec<u8>> {
        let process = self.processes.find(id)?;
        let text = match file {
            ProcessFile::Cmdline => return Some(process.command_line().to_vec()),
            ProcessFile::Comm => alloc::format!("{}\n", name(&process)),
            ProcessFile::Stat => self.stat_of(&process),
            ProcessFile::Statm => {
                let (resident, bytes) = process.space().usage();
                alloc::format!("{} {resident} 0 0 0 0 0\n", bytes / PAGE_SIZE)
            }
            ProcessFile::Status => status_of(&process),
        };
        Some(text.into_bytes())
    }
}

impl<M: Machine> Shared<M> {
    fn ticks(&self, cycles: u64) -> u64 {
        self.clock.nanoseconds(cycles) / NS_OF_TICK
    }

    /// Ticks since the machine was started.
    fn up(&self) -> u64 {
        self.ticks(self.machine.now())
    }

    fn cpuinfo(&self) -> String {
        let mut text = String::new();
        for core in 0..self.grid.cores() {
            let (mhz, khz) = (
                self.machine.hertz() / 1_000_000,
                self.machine.hertz() / 1000,
            );
            // It never fails.
            let _ = write!(
                text,
                "processor\t: {core}\nmodel name\t: x86-64\ncpu MHz\t\t: {mhz}.{:03}\n\n",
                khz % 1000
            );
        }
        text
    }

    /// The load is not measured: it is 0.
    fn loadavg(&self) -> String {
        let all = self.processes.all();
        let running = all.iter().filter(|process| state(process) == 'R').count();
        let last = all.iter().map(|process| process.id()).max().unwrap_or(0);
        alloc::format!("0.00 0.00 0.00 {running}/{} {last}\n", all.len())
    }

    fn meminfo(&self) -> String {
        let mut held = Vec::new();
        self.memory
            .read_accounts(|activity, resource, frames| held.push((activity, resource, frames)));
        let free = self.memory.available() as u64;
        let total = free + held.iter().map(|(_, _, frames)| frames).sum::<u64>();
        let is_cache = |(activity, resource, _): &&(_, _, u64)| {
            let caches = [Kind::FileCache, Kind::Executable];
            let mut caches = caches
                .map(|kind| self.destination(kind, *activity))
                .into_iter();
            caches.any(|cache| cache == *resource)
        };
        let cached = held.iter().filter(is_cache).map(|(_, _, frames)| frames);
        let cached = cached.sum::<u64>();
        let mut text = String::new();
        for (name, frames) in [
            ("MemTotal", total),
            ("MemFree", free),
            ("MemAvailable", free + cached),
            ("Buffers", 0),
            ("Cached", cached),
            ("Shmem", 0),
            ("SReclaimable", 0),
            ("SwapTotal", 0),
            ("SwapFree", 0),
        ] {
            let kib = frames * (PAGE_SIZE / 1024);
            let _ = writeln!(text, "{:<15} {kib:>8} kB", alloc::format!("{name}:"));
        }
        text
    }

    fn mounts(&self) -> String {
        let mut text = String::new();
        match self.disk.get() {
            Some(disk) => {
                for (volume, root, read_only) in disk.mounted() {
                    let how = if read_only { "ro" } else { "rw" };
                    let path = self.names().path(&Node::Disk(root)).unwrap_or_default();
                    let path = escaped(&path);
                    let _ = writeln!(text, "/dev/{volume} {path} ext2 {how} 0 0");
                }
            }
            None => text.push_str("rootfs / rootfs ro 0 0\n"),
        }
        text.push_str("dev /dev devtmpfs rw 0 0\nproc /proc proc ro 0 0\n");
        text
    }

    fn stat(&self) -> String {
        let now = self.machine.now();
        let snapshot = self.grid.snapshot(now);
        let cores = snapshot.ledgers.iter().map(|ledger| {
            let elapsed = ledger.through.saturating_sub(ledger.since);
            let other = ledger.scheduling + ledger.interrupt + ledger.idle;
            // What is neither: for activities.
            let busy = elapsed.saturating_sub(other);
            [busy, ledger.scheduling, ledger.idle, ledger.interrupt].map(|part| self.ticks(part))
        });
        let cores: Vec<[u64; 4]> = cores.collect();
        let mut text = String::new();
        let mut line = |name: &str, [busy, scheduling, idle, interrupt]: [u64; 4]| {
            let _ = writeln!(
                text,
                "{name} {busy} 0 {scheduling} {idle} 0 {interrupt} 0 0 0 0"
            );
        };
        let sum = |at: usize| cores.iter().map(|core| core[at]).sum();
        line("cpu ", [sum(0), sum(1), sum(2), sum(3)]);
        for (number, core) in cores.iter().enumerate() {
            line(&alloc::format!("cpu{number}"), *core);
        }
        let all = self.processes.all();
        let running = all.iter().filter(|process| state(process) == 'R').count();
        let boot = self.machine.epoch_ns() / 1_000_000_000;
        let _ = write!(
            text,
            "intr 0\nctxt 0\nbtime {boot}\nprocesses {}\nprocs_running {running}\n\
             procs_blocked 0\n",
            all.len()
        );
        text
    }

    fn uptime(&self) -> String {
        let snapshot = self.grid.snapshot(self.machine.now());
        let idle: u64 = snapshot.ledgers.iter().map(|ledger| ledger.idle).sum();
        let [up, idle] = [self.up(), self.ticks(idle)]
            .map(|ticks| alloc::format!("{}.{:02}", ticks / TICKS, ticks % TICKS));
        alloc::format!("{up} {idle}\n")
    }

    /// All about a process: 52 fields.
    fn stat_of(&self, process: &Process<M>) -> String {
        let (session, group) = process.session_and_group();
        let controller = self.terminal.get().map(|terminal| terminal.controller());
        let controller = controller.filter(|controller| controller.session == session);
        let (terminal, foreground) = match controller {
            Some(controller) => (TERMINAL, i64::from(controller.foreground)),
            None => (0, -1),
        };
        let used = process.consumption(self.machine.now());
        let children = process.children_consumption();
        let (resident, bytes) = process.space().usage();
        let mut text = alloc::format!(
            "{} ({}) {} {} {group} {session} {terminal} {foreground} 0 {} {} {} {} {} 0 {} 0 20 0 {} 0 {} \
             {bytes} {resident} {}",
            process.id(),
            name(process),
            state(process),
            process.parent(),
            used.minor_faults,
            children.minor_faults,
            used.major_faults,
            children.major_faults,
            self.ticks(used.cycles),
            self.ticks(children.cycles),
            process.thread_count(),
            self.ticks(process.started()),
            u64::MAX,
        );
        const KNOWN: usize = 25;
        const FIELDS: usize = 52;
        for _ in KNOWN..FIELDS {
            text.push_str(" 0");
        }
        text.push('\n');
        text
    }
}

fn status_of<M: Machine>(process: &Process<M>) -> String {
    let (resident, bytes) = process.space().usage();
    let word = match state(process) {
        'R' => "running",
        'T' => "stopped",
        'Z' => "zombie",
        _ => "sleeping",
    };
    alloc::format!(
        "Name:\t{}\nState:\t{} ({word})\nTgid:\t{id}\nPid:\t{id}\nPPid:\t{}\nUid:\t0\t0\t0\t0\n\
         Gid:\t0\t0\t0\t0\nVmSize:\t{:>8} kB\nVmRSS:\t{:>8} kB\nThreads:\t{}\n",
        name(process),
        state(process),
        process.parent(),
        bytes / 1024,
        resident * (PAGE_SIZE / 1024),
        process.thread_count(),
        id = process.id(),
    )
}

/// A process's name, as text.
fn name<M: Machine>(process: &Process<M>) -> String {
    let name = process.name();
    let end = name.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&name[..end.unwrap_or(name.len())]).into_owned()
}

/// A process's state, as one letter.
fn state<M: Machine>(process: &Process<M>) -> char {
    let is_ready = |thread: &Arc<crate::thread::Thread<M>>| {
        matches!(
            thread.control.lock().state,
            State::Ready | State::Running(_)
        )
    };
    match process {
        process if process.has_ended() => 'Z',
        process if process.is_stopped() => 'T',
        process if process.all_threads().iter().any(is_ready) => 'R',
        _ => 'S',
    }
}

/// A path as it is in `/proc/mounts`: what would divide it is written in octal (getmntent(3)).
fn escaped(path: &[u8]) -> String {
    let mut text = String::new();
    for &byte in path {
        match byte {
            b'!'..=b'~' if byte != b'\\' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\{byte:03o}");
            }
        }
    }
    text
}
