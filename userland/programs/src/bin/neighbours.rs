//! `neighbours`: processes that share a disk, of which one has a bad file, writes without end, or
//! finds the disk gone. Each is in an activity of its own.
#![forbid(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use rustix::fs::{Advice, fadvise};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use vortex::abi::snapshot::{Account, Memory, Resource};
use vortex::{Scope, Snapshot, Spawn, activity};

/// Bytes of a read.
const REQUEST: usize = 64 * 1024;
/// The resource at which the disk's bytes are counted.
const AT_THE_DISK: &str = "resource.drwr";

/// Share a disk with another process
#[derive(Parser)]
enum Work {
    /// Read a file while another process reads one that is bad, and writes it
    Faults {
        /// The bad one
        bad: PathBuf,
        /// The good one
        good: PathBuf,
        /// How often the bad one is read
        times: u32,
    },
    /// Read and write a file so often; both must fail each time
    Fails {
        /// The file
        file: PathBuf,
        /// How often
        times: u32,
    },
    /// Read a file while another process, in the activity `writer`, writes without end
    Beside {
        /// The file to read
        file: PathBuf,
        /// The file to write
        other: PathBuf,
        /// Its size in MiB
        size: u32,
        /// How much has to come to the disk before this ends, in MiB
        amount: u64,
    },
    /// Write a file, from its beginning again and again
    Endless {
        /// The file
        file: PathBuf,
        /// Its size in MiB
        mib: u32,
    },
    /// Read a file from the disk until that fails
    Gone {
        /// The file
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Work::parse() {
        Work::Faults { bad, good, times } => faults(&bad, &good, times),
        Work::Fails { file, times } => fails(&file, times),
        Work::Beside {
            file,
            other,
            size,
            amount,
        } => beside(&file, &other, size, amount << 20),
        Work::Endless { file, mib } => endless(&file, mib),
        Work::Gone { file } => gone(&file),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("neighbours: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A file's checksum (FNV-1a), all of it read from the disk. An error comes with the bytes read
/// before it.
fn sum(file: &File) -> Result<u64, (u64, io::Error)> {
    fadvise(file, 0, None, Advice::DontNeed).map_err(|error| (0, error.into()))?;
    let (mut block, mut at, mut sum) = (vec![0; REQUEST], 0, 0xcbf2_9ce4_8422_2325_u64);
    loop {
        let length = file.read_at(&mut block, at).map_err(|error| (at, error))?;
        if length == 0 {
            return Ok(sum);
        }
        at += length as u64;
        for &byte in &block[..length] {
            sum = (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

/// Starts this program again, in another activity.
fn start(name: &str, arguments: &[&str]) -> io::Result<Pid> {
    let mut other = Spawn::new("/bin/neighbours")?;
    let activity = activity::find(name).or_else(|_| activity::create(name, 1000))?;
    other.activity(activity);
    for argument in arguments {
        other.argument(argument)?;
    }
    let pid = i32::try_from(other.start()?).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("no process"))
}

fn text(path: &Path) -> io::Result<&str> {
    let text = path.to_str();
    text.ok_or_else(|| io::Error::other("a path that is no text"))
}

fn faults(bad: &Path, good: &Path, times: u32) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(good)?;
    let first = sum(&file).map_err(|(_, error)| error)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, 0)?;
    let other = start("bad", &["fails", text(bad)?, &times.to_string()])?;
    let mut rounds = 0;
    let status = loop {
        if let Some((_, status)) = waitpid(Some(other), WaitOptions::NOHANG)?
            && rounds > 0
        {
            break status;
        }
        let again = sum(&file).map_err(|(_, error)| error)?;
        if again != first {
            return Err(io::Error::other("the good file has changed"));
        }
        file.write_all_at(&byte, 0)?;
        file.sync_all()?;
        rounds += 1;
    };
    println!("good: {first:016x}");
    if status.exit_status() != Some(0) {
        return Err(io::Error::other(format!("the other one: {status:?}")));
    }
    Ok(())
}

fn fails(path: &Path, times: u32) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut ends = Vec::new();
    for _ in 0..times {
        let read = match sum(&file) {
            Ok(_) => return Err(io::Error::other("it can be read")),
            Err((at, error)) => (at, error.raw_os_error()),
        };
        // In the last page, which can be read.
        let last = file.metadata()?.len() - 1;
        let written = file.write_all_at(&[1], last).and_then(|()| file.sync_all());
        let written = written.err().and_then(|error| error.raw_os_error());
        ends.push((read, written));
    }
    ends.dedup();
    println!("bad: {ends:?}");
    Ok(())
}

/// Bytes at the disk, of the caller's activity and of all others.
fn at_the_disk(snapshot: &mut Snapshot) -> io::Result<(u64, u64)> {
    snapshot.take_again(Scope::All)?;
    let reader = snapshot.reader()?;
    let named = |resource: &Resource| resource.name.as_str() == AT_THE_DISK;
    let resource = reader.records::<Resource>().find(named);
    let resource = resource.ok_or_else(|| io::Error::other("there is no disk"))?;
    let (mut own, mut others) = (0, 0);
    for account in reader.records::<Account>() {
        if account.resource == resource.resource {
            match account.activity == reader.header().caller {
                true => own += account.bytes,
                false => others += account.bytes,
            }
        }
    }
    Ok((own, others))
}

/// The memory that an activity holds, in bytes.
fn held(snapshot: &Snapshot, activity: activity::Activity) -> io::Result<u64> {
    let all = snapshot.reader()?.records::<Memory>();
    let mut own = all.filter(|memory| memory.activity == activity.0);
    let sum = own.find(|memory| memory.resource == u64::MAX);
    Ok(sum.map_or(0, |memory| memory.held))
}

fn beside(path: &Path, other: &Path, size: u32, amount: u64) -> io::Result<()> {
    let file = File::open(path)?;
    let first = sum(&file).map_err(|(_, error)| error)?;
    let writer = start("writer", &["endless", text(other)?, &size.to_string()])?;
    let activity = activity::find("writer")?;
    let mut snapshot = Snapshot::default();
    let idle = at_the_disk(&mut snapshot)?;
    // It has begun when the disk has got something of it.
    while at_the_disk(&mut snapshot)?.1 - idle.1 < 1 << 20 {
        std::thread::yield_now();
    }
    let before = at_the_disk(&mut snapshot)?;
    let (mut now, mut most) = (before, 0);
    while now.1 - before.1 < amount {
        if sum(&file).map_err(|(_, error)| error)? != first {
            return Err(io::Error::other("the file has changed"));
        }
        now = at_the_disk(&mut snapshot)?;
        most = held(&snapshot, activity)?.max(most);
        if let Some((_, status)) = waitpid(Some(writer), WaitOptions::NOHANG)? {
            return Err(io::Error::other(format!("the writer ended: {status:?}")));
        }
    }
    kill_process(writer, Signal::KILL)?;
    waitpid(Some(writer), WaitOptions::empty())?;
    println!("read: {}", now.0 - before.0);
    println!("others: {}", now.1 - before.1);
    println!("held: {most}");
    Ok(())
}

fn endless(path: &Path, mib: u32) -> io::Result<()> {
    let mut file = File::create(path)?;
    let block = vec![0x77; 1 << 20];
    loop {
        file.rewind()?;
        for _ in 0..mib {
            file.write_all(&block)?;
        }
    }
}

fn gone(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    // All that is needed later is in memory from now on.
    let missing = File::open("/no/such/file").err();
    println!("open: {:?}", missing.and_then(|error| error.raw_os_error()));
    for round in 0_u64.. {
        match sum(&file) {
            Ok(_) if round == 0 => println!("reading"),
            Ok(_) => {}
            Err((_, error)) => {
                println!("read: {:?}", error.raw_os_error());
                break;
            }
        }
    }
    let written = file.write_all(&[1]).and_then(|()| file.sync_all());
    println!("write: {:?}", written.err().and_then(|e| e.raw_os_error()));
    let mut byte = [0];
    let read = file.read(&mut byte).err();
    println!(
        "read again: {:?}",
        read.and_then(|error| error.raw_os_error())
    );
    Ok(())
}
