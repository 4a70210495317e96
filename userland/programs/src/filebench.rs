//! What operations on files cost, and the disk they are on where Linux has to be told of it.
//!
//! Key types: [`OPERATIONS`] (what is measured), [`prepare_linux`].

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};
use rustix::mount::{MountFlags, mount};
use rustix::system::finit_module;

/// An operation: its name, how often it is done at full effort, whether what it reads comes from
/// the disk, and doing it so often in a folder; how long that took.
pub type Operation = (
    &'static str,
    u32,
    bool,
    fn(&Path, u32) -> io::Result<Duration>,
);

/// All of them.
pub const OPERATIONS: [Operation; 5] = [
    ("file-read-32k", 2_000, false, read_cached),
    ("file-open-close", 5_000, false, open_and_close),
    ("file-create-4k", 500, false, create_and_remove),
    ("file-sequential-32k", 2_048, true, read_in_sequence),
    ("file-random-4k", 2_000, true, read_at_random),
];

/// Bytes of a large read, and of a small one.
const LARGE: usize = 32 * 1024;
const SMALL: usize = 4096;
/// Bytes of the file that is read from the disk.
const FILE: u64 = 32 << 20;

fn read_cached(folder: &Path, times: u32) -> io::Result<Duration> {
    let path = folder.join("cached");
    fs::write(&path, vec![7; LARGE])?;
    let file = File::open(&path)?;
    let mut buffer = vec![0; LARGE];
    file.read_exact_at(&mut buffer, 0)?;
    let start = Instant::now();
    for _ in 0..times {
        file.read_exact_at(&mut buffer, 0)?;
    }
    black_box(&buffer);
    Ok(start.elapsed())
}

fn open_and_close(folder: &Path, times: u32) -> io::Result<Duration> {
    let path = folder.join("opened");
    fs::write(&path, b"")?;
    let start = Instant::now();
    for _ in 0..times {
        drop(File::open(&path)?);
    }
    Ok(start.elapsed())
}

fn create_and_remove(folder: &Path, times: u32) -> io::Result<Duration> {
    let path = folder.join("small");
    let contents = vec![9; SMALL];
    let start = Instant::now();
    for _ in 0..times {
        File::create(&path)?.write_all(&contents)?;
        fs::remove_file(&path)?;
    }
    Ok(start.elapsed())
}

/// The file that is read from the disk, nothing of which is in memory.
fn large(folder: &Path) -> io::Result<File> {
    let path = folder.join("large");
    if !path.exists() {
        let mut file = File::create(&path)?;
        let block = vec![3; 1 << 20];
        for _ in 0..FILE >> 20 {
            file.write_all(&block)?;
        }
    }
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    file.sync_all()?;
    fadvise(&file, 0, None, Advice::DontNeed)?;
    Ok(file)
}

/// By read(2) from the file's beginning, again and again.
fn read_in_sequence(folder: &Path, times: u32) -> io::Result<Duration> {
    let mut buffer = vec![0; LARGE];
    let (mut left, mut time) = (times, Duration::ZERO);
    while left > 0 {
        let mut file = large(folder)?;
        let start = Instant::now();
        while left > 0 && file.read(&mut buffer)? == LARGE {
            left -= 1;
        }
        time += start.elapsed();
    }
    Ok(time)
}

/// A step through the file's pages that comes to each of them once.
const STEP: u64 = 2_654_435_761;

fn read_at_random(folder: &Path, times: u32) -> io::Result<Duration> {
    let mut buffer = vec![0; SMALL];
    let file = large(folder)?;
    let pages = FILE / SMALL as u64;
    let start = Instant::now();
    for number in 0..u64::from(times) {
        let page = number.wrapping_mul(STEP) % pages;
        file.read_exact_at(&mut buffer, page * SMALL as u64)?;
    }
    Ok(start.elapsed())
}

/// How long Linux may take to find a disk.
const PATIENCE: Duration = Duration::from_secs(20);

/// As the first process of Linux: loads the modules in `/modules`, in the order of their names, and
/// mounts the ext2 file system on a disk.
///
/// # Errors
/// What Linux says; that there is no such disk.
pub fn prepare_linux(disk: &Path, at: &Path) -> io::Result<()> {
    let listed = fs::read_dir("/modules")?;
    let mut modules = listed
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    modules.sort();
    for module in modules {
        finit_module(File::open(module)?, c"", 0)?;
    }
    mount(
        "dev",
        "/dev",
        "devtmpfs",
        MountFlags::empty(),
        None::<&CStr>,
    )?;
    let late = Instant::now() + PATIENCE;
    while !disk.exists() {
        if Instant::now() > late {
            return Err(io::Error::other(format!("no {}", disk.display())));
        }
        std::thread::yield_now();
    }
    fs::create_dir_all(at)?;
    Ok(mount(disk, at, "ext2", MountFlags::empty(), None::<&CStr>)?)
}
