//! `cargo xtask soak`: a long time of what the network has to endure.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use xtask::endurance::{Counted, Endurance};
use xtask::packages::{self, Package};
use xtask::ui;
use xtask::wire::{Treated, Treatment};

use crate::experiment::table;

/// Try the network hard: bytes over bad wires, and connections in large numbers
///
/// The kernel in QEMU at one end, Linux's TCP at the other, and in between a wire of this tool's own
/// that loses, doubles, damages, reorders and delays packets as it is told, from a seed. Bytes go up
/// and come down and have the same SHA-256 at both ends; connections leave nothing behind.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Bytes each way over each wire, in MB (10^6)
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    megabytes: u64,
    /// Only over these wires; over all without it
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(Treatment::names()))]
    over: Vec<String>,
    /// Connections that are opened and closed one after another
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    connections: u64,
    /// Connections at the same time
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=20_000))]
    together: u64,
    /// The number of processors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: u32,
    /// The network card, as QEMU calls it
    #[arg(long, value_name = "NAME", default_value = "virtio-net-pci", value_parser = ["virtio-net-pci", "e1000e"])]
    card: String,
    /// What happens to packets is drawn from it
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    packages::require(&[Package::Qemu, Package::Firmware, Package::NetworkTools])?;
    let mut endurance = Endurance::start(args.smp, &args.card, args.seed)?;
    connections(args, &mut endurance)?;
    transfers(args, &mut endurance)?;
    ui::header("the server is killed while it sends and receives");
    let killed = endurance.kill(KILLED)?;
    let left = endurance.counted_at_rest()?;
    ensure!(
        left.held_by_sockets() == 0,
        "the killed process's sockets hold {:?}",
        left.memory
    );
    ui::done(&format!(
        "{} connections were reset and {} closed; nothing of them is left",
        killed.reset, killed.ended
    ));
    Ok(ExitCode::SUCCESS)
}

/// Connections on which the killed server sends, and on which it receives.
const KILLED: u64 = 4;
/// Connections before the first count: what is made once is there then.
const FIRST: u64 = 50;

fn connections(args: &Args, endurance: &mut Endurance) -> Result<()> {
    ui::header(&format!(
        "{} connections, one after another",
        args.connections
    ));
    endurance.churn(FIRST)?;
    let before = endurance.tried_at_rest()?;
    let spinner = ui::Spinner::start("opening and closing");
    endurance.churn(args.connections)?;
    drop(spinner);
    let after = endurance.tried_at_rest()?;
    same(&before, &after)?;
    ui::done("nothing of them is left");
    ui::header(&format!("{} connections at the same time", args.together));
    let spinner = ui::Spinner::start("opening and using");
    endurance.together(args.together)?;
    drop(spinner);
    let after = endurance.tried_at_rest()?;
    same(&before, &after)?;
    ui::done("nothing of them is left");
    Ok(())
}

/// Fails if the server holds more for sockets than before, or more descriptors.
fn same(before: &Counted, after: &Counted) -> Result<()> {
    let (held, holds) = (before.held_by_sockets(), after.held_by_sockets());
    ensure!(
        holds <= held,
        "sockets hold {holds} bytes and held {held} before: {:?}",
        after.memory
    );
    ensure!(
        after.descriptor == before.descriptor,
        "the server's next descriptor is {} and was {}",
        after.descriptor,
        before.descriptor
    );
    Ok(())
}

fn transfers(args: &Args, endurance: &mut Endurance) -> Result<()> {
    let wires: Vec<&str> = match args.over.as_slice() {
        [] => Treatment::names().collect(),
        some => some.iter().map(String::as_str).collect(),
    };
    let mut rows = table::table(&[
        "Wire",
        "Up, MB/s",
        "Down, MB/s",
        "Packets",
        "Lost",
        "Doubled",
        "Damaged",
        "Reordered",
        "SHA-256",
    ]);
    for wire in wires {
        ui::header(&format!("{} MB up and down, wire: {wire}", args.megabytes));
        endurance.treat(Treatment::named(wire)?)?;
        let spinner = ui::Spinner::start("sending");
        let done = endurance.transfer(args.megabytes * 1_000_000, args.seed)?;
        drop(spinner);
        let [from, to] = endurance.treated();
        let both = |count: fn(&Treated) -> u64| (count(&from) + count(&to)).to_string();
        endurance.treat(Treatment::default())?;
        endurance.counted_at_rest()?;
        let rate = |seconds: f64| format!("{:.3}", args.megabytes as f64 / seconds);
        rows.add_row([
            wire.to_owned(),
            rate(done.up_s),
            rate(done.down_s),
            both(|treated| treated.all),
            both(|treated| treated.lost),
            both(|treated| treated.duplicated),
            both(|treated| treated.corrupted),
            both(|treated| treated.reordered),
            format!("{}…", &done.sha256[..8]),
        ]);
    }
    writeln!(anstream::stdout(), "\n{}\n", rows.trim_fmt()).context("cannot print the results")
}
