//! `udpsink`: what datagrams are sent to. It reads them and says how many there were, or never reads.
#![forbid(unsafe_code)]

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

/// Take in datagrams
#[derive(Parser)]
struct Args {
    /// The port
    #[arg(long, default_value_t = 9)]
    port: u16,
    /// Never read what comes
    #[arg(long)]
    never_read: bool,
    /// End when nothing has come for so many seconds after the first
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    quiet: u64,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("udpsink: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, args.port))?;
    println!("udpsink: port {}", args.port);
    if args.never_read {
        loop {
            std::thread::park();
        }
    }
    let mut buffer = [0; 2048];
    let (mut datagrams, mut bytes) = (0_u64, 0);
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                datagrams += 1;
                bytes += length;
                if datagrams == 1 {
                    socket.set_read_timeout(Some(Duration::from_secs(args.quiet)))?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    println!("udpsink: {datagrams} datagrams, {bytes} bytes");
    Ok(())
}
