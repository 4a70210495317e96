//! `cargo xtask bench guest`: what operations cost a program in the guest, beside Linux in the same
//! QEMU.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use serde::{Deserialize, Serialize};
use xtask::accel::{self, Accel};
use xtask::disks::{self, Backing, Controller, Disk};
use xtask::linux::{self, Linux};
use xtask::packages::{self, Package};
use xtask::program::{self, Program};
use xtask::qemu::{Boot, Guest, GuestConfig};
use xtask::{rootfs, ui, userland, workspace};

use super::Baseline;

/// What operations cost a program: system calls, thread switches, wake-ups, page faults, processes,
/// files
///
/// The same program, `microbench`, runs on Vortex and, with --baseline linux, on Debian's Linux in
/// the same QEMU with the same flags. Under emulation only the ratios mean something; with --icount
/// the guest's clock counts instructions, on one processor.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A tenth of the operations: quicker, and less sure
    #[arg(long)]
    quick: bool,
    /// Compare with another system
    #[arg(long)]
    baseline: Option<Baseline>,
    /// The number of processors
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: u32,
    /// Count instructions instead of nanoseconds: the guest's clock is the number of instructions
    /// executed. Needs --smp 1
    #[arg(long)]
    icount: bool,
    /// Write the table to this file, too
    #[arg(long, value_name = "OUT")]
    json: Option<PathBuf>,
}

/// What a guest may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// A line of `microbench`.
#[derive(Clone, Debug, Deserialize)]
struct Measured {
    name: String,
    ns: Option<f64>,
    error: Option<String>,
}

