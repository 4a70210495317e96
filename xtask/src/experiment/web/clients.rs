//! The clients of the web experiment.

use anyhow::Result;
use xtask::apachebench::{Bench, Outcome, Running};
use xtask::network::Link;
use xtask::qemu::Guest;
use xtask::ui;

use super::super::measure::wait_for;
use super::{Args, SETTLE, servers};

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

/// What the clients saw, in their order.
pub(super) fn outcomes(clients: Vec<Running>) -> Result<Vec<Outcome>> {
    clients.into_iter().map(Running::outcome).collect()
}
