//! `cargo xtask test`: formatting, lints, host tests.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

/// Run every check and test of the project
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only the tests whose name contains this text
    filter: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ])?;
    let mut tests = vec!["test", "--workspace"];
    tests.extend(args.filter.as_deref());
    cargo(&tests)?;
    Ok(ExitCode::SUCCESS)
}

fn cargo(arguments: &[&str]) -> Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(arguments)
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "`cargo {}` failed", arguments.join(" "));
    Ok(())
}