/// One operation.
#[derive(Clone, Debug, Default, Serialize)]
struct Row {
    operation: String,
    /// Nanoseconds each, or instructions; `None` where the operation is not there.
    vortex: Option<f64>,
    linux: Option<f64>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    packages::require(&[Package::Qemu, Package::Firmware])?;
    if args.icount && args.smp != 1 {
        bail!("--icount counts the instructions of one processor; add --smp 1");
    }
    let vortex = on_vortex(args)?;
    let linux = match args.baseline {
        Some(Baseline::Linux) => Some(on_linux(args)?),
        None => None,
    };
    let (version, on_linux) = linux.unwrap_or_default();
    let costs: BTreeMap<&str, Option<f64>> = on_linux
        .iter()
        .map(|row| (row.name.as_str(), row.ns))
        .collect();
    let rows: Vec<Row> = vortex
        .iter()
        .map(|row| Row {
            operation: row.name.clone(),
            vortex: row.ns,
            linux: costs.get(row.name.as_str()).copied().flatten(),
        })
        .collect();
    print(&rows, args, &version)?;
    for row in vortex.iter().chain(&on_linux) {
        if let Some(error) = &row.error {
            ui::warn(&format!("{}: {error}", row.name));
        }
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&rows)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        ui::done(&format!("wrote {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The program's arguments; files are measured in `folder`.
fn arguments(args: &Args, folder: &str) -> Vec<String> {
    let effort = if args.quick { "10" } else { "100" };
    let mut arguments = vec!["--effort", effort, "--files", folder];
    // A guest that waits for a disk sleeps, which takes no time where instructions are counted.
    if !args.icount {
        arguments.push("--uncached");
    }
    arguments.into_iter().map(Into::into).collect()
}

/// Room on the disk for the files that are measured.
const ROOM: u64 = 64 << 20;

/// A disk with an ext2 file system, for one system: the image, in a folder that goes with it.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Result<Self> {
        packages::require(&[Package::Ext2Tools])?;
        let root = Self(tempfile::tempdir_in(workspace::target_subdir("bench")?)?);
        rootfs::with_programs(&userland::build()?, "", ROOM, &root.image())?;
        Ok(root)
    }

    fn image(&self) -> PathBuf {
        self.0.path().join("rootfs.img")
    }

    fn arguments(&self) -> Vec<OsString> {
        disks::arguments(
            Controller::VirtioScsi,
            Backing::Durable,
            &[Disk::new(self.image())],
        )
    }
}

fn accel(args: &Args) -> Result<Accel> {
    match args.icount {
        // One instruction is one nanosecond of the guest's clock.
        true => Ok(Accel::Counted { shift: 0 }),
        false => accel::detect(),
    }
}

fn on_vortex(args: &Args) -> Result<Vec<Measured>> {
    let root = Root::new()?;
    let mut guest = program::start(&Program {
        path: "/bin/microbench".into(),
        arguments: arguments(args, "/tmp/bench"),
        extra: root.arguments(),
        smp: args.smp,
        accel: Some(accel(args)?),
        ..Program::default()
    })?;
    let (measured, status) = collect(&mut guest, "measuring on Vortex")?;
    if status != Some(0) {
        bail!("the guest failed: it ended with {status:?}");
    }
    Ok(measured)
}

/// Linux's version, and what it needs.
fn on_linux(args: &Args) -> Result<(String, Vec<Measured>)> {
    let linux = Linux::fetch()?;
    let modules = linux.modules(&["virtio_pci", "virtio_scsi", "sd_mod"])?;
    let files = [userland::build()?, modules].concat();
    let root = Root::new()?;
    let dir = workspace::target_subdir("linux")?;
    let initramfs = dir.join("initramfs.cpio");
    workspace::write_whole(&initramfs, &linux::initramfs(&files)?)?;
    let command_line = format!(
        "console=ttyS0 quiet loglevel=1 panic=-1 rdinit=/bin/microbench -- --mount /dev/sda {}",
        arguments(args, "/disk/tmp/bench").join(" ")
    );
    let boot = Boot::Linux(linux.kernel.clone(), initramfs, command_line);
    let mut config = GuestConfig::new(boot, accel(args)?);
    config.smp = args.smp;
    config.extra = root.arguments();
    let mut guest = Guest::start(&config)?;
    // It ends with a panic, since its first process does: that is no failure.
    let (measured, _) = collect(&mut guest, &format!("measuring on Linux {}", linux.version))?;
    Ok((linux.version, measured))
}

/// Collects the lines of `microbench` until it says that it has ended.
fn collect(guest: &mut Guest, label: &str) -> Result<(Vec<Measured>, Option<u8>)> {
    let spinner = ui::Spinner::start(label);
    let mut measured: Vec<Measured> = Vec::new();
    let mut ended = false;
    let mut last = Vec::new();
    let status = program::watch(guest, PATIENCE, |line| {
        match line.trim().strip_prefix("bench ") {
            Some("end") => ended = true,
            Some(text) => {
                let row: Measured = serde_json::from_str(text)
                    .with_context(|| format!("a damaged line: {line}"))?;
                spinner.detail(&row.name);
                measured.push(row);
            }
            None => last.push(line.to_owned()),
        }
        Ok(())
    })?;
    if !ended {
        let from = last.len().saturating_sub(20);
        bail!(
            "the program did not come to its end; the guest's last words:\n{}",
            last[from..].join("\n")
        );
    }
    Ok((measured, Some(status)))
}

fn print(rows: &[Row], args: &Args, linux: &str) -> Result<()> {
    const LINES: TableStyle =
        TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
    let unit = if args.icount { "instructions" } else { "ns" };
    let mut table = Table::new();
    table.load_style(LINES);
    let mut header = vec!["Operation".to_owned(), format!("Vortex, {unit}")];
    if args.baseline.is_some() {
        header.push(format!("Linux {linux}, {unit}"));
        header.push("Vortex / Linux".into());
    }
    table.set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let number =
        |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.0}"));
    for row in rows {
        let mut cells = vec![row.operation.clone(), number(row.vortex)];
        if args.baseline.is_some() {
            cells.push(number(row.linux));
            let ratio = row.vortex.zip(row.linux).map(|(own, other)| own / other);
            cells.push(ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}")));
        }
        table.add_row(cells);
    }
    let mut out = anstream::stdout().lock();
    writeln!(out, "\n{}\n", table.trim_fmt()).context("cannot print the table")
}
