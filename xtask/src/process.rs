//! Starting other programs so that none of them outlives this one.
//!
//! Three layers, for the three ways in which this process can end:
//! - it returns or panics: [`Running`] ends the program when it is dropped;
//! - it is asked to end (Ctrl-C, `SIGTERM`, `SIGHUP`; see [`end_on_signals`]) or one of its threads
//!   gives up: [`end`] first ends every program that is running, with everything that one started (each
//!   has a process group of its own);
//! - it is killed: the kernel kills the program too, because [`command`] has `setpriv --pdeathsig`
//!   (util-linux) ask for that. The kernel watches the *thread* that started the program, so the
//!   thread that calls [`Running::start`] must live as long as the [`Running`].

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::ui::{self, Spinner};
use crate::workspace;

/// How long a program may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(3);
/// How often a state that cannot be waited for is looked at.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// The process groups of the programs that run now, whether this process is about to end, and what it
/// does then.
struct Groups {
    running: Vec<Pid>,
    ending: bool,
    undo: Option<fn()>,
}

static GROUPS: Mutex<Groups> = Mutex::new(Groups {
    running: Vec::new(),
    ending: false,
    undo: None,
});

fn groups() -> MutexGuard<'static, Groups> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on Ctrl-C, `SIGTERM` and `SIGHUP` end all running programs and then this process, with
/// status 128 + the signal's number (130 for Ctrl-C).
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn end_on_signals() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot handle signals")?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            end("interrupted", 128 + signal);
        }
    });
    Ok(())
}

/// Ends all running programs, says why, and ends this process with a status. What other threads wait for
/// does not come any more; of several that call this the first decides.
pub fn end(why: &str, status: i32) -> ! {
    let (running, undo) = {
        let mut groups = groups();
        if groups.ending {
            drop(groups);
            wait_for_the_end();
        }
        groups.ending = true;
        (groups.running.clone(), groups.undo)
    };
    running.iter().for_each(|&group| end_group(group));
    if let Some(undo) = undo {
        undo();
    }
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        // A spinner may have hidden the cursor and left half a line.
        anstream::eprintln!("\r\x1b[2K\x1b[?25h");
    }
    ui::error(why);
    std::process::exit(status)
}

/// What [`end`] does last before it ends this process, such as to give back a terminal.
pub fn undo_at_the_end(undo: Option<fn()>) {
    groups().undo = undo;
}

/// Asks a process group to end, and kills it when it has not after [`GRACE`].
fn end_group(group: Pid) {
    let deadline = Instant::now() + GRACE;
    // An error means that the group is gone already, which is the aim.
    let _ = kill_process_group(group, Signal::TERM);
    while test_kill_process_group(group).is_ok() && Instant::now() < deadline {
        std::thread::sleep(POLL);
    }
    let _ = kill_process_group(group, Signal::KILL);
}

/// A command that the kernel kills when the thread that started it ends.
///
/// Where there is no `setpriv` it is an ordinary command: then only a killed `cargo xtask` can
/// leave it behind.
#[must_use]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let Some(setpriv) = find_program("setpriv") else {
        return Command::new(program);
    };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Looks a program up in `PATH` and in the folders for system programs, which are not in
/// everybody's `PATH`.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Path::new);
    std::env::split_paths(&path)
        .chain(system.map(Path::to_path_buf))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// A program that runs in a process group of its own and ends with this value.
#[must_use = "the program ends when this is dropped"]
pub struct Running {
    child: Child,
    group: Pid,
}

