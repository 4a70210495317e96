//! `webclient`: asks a web server for one page, at a rate of its own, and says how long the answers
//! took. It runs on Linux, outside of the machine that it asks.
//!
//! Each request is due at a time that is known beforehand, and counts from then: an answer that is
//! late makes those behind it on its connection late, too, and all of them are seen to be.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;
use vortex_programs::time::{micros, percentile};

/// For how long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Before a connection is tried again that failed.
const BREATH: Duration = Duration::from_millis(100);

/// Ask for a page so many times a second
#[derive(Parser)]
struct Args {
    /// Whom to ask
    to: SocketAddr,
    /// For what
    #[arg(default_value = "/")]
    page: String,
    /// How many requests a second, on all connections together
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// How many connections, kept from one request to the next
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// For how many seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Leave out what is asked in so many seconds at the beginning
    #[arg(long, value_name = "S", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=3600))]
    settle: u32,
    /// Write into this file how long each answer took, in microseconds, one a line, the fastest first
    #[arg(long, value_name = "FILE")]
    times: Option<PathBuf>,
}

/// What became of the requests of a connection.
#[derive(Default)]
struct Answers {
    /// How long each took that was answered.
    times: Vec<Duration>,
    failed: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.settle >= args.seconds {
        eprintln!("webclient: nothing is left to count; --seconds must be more than --settle");
        return ExitCode::FAILURE;
    }
    let start = Instant::now();
    let counted = start + Duration::from_secs(args.settle.into());
    let mut all = Answers::default();
    thread::scope(|scope| {
        let args = &args;
        let clients: Vec<_> = (0..args.connections)
            .map(|number| scope.spawn(move || client(args, number, start)))
            .collect();
        for client in clients {
            // One that has panicked has said so.
            if let Ok(answers) = client.join() {
                all.times.extend(answers.times);
                all.failed += answers.failed;
            }
        }
    });
    all.times.sort_unstable();
    let at = |per_mille| micros(percentile(&all.times, per_mille));
    println!(
        "{}",
        json!({
            "requests": all.times.len(),
            "failed": all.failed,
            "seconds": counted.elapsed().as_secs_f64(),
            "p50_us": at(500),
            "p99_us": at(990),
            "p999_us": at(999),
            "max_us": at(1000),
        })
    );
    if all.times.is_empty() {
        eprintln!("webclient: {} has not answered", args.to);
        return ExitCode::FAILURE;
    }
    if let Some(path) = &args.times
        && let Err(error) = write_times(path, &all.times)
    {
        eprintln!("webclient: cannot write {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// For who adds up several runs: a percentile of all of them is not to be had from theirs.
fn write_times(path: &Path, times: &[Duration]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for &time in times {
        writeln!(file, "{}", micros(time))?;
    }
    file.flush()
}

/// Asks on one connection when it is its turn, until the time is over.
fn client(args: &Args, number: u32, start: Instant) -> Answers {
    let step = Duration::from_secs(1) / args.rate;
    let end = start + Duration::from_secs(args.seconds.into());
    let counted = start + Duration::from_secs(args.settle.into());
    let mut answers = Answers::default();
    let mut connection = None;
    for turn in 0.. {
        let due = start + step * (turn * args.connections + number);
        if due >= end {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let counts = due >= counted;
        match ask(args, &mut connection) {
            Ok(()) if counts => answers.times.push(due.elapsed()),
            Ok(()) => {}
            Err(_) => {
                answers.failed += u64::from(counts);
                connection = None;
                thread::sleep(BREATH);
            }
        }
        // What the server is too slow for is not asked for when the time is over.
        if Instant::now() > end + PATIENCE {
            break;
        }
    }
    answers
}

/// One request, and its whole answer.
fn ask(args: &Args, connection: &mut Option<BufReader<TcpStream>>) -> io::Result<()> {
    let stream = match connection {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect_timeout(&args.to, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            connection.insert(BufReader::new(stream))
        }
    };
    let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", args.page, args.to);
    stream.get_mut().write_all(request.as_bytes())?;
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 200 ") {
        return Err(wrong());
    }
    let mut length = None;
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let header = line.trim_end();
        if header.is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok();
        }
    }
    let length: u64 = length.ok_or_else(wrong)?;
    let read = io::copy(&mut stream.by_ref().take(length), &mut io::sink())?;
    if read == length { Ok(()) } else { Err(wrong()) }
}
