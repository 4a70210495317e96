//! Programs in a guest: run as `cargo xtask run --exec` runs them, and on the host for comparison.
//!
//! Key functions: [`run`] (a guest with a program, up to its end), [`Root::on_linux`] (the same
//! commands here). A [`Root`] is a folder that is laid over the guest's root file system; here it
//! has the project's programs in `bin` too, so that one list of commands is good for both.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use xtask::program::{self, Program, Statuses};
use xtask::qemu::{self, Guest, Next};
use xtask::{userland, workspace};

use crate::log_file::LogFile;
use crate::slots::Slots;

/// How long a guest may take for its programs; for a busy host.
pub const DEADLINE: Duration = Duration::from_secs(180);

/// How long the same programs may take here.
const DEADLINE_HERE: Duration = Duration::from_secs(100);

/// The list of commands in a [`Root`], for the program `each`.
pub const LIST: &str = "commands";

/// What came of a guest with programs.
#[derive(Debug)]
pub struct Ran {
    /// What the programs wrote, byte by byte.
    pub output: Vec<u8>,
    /// The kernel's log.
    pub log: String,
    /// The status of the first process; `None` if the guest ended otherwise.
    pub status: Option<u8>,
    _file: LogFile,
}

impl Ran {
    /// What the programs wrote, as text with Unix line ends.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).replace("\r\n", "\n")
    }

    /// Fails the test unless the first process ended with this status.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn expect_status(&self, status: u8) {
        assert_eq!(
            self.status,
            Some(status),
            "\n{}\n--- the kernel's log:\n{}",
            self.text(),
            self.log
        );
    }

    /// Fails the test unless the programs wrote this line.
    ///
    /// # Panics
    /// When they did not.
    #[track_caller]
    pub fn expect_line(&self, line: &str) {
        let text = self.text();
        assert!(
            text.lines().any(|other| other == line),
            "no line {line:?} in:\n{text}\n--- the kernel's log:\n{}",
            self.log
        );
    }
}

/// Runs a guest with a program up to its end, as soon as there is a slot for it.
///
/// # Panics
/// When it cannot be started or does not end by [`DEADLINE`].
#[track_caller]
#[must_use]
pub fn run(program: &Program) -> Ran {
    finish(program, Slots::one(), |_, _| Ok(()))
}

/// The same, while no other guest runs: for tests that look at the time.
///
/// # Panics
/// As [`run`].
#[track_caller]
#[must_use]
pub fn run_alone(program: &Program) -> Ran {
    finish(program, Slots::all(), |_, _| Ok(()))
}

/// The same as [`run`]; when the programs have written `text`, QEMU gets this command (QMP).
///
/// # Panics
/// As [`run`].
#[track_caller]
#[must_use]
pub fn run_and(program: &Program, text: &str, command: &str) -> Ran {
    let mut command = Some((text, command));
    finish(program, Slots::one(), move |guest, output| {
        let written = String::from_utf8_lossy(output);
        match command.take_if(|(text, _)| written.contains(*text)) {
            Some((_, command)) => guest.monitor(command),
            None => Ok(()),
        }
    })
}

/// The same as [`run`], at a terminal: of each pair the first is waited for, after what was waited for
/// before, then the second is typed.
///
/// # Panics
/// As [`run`].
#[track_caller]
#[must_use]
pub fn run_and_type(program: &Program, dialogue: &[(&str, &str)]) -> Ran {
    let (mut left, mut seen) = (dialogue, 0);
    finish(program, Slots::one(), move |guest, output| {
        let typist = guest.typist().context("the guest has no console")?;
        while let [(awaited, typed), rest @ ..] = left {
            let new = String::from_utf8_lossy(&output[seen..]);
            let Some(at) = new.find(awaited) else { break };
            seen += at + awaited.len();
            typist.type_in(typed.as_bytes())?;
            left = rest;
        }
        Ok(())
    })
}

#[track_caller]
fn finish(
    program: &Program,
    slots: Result<Slots>,
    on_output: impl FnMut(&mut Guest, &[u8]) -> Result<()>,
) -> Ran {
    match slots.and_then(|slots| watch(program, &slots, on_output)) {
        Ok(ran) => ran,
        Err(error) => panic!("{error:#}"),
    }
}

