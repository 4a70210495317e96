//! `selfcheck`: what a Rust program expects of the system that it runs on. The same lines come out
//! on Linux and on Vortex.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, io, process, thread};

use clap::{Parser, Subcommand};

/// Check what a Rust program expects of its system
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Threads, and what they wait for
    Threads,
    /// Clocks and sleeping
    Time,
    /// The environment, and the rest of the arguments
    Environment {
        /// Anything
        arguments: Vec<String>,
    },
    /// The files in a folder
    Files {
        /// The folder
        folder: String,
    },
    /// Panic in the main thread
    Panic,
    /// Recurse without end, in a thread
    Overflow,
    /// Abort
    Abort,
    /// Fill memory and add it up, again and again
    Fill {
        /// How much
        mebibytes: usize,
        /// How often
        times: usize,
    },
}

fn main() -> io::Result<()> {
    match Args::parse().what {
        What::Threads => threads(),
        What::Time => time(),
        What::Environment { arguments } => environment(&arguments),
        What::Files { folder } => files(&folder)?,
        What::Panic => panic!("on purpose"),
        What::Overflow => overflow(),
        What::Abort => process::abort(),
        What::Fill { mebibytes, times } => fill(mebibytes, times),
    }
    Ok(())
}

fn threads() {
    counting();
    talking();
    meeting();
    panicking();
    locals();
    random();
    many();
}

fn counting() {
    let counter = Mutex::new(0_u64);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    *counter.lock().unwrap() += 1;
                }
            });
        }
    });
    println!("mutex: counted to {}", counter.lock().unwrap());
}

fn talking() {
    let (turn, changed) = (Mutex::new(0_u32), Condvar::new());
    thread::scope(|scope| {
        for parity in 0..2 {
            let (turn, changed) = (&turn, &changed);
            scope.spawn(move || {
                for _ in 0..100 {
                    let mine = |turn: &mut u32| *turn % 2 != parity;
                    *changed.wait_while(turn.lock().unwrap(), mine).unwrap() += 1;
                    changed.notify_one();
                }
            });
        }
    });
    println!("condvar: {} turns", turn.lock().unwrap());
    let (sender, receiver) = mpsc::channel();
    for number in 0..8_u64 {
        let sender = sender.clone();
        thread::spawn(move || (0..100).for_each(|i| sender.send(number * 100 + i).unwrap()));
    }
    drop(sender);
    println!("channel: sum {}", receiver.iter().sum::<u64>());
    let limited = receiver.recv_timeout(Duration::from_millis(1));
    println!("channel: {}", limited.unwrap_err());
}

fn meeting() {
    let (barrier, leaders) = (Barrier::new(8), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let leads = barrier.wait().is_leader();
                    leaders.fetch_add(leads.into(), Ordering::Relaxed);
                }
            });
        }
    });
    println!("barrier: {} leaders", leaders.load(Ordering::Relaxed));
    let main = thread::current();
    let told = Arc::new(AtomicUsize::new(0));
    let tells = told.clone();
    let teller = thread::spawn(move || {
        tells.store(1, Ordering::Release);
        main.unpark();
    });
    while told.load(Ordering::Acquire) == 0 {
        thread::park();
    }
    println!("park: unparked, {}", teller.join().is_ok());
}

fn panicking() {
    let thread = thread::Builder::new().name("panics".into());
    let ended = thread.spawn(|| panic!("in a thread")).unwrap().join();
    let reason = ended.unwrap_err();
    println!("join: panicked {:?}", reason.downcast_ref::<&str>());
}

thread_local! {
    static LOCAL: Cell<u64> = const { Cell::new(7) };
    static COUNTED: Counted = const { Counted };
}
static DROPPED: AtomicU64 = AtomicU64::new(0);

struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

