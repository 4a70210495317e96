//! `cargo xtask`: the one tool that builds, runs, tests and measures Vortex.
//!
//! Each command is one module with an `Args` type and a `run` function; this file only lists them.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use xtask::{process, ui};

mod bench;
mod config;
mod experiment;
mod fuzz;
mod grid;
mod image;
mod pxe;
mod results;
mod run;
mod setup;
mod simulate;
mod soak;
mod test;
mod top;

#[derive(Parser)]
#[command(name = "cargo xtask", about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Setup(setup::Args),
    Image(image::Args),
    Pxe(pxe::Args),
    Run(run::Args),
    Config(config::Args),
    Grid(grid::Args),
    Bench(bench::Args),
    Experiment(experiment::Args),
    Results(results::Args),
    Simulate(simulate::Args),
    Soak(soak::Args),
    Fuzz(fuzz::Args),
    Test(test::Args),
    Top(top::Args),
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let result = process::end_on_signals().and_then(|()| match command {
        Command::Setup(args) => setup::run(&args),
        Command::Image(args) => image::run(&args),
        Command::Pxe(args) => pxe::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Grid(args) => grid::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Experiment(args) => experiment::run(&args),
        Command::Results(args) => results::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Top(args) => top::run(&args),
    });
    match result {
        Ok(status) => status,
        Err(error) => {
            ui::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
