//! `cargo xtask config`: looks at a scheduler configuration the way the kernel does.
//!
//! The file goes through the very parser and checker that the kernel uses at boot; what is shown is
//! the plan that the kernel would instantiate.

mod asks;
mod diagnostics;
pub(crate) mod picture;
mod tables;

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result};
use vortex_sched_config::{Finding, Kind, Known, Limits, Loaded, load_within};

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// The machine of the paper's experiments has so many cores.
const CORES: u32 = 8;

/// Check a scheduler configuration, and show what the kernel would build from it
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Say whether the kernel would take FILE, and show what it would build or what is wrong
    ///
    /// Exits with status 0 if the file can be used and 1 if it cannot. Examples are in
    /// sched-config/examples; sched-config/README.md describes every element.
    Check(CheckArgs),
}

#[derive(clap::Args)]
struct CheckArgs {
    /// The XML file
    file: PathBuf,
    /// How many cores the machine has that the file is for; 8, as the paper's, if not given
    ///
    /// Given, cores that the file leaves unused are warned about.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    cores: Option<u32>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let Command::Check(args) = &args.command;
    check(args)
}

fn check(args: &CheckArgs) -> Result<ExitCode> {
    let Some(loaded) = load(&args.file, args.cores)? else {
        return Ok(ExitCode::FAILURE);
    };
    let name = name(&args.file);
    let text = format!("{GOOD}OK{GOOD:#} {name}\n{}", tables::plan(&loaded.plan));
    print(&mut anstream::stdout().lock(), &text)?;
    Ok(ExitCode::SUCCESS)
}

/// A file's name, without what a terminal would act on.
pub(crate) fn name(file: &Path) -> String {
    file.display().to_string().replace(char::is_control, "·")
}

/// Reads a file the way the kernel does, and says what is odd or wrong with it. `None` if it cannot
/// be used. Cores that the file leaves unused are odd only if the number of cores is given.
pub(crate) fn load(file: &Path, cores: Option<u32>) -> Result<Option<Loaded>> {
    let limits = Limits::default();
    let bytes = read(file, &limits)?;
    let name = name(file);
    let mut errors = anstream::stderr().lock();
    let known = Known::standard(cores.unwrap_or(CORES));
    match load_within(&bytes, &known, &limits) {
        Ok(mut loaded) => {
            let wanted = |warning: &Finding| cores.is_some() || warning.kind != Kind::UnusedCore;
            loaded.warnings.retain(wanted);
            diagnostics::warnings(&mut errors, &name, &bytes, &loaded.warnings)?;
            Ok(Some(loaded))
        }
        Err(report) => {
            diagnostics::report(&mut errors, &name, &bytes, &report)?;
            let count = report.faults.len() + report.omitted;
            let faults = if count == 1 { "fault" } else { "faults" };
            let verdict = format!(
                "{BAD}{count} {faults}{BAD:#} in {name}: the kernel would use its built-in \
                 configuration instead. sched-config/README.md describes every element.\n"
            );
            print(&mut errors, &verdict)?;
            Ok(None)
        }
    }
}

/// The bytes of a file, and no more of them than show that it is too long.
fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>> {
    let context = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(|| match path.parent() {
        Some(folder) if !path.exists() && folder.is_dir() => {
            format!(
                "cannot read {}: expected the path of an XML file",
                path.display()
            )
        }
        _ => context(),
    })?;
    let mut bytes = Vec::new();
    file.take(limits.bytes as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(context)?;
    Ok(bytes)
}

/// Prints; a reader that has seen enough is no error.
pub(crate) fn print(out: &mut impl Write, text: &str) -> Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot print"),
    }
}
