//! `readfiles`: opens, reads and closes files without end, as the processes of the paper's file
//! experiments do (sections 4.3 and 4.5).
#![forbid(unsafe_code)]

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use vortex_programs::reading::{Files, Pattern, Streams};
use vortex_programs::work;

/// How often a run with a time limit looks whether a thread has failed.
const LOOK: Duration = Duration::from_millis(200);

/// Open, read and close files again and again, with a thread for each core
///
/// Thread T reads the files FOLDER/T.0, FOLDER/T.1 and so on. With one file and one stream it reads
/// by read(2); otherwise all of a thread's files are read at once, each by several streams from
/// regions that do not overlap, by asynchronous I/O.
#[derive(Parser)]
struct Args {
    /// Where the files are
    folder: PathBuf,
    /// Files for each thread
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    files: u32,
    /// Bytes of each file
    #[arg(long, default_value_t = 32_768, value_parser = clap::value_parser!(u64).range(8..))]
    size: u64,
    /// Streams for each file
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    streams: u32,
    /// Bytes of each read
    #[arg(long, default_value_t = 32_768, value_parser = clap::value_parser!(u32).range(8..=16_777_216))]
    request: u32,
    /// Threads in all; one for each core without it
    #[arg(long)]
    threads: Option<usize>,
    /// After a file has been read, have the system forget what it holds of it in memory
    #[arg(long)]
    evict: bool,
    /// Have nothing read ahead
    #[arg(long)]
    random: bool,
    /// Make the files first, all at the same time, so that none is in one piece
    #[arg(long)]
    create: bool,
    /// Only make the files
    #[arg(long, requires = "create")]
    only_create: bool,
    /// End after so many seconds; without it, never
    #[arg(long, value_name = "S")]
    seconds: Option<u64>,
}

impl Args {
    fn files_of(&self, thread: usize) -> Files {
        Files {
            folder: self.folder.clone(),
            thread,
            count: self.files,
            pattern: Pattern { size: self.size },
            request: self.request as usize,
            evict: self.evict,
            random: self.random,
        }
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("readfiles: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<()> {
    let threads = args.threads.unwrap_or_else(work::cores).max(1);
    if args.create {
        let all: Vec<Files> = (0..threads).map(|thread| args.files_of(thread)).collect();
        Files::create(&all)?;
        if args.only_create {
            return Ok(());
        }
    }
    let end = &AtomicBool::new(false);
    let bytes: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
    thread::scope(|scope| {
        let readers: Vec<_> = (bytes.iter().enumerate())
            .map(|(thread, bytes)| {
                scope.spawn(move || {
                    let ended = read(args, args.files_of(thread), end, bytes);
                    // One that has failed ends the others, too.
                    end.store(true, Ordering::Relaxed);
                    ended
                })
            })
            .collect();
        if let Some(seconds) = args.seconds {
            let until = Instant::now() + Duration::from_secs(seconds);
            while !end.load(Ordering::Relaxed)
                && let Some(left) = until.checked_duration_since(Instant::now())
            {
                thread::park_timeout(left.min(LOOK));
            }
            end.store(true, Ordering::Relaxed);
        }
        readers.into_iter().try_for_each(|reader| {
            let ended = reader.join();
            ended.unwrap_or_else(|_| Err(io::Error::other("a thread has panicked")))
        })
    })?;
    for (thread, bytes) in bytes.iter().enumerate() {
        println!("thread {thread}: {} bytes", bytes.load(Ordering::Relaxed));
    }
    Ok(())
}

/// One thread's reading, until `end` is set; counts what it has read into `bytes`.
fn read(args: &Args, files: Files, end: &AtomicBool, bytes: &AtomicU64) -> io::Result<()> {
    let go_on = |read: u64| {
        bytes.fetch_add(read, Ordering::Relaxed);
        !end.load(Ordering::Relaxed)
    };
    if args.files == 1 && args.streams == 1 {
        files.read_in_turn(go_on)
    } else {
        Streams::new(files, args.streams)?.read_at_once(go_on)
    }
}
