//! `cargo xtask experiment`: the paper's experiments on the kernel.

mod at_resources;
pub(crate) mod baseline;
mod cpu;
mod disk;
mod files;
mod flood;
pub(crate) mod grid;
mod interface;
pub(crate) mod isolation;
pub(crate) mod measure;
mod plot;
pub(crate) mod table;
mod web;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use xtask::ui;

use crate::bench::Baseline;

/// Run one of the paper's experiments on the kernel, and say how far it is from what was promised
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    which: Which,
}

#[derive(clap::Subcommand)]
enum Which {
    Cpu(cpu::Args),
    Files(files::Args),
    Disk(disk::Args),
    Web(web::Args),
    Isolation(isolation::Args),
    Flood(flood::Args),
}

/// What all experiments can be told.
#[derive(clap::Args)]
pub(crate) struct Common {
    /// What each process is entitled to, in per cent of all
    #[arg(long, value_name = "A,B,…", default_value = "50,33,17", value_parser = parse_shares)]
    shares: Shares,
    /// The number of processors; 4 without it, or as the experiment says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: Option<u32>,
    /// How long to measure
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(2..=86_400))]
    seconds: u32,
    /// Write all samples and the results to this file
    #[arg(long, value_name = "OUT")]
    json: Option<PathBuf>,
    /// Draw pictures into this folder
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
    /// Compare with another system: the same programs and shares in the same QEMU
    #[arg(long)]
    baseline: Option<Baseline>,
}

impl Common {
    /// The number of processors.
    fn smp(&self) -> u32 {
        self.smp.unwrap_or(4)
    }
}

/// Entitlements, in the user's own unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shares(pub(crate) Vec<u32>);

fn parse_shares(text: &str) -> Result<Shares, String> {
    let expected = || format!("`{text}`: expected whole numbers above 0, such as 50,33,17");
    let shares: Result<Vec<u32>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    let shares = shares.map_err(|_| expected())?;
    if shares.iter().any(|share| *share == 0 || *share > 100_000) || shares.len() > 64 {
        return Err(expected());
    }
    Ok(Shares(shares))
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match &args.which {
        Which::Cpu(args) => cpu::run(args),
        Which::Files(args) => files::run(args),
        Which::Disk(args) => disk::run(args),
        Which::Web(args) => web::run(args),
        Which::Isolation(args) => isolation::run(args),
        Which::Flood(args) => flood::run(args),
    }
}

/// Writes a result where the user wants it.
fn write(path: &std::path::Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    ui::done(&format!("wrote {}", path.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_whole_numbers_above_zero() {
        assert_eq!(parse_shares("50, 33,17"), Ok(Shares(vec![50, 33, 17])));
        for wrong in ["", "0", "1,,2", "a", "-1", "5;6", "1000000"] {
            assert!(parse_shares(wrong).is_err(), "{wrong:?}");
        }
    }
}
