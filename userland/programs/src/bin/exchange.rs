//! `exchange`: bytes over TCP, up and down with their SHA-256, and connections in large numbers. One
//! end serves, on the machine that is tested; the others are its clients and run anywhere.
#![forbid(unsafe_code)]

use std::net::SocketAddrV4;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use vortex_programs::exchange::{client, server};

/// Move bytes over TCP, and open connections, and see that all is right
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Wait for clients
    Serve {
        /// The port for orders; what comes to the one behind it goes back
        #[arg(long, default_value_t = 7000)]
        port: u16,
    },
    /// Send bytes and have as many sent, and compare what both ends have seen
    Transfer {
        to: SocketAddrV4,
        #[arg(long, default_value_t = 1_000_000)]
        bytes: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Open and close connections one after another
    Churn {
        to: SocketAddrV4,
        #[arg(long, default_value_t = 1000)]
        count: u32,
    },
    /// Have connections open at the same time, and use them
    Together {
        to: SocketAddrV4,
        #[arg(long, default_value_t = 100)]
        count: u32,
    },
    /// Have the server killed while it sends and receives, on so many connections each
    Kill {
        to: SocketAddrV4,
        #[arg(long, default_value_t = 4)]
        count: u32,
    },
    /// Ask what the server's machine counts
    Counters { to: SocketAddrV4 },
}

fn main() -> ExitCode {
    let done = match Args::parse().what {
        What::Serve { port } => server::serve(port).map(|()| serde_json::Value::Null),
        What::Transfer { to, bytes, seed } => client::transfer(to, bytes, seed),
        What::Churn { to, count } => client::churn(to, count),
        What::Together { to, count } => client::together(to, count),
        What::Kill { to, count } => client::kill(to, count),
        What::Counters { to } => client::counters(to),
    };
    match done {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("exchange: {error}");
            ExitCode::FAILURE
        }
    }
}
