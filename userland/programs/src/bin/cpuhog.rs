//! `cpuhog`: CPU-bound threads, one per core unless told otherwise.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::time::{ClockId, clock_gettime};
use vortex_programs::work;

/// Keep the processor busy
#[derive(Parser)]
struct Args {
    /// Threads for each core
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads_per_core: u32,
    /// Threads in all, instead
    #[arg(long, conflicts_with = "threads_per_core")]
    threads: Option<usize>,
    /// End after so many seconds; without it, never
    #[arg(long, value_name = "S")]
    seconds: Option<u64>,
    /// Again and again, work for so long and then pause for as long, all threads together
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pause_ms: Option<u64>,
}

/// Spins until `end` is set; with a phase, for so long, and then sleeps as long.
fn busy(end: &AtomicBool, done: &AtomicU64, phase: Option<Duration>) {
    let Some(phase) = phase else {
        return work::spin(end, done);
    };
    let start = Instant::now();
    for round in (0..).step_by(2) {
        if end.load(Ordering::Relaxed) {
            return;
        }
        work::spin_until(start + phase * (round + 1), done);
        thread::sleep((start + phase * (round + 2)).saturating_duration_since(Instant::now()));
    }
}

fn main() {
    let args = Args::parse();
    let per_core = work::cores() * args.threads_per_core as usize;
    let threads = args.threads.unwrap_or(per_core).max(1);
    let end = AtomicBool::new(false);
    let done: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
    let phase = args.pause_ms.map(Duration::from_millis);
    thread::scope(|scope| {
        for done in &done[1..] {
            scope.spawn(|| busy(&end, done, phase));
        }
        if let Some(seconds) = args.seconds {
            let end = &end;
            scope.spawn(move || {
                thread::sleep(Duration::from_secs(seconds));
                end.store(true, Ordering::Relaxed);
            });
        }
        busy(&end, &done[0], phase);
    });
    for (number, done) in done.iter().enumerate() {
        println!("thread {number}: {} rounds", done.load(Ordering::Relaxed));
    }
    let rounds: u64 = done.iter().map(|done| done.load(Ordering::Relaxed)).sum();
    let used = clock_gettime(ClockId::ProcessCPUTime);
    println!(
        "cpuhog: {rounds} rounds in {}.{:06} s of the processor",
        used.tv_sec,
        used.tv_nsec / 1000
    );
}