fn locals() {
    let started = (0..10).map(|number| {
        thread::spawn(move || {
            COUNTED.with(|_| ());
            LOCAL.set(LOCAL.get() + number);
            LOCAL.get()
        })
    });
    let started: Vec<_> = started.collect();
    let sum: u64 = started.into_iter().map(|each| each.join().unwrap()).sum();
    let dropped = DROPPED.load(Ordering::Relaxed);
    println!("locals: sum {sum}, {dropped} dropped, {} here", LOCAL.get());
}

fn random() {
    let map: HashMap<_, _> = (0..1000).map(|number| (number, number * number)).collect();
    let hashes: HashSet<_> = (0..4)
        .map(|_| thread::spawn(|| RandomState::new().hash_one(1)))
        .map(|thread| thread.join().unwrap())
        .collect();
    println!("hash: {} -> {}, {} states", 31, map[&31], hashes.len());
}

fn many() {
    let threads: Vec<_> = (0..200_u64)
        .map(|number| thread::spawn(move || number))
        .collect();
    let sum: u64 = threads.into_iter().map(|each| each.join().unwrap()).sum();
    println!("200 threads: sum {sum}");
}

fn time() {
    let short = [1, 5, 20]
        .map(Duration::from_millis)
        .into_iter()
        .find(|&time| {
            let since = Instant::now();
            thread::sleep(time);
            since.elapsed() < time
        });
    println!("sleep: too short {short:?}");
    // What one thread has seen of the clock, none sees less of later.
    let (start, last, wrong) = (Instant::now(), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5000 {
                    let before = last.load(Ordering::SeqCst);
                    let now = u64::try_from(start.elapsed().as_nanos()).unwrap();
                    wrong.fetch_add((now < before).into(), Ordering::Relaxed);
                    last.fetch_max(now, Ordering::SeqCst);
                }
            });
        }
    });
    println!("clock: {} times backwards", wrong.load(Ordering::Relaxed));
    let now = SystemTime::now();
    let years = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() / (365 * 86_400));
    println!("date: plausible {}", (55..130).contains(&years));
}

fn environment(arguments: &[String]) {
    println!("arguments: {arguments:?}, colour: {:?}", env::var("COLOUR"));
    let mut names: Vec<_> = env::vars().map(|(name, _)| name).collect();
    names.sort();
    println!("variables: {names:?}, process: {}", process::id() > 0);
}

fn files(folder: &str) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if kind.is_dir() {
            println!("folder {}", name.display());
            files(&entry.path().to_string_lossy())?;
        } else {
            let contents = fs::read(entry.path())?;
            let sum: u64 = contents.iter().copied().map(u64::from).sum();
            let (said, read) = (fs::metadata(entry.path())?.len(), contents.len());
            let link = kind.is_symlink();
            println!(
                "file {}: {said}, {read}, {sum}, link {link}",
                name.display()
            );
        }
    }
    let missing = fs::read(format!("{folder}/missing")).unwrap_err();
    println!("missing: {missing}");
    let through = fs::read_dir(format!("{folder}/missing/more")).unwrap_err();
    println!("below missing: {through}");
    Ok(())
}

fn overflow() {
    let thread = thread::Builder::new().name("deep".into());
    let ended = thread.spawn(|| println!("{}", deep(0)));
    println!("came back: {:?}", ended.map(|thread| thread.join().is_ok()));
}

#[expect(unconditional_recursion, reason = "that is the case")]
fn deep(level: u64) -> u64 {
    let room = std::hint::black_box([level; 64]);
    deep(level + 1) + room[7]
}

fn fill(mebibytes: usize, times: usize) {
    let mut sum = 0;
    for time in 1..=times {
        let mut memory = vec![0_u8; mebibytes << 20];
        for page in memory.chunks_mut(4096) {
            page[0] = u8::try_from(time % 251).unwrap_or_default();
        }
        sum += std::hint::black_box(memory)
            .iter()
            .map(|&byte| u64::from(byte))
            .sum::<u64>();
    }
    println!("filled {mebibytes} MiB {times} times: {sum}");
}
