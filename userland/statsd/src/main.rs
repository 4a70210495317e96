//! `statsd`: the machine's statistics over HTTP. It needs the right to read everybody's.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::fmt::Display;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, io};

use clap::Parser;
use vortex::{Scope, Snapshot};
use vortex_statsd::control::{Command, Failure};
use vortex_statsd::server::{Server, Source};
use vortex_statsd::{Statistics, Token};

/// Serve the machine's statistics: a page at /, for Prometheus at /metrics, as JSON at /stats
///
/// With a token, commands that are sent to /control by whoever knows it are carried out, as far as
/// this process has the rights.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Where to listen; with port 0, on any that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:9100")]
    listen: SocketAddr,
    /// The token of those who may change things: 16 characters or more
    #[arg(long, value_name = "TOKEN")]
    token: Option<Token>,
    /// A file whose first line is the token
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
}

/// The kernel that this runs on.
#[derive(Clone, Default)]
struct Kernel(Snapshot);

impl Source for Kernel {
    fn statistics(&mut self) -> io::Result<Statistics> {
        self.0.take_again(Scope::All)?;
        Ok(Statistics::of(&self.0.reader()?))
    }

    fn perform(&mut self, command: &Command) -> Result<u64, Failure> {
        command.perform()
    }
}

fn main() -> ExitCode {
    match serve(&Args::parse()) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("statsd: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The token, if one was given.
fn token(args: &Args) -> Result<Option<Token>, String> {
    let Some(path) = &args.token_file else {
        return Ok(args.token.clone());
    };
    let wrong = |error: &dyn Display| format!("no token in {}: {error}", path.display());
    let text = fs::read_to_string(path).map_err(|error| wrong(&error))?;
    let line = text.lines().next().unwrap_or_default().trim();
    line.parse().map(Some).map_err(|error| wrong(&error))
}

fn serve(args: &Args) -> Result<Infallible, String> {
    let token = token(args)?;
    let mut kernel = Kernel::default();
    kernel.statistics().map_err(|error| match error.kind() {
        _ if vortex::is_unsupported(&error) => {
            "this kernel has no such statistics; it is not Vortex".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "not allowed to read everybody's statistics; start it with `<right>statistics</right>`"
                .to_owned()
        }
        _ => format!("cannot read the statistics: {error}"),
    })?;
    let listener = TcpListener::bind(args.listen)
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    let address = listener.local_addr().unwrap_or(args.listen);
    eprintln!("statsd: the statistics at http://{address}/");
    Server::new(listener, kernel, token)
        .run()
        .map_err(|error| format!("cannot let clients in: {error}"))
}