/// Hands all that has been written so far to `on_output`, whenever there is more.
fn watch(
    program: &Program,
    _slots: &Slots,
    mut on_output: impl FnMut(&mut Guest, &[u8]) -> Result<()>,
) -> Result<Ran> {
    let mut file = LogFile::create()?;
    let mut guest = program::start(program).context("cannot start a guest")?;
    let (mut output, mut log, mut statuses) = (Vec::new(), String::new(), Statuses::default());
    let deadline = qemu::within(DEADLINE);
    loop {
        // A guest that never stops writing has a deadline, too.
        let next = match Instant::now() < deadline {
            true => guest.next(deadline),
            false => Next::Deadline,
        };
        match next {
            Next::Line(line) => {
                file.add(&line.text)?;
                statuses.read(&line.text);
                log += &line.text;
                log += "\n";
            }
            Next::Output(bytes) => {
                file.add(&format!("> {}", String::from_utf8_lossy(&bytes)))?;
                output.extend_from_slice(&bytes);
                on_output(&mut guest, &output)?;
            }
            Next::Over => break,
            Next::Deadline => anyhow::bail!(
                "the programs did not end in time; they wrote:\n{}\n--- the kernel's log:\n{log}",
                String::from_utf8_lossy(&output)
            ),
        }
    }
    let exit = guest.exit(deadline)?.context("QEMU did not end in time")?;
    Ok(Ran {
        output,
        log,
        status: statuses.of_processes(&exit),
        _file: file,
    })
}

/// A folder for the guest's root file system, with commands in the file [`LIST`]; removed in the
/// end.
#[derive(Debug)]
pub struct Root {
    /// Where the guest's part is.
    guest: PathBuf,
    /// Where the host's part is: the same files, and the programs.
    host: PathBuf,
}

impl Root {
    /// With these files, by their paths, besides the list of commands.
    ///
    /// # Errors
    /// When the files cannot be written, or the programs do not build.
    pub fn new(name: &str, files: &[(&str, &[u8])], commands: &[&str]) -> Result<Self> {
        let name = format!("{name}-{}", std::process::id());
        let whole = workspace::target_subdir("guest-roots")?.join(name);
        let root = Self {
            guest: whole.join("guest"),
            host: whole.join("host"),
        };
        let list = commands.join("\n");
        for folder in [&root.guest, &root.host] {
            fs::create_dir_all(folder)?;
            for (path, contents) in files.iter().chain(&[(LIST, list.as_bytes())]) {
                let path = folder.join(path);
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent)?;
                }
                fs::write(&path, contents)
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        for file in userland::build()? {
            let place = root.host.join(file.path.trim_start_matches('/'));
            if let Some(parent) = place.parent() {
                fs::create_dir_all(parent)?;
            }
            symlink(&file.file, &place)?;
        }
        Ok(root)
    }

    /// One file more, which can be executed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn executable(&self, path: &str, contents: &[u8]) -> Result<()> {
        for folder in [&self.guest, &self.host] {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap_or(folder))
                .and_then(|()| fs::write(&path, contents))
                .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// The folder for [`Program::rootfs`].
    #[must_use]
    pub fn guest(&self) -> &Path {
        &self.guest
    }

    /// What the commands write on the host, standard error included.
    ///
    /// # Errors
    /// When they cannot be run, or do not end in 100 s.
    pub fn on_linux(&self) -> Result<String> {
        let commands = format!(
            "exec timeout {} bin/each {LIST} 2>&1",
            DEADLINE_HERE.as_secs()
        );
        let ran = Command::new("sh")
            .args(["-c", &commands])
            .current_dir(&self.host)
            .env_clear()
            .output()
            .context("cannot run the commands here")?;
        let output = String::from_utf8_lossy(&ran.stdout).into_owned();
        ensure!(
            ran.status.success(),
            "the commands: {}; they wrote:\n{output}",
            ran.status
        );
        Ok(output)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // At worst a folder stays that nobody needs.
        let _ = self.guest.parent().map(fs::remove_dir_all);
    }
}
