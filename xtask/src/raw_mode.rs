//! The terminal of whoever runs this, while what is typed is for a guest: each key goes through as it
//! is, Ctrl-C too.
//!
//! Key type: [`RawMode`]. However this process ends, what was set before is put back: when the value is
//! dropped, also by a panic, and on signals ([`process::undo_at_the_end`]).

use std::io::{IsTerminal, stdin};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::process;

/// What was set before.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The terminal passes on what is typed as it is, until this is dropped.
#[derive(Debug)]
#[must_use = "the terminal is as before when this is dropped"]
pub struct RawMode(());

impl RawMode {
    /// Begins, if standard input is a terminal.
    ///
    /// # Errors
    /// When the terminal cannot be set.
    pub fn begin() -> Result<Option<Self>> {
        if !stdin().is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(stdin()).context("cannot ask the terminal for its settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        // Lines that are written here still begin at the left.
        raw.output_modes = before.output_modes;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        process::undo_at_the_end(Some(restore));
        let begun = Self(());
        tcsetattr(stdin(), OptionalActions::Now, &raw).context("cannot set the terminal")?;
        Ok(Some(begun))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
        process::undo_at_the_end(None);
    }
}

/// Puts back what was set before, if anything was changed.
fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        // The terminal may be gone.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
    }
}

/// Columns and rows of the terminal, if standard input is one that knows.
#[must_use]
pub fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(stdin()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}
