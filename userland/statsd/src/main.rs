//! `statsd`: the machine's statistics over HTTP. It needs the right to read everybody's.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use clap::Parser;
use vortex::{Scope, Snapshot};
use vortex_statsd::Statistics;
use vortex_statsd::server::{Server, Source};

/// Serve the machine's statistics: a page at /, for Prometheus at /metrics, as JSON at /stats
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Where to listen; with port 0, on any that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:9100")]
    listen: SocketAddr,
}

/// The kernel that this runs on.
#[derive(Clone, Default)]
struct Kernel(Snapshot);

impl Source for Kernel {
    fn statistics(&mut self) -> io::Result<Statistics> {
        self.0.take_again(Scope::All)?;
        Ok(Statistics::of(&self.0.reader()?))
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

fn serve(args: &Args) -> Result<Infallible, String> {
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
    Server::new(listener, kernel)
        .run()
        .map_err(|error| format!("cannot let clients in: {error}"))
}
