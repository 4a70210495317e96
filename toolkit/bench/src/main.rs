//! `vortex-bench`: counts and times the workloads and prints the table; `cargo xtask bench
//! toolkit` builds and starts it.
#![forbid(unsafe_code)]

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use vortex_bench::counts::{Counter, measure};
use vortex_bench::report::{LEGEND, Measured, Row, rows, table};
use vortex_bench::time::median_ns;
use vortex_bench::{Workload, all};

#[derive(Parser)]
#[command(about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Count every workload and print the table
    Table {
        /// A tenth of the operations
        #[arg(long)]
        quick: bool,
        /// The folder of criterion's results; without it the column of times stays empty
        #[arg(long)]
        criterion: Option<PathBuf>,
        /// Write the rows to this file, too
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Count those workloads that have a bound, and fail if one takes more than had been reached
    Guard,
    /// Name the workloads
    List,
    /// Perform a workload's operation: what `table` runs under callgrind
    Measure {
        /// One that `list` names
        workload: String,
        /// How often
        operations: u64,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Table {
            quick,
            criterion,
            json,
        } => {
            let measured = count(&all(), quick)?;
            let measured = match &criterion {
                Some(folder) => with_times(measured, folder)?,
                None => measured,
            };
            let rows = rows(&measured);
            anstream::println!("{}\n{LEGEND}", table(&rows));
            if let Some(file) = &json {
                write_json(&rows, file)?;
            }
            Ok(status(&rows))
        }
        Command::Guard => guard(),
        Command::List => {
            for workload in all() {
                println!("{:24} {}", workload.name, workload.operation);
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Measure {
            workload,
            operations,
        } => {
            measure(&workload, operations)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn guard() -> Result<ExitCode> {
    let guarded: Vec<Workload> = all().into_iter().filter_map(Workload::guarded).collect();
    let rows = rows(&count(&guarded, true)?);
    anstream::print!("{}", table(&rows));
    Ok(status(&rows))
}

fn count(workloads: &[Workload], quick: bool) -> Result<Vec<Measured>> {
    let progress = ProgressBar::new(workloads.len() as u64).with_style(
        ProgressStyle::with_template("counting {msg} {bar:30} {pos}/{len}")
            .context("the progress bar's template is wrong")?,
    );
    progress.enable_steady_tick(Duration::from_millis(200));
    let mut counter = Counter::calibrated()?;
    let measured = workloads
        .iter()
        .map(|workload| {
            progress.set_message(workload.name);
            let iterations = if quick {
                workload.iterations / 10
            } else {
                workload.iterations
            };
            let counts = counter.count(workload, iterations)?;
            progress.inc(1);
            Ok(Measured {
                workload: *workload,
                counts,
                nanoseconds: None,
            })
        })
        .collect();
    progress.finish_and_clear();
    measured
}

fn with_times(measured: Vec<Measured>, criterion: &std::path::Path) -> Result<Vec<Measured>> {
    measured
        .into_iter()
        .map(|one| {
            let nanoseconds = Some(median_ns(criterion, &one.workload)?);
            Ok(Measured { nanoseconds, ..one })
        })
        .collect()
}

fn write_json(rows: &[Row], file: &std::path::Path) -> Result<()> {
    let writer =
        File::create(file).with_context(|| format!("cannot write to {}", file.display()))?;
    serde_json::to_writer_pretty(writer, rows)
        .with_context(|| format!("cannot write to {}", file.display()))
}

/// Failure if a target was missed.
fn status(rows: &[Row]) -> ExitCode {
    let missed = |row: &Row| row.missed.as_ref().is_some_and(|missed| !missed.is_empty());
    if rows.iter().any(missed) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
