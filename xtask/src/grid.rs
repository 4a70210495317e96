//! `cargo xtask grid`: the grid that the kernel would build from a configuration, as a picture.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::config;

/// Draw the schedulers that the kernel would build from a configuration, and who asks whom
///
/// The picture is made from the plan that the kernel instantiates. `config check` shows the same as
/// tables.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The XML file
    file: PathBuf,
    /// Where the picture goes, an SVG file; the terminal if no name is given
    #[arg(long, value_name = "OUT", required = true, num_args = 0..=1, default_missing_value = "-")]
    svg: PathBuf,
    /// How many cores the machine has that the file is for
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    cores: Option<u32>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let Some(loaded) = config::load(&args.file, args.cores)? else {
        return Ok(ExitCode::FAILURE);
    };
    let picture = config::picture::svg(&loaded.plan, &config::name(&args.file))?;
    if args.svg.as_os_str() == "-" {
        config::print(&mut anstream::stdout().lock(), &picture)?;
    } else {
        std::fs::write(&args.svg, picture)
            .with_context(|| format!("cannot write {}", args.svg.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
