//! `microbench`: what single operations cost. The same program runs on Vortex and on Linux.
#![forbid(unsafe_code)]

use std::fs;
use std::hint::black_box;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};
use rustix::thread::{CpuSet, sched_setaffinity, sched_yield};
use serde_json::json;
use vortex::{Spawn, activity};
use vortex_programs::filebench;
use vortex_programs::time::percentile;
use vortex_programs::work;

/// Measure what single operations cost, in nanoseconds, one line of JSON each
#[derive(Parser)]
struct Args {
    /// So many times as usual, in per cent
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    effort: u32,
    /// Only this one
    #[arg(long)]
    only: Option<String>,
    /// Measure operations on files, too, in this folder
    #[arg(long)]
    files: Option<PathBuf>,
    /// Also those that read from the disk: not where sleeping takes no time
    #[arg(long, requires = "files")]
    uncached: bool,
    /// As the first process of Linux, mount this disk at /disk first
    #[arg(long, hide = true)]
    mount: Option<PathBuf>,
    /// End at once: what the process start is measured with
    #[arg(long, hide = true)]
    end: bool,
}

/// An operation: its name, how often it is done at full effort, and doing it so often, which tells
/// what one costs in nanoseconds.
type Operation = (&'static str, u32, fn(u32) -> io::Result<f64>);

/// Doing an operation so often, as in [`Operation`].
type Doing<'a> = Box<dyn Fn(u32) -> io::Result<f64> + 'a>;

const OPERATIONS: [Operation; 11] = [
    ("getpid", 200_000, get_pid),
    ("request", 50_000, request),
    ("yield", 50_000, switch),
    ("futex-same-core", 20_000, |times| ping_pong(times, 0)),
    ("futex-cross-core", 5_000, |times| ping_pong(times, 1)),
    ("pipe-same-core", 20_000, |times| {
        hand_over(times, read_pipe)
    }),
    ("epoll-same-core", 20_000, |times| {
        hand_over(times, read_when_ready)
    }),
    ("thread", 2_000, create_and_join),
    ("page-fault", 50_000, page_faults),
    ("process", 50, processes),
    ("wake-up-p99", 1_000, wake_ups),
];

fn main() -> ExitCode {
    let args = Args::parse();
    if args.end {
        return ExitCode::SUCCESS;
    }
    if let Some(disk) = &args.mount
        && let Err(error) = filebench::prepare_linux(disk, Path::new("/disk"))
    {
        eprintln!("microbench: {}: {error}", disk.display());
    }
    // Before a thread is put on one of them.
    let _ = work::cores();
    let mut status = ExitCode::SUCCESS;
    for (name, times, operation) in operations(&args) {
        if args.only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let times = (times * args.effort / 100).max(1);
        // The first round pays for what is only made once.
        let result = operation((times / 10).max(1)).and_then(|_| operation(times));
        match result {
            Ok(ns) => {
                println!(
                    "bench {}",
                    json!({ "name": name, "ns": ns, "times": times })
                );
            }
            Err(error) => {
                println!(
                    "bench {}",
                    json!({ "name": name, "error": error.to_string() })
                );
                if !vortex::is_unsupported(&error) && error.kind() != io::ErrorKind::Unsupported {
                    status = ExitCode::FAILURE;
                }
            }
        }
    }
    println!("bench end");
    status
}

/// What is to be measured.
fn operations(args: &Args) -> Vec<(&'static str, u32, Doing<'_>)> {
    let plain = OPERATIONS.map(|(name, times, operation)| {
        let doing: Doing<'_> = Box::new(operation);
        (name, times, doing)
    });
    let mut all = Vec::from(plain);
    if let Some(folder) = &args.files {
        let wanted = filebench::OPERATIONS.into_iter();
        let wanted = wanted.filter(|(_, _, uncached, _)| args.uncached || !uncached);
        all.extend(wanted.map(|(name, times, _, operation)| {
            let doing: Doing<'_> = Box::new(move |times| {
                fs::create_dir_all(folder)?;
                operation(folder, times).map(|time| each(time, times))
            });
            (name, times, doing)
        }));
    }
    all
}

/// What one of `times` costs, in nanoseconds.
fn each(time: Duration, times: u32) -> f64 {
    time.as_secs_f64() * 1e9 / f64::from(times)
}

fn get_pid(times: u32) -> io::Result<f64> {
    let start = Instant::now();
    for _ in 0..times {
        black_box(getpid());
    }
    Ok(each(start.elapsed(), times))
}

fn request(times: u32) -> io::Result<f64> {
    let start = Instant::now();
    for _ in 0..times {
        vortex::nop()?;
    }
    Ok(each(start.elapsed(), times))
}

/// Puts the calling thread on one core.
fn stay_on(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

fn all_cores() -> io::Result<()> {
    let mut cores = CpuSet::new();
    for core in 0..work::cores().min(CpuSet::MAX_CPU) {
        cores.set(core);
    }
    Ok(sched_setaffinity(None, &cores)?)
}

/// Two threads on one core that yield to each other: two switches for each yield of both.
fn switch(times: u32) -> io::Result<f64> {
    let other = thread::spawn(move || -> io::Result<()> {
        stay_on(0)?;
        for _ in 0..times / 2 {
            sched_yield();
        }
        Ok(())
    });
    stay_on(0)?;
    let start = Instant::now();
    for _ in 0..times / 2 {
        sched_yield();
    }
    let joined = other
        .join()
        .map_err(|_| io::Error::other("the other thread panicked"))?;
    let time = start.elapsed();
    all_cores()?;
    joined.map(|()| each(time, times))
}

/// One side of a ping-pong: waits for its turn, then gives it away.
fn play(turn: &AtomicU32, own: u32, times: u32, other: &Thread) {
    for _ in 0..times {
        while turn.load(Ordering::Acquire) != own {
            thread::park();
        }
        turn.store(1 - own, Ordering::Release);
        other.unpark();
    }
}

/// Two threads that wake each other, on core 0 and on core `core`.
fn ping_pong(times: u32, core: usize) -> io::Result<f64> {
    if core >= work::cores() {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "there is one core only",
        ));
    }
    let turn = Arc::new(AtomicU32::new(0));
    let (shared, first) = (turn.clone(), thread::current());
    let second = thread::spawn(move || -> io::Result<()> {
        stay_on(core)?;
        play(&shared, 1, times, &first);
        Ok(())
    });
    stay_on(0)?;
    let start = Instant::now();
    play(&turn, 0, times, second.thread());
    let joined = second
        .join()
        .map_err(|_| io::Error::other("the other thread panicked"))?;
    let time = start.elapsed();
    all_cores()?;
    joined.map(|()| each(time, times))
}

