//! `cargo xtask top`: the statistics that a machine serves, live in the terminal.
//!
//! - [`client`] asks `statsd` for `/stats`;
//! - [`model`] makes rates of two answers, [`history`] keeps them for curves;
//! - [`tables`] makes rows of rates, [`text`] makes words of numbers;
//! - [`app`] is what the screen is at, [`draw`] draws that, [`live`] has the terminal.

mod app;
mod client;
mod draw;
#[cfg(test)]
mod fixture;
mod history;
mod live;
mod model;
mod tables;
mod text;

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use xtask::ui::Spinner;

use self::client::Server;
use self::model::Rates;
use self::tables::{Order, View};

/// From one question to the next.
const PERIOD: Duration = Duration::from_secs(1);

/// Show the statistics of a running machine: activities, resources, processes, cores; live
///
/// Keys: q ends, the arrows change the view, s what is sorted by, ? explains. Where standard output
/// is no terminal, the figures of one second are printed as tables.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the machine's statsd listens
    #[arg(value_name = "HOST:PORT", default_value_t = Server::demonstration())]
    server: Server,
    /// Print the figures of one second, and end
    #[arg(long)]
    once: bool,
    /// Sort by this, to begin with
    #[arg(long, value_enum, default_value = "cpu")]
    sort: Order,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let server = &args.server;
    let ask = || {
        let answer = server.statistics();
        answer.map_err(|failure| anyhow!(failure.explain(server)))
    };
    let first = {
        let _waiting = Spinner::start(&format!("asking {server}"));
        ask()?
    };
    if !args.once && std::io::stdout().is_terminal() {
        live::run(server.clone(), first, args.sort)?;
        return Ok(ExitCode::SUCCESS);
    }
    std::thread::sleep(PERIOD);
    let rates = Rates::between(&first, &ask()?);
    let rates =
        rates.with_context(|| format!("{server}: the machine was started anew meanwhile"))?;
    let mut out = std::io::stdout().lock();
    out.write_all(tables(&rates, args.sort).as_bytes())
        .context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// All of it as plain text.
fn tables(rates: &Rates, order: Order) -> String {
    let mut text = String::new();
    let views = [View::Overview, View::Processes];
    for table in views.into_iter().flat_map(|view| view.tables(rates, order)) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}\n{}", table.title, table.text());
    }
    for (reason, count) in &rates.dropped {
        let _ = writeln!(text, "packets dropped, {reason}: {count}");
    }
    text
}
