//! `reactor`: an event loop over many pipes and a waker, as Rust programs have it; and children that
//! are talked to through pipes. The same lines come out on Linux and on Vortex.
#![forbid(unsafe_code)]

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::{collections::BTreeMap, env};

use clap::Parser;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::ioctl_fionbio;

/// Run an event loop over pipes, and talk to children
#[derive(Parser)]
struct Args {
    /// How many pipes
    #[arg(long, default_value_t = 40)]
    pipes: u64,
    /// How many bytes go through each
    #[arg(long, default_value_t = 100_000)]
    bytes: usize,
    /// Copy what is read to what is written, in capitals: what a child does
    #[arg(long, hide = true)]
    echo: bool,
}

/// The waker's number among those of the pipes.
const WAKER: u64 = u64::MAX;

fn main() -> io::Result<()> {
    let args = Args::parse();
    if args.echo {
        return echo();
    }
    event_loop(args.pipes, args.bytes)?;
    children()?;
    println!("reactor: done");
    Ok(())
}

/// A pipe that the loop reads from.
struct Source {
    reader: PipeReader,
    bytes: usize,
    sum: u64,
}

impl Source {
    /// Reads until there is nothing more for now; false at the end.
    fn drain(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 1500];
        loop {
            match self.reader.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(length) => {
                    self.bytes += length;
                    let sum: u64 = buffer[..length].iter().map(|byte| u64::from(*byte)).sum();
                    self.sum += sum;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Writes so many bytes, all of the pipe's number, in pieces of many sizes; then wakes the loop.
fn produce(mut writer: PipeWriter, number: u64, bytes: usize, waker: &OwnedFd) -> io::Result<()> {
    let piece = vec![u8::try_from(number % 251).unwrap_or(0); 9000];
    let mut left = bytes;
    let mut size = 1;
    while left > 0 {
        let length = size.min(left).min(piece.len());
        writer.write_all(&piece[..length])?;
        left -= length;
        size = size * 3 % 8999 + 1;
    }
    rustix::io::write(waker, &1_u64.to_ne_bytes())?;
    Ok(())
}

/// One thread waits for all pipes at once (edge-triggered); four threads write to them.
fn event_loop(pipes: u64, bytes: usize) -> io::Result<()> {
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    let waker = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    epoll::add(&poll, &*waker, EventData::new_u64(WAKER), EventFlags::IN)?;
    let mut sources = BTreeMap::new();
    let mut writers = [const { Vec::new() }; 4];
    for number in 0..pipes {
        let (reader, writer) = io::pipe()?;
        ioctl_fionbio(&reader, true)?;
        let wanted = EventFlags::IN | EventFlags::ET | EventFlags::RDHUP;
        epoll::add(&poll, reader.as_fd(), EventData::new_u64(number), wanted)?;
        let (bytes, sum) = (0, 0);
        sources.insert(number, Source { reader, bytes, sum });
        let chosen = usize::try_from(number).unwrap_or(0) % writers.len();
        writers[chosen].push((number, writer));
    }
    let threads = writers.map(|own| {
        let waker = waker.clone();
        thread::spawn(move || -> io::Result<()> {
            for (number, writer) in own {
                produce(writer, number, bytes, &waker)?;
            }
            Ok(())
        })
    });
    let (mut total, mut sum, mut woken) = (0, 0, 0);
    let mut events = Vec::with_capacity(16);
    while !sources.is_empty() || woken < pipes {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let number = event.data.u64();
            if number == WAKER {
                let mut count = [0; 8];
                rustix::io::read(&*waker, &mut count)?;
                woken += u64::from_ne_bytes(count);
            } else if let Some(source) = sources.get_mut(&number)
                && !source.drain()?
            {
                total += source.bytes;
                sum += source.sum;
                sources.remove(&number);
            }
        }
    }
    for thread in threads {
        let ended = thread.join();
        ended.map_err(|_| io::Error::other("a writer panicked"))??;
    }
    println!("event loop: {pipes} pipes, {total} bytes, sum {sum}, woken {woken} times");
    Ok(())
}

/// Children with pipes for standard input and output, of which each holds more than a pipe.
fn children() -> io::Result<()> {
    let text = "all work and no play makes a dull program\n".repeat(5000);
    let mut child = Command::new(env::current_exe()?)
        .arg("--echo")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let given = text.clone();
    let writer = thread::spawn(move || input.write_all(given.as_bytes()));
    let output = child.wait_with_output()?;
    let written = writer.join();
    written.map_err(|_| io::Error::other("the writer panicked"))??;
    let said = String::from_utf8_lossy(&output.stderr);
    println!(
        "child: {}, {} bytes, {}, and says {said:?}",
        output.status,
        output.stdout.len(),
        match output.stdout == text.to_uppercase().as_bytes() {
            true => "in capitals",
            false => "something else",
        },
    );
    let missing = Command::new("bin/none").stdin(Stdio::piped()).spawn();
    println!(
        "no such program: {:?}",
        missing.map_err(|error| error.kind()).err()
    );
    Ok(())
}

fn echo() -> io::Result<()> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    io::stdout().write_all(text.to_uppercase().as_bytes())?;
    eprint!("{} bytes", text.len());
    Ok(())
}