fn read_pipe(reader: &mut PipeReader, _: &OwnedFd) -> io::Result<()> {
    reader.read_exact(&mut [0])
}

fn read_when_ready(reader: &mut PipeReader, poll: &OwnedFd) -> io::Result<()> {
    let mut events = Vec::with_capacity(1);
    epoll::wait(poll, spare_capacity(&mut events), None)?;
    reader.read_exact(&mut [0])
}

/// How one side of [`hand_over`] takes a byte out of its pipe, which the epoll watches.
type Take = fn(&mut PipeReader, &OwnedFd) -> io::Result<()>;

/// Two threads on one core that hand a byte to and fro through two pipes.
fn hand_over(times: u32, take: Take) -> io::Result<f64> {
    let side = || -> io::Result<(PipeReader, PipeWriter, OwnedFd)> {
        let (reader, writer) = io::pipe()?;
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&poll, &reader, EventData::new_u64(0), EventFlags::IN)?;
        Ok((reader, writer, poll))
    };
    let (mut reader, mut back, poll) = side()?;
    let (mut answer, mut writer, answer_poll) = side()?;
    let other = thread::spawn(move || -> io::Result<()> {
        stay_on(0)?;
        for _ in 0..times {
            take(&mut reader, &poll)?;
            writer.write_all(&[1])?;
        }
        Ok(())
    });
    stay_on(0)?;
    let start = Instant::now();
    for _ in 0..times {
        back.write_all(&[1])?;
        take(&mut answer, &answer_poll)?;
    }
    let time = start.elapsed();
    let joined = other
        .join()
        .map_err(|_| io::Error::other("the other thread panicked"))?;
    all_cores()?;
    joined.map(|()| each(time, times))
}

fn create_and_join(times: u32) -> io::Result<f64> {
    let start = Instant::now();
    for _ in 0..times {
        let thread = thread::Builder::new().spawn(|| ())?;
        thread
            .join()
            .map_err(|_| io::Error::other("the thread panicked"))?;
    }
    Ok(each(start.elapsed(), times))
}

/// First writes to fresh pages.
fn page_faults(times: u32) -> io::Result<f64> {
    const PAGE: usize = 4096;
    let mut memory = vec![0_u8; times as usize * PAGE];
    let start = Instant::now();
    for page in memory.chunks_exact_mut(PAGE) {
        page[0] = 1;
    }
    let time = start.elapsed();
    black_box(memory);
    Ok(each(time, times))
}

/// From the call that starts a process to its end, right at the beginning of `main`.
fn processes(times: u32) -> io::Result<f64> {
    let program = std::env::args().next().unwrap_or_default();
    let start = Instant::now();
    for _ in 0..times {
        match Spawn::new(&program)?.argument("--end")?.start() {
            Ok(process) => {
                let process = i32::try_from(process).ok().and_then(Pid::from_raw);
                waitpid(process, WaitOptions::empty())?;
            }
            Err(error) if vortex::is_unsupported(&error) => {
                Command::new(&program).arg("--end").status()?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(each(start.elapsed(), times))
}

/// A process that is CPU-bound on all cores, of an activity of its own where there are activities;
/// it ends with this.
struct Hog(Pid);

impl Hog {
    fn start(name: &str) -> io::Result<Self> {
        let own = std::env::args().next().unwrap_or_default();
        let program = match own.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/cpuhog"),
            None => "cpuhog".into(),
        };
        let id = match activity::find(name).or_else(|_| activity::create(name, HOG_WEIGHT)) {
            Ok(activity) => Spawn::new(&program)?.activity(activity).start()?,
            Err(error) if vortex::is_unsupported(&error) => Command::new(&program).spawn()?.id(),
            Err(error) => return Err(error),
        };
        let process = i32::try_from(id).ok().and_then(Pid::from_raw);
        process
            .map(Self)
            .ok_or_else(|| io::Error::other("no process number"))
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        // If that fails it has ended.
        let _ = kill_process(self.0, Signal::KILL);
        let _ = waitpid(Some(self.0), WaitOptions::empty());
    }
}

/// What the activity of a [`Hog`] weighs: as much as another's that nobody has set.
const HOG_WEIGHT: u64 = 1000;
const SLEEP: Duration = Duration::from_millis(2);

/// How late one in a hundred sleeps ends at least, beside two CPU-bound processes.
fn wake_ups(times: u32) -> io::Result<f64> {
    let hogs = [Hog::start("hog one")?, Hog::start("hog two")?];
    let mut late: Vec<Duration> = (0..times)
        .map(|_| {
            let start = Instant::now();
            thread::sleep(SLEEP);
            start.elapsed().saturating_sub(SLEEP)
        })
        .collect();
    drop(hogs);
    late.sort_unstable();
    Ok(each(percentile(&late, 990), 1))
}
