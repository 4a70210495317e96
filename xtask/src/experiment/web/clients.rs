//! The clients of the web experiment.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use xtask::apachebench::{Bench, Outcome, Running};
use xtask::network::Link;
use xtask::qemu::{Guest, Next};
use xtask::ui;

use super::{Args, SETTLE, servers};

/// How long the servers may take to be there.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one answer is waited for, in seconds.
const ANSWER: &str = "5";
/// How many lines of the guest's log a failure shows.
const SHOWN: usize = 20;

/// Starts a client for each server in `asked`, once that answers.
pub(super) fn start(
    args: &Args,
    link: &Link,
    guest: &mut Guest,
    asked: &[usize],
) -> Result<Vec<Running>> {
    let spinner = ui::Spinner::start("waiting for the servers");
    for server in asked {
        wait_for(link, guest, &servers::url(*server), &spinner)?;
    }
    drop(spinner);
    let client = |server: &usize| {
        let bench = Bench {
            url: servers::url(*server),
            connections: args.connections,
            keep_alive: args.keep_alive,
            seconds: args.common.seconds + SETTLE,
        };
        bench.start(link.clients().command("ab"))
    };
    asked.iter().map(client).collect()
}

/// Waits until a page comes.
fn wait_for(link: &Link, guest: &mut Guest, url: &str, spinner: &ui::Spinner) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut log = Vec::new();
    loop {
        let mut curl = link.clients().command("curl");
        curl.args([
            "--silent",
            "--fail",
            "--max-time",
            ANSWER,
            "--output",
            "/dev/null",
            url,
        ]);
        if curl.status()?.success() {
            return Ok(());
        }
        // What the guest says meanwhile is the best there is to tell why.
        while let Next::Line(line) = guest.next(Instant::now()) {
            spinner.detail(&line.text);
            log.push(line.text);
        }
        if Instant::now() > deadline {
            let last = log[log.len().saturating_sub(SHOWN)..].join("\n");
            bail!("{url} does not answer within {PATIENCE:?}; the guest's last words:\n{last}");
        }
    }
}

/// What the clients saw, in their order.
pub(super) fn outcomes(clients: Vec<Running>) -> Result<Vec<Outcome>> {
    clients.into_iter().map(Running::outcome).collect()
}
