//! `stress`: unpleasant neighbours.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use rustix::process::{Signal, getpid, kill_process};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use vortex_programs::work;

/// Do one unpleasant thing for ever
#[derive(Parser)]
struct Args {
    /// What
    what: What,
    /// How much: threads or timers to create, megabytes to fill or to write
    #[arg(long, default_value_t = 1000)]
    amount: usize,
    /// The file that is written
    #[arg(long, default_value = "/stress")]
    file: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// System calls
    Calls,
    /// Page faults
    Faults,
    /// Signals to itself
    Signals,
    /// Many threads, all of them busy
    Threads,
    /// Sleeps of 100 µs
    Sleeps,
    /// Many timers, each due every microsecond, and each read as soon as it is
    Timers,
    /// More memory than there is
    Memory,
    /// A file, again and again, each time until it is on the disk
    Writes,
}

fn main() {
    let args = Args::parse();
    match args.what {
        What::Calls => loop {
            std::hint::black_box(getpid());
        },
        What::Faults => loop {
            fill(1 << 20);
        },
        What::Signals => loop {
            // Ignored unless one has a handler for it.
            if let Err(error) = kill_process(getpid(), Signal::WINCH) {
                eprintln!("stress: no signal could be sent: {error}");
                std::process::exit(1);
            }
        },
        What::Threads => threads(args.amount),
        What::Sleeps => loop {
            thread::sleep(Duration::from_micros(100));
        },
        What::Timers => timers(args.amount),
        What::Memory => {
            let kept: Vec<_> = (0..args.amount).map(|_| fill(1 << 20)).collect();
            println!("{} MiB filled", kept.len());
        }
        What::Writes => {
            let Err(error) = write_for_ever(&args.file, args.amount);
            eprintln!("stress: {}: {error}", args.file.display());
            std::process::exit(1);
        }
    }
}

/// Memory that has been written to.
fn fill(bytes: usize) -> Vec<u8> {
    let mut memory = vec![0_u8; bytes];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(memory)
}

fn write_for_ever(path: &Path, mebibytes: usize) -> io::Result<Infallible> {
    let mut file = File::create(path)?;
    let block = vec![b'x'; 1 << 20];
    loop {
        file.rewind()?;
        for _ in 0..mebibytes {
            file.write_all(&block)?;
        }
        file.sync_data()?;
    }
}

fn timers(number: usize) {
    let end = |error| -> ! {
        eprintln!("stress: timers fail: {error}");
        std::process::exit(1)
    };
    let period = Itimerspec {
        it_interval: Timespec {
            tv_sec: 0,
            tv_nsec: 1000,
        },
        it_value: Timespec {
            tv_sec: 0,
            tv_nsec: 1,
        },
    };
    let made: Result<Vec<_>, _> = (0..number)
        .map(|_| {
            let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::empty())?;
            timerfd_settime(&timer, TimerfdTimerFlags::empty(), &period).map(|_| timer)
        })
        .collect();
    let made = made.unwrap_or_else(|error| end(error));
    println!("{number} timers run");
    loop {
        for timer in &made {
            if let Err(error) = rustix::io::read(timer, &mut [0; 8]) {
                end(error);
            }
        }
    }
}

fn threads(number: usize) {
    let (end, done) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for started in 1..=number {
            let small = thread::Builder::new().stack_size(64 << 10);
            if let Err(error) = small.spawn_scoped(scope, || work::spin(&end, &done)) {
                eprintln!("stress: only {} threads: {error}", started - 1);
                end.store(true, Ordering::Relaxed);
                return;
            }
        }
        println!("{number} threads run");
    });
}
