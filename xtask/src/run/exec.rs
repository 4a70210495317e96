//! `cargo xtask run --exec`: one program in a guest, as if it ran here: its output on standard
//! output, its status as ours.

use std::collections::VecDeque;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use xtask::program::{self, Program, Statuses};
use xtask::qemu::{self, Exit, Guest, Next};
use xtask::ui;

use super::{Args, BootFrom, LAST_WAIT, TIMED_OUT};

/// How much of the kernel's log is shown when it fails.
const LAST_LINES: usize = 25;

/// Runs a program with its arguments, in one line.
pub(super) fn run(args: &Args, line: &str) -> Result<ExitCode> {
    let mut guest = program::start(&wanted(args, line)?)?;
    let mut log = Log::new(args.verbose);
    if !pass_on(&mut guest, args.timeout.map(Duration::from_secs), &mut log)? {
        log.show_last();
        ui::error(&format!(
            "the program did not end within {} s",
            args.timeout.unwrap_or_default()
        ));
        return Ok(TIMED_OUT.into());
    }
    log.end(&mut guest, "the program")
}

/// What the arguments ask for.
fn wanted(args: &Args, line: &str) -> Result<Program> {
    let words = shlex::split(line).with_context(|| {
        format!("--exec {line:?}: a quotation does not end; expected PATH ARGS")
    })?;
    let Some((path, arguments)) = words.split_first() else {
        bail!("--exec: expected PATH ARGS, with the program's path in the guest");
    };
    ensure!(
        matches!(args.boot, BootFrom::Disk),
        "--exec boots from the disk; for the network, give a configuration with <process> by --config"
    );
    let environment = args.environment.iter().map(|variable| {
        let (name, value) = variable
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .with_context(|| format!("--env {variable:?}: expected NAME=VALUE"))?;
        Ok((name.to_owned(), value.to_owned()))
    });
    let configuration = String::from_utf8(args.contents.configuration()?.unwrap_or_default())
        .context("the configuration is not UTF-8")?;
    Ok(Program {
        path: path.clone(),
        arguments: arguments.to_vec(),
        environment: environment.collect::<Result<_>>()?,
        rootfs: args.rootfs.clone(),
        configuration,
        options: args.contents.options.clone(),
        smp: args.smp,
        memory: args.mem.clone().unwrap_or_default(),
        accel: args.accel.choose(),
        machine: args.machine,
        cpu: args.cpu.clone(),
        extra: super::extra(args)?,
        ..Program::default()
    })
}

/// The kernel's log, of which the end is shown when something goes wrong.
pub(super) struct Log {
    shown: bool,
    last: VecDeque<String>,
    statuses: Statuses,
}

impl Log {
    pub(super) fn new(shown: bool) -> Self {
        Self {
            shown,
            last: VecDeque::new(),
            statuses: Statuses::default(),
        }
    }

    /// The status of the processes, if they have ended.
    pub(super) fn status(&self, exit: &Exit) -> Option<u8> {
        self.statuses.of_processes(exit)
    }

    pub(super) fn add(&mut self, line: &str) {
        self.statuses.read(line);
        if self.shown {
            eprintln!("{line}");
            return;
        }
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
    }

    /// Waits for QEMU to end after its log has; the status of the processes. Where there is none,
    /// what the log ended with, and QEMU's.
    pub(super) fn end(&mut self, guest: &mut Guest, who: &str) -> Result<ExitCode> {
        let exit = guest.exit(qemu::within(LAST_WAIT))?;
        let exit = exit.context("QEMU closed its log and does not end")?;
        if let Some(status) = self.status(&exit) {
            return Ok(status.into());
        }
        self.show_last();
        ui::error(&format!("{who} did not end, but: {exit}"));
        Ok(exit.code().max(1).into())
    }

    pub(super) fn show_last(&mut self) {
        for line in self.last.drain(..) {
            eprintln!("{line}");
        }
    }
}

/// Passes on what the program writes until the guest ends; false if the time is over first.
pub(super) fn pass_on(guest: &mut Guest, timeout: Option<Duration>, log: &mut Log) -> Result<bool> {
    // Without a limit: so far ahead that nobody sees it.
    let far = Duration::from_secs(10 * 365 * 86_400);
    let deadline = guest.started() + timeout.unwrap_or(far);
    let mut output = std::io::stdout().lock();
    let mut spinner = Some(ui::Spinner::start("booting"));
    loop {
        match guest.next(deadline) {
            Next::Line(line) => {
                if log.shown {
                    spinner = None;
                }
                log.add(&line.text);
            }
            Next::Output(bytes) => {
                spinner = None;
                let written = output.write_all(&bytes).and_then(|()| output.flush());
                written.context("cannot pass on what the program writes")?;
            }
            Next::Over => return Ok(true),
            Next::Deadline if Instant::now() >= deadline => {
                drop(spinner);
                return Ok(false);
            }
            Next::Deadline => {}
        }
    }
}
