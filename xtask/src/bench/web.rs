//! `cargo xtask bench web`: how fast a web server is in the guest, beside nginx on Linux in the same
//! QEMU.
//!
//! [`vortex`] and [`linux`] are the two guests; [`measure`] asks them; [`counted`] has what they executed.

mod counted;
mod linux;
mod measure;
mod vortex;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use comfy_table::CellAlignment;
use serde::Serialize;
use xtask::packages::{self, Package};
use xtask::ui;

use counted::Meter;
use measure::{Measured, WORKLOADS};

use crate::experiment::table;

/// How fast a web server is: requests in a second, bytes in a second, processor time of the guest
///
/// The project's own server on Vortex and, with --baseline linux, Debian's nginx on Debian's Linux, in
/// the same QEMU with the same flags, asked by the same ApacheBench over the same link, which has no
/// limit. Under emulation only the ratios mean something.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Compare with another system
    #[arg(long)]
    baseline: Option<super::Baseline>,
    /// Vortex once more, with no policy (`fifo`) for every scheduler: what the policies cost
    #[arg(long)]
    fifo: bool,
    /// The number of processors
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: u32,
    /// How long each is measured
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(3..=3600))]
    seconds: u32,
    /// Connections at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// Count the instructions that each answer takes, and the locked ones among them. Needs emulation,
    /// which is slower then
    #[arg(long)]
    count: bool,
    /// Write the table to this file, too
    #[arg(long, value_name = "OUT")]
    json: Option<PathBuf>,
}

/// One system's results, a row for each workload.
#[derive(Serialize)]
struct System {
    name: String,
    rows: Vec<Measured>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    packages::require(&[Package::Qemu, Package::Firmware, Package::ApacheBench])?;
    let mut systems = vec![System {
        name: "Vortex".into(),
        rows: on_vortex(args, vortex::FAIR)?,
    }];
    if args.fifo {
        systems.push(System {
            name: "Vortex, fifo".into(),
            rows: on_vortex(args, vortex::FIFO)?,
        });
    }
    if args.baseline.is_some() {
        let meter = Meter::new(args.count)?;
        let mut linux = linux::start(args, &meter)?;
        systems.push(System {
            name: format!("nginx on Linux {}", linux.version),
            rows: measure::all(args, &meter, &mut linux.guest, linux::load)?,
        });
    }
    print(&systems)?;
    if args.count {
        counted::print(&systems)?;
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&systems)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        ui::done(&format!("wrote {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn on_vortex(args: &Args, algorithm: &str) -> Result<Vec<Measured>> {
    let meter = Meter::new(args.count)?;
    let mut guest = vortex::start(args, &meter, algorithm)?;
    measure::all(args, &meter, &mut guest, vortex::load)
}

fn print(systems: &[System]) -> Result<()> {
    let mut table = table::table(&[
        "Workload",
        "System",
        "Requests/s",
        "Failed",
        "MB/s",
        "CPU, µs/request",
        "Infrastructure",
        "Scheduling",
        "Vortex's rate is times",
    ]);
    if let Some(systems) = table.column_mut(1) {
        systems.set_cell_alignment(CellAlignment::Left);
    }
    for (index, workload) in WORKLOADS.iter().enumerate() {
        let own = systems[0].rows[index].rate;
        for (number, system) in systems.iter().enumerate() {
            let row = &system.rows[index];
            let part = |part: Option<f64>| {
                part.map_or_else(|| "-".into(), |part| format!("{:.1} %", part * 100.0))
            };
            table.add_row([
                if number == 0 { workload.name } else { "" }.to_owned(),
                system.name.clone(),
                format!("{:.1}", row.rate),
                row.failed.to_string(),
                format!("{:.2}", row.megabytes),
                format!("{:.0}", row.cpu_us),
                part(row.infrastructure),
                part(row.scheduling),
                match number {
                    0 => String::new(),
                    _ => format!("{:.2}", own / row.rate.max(f64::MIN_POSITIVE)),
                },
            ]);
        }
    }
    let note = "Infrastructure and scheduling are parts of the busy cycles.";
    writeln!(anstream::stdout(), "\n{}\n\n{note}\n", table.trim_fmt())
        .context("cannot print the table")
}
