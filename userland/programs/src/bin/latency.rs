//! `latency`: how late a sleeping thread wakes up.
#![forbid(unsafe_code)]

use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;
use vortex_programs::time::{micros, percentile};

/// Sleep again and again, and measure how late one wakes up
#[derive(Parser)]
struct Args {
    /// How often
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// How long each sleep is, in microseconds
    #[arg(long, value_name = "US", default_value_t = 2000)]
    sleep: u64,
}

fn main() {
    let args = Args::parse();
    let sleep = Duration::from_micros(args.sleep);
    let mut late: Vec<Duration> = (0..args.count)
        .map(|_| {
            let start = Instant::now();
            thread::sleep(sleep);
            start.elapsed().saturating_sub(sleep)
        })
        .collect();
    late.sort_unstable();
    println!(
        "{}",
        json!({
            "count": args.count,
            "sleep_us": args.sleep,
            "p50_us": micros(percentile(&late, 500)),
            "p99_us": micros(percentile(&late, 990)),
            "max_us": micros(percentile(&late, 1000)),
        })
    );
}