impl Running {
    /// Starts a command, with nothing on its standard input. The thread that calls this must
    /// outlive the returned value.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        Self::start_with_input(command.stdin(Stdio::null()))
    }

    /// As [`Running::start`], with the standard input that the command says.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start_with_input(command: &mut Command) -> Result<Self> {
        let mut groups = groups();
        if groups.ending {
            drop(groups);
            wait_for_the_end();
        }
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", describe(command)))?;
        let group = Pid::from_child(&child);
        groups.running.push(group);
        Ok(Self { child, group })
    }

    /// The program's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits until the program ends.
    ///
    /// # Errors
    /// When the operating system cannot tell.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.child.wait().context("cannot wait for a program")?;
        if groups().ending {
            wait_for_the_end();
        }
        Ok(status)
    }

    /// Waits until the program ends, but not beyond `deadline`.
    ///
    /// # Errors
    /// When the operating system cannot tell.
    pub fn wait_until(&mut self, deadline: Instant) -> Result<Option<ExitStatus>> {
        loop {
            if self
                .child
                .try_wait()
                .context("cannot wait for a program")?
                .is_some()
            {
                return self.wait().map(Some);
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Errors mean that it is over already. The group may still hold what the program started.
        let _ = kill_process_group(self.group, Signal::KILL);
        let _ = self.child.wait();
        groups().running.retain(|group| *group != self.group);
    }
}

/// Another thread ends this process ([`end`]); until then nothing more may be started or said.
fn wait_for_the_end() -> ! {
    loop {
        std::thread::park();
    }
}

/// The command line without the `setpriv` in front of it.
fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    let own = words
        .iter()
        .position(|word| word == "--")
        .filter(|_| words[0].ends_with("setpriv"));
    words[own.map_or(0, |at| at + 1)..].join(" ")
}

/// Runs a command behind a spinner and keeps what it prints to itself.
///
/// # Errors
/// When it cannot be started, or fails: then the error has all that it printed.
pub fn run_quietly(label: &str, command: &mut Command) -> Result<()> {
    let spinner = Spinner::start(label);
    let (output, writer) = std::io::pipe().context("cannot make a pipe")?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut program = Running::start(command)?;
    // The command holds ends of the pipe; without this the last read would wait for ever.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut printed = String::new();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read what a program prints")?;
        let line = String::from_utf8_lossy(&line);
        spinner.detail(line.trim());
        printed.push_str(&line);
        printed.push('\n');
    }
    let status = program.wait()?;
    drop(spinner);
    if !status.success() {
        bail!(
            "{label} failed ({status}):\n{printed}  the command was: {}",
            describe(command)
        );
    }
    Ok(())
}

/// As [`run_quietly`], for what makes `file`; unless `cargo xtask test` has built it already. Returns the
/// file.
///
/// # Errors
/// As [`run_quietly`], and when the file is not there in the end.
pub fn build(label: &str, command: &mut Command, file: PathBuf) -> Result<PathBuf> {
    if !workspace::is_built() {
        run_quietly(label, command)?;
    }
    ensure!(file.is_file(), "{label}: there is no {}", file.display());
    Ok(file)
}

/// Runs a command that talks to the user itself.
///
/// # Errors
/// When it cannot be started or fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = Running::start(command)?.wait()?;
    if !status.success() {
        bail!("`{}` failed ({status})", describe(command));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_program_is_gone_with_what_it_started() {
        let mut shell = command("sh");
        shell.args(["-c", "sleep 1000 & sleep 1000"]);
        let running = Running::start(&mut shell).unwrap();
        let group = running.group;
        assert!(test_kill_process_group(group).is_ok());
        drop(running);
        let deadline = Instant::now() + Duration::from_secs(10);
        while test_kill_process_group(group).is_ok() {
            assert!(
                Instant::now() < deadline,
                "process group {group:?} is still there"
            );
            std::thread::sleep(POLL);
        }
    }

    #[test]
    fn a_failing_command_tells_its_output_and_itself() {
        let mut shell = command("sh");
        shell.args(["-c", "echo what went wrong; exit 3"]);
        let error = run_quietly("trying", &mut shell).unwrap_err().to_string();
        assert!(error.contains("what went wrong"), "{error}");
        assert!(error.contains("the command was: sh -c"), "{error}");
    }

    #[test]
    fn waiting_ends_at_the_deadline() {
        let mut sleep = command("sleep");
        let mut running = Running::start(sleep.arg("1000")).unwrap();
        let soon = Instant::now() + Duration::from_millis(50);
        assert!(running.wait_until(soon).unwrap().is_none());
    }

    #[test]
    fn system_programs_are_found_outside_the_path() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-at-all").is_none());
    }
}
