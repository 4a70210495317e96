//! `httpd`: a static web server in the manner of thttpd: one thread, one event loop, files straight
//! from the file cache to the connection (`sendfile`). An ordinary Linux program.
//!
//! Key types: [`server::Server`] (the event loop), [`connection::Connection`] (a client),
//! [`request::Request`], [`site::Site`] (from a path to an answer), [`response::Response`].
#![forbid(unsafe_code)]

mod clock;
mod connection;
mod listing;
mod log;
mod range;
mod request;
mod response;
mod server;
mod site;
mod store;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::log::Log;
use crate::server::{Limits, Server};
use crate::site::Site;

/// Serve the files of a folder by HTTP
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The folder
    root: PathBuf,
    /// Where to listen; with port 0, on any that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:80")]
    listen: SocketAddr,
    /// Append a line for each request to this file, in the Common Log Format; `-` for the output
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// How many clients may be connected at once
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Close a connection on which nothing has moved for so many seconds
    #[arg(long, value_name = "S", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    idle: u64,
    /// Do not list folders that have no index.html
    #[arg(long)]
    no_listing: bool,
}

fn main() -> ExitCode {
    match serve(&Args::parse()) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("httpd: {error}");
            ExitCode::FAILURE
        }
    }
}

/// How many clients there are descriptors for, `wanted` at most, if this process has as many as the
/// system lets it have.
fn descriptors_for(wanted: u32) -> usize {
    // Beside clients: the server's own, and files that are kept open.
    let others = store::FILES as u64 + 16;
    let needed = u64::from(wanted) + others;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        let current = limit.maximum.map_or(needed, |most| most.min(needed));
        let raised = Rlimit {
            current: Some(current),
            ..limit
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            eprintln!("httpd: no more descriptors than there are: {error}");
        }
    }
    let had = getrlimit(Resource::Nofile).current.unwrap_or(needed);
    let clients = had.min(needed).saturating_sub(others).max(1);
    usize::try_from(clients).unwrap_or(usize::MAX)
}

fn serve(args: &Args) -> Result<std::convert::Infallible, String> {
    let site = Site::new(&args.root, !args.no_listing)
        .map_err(|error| format!("cannot serve {}: {error}", args.root.display()))?;
    let log = Log::open(args.log.as_deref()).map_err(|error| {
        let file = args.log.as_deref().unwrap_or_else(|| "".as_ref());
        format!("cannot write the log {}: {error}", file.display())
    })?;
    let listener = TcpListener::bind(args.listen)
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    let address = listener.local_addr().unwrap_or(args.listen);
    eprintln!("httpd: {} at http://{address}/", args.root.display());
    let limits = Limits {
        connections: descriptors_for(args.connections),
        idle: Duration::from_secs(args.idle),
    };
    Server::new(listener, site, log, limits)
        .and_then(Server::run)
        .map_err(|error| format!("the event loop failed: {error}"))
}
