//! `later`: waits until it is woken by a datagram, then becomes another program.
//!
//! An experiment measures a neighbour's absence and presence in one run of the machine with it. Woken by
//! `later wake`, on Linux outside of the machine, which asks until it is answered. On Linux it is the same.
#![forbid(unsafe_code)]

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

/// What is sent, and comes back.
const CALL: &[u8] = b"later";
/// How often is asked, and for how long.
const EVERY: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(30);

/// Wait to become another program, or end such a wait
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Become a program when a datagram comes
    Run {
        /// Where to wait for it
        port: u16,
        /// The program's absolute path, and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Have those at some addresses begin
    Wake {
        /// Whom
        #[arg(required = true)]
        whom: Vec<SocketAddr>,
    },
}

fn main() -> ExitCode {
    let ended = match Args::parse().what {
        What::Run { port, command } => run(port, &command),
        What::Wake { whom } => whom.into_iter().try_for_each(wake),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("later: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does not come back unless it fails.
fn run(port: u16, command: &[String]) -> io::Result<()> {
    let [program, arguments @ ..] = command else {
        return Err(io::Error::other("expected a program"));
    };
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
    let mut call = [0; CALL.len() + 1];
    loop {
        let (length, from) = socket.recv_from(&mut call)?;
        if call[..length] == *CALL {
            socket.send_to(CALL, from)?;
            break;
        }
    }
    drop(socket);
    let error = Command::new(program).args(arguments).exec();
    Err(io::Error::other(format!("{program}: {error}")))
}

/// Until it says that it was heard.
fn wake(whom: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(whom)?;
    socket.set_read_timeout(Some(EVERY))?;
    let deadline = Instant::now() + PATIENCE;
    let mut answer = [0; CALL.len()];
    loop {
        match socket.send(CALL).and_then(|_| socket.recv(&mut answer)) {
            Ok(_) => return Ok(()),
            // It is not there yet, or its answer was lost and it is there no more.
            Err(error) if Instant::now() > deadline => {
                return Err(io::Error::other(format!("{whom} does not answer: {error}")));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::thread::sleep(EVERY);
            }
            Err(_) => {}
        }
    }
}
