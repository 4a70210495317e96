//! A machine that runs: its log, and how it ends.

use std::time::{Duration, Instant};

use anyhow::Result;
use xtask::qemu::{self, Exit, Guest, GuestConfig, Line, Next};

use crate::log_file::LogFile;
use crate::slots::Slots;

/// How long a guest may take for what a test waits for. A boot takes four seconds on an idle host;
/// this is for a busy one, and for a guest that hangs.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// How many of its last lines a failure shows.
const SHOWN: usize = 40;

/// A running guest, which ends with this value.
///
/// The methods that wait panic when what they wait for does not come; the log is then kept.
#[must_use = "the guest ends when this is dropped"]
pub struct RunningMachine {
    guest: Guest,
    log: Vec<Line>,
    /// How much of the log the test has asked for.
    seen: usize,
    deadline: Instant,
    file: LogFile,
    _slots: Slots,
}

impl RunningMachine {
    pub(crate) fn start(config: &GuestConfig, slots: Slots) -> Result<Self> {
        let file = LogFile::create()?;
        let guest = Guest::start(config)?;
        let deadline = qemu::within(DEADLINE);
        Ok(Self {
            guest,
            log: Vec::new(),
            seen: 0,
            deadline,
            file,
            _slots: slots,
        })
    }

    /// Waits for a line that contains `text`, after the last line that was waited for.
    ///
    /// # Panics
    /// When there is none before the guest ends, or before [`DEADLINE`] from the start.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> Line {
        loop {
            let found = self.log[self.seen..]
                .iter()
                .position(|line| line.text.contains(text));
            if let Some(found) = found {
                self.seen += found + 1;
                return self.log[self.seen - 1].clone();
            }
            self.seen = self.log.len();
            match self.read_line() {
                Next::Line(_) | Next::Output(_) => {}
                Next::Over => self.fail(&format!("it ended without a line with {text:?}")),
                Next::Deadline => self.fail(&format!("no line with {text:?} came in time")),
            }
        }
    }

    /// Waits until the guest ends.
    ///
    /// # Panics
    /// When it has not ended by [`DEADLINE`] from the start.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> Exit {
        loop {
            match self.read_line() {
                Next::Line(_) | Next::Output(_) => {}
                Next::Over => break,
                Next::Deadline => self.fail("it did not end in time"),
            }
        }
        match self.guest.exit(self.deadline) {
            Ok(Some(exit)) => exit,
            Ok(None) => self.fail("QEMU did not end in time"),
            Err(error) => self.fail(&format!("{error:#}")),
        }
    }

    /// Waits until the guest ends, and fails unless it ended with this.
    ///
    /// # Panics
    /// When it ends otherwise, or not by [`DEADLINE`].
    #[track_caller]
    pub fn expect_exit(&mut self, expected: &Exit) {
        let exit = self.wait_for_exit();
        if exit != *expected {
            self.fail(&format!("expected that {expected}, but: {exit}"));
        }
    }

    /// Everything that came so far, as one text.
    #[must_use]
    pub fn log(&self) -> String {
        self.log
            .iter()
            .map(|line| format!("{}\n", line.text))
            .collect()
    }

    /// QEMU's process id.
    #[must_use]
    pub fn qemu_id(&self) -> u32 {
        self.guest.id()
    }

    /// Where the log is kept while the guest runs, and after that if the test fails.
    #[must_use]
    pub fn log_path(&self) -> &std::path::Path {
        self.file.path()
    }

    /// Fails the test, showing the end of the log.
    ///
    /// # Panics
    /// Always.
    #[track_caller]
    pub fn fail(&self, what: &str) -> ! {
        let shown = &self.log[self.log.len().saturating_sub(SHOWN)..];
        let end: String = shown
            .iter()
            .map(|line| format!("  | {}\n", line.text))
            .collect();
        panic!("{what}; the guest's log ends so:\n{end}");
    }

    #[track_caller]
    fn read_line(&mut self) -> Next {
        let next = self.guest.next(self.deadline);
        if let Next::Line(line) = &next {
            if let Err(error) = self.file.add(&line.text) {
                self.fail(&format!("{error:#}"));
            }
            self.log.push(line.clone());
        }
        next
    }
}
