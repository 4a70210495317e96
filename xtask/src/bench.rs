//! `cargo xtask bench`: what operations cost, as tables.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};
use xtask::packages::{self, Package};
use xtask::process::{self, Running};
use xtask::workspace;

mod guest;
mod web;

/// The crate that holds the workloads.
const PACKAGE: &str = "vortex-bench";

/// Measure what operations cost
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Toolkit(ToolkitArgs),
    Guest(guest::Args),
    Web(web::Args),
}

/// Another system.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Baseline {
    /// Debian's linux-image-cloud-amd64
    Linux,
}

/// A request through the toolkit beside what other libraries cost: instructions, locked
/// operations, allocations and nanoseconds
///
/// Fails if a target is missed.
#[derive(clap::Args)]
struct ToolkitArgs {
    /// Fewer operations and shorter samples: the counts are the same, the times less sure
    #[arg(long)]
    quick: bool,
    /// Write the table to this file, too
    #[arg(long, value_name = "OUT")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match &args.what {
        What::Toolkit(args) => toolkit(args),
        What::Guest(args) => guest::run(args),
        What::Web(args) => web::run(args),
    }
}

fn toolkit(args: &ToolkitArgs) -> Result<ExitCode> {
    packages::require(&[Package::Valgrind])?;
    let criterion = time(args.quick)?;
    let mut table = bench_program();
    table.arg("table").arg("--criterion").arg(&criterion);
    if args.quick {
        table.arg("--quick");
    }
    if let Some(file) = &args.json {
        table.arg("--json").arg(std::path::absolute(file)?);
    }
    let status = Running::start(&mut table)?.wait()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs each bench once, and checks that no operation takes more than what has been reached: a part
/// of `cargo xtask test`.
pub(crate) fn guard() -> Result<()> {
    packages::require(&[Package::Valgrind])?;
    // As a test, in the profile of the tests: what is measured is built for the next step alone.
    let mut once = cargo();
    once.args(["test", "--quiet", "--package", PACKAGE, "--benches"])
        .stdout(Stdio::null());
    process::run(&mut once).with_context(|| {
        format!("a bench fails; `cargo test --package {PACKAGE} --benches` says why")
    })?;
    process::run(bench_program().arg("guard")).context(
        "a request costs more than before, or could not be counted: see above; \
         `toolkit/bench/README.md` says how to find where the instructions go",
    )
}

/// Times all workloads; returns the folder of criterion's results.
fn time(quick: bool) -> Result<PathBuf> {
    let folder = workspace::root().join("out/criterion");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let report = File::create(folder.join("report.txt"))
        .with_context(|| format!("cannot write to {}", folder.display()))?;
    let mut benches = benches();
    benches.env("CRITERION_HOME", &folder).stdout(report);
    if quick {
        benches.arg("--quick");
    } else {
        benches.args(["--warm-up-time", "1", "--measurement-time", "2"]);
    }
    process::run(&mut benches).context("the operations could not be timed")?;
    Ok(folder)
}

/// The criterion benches; their options follow.
fn benches() -> Command {
    let mut cargo = cargo();
    cargo.args(["bench", "--package", PACKAGE, "--benches", "--"]);
    cargo
}

/// The program that counts, built as the criterion benches are, so that both measure the same
/// code; its arguments follow.
fn bench_program() -> Command {
    let mut cargo = cargo();
    cargo.args([
        "run",
        "--quiet",
        "--profile",
        "bench",
        "--package",
        PACKAGE,
        "--",
    ]);
    cargo
}

fn cargo() -> Command {
    process::command(env!("CARGO"))
}
