//! Work on files: what a program sees of them, and trees of many.
//!
//! `filework check DIR` does one thing after the other in a folder and says what comes of it; the
//! output is the same on Linux. `filework tree DIR FILES` makes a tree of files, copies it, renames
//! the copy and deletes the first one. `filework write FILE MIB` writes a file without a pause.
//! `filework fail BAD GOOD` reads a file that cannot be read, beside a process that reads another.
#![forbid(unsafe_code)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::Parser;

#[derive(Parser)]
#[command(about = "Work on files")]
enum Work {
    /// Do one thing after the other, and say what comes of it
    Check {
        /// The folder to do it in; it must be there and empty
        folder: PathBuf,
    },
    /// Make a tree of files, copy it, rename the copy, delete the first
    Tree {
        /// The folder to do it in
        folder: PathBuf,
        /// How many files
        files: u32,
    },
    /// Write a file without a pause
    Write {
        /// The file
        file: PathBuf,
        /// How much, in MiB
        mib: u32,
    },
    /// Read a file that its disk cannot read, while another process reads one that it can
    Fail {
        /// The file that cannot be read
        bad: PathBuf,
        /// The other one
        good: PathBuf,
    },
    /// Read a file, and say what its checksum is
    Sum {
        /// The file
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Work::parse() {
        Work::Check { folder } => check(&folder),
        Work::Tree { folder, files } => tree(&folder, files),
        Work::Write { file, mib } => write(&file, mib),
        Work::Fail { bad, good } => fail(&bad, &good),
        Work::Sum { file } => sum(&file).map(|sum| println!("{sum:016x}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("filework: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says how something ended: with a value, or by the error's name.
fn tell<T: std::fmt::Debug>(what: &str, result: io::Result<T>) {
    match result {
        Ok(value) => println!("{what}: {value:?}"),
        Err(error) => println!("{what}: {:?} ({:?})", error.kind(), error.raw_os_error()),
    }
}

fn check(folder: &Path) -> io::Result<()> {
    let at = |name: &str| folder.join(name);
    contents(&at)?;
    names(&at);
    attributes(&at)?;
    let mut listed: Vec<_> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| (entry.file_name(), entry.file_type().ok())))
        .collect::<io::Result<_>>()?;
    listed.sort_by(|one, next| one.0.cmp(&next.0));
    println!("listed: {listed:?}");
    Ok(())
}

/// Reading, writing, seeking, cutting.
fn contents(at: &dyn Fn(&str) -> PathBuf) -> io::Result<()> {
    let pattern: Vec<u8> = (0..100_000_u32).map(|at| (at / 7) as u8).collect();
    fs::write(at("file"), &pattern)?;
    println!("written is read: {}", fs::read(at("file"))? == pattern);
    let mut file = OpenOptions::new().read(true).write(true).open(at("file"))?;
    tell("seek to the end", file.seek(SeekFrom::End(0)));
    tell(
        "seek before the start",
        file.seek(SeekFrom::Current(-200_000)),
    );
    tell("write there", file.write(b"more"));
    tell("write at", file.write_at(b"in the midst", 4090));
    let mut part = [0; 20];
    tell("read at", file.read_at(&mut part, 4088));
    println!("part: {:?}", part.escape_ascii().to_string());
    tell("read at beyond", file.read_at(&mut part, 1 << 20));
    tell("set the length", file.set_len(5000));
    tell("length", file.metadata().map(|data| data.len()));
    tell("longer again", file.set_len(9000));
    file.seek(SeekFrom::Start(4995))?;
    let mut rest = Vec::new();
    tell("read the rest", file.read_to_end(&mut rest));
    println!("zeros: {}", rest[5..].iter().all(|&byte| byte == 0));
    tell("sync", file.sync_all());
    tell("sync the data", file.sync_data());
    let mut appended = OpenOptions::new().append(true).open(at("file"))?;
    tell("append", appended.write(b"end"));
    tell("length", appended.metadata().map(|data| data.len()));
    let mut read_only = File::open(at("file"))?;
    tell("write what is open for reading", read_only.write(b"x"));
    let exists = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(at("file"));
    tell("make what is there", exists.map(|_| ()));
    tell(
        "open a folder for writing",
        OpenOptions::new().write(true).open(at("")).map(|_| ()),
    );
    tell("read a folder", fs::read(at("")));
    Ok(())
}

/// Making, moving, linking, removing.
fn names(at: &dyn Fn(&str) -> PathBuf) {
    tell("make folders", fs::create_dir_all(at("a/b/c")));
    tell("make one again", fs::create_dir(at("a")));
    tell("copy", fs::copy(at("file"), at("a/copy")));
    tell("link", fs::hard_link(at("a/copy"), at("a/b/linked")));
    tell("names", fs::metadata(at("a/copy")).map(|data| data.nlink()));
    tell("soft link", symlink("b/linked", at("a/soft")));
    tell("where it leads", fs::read_link(at("a/soft")));
    tell(
        "through it",
        fs::metadata(at("a/soft")).map(|data| data.len()),
    );
    tell(
        "a link that leads nowhere",
        symlink("nowhere", at("a/lost")),
    );
    tell("through that", fs::metadata(at("a/lost")).map(|_| ()));
    tell(
        "it itself",
        fs::symlink_metadata(at("a/lost")).map(|data| data.len()),
    );
    tell("move", fs::rename(at("a/copy"), at("a/b/c/moved")));
    tell("move over a folder", fs::rename(at("file"), at("a/b")));
    tell(
        "move a folder into itself",
        fs::rename(at("a"), at("a/b/c/a")),
    );
    tell("move a folder", fs::rename(at("a/b"), at("b")));
    tell(
        "what is in it",
        fs::read(at("b/c/moved")).map(|bytes| bytes.len()),
    );
    tell("remove a folder with files", fs::remove_dir(at("b")));
    tell(
        "remove a folder as a file",
        fs::remove_file(at("b")).map_err(|error| {
            // Linux says EISDIR, POSIX would have EPERM.
            io::Error::from(error.kind())
        }),
    );
    tell("remove a file as a folder", fs::remove_dir(at("file")));
    tell("remove what is not there", fs::remove_file(at("missing")));
    tell("a name too long", fs::write(at(&"x".repeat(256)), b""));
    tell("the longest name", fs::write(at(&"x".repeat(255)), b""));
    tell("a file as a folder", fs::write(at("file/below"), b""));
}

/// Times, permissions, a file without a name.
fn attributes(at: &dyn Fn(&str) -> PathBuf) -> io::Result<()> {
    let path = at("attributes");
    fs::write(&path, b"something")?;
    let mode = |data: fs::Metadata| format!("{:o}", data.permissions().mode());
    tell("permissions", fs::metadata(&path).map(mode));
    tell(
        "set them",
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)),
    );
    tell("permissions", fs::metadata(&path).map(mode));
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 0);
    let times = fs::FileTimes::new().set_accessed(time).set_modified(time);
    tell("set its times", file.set_times(times));
    let modified = fs::metadata(&path)?.modified()?;
    println!("they are set: {}", modified == time);
    fs::write(&path, b"newer")?;
    println!(
        "writing changes them: {}",
        fs::metadata(&path)?.modified()? > time
    );
    tell("remove it", fs::remove_file(&path));
    tell("its names", file.metadata().map(|data| data.nlink()));
    tell("write to it", file.write_at(b"still", 0));
    let mut bytes = [0; 5];
    tell("read from it", file.read_at(&mut bytes, 0));
    println!("read: {:?}", bytes.escape_ascii().to_string());
    Ok(())
}

