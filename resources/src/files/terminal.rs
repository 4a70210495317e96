//! The terminal: the console of processes, with line editing and job control (termios(3), tty(4),
//! ioctl_tty(2)).
//!
//! Key types: [`Terminal`] (there is one), [`Discipline`] (what becomes of each byte),
//! [`Settings`], [`Controller`] (whose it is), [`Jobs`] (what a call asks of the caller's process).
//!
//! What is typed comes from the machine by way of the Process Resource (`crate::process::console`),
//! on the account of the session that has the terminal. Bytes are taken from the machine only as
//! far as there is room for them: the rest waits in the serial port, and where that has a sender
//! that waits, nothing is lost.
//!
//! Locks: the state is locked while the program's memory is read or written, as a pipe's is, and
//! never together with what is in a process.

mod calls;
mod discipline;
mod settings;
#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use spin::Mutex;

pub use discipline::{Discipline, ROOM, Typed};
pub use settings::{Settings, TERMIOS};

use super::cursor::Cursor;
use super::ready::{Events, WaitQueue};
use crate::signals::Signal;
use crate::space::UserError;

/// Whose the terminal is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controller {
    /// The session whose controlling terminal it is; 0 for none.
    pub session: u32,
    /// The process group in the foreground: it can read, and gets the signals that are typed.
    pub foreground: u32,
}

/// What a call on the terminal asks of the caller's process and its kin.
pub trait Jobs {
    /// Its session and its process group.
    fn place(&self) -> (u32, u32);
    /// Whether it is the leader of its session.
    fn is_leader(&self) -> bool;
    /// Whether it ignores or blocks a signal.
    fn refuses(&self, signal: Signal) -> bool;
    /// Whether nobody in its session would let its stopped group go on: no member has a parent
    /// outside of the group.
    fn is_orphaned(&self) -> bool;
    /// Whether there is such a process group in such a session.
    fn is_group(&self, group: u32, session: u32) -> bool;
}

/// A terminal.
pub struct Terminal {
    state: Mutex<State>,
    /// Bytes wait in the machine for room: changed with the state locked.
    is_held: AtomicBool,
    queue: Arc<WaitQueue>,
}

struct State {
    discipline: Discipline,
    /// Rows and columns, and pixels.
    window: [u16; 4],
    controller: Controller,
    /// Bytes that are on their way to be typed, for which there is room.
    announced: usize,
}

impl State {
    fn room(&self) -> usize {
        self.discipline.room().saturating_sub(self.announced)
    }

    /// Whether bytes that wait in the machine have room now; then they are to be taken.
    fn lets_go_on(&self, is_held: &AtomicBool) -> bool {
        self.room() > 0 && is_held.swap(false, Ordering::Relaxed)
    }
}

impl Terminal {
    /// With so many columns and rows; nobody's yet.
    #[must_use]
    pub fn new(columns: u16, rows: u16) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                discipline: Discipline::default(),
                window: [rows, columns, 0, 0],
                controller: Controller::default(),
                announced: 0,
            }),
            is_held: AtomicBool::new(false),
            queue: WaitQueue::new(),
        })
    }

    /// Who waits for it.
    #[must_use]
    pub const fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    /// What it is ready for: it can always be written.
    #[must_use]
    pub fn readiness(&self) -> Events {
        let state = self.state.lock();
        let discipline = &state.discipline;
        match discipline.is_readable(usize::MAX) && discipline.has_input() {
            true => Events::READABLE | Events::WRITABLE,
            false => Events::WRITABLE,
        }
    }

    /// How long a read waits, in nanoseconds; `None` for ever.
    #[must_use]
    pub fn timeout_ns(&self) -> Option<u64> {
        use linux_raw_sys::general::ICANON;
        const TENTH_NS: u64 = 100_000_000;
        let state = self.state.lock();
        let settings = state.discipline.settings();
        let is_limited = !settings.is_local(ICANON) && settings.least() == 0;
        is_limited.then(|| u64::from(settings.tenths()) * TENTH_NS)
    }

    /// Whose it is.
    #[must_use]
    pub fn controller(&self) -> Controller {
        self.state.lock().controller
    }

    /// It is another's from now on.
    pub fn set_controller(&self, controller: Controller) {
        self.state.lock().controller = controller;
    }

    /// It is nobody's from now on, if it was this session's: whose it was.
    pub fn leave(&self, session: u32) -> Option<Controller> {
        let mut state = self.state.lock();
        let was = state.controller;
        (was.session == session).then(|| {
            state.controller = Controller::default();
            was
        })
    }

    /// Bytes for which there was no room, up to now.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.state.lock().discipline.dropped()
    }

    /// Room for up to `most` bytes that are going to be typed. If there is none, they are asked for
    /// later, when something has been read.
    pub fn announce(&self, most: usize) -> usize {
        let mut state = self.state.lock();
        let room = state.room().min(most);
        state.announced += room;
        self.is_held.store(room == 0, Ordering::Relaxed);
        room
    }

    /// So many of the bytes that were announced do not come.
    pub fn renounce(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.announced = state.announced.saturating_sub(bytes);
    }

    /// Bytes that were announced have been typed: what comes of it, and whether more are to be taken
    /// from the machine.
    #[must_use]
    pub fn typed(&self, bytes: &[u8]) -> (Typed, bool) {
        let mut typed = Typed::default();
        let mut state = self.state.lock();
        state.announced = state.announced.saturating_sub(bytes.len());
        for &byte in bytes {
            state.discipline.typed(byte, &mut typed);
        }
        let goes_on = state.lets_go_on(&self.is_held);
        let has_input = state.discipline.has_input();
        drop(state);
        if has_input {
            self.queue.notify(Events::READABLE);
        }
        (typed, goes_on)
    }

    /// Whether bytes that wait in the machine are to be taken now.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.is_held.load(Ordering::Relaxed) && self.state.lock().lets_go_on(&self.is_held)
    }

    /// Moves what a read gets to where the cursor is in the program's memory: how much, or `None` if
    /// it is to wait.
    ///
    /// # Errors
    /// The program's memory cannot be used, or not yet; then nothing has been taken.
    fn read(&self, cursor: &mut Cursor<'_>) -> Result<Option<u64>, UserError> {
        let wanted = usize::try_from(cursor.left()).unwrap_or(usize::MAX);
        let mut state = self.state.lock();
        if !state.discipline.is_readable(wanted) {
            return Ok(None);
        }
        let mut bytes = alloc::vec![0; state.discipline.next(wanted)];
        state.discipline.peek(&mut bytes);
        cursor.put(&bytes)?;
        state.discipline.take(bytes.len());
        Ok(Some(bytes.len() as u64))
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal")
            .field("controller", &self.controller())
            .finish_non_exhaustive()
    }
}
