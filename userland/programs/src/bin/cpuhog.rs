//! `cpuhog`: CPU-bound threads, one per core unless told otherwise.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use clap::Parser;
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
}

fn main() {
    let args = Args::parse();
    let per_core = work::cores() * args.threads_per_core as usize;
    let threads = args.threads.unwrap_or(per_core).max(1);
    let end = AtomicBool::new(false);
    let done: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
    thread::scope(|scope| {
        for done in &done[1..] {
            scope.spawn(|| work::spin(&end, done));
        }
        if let Some(seconds) = args.seconds {
            let end = &end;
            scope.spawn(move || {
                thread::sleep(Duration::from_secs(seconds));
                end.store(true, Ordering::Relaxed);
            });
        }
        work::spin(&end, &done[0]);
    });
    for (number, done) in done.iter().enumerate() {
        println!("thread {number}: {} rounds", done.load(Ordering::Relaxed));
    }
}