/// The contents of a file of the tree.
fn made(number: u32) -> Vec<u8> {
    let length = number.wrapping_mul(2_654_435_761) % 6000;
    (0..length).map(|at| (at ^ number) as u8).collect()
}

fn place(root: &Path, number: u32) -> PathBuf {
    root.join(format!("{}/{}", number % 32, number / 32 % 16))
        .join(format!("file-{number}"))
}

fn tree(folder: &Path, files: u32) -> io::Result<()> {
    let (first, copy, renamed) = (
        folder.join("first"),
        folder.join("copy"),
        folder.join("renamed"),
    );
    for number in 0..files {
        let path = place(&first, number);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, made(number))?;
    }
    println!("made {files} files");
    for number in 0..files {
        let path = place(&copy, number);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::copy(place(&first, number), path)?;
    }
    println!("copied them");
    fs::rename(&copy, &renamed)?;
    for number in 0..files {
        let path = place(&renamed, number);
        fs::rename(&path, path.with_extension("renamed"))?;
    }
    println!("renamed the copies");
    fs::remove_dir_all(&first)?;
    println!("deleted the first ones");
    for number in 0..files {
        let path = place(&renamed, number).with_extension("renamed");
        if fs::read(&path)? != made(number) {
            return Err(io::Error::other(format!("{} has changed", path.display())));
        }
    }
    println!("the copies are as they were");
    Ok(())
}

fn write(path: &Path, mib: u32) -> io::Result<()> {
    let mut file = File::create(path)?;
    let block: Vec<u8> = (0..1_u32 << 20).map(|at| (at >> 3) as u8).collect();
    for _ in 0..mib {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    println!("wrote {mib} MiB");
    Ok(())
}

/// How often the file is read that cannot be.
const TRIES: u32 = 8;

fn fail(bad: &Path, good: &Path) -> io::Result<()> {
    let own = std::env::current_exe()?;
    let mut neighbour = Command::new(own);
    let neighbour = neighbour.arg("sum").arg(good).stdout(Stdio::piped());
    let neighbour = neighbour.spawn()?;
    for _ in 0..TRIES {
        let error = match fs::read(bad) {
            Ok(bytes) => return Err(io::Error::other(format!("{} bytes were read", bytes.len()))),
            Err(error) => error,
        };
        println!("bad: {:?}", error.raw_os_error());
    }
    let ended = neighbour.wait_with_output()?;
    print!("good: {}", String::from_utf8_lossy(&ended.stdout));
    Ok(())
}

/// FNV-1a.
fn sum(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut block = vec![0; 1 << 16];
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    loop {
        let length = file.read(&mut block)?;
        if length == 0 {
            return Ok(sum);
        }
        for &byte in &block[..length] {
            sum = (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}
