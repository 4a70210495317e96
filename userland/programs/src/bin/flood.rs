//! `flood`: an unpleasant client: packets or requests at a rate, a bounded number of them. It runs on
//! Linux, outside of the machine that it is aimed at.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};
use vortex_programs::packet;

/// Packets that are sent without looking at the clock: few, since what comes at once is what others wait for,
/// and that is to be the receiver's doing and not this program's.
const BURST: u64 = 4;
/// For how long a request may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Send so many packets or requests a second, for so many seconds
#[derive(Parser)]
struct Args {
    /// What
    what: What,
    /// Where to
    to: SocketAddrV4,
    /// How many a second
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// For how many seconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Bytes of each datagram
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1472))]
    bytes: u16,
    /// Whose address SYN segments come from; it need not exist
    #[arg(long, default_value = "10.77.0.99")]
    from: Ipv4Addr,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// Datagrams
    Udp,
    /// Segments that ask for a connection, each from another port, and nothing after them; needs
    /// the right to make raw sockets
    Syn,
    /// Requests for `/`, each on a connection of its own
    Requests,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(sent) => {
            println!("flood: sent {sent}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("flood: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<u64> {
    match args.what {
        What::Udp => {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect(args.to)?;
            let datagram = vec![b'x'; args.bytes.into()];
            paced(args, |_| match socket.send(&datagram) {
                // Nobody listens there: the answer to an earlier one.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
                sent => sent.map(|_| ()),
            })
        }
        What::Syn => {
            let protocol = Some(ipproto::RAW);
            let socket = socket(AddressFamily::INET, SocketType::RAW, protocol)?;
            paced(args, |number| {
                let from = SocketAddrV4::new(args.from, 1024 + (number % 60_000) as u16);
                let packet = packet::syn(from, args.to, number as u32);
                sendto(&socket, &packet, SendFlags::empty(), &args.to)?;
                Ok(())
            })
        }
        What::Requests => paced(args, |_| request(args.to)),
    }
}

/// Does something at the rate, with the number of how often it was done; the number in the end. Who
/// is late catches up, so that the rate is kept over the whole time.
fn paced(args: &Args, mut send: impl FnMut(u64) -> io::Result<()>) -> io::Result<u64> {
    let start = Instant::now();
    let all = args.rate * args.seconds;
    let mut sent = 0;
    while sent < all && start.elapsed() < Duration::from_secs(args.seconds) {
        for _ in 0..BURST.min(all - sent) {
            match send(sent) {
                // The device is behind: the packet is lost, as on every network.
                Err(error)
                    if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {}
                other => other?,
            }
            sent += 1;
        }
        let due = Duration::from_secs_f64(sent as f64 / args.rate as f64);
        thread::sleep(due.saturating_sub(start.elapsed()));
    }
    Ok(sent)
}

/// One that fails is a request that was sent: the flooded server may refuse it.
fn request(to: SocketAddrV4) -> io::Result<()> {
    let ask = || -> io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&to.into(), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        stream.read_to_end(&mut Vec::new()).map(|_| ())
    };
    let _ = ask();
    Ok(())
}
