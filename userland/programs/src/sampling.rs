//! Samples at a steady pace, as `cargo xtask experiment` reads them: a line of JSON for each.
//!
//! Key type: [`Pace`], the arguments that all samplers have in common. All samples are kept in memory
//! and written at the end, so that what the console costs is not in them.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// When samples are taken.
#[derive(Clone, Debug, clap::Args)]
pub struct Pace {
    /// For so many seconds
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Wait so many seconds before the first sample
    #[arg(long, default_value_t = 1)]
    settle: u32,
    /// Print each sample when it is taken, and not all in the end: then printing takes its part, too
    #[arg(long)]
    live: bool,
    /// Time between samples, in milliseconds
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    interval: u32,
}

impl Pace {
    /// Calls `take` for each sample, with its number from 0, and prints what it returns.
    ///
    /// # Errors
    /// What `take` says.
    pub fn run(&self, mut take: impl FnMut(usize) -> io::Result<Value>) -> io::Result<()> {
        thread::sleep(Duration::from_secs(self.settle.into()));
        let interval = Duration::from_millis(self.interval.into());
        let samples = u64::from(self.seconds) * 1000 / u64::from(self.interval);
        let mut kept = Vec::new();
        let start = Instant::now();
        for sample in 0..=usize::try_from(samples).map_err(io::Error::other)? {
            let due = interval * u32::try_from(sample).map_err(io::Error::other)?;
            thread::sleep(due.saturating_sub(start.elapsed()));
            let line = take(sample)?;
            match self.live {
                true => println!("sample {line}"),
                false => kept.push(line),
            }
        }
        for line in kept {
            println!("sample {line}");
        }
        println!("samples end");
        Ok(())
    }
}
