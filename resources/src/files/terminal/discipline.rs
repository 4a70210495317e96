//! The line discipline: what becomes of what is typed and of what is written (termios(3);
//! POSIX.1-2017, chapter 11 "General Terminal Interface").
//!
//! Key type: [`Discipline`], a pure state machine: bytes in, and out come what can be read, what is
//! to be echoed and which signals are to be sent ([`Typed`]).
//!
//! Invariants: what waits to be read and the line being edited have at most [`ROOM`] bytes together,
//! and each line that waits counts as one more; the lines that wait have, together, no more bytes
//! than wait.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use arrayvec::ArrayVec;
use linux_raw_sys::general::{
    ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHONL, ICANON, ICRNL, IEXTEN, IGNCR, INLCR, ISIG, ISTRIP,
    IUTF8, NOFLSH, OCRNL, ONLCR, VEOF, VEOL, VEOL2, VERASE, VINTR, VKILL, VLNEXT, VQUIT, VSUSP,
    VWERASE,
};

use super::settings::Settings;
use crate::signals::Signal;

/// Bytes that can wait, lines and all.
pub const ROOM: usize = 4096;
/// Of these, the last ones are for the end of a line, and for that it is one.
const FOR_END: usize = 2;
/// A tabulator goes to the next column that is a multiple of this.
const TAB: usize = 8;
/// What is echoed when there is no room.
const BELL: u8 = 7;

/// What comes of what is typed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// What the terminal shows.
    pub echo: Vec<u8>,
    /// What the foreground process group is sent, each once.
    pub signals: ArrayVec<Signal, 3>,
}

/// A terminal's line discipline.
#[derive(Debug, Default)]
pub struct Discipline {
    settings: Settings,
    /// What can be read.
    ready: VecDeque<u8>,
    /// The lengths of the lines in it; none where input is not of lines.
    lines: VecDeque<usize>,
    /// The line being edited.
    edited: Vec<u8>,
    /// Where the line being edited begins on the screen.
    start: usize,
    /// The column that the cursor is in.
    column: usize,
    /// The next byte has no special meaning (`VLNEXT`).
    is_literal: bool,
    /// Bytes for which there was no room.
    dropped: u64,
}

impl Discipline {
    /// The settings.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes the settings. Between input of lines and other input, what has been typed stays to be
    /// read: as it is, or as one line.
    pub fn set(&mut self, settings: Settings) {
        let was = self.settings.is_local(ICANON);
        let is = settings.is_local(ICANON);
        self.settings = settings;
        if was == is {
            return;
        }
        self.ready.extend(self.edited.drain(..));
        self.lines.clear();
        self.is_literal = false;
        if is && !self.ready.is_empty() {
            self.lines.push_back(self.ready.len());
        }
    }

    /// How many bytes can be typed before some have to be read; a line that is being edited can
    /// always go on, so that it can be ended or given up.
    #[must_use]
    pub fn room(&self) -> usize {
        let left = (ROOM - FOR_END).saturating_sub(self.used());
        match self.settings.is_local(ICANON) && self.lines.is_empty() {
            true => left.max(1),
            false => left,
        }
    }

    fn used(&self) -> usize {
        self.ready.len() + self.lines.len() + self.edited.len()
    }

    /// Bytes for which there was no room, up to now.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Bytes that can be read now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        match self.settings.is_local(ICANON) {
            true => self.lines.iter().sum(),
            false => self.ready.len(),
        }
    }

    /// Whether a read for up to `wanted` bytes need not wait.
    #[must_use]
    pub fn is_readable(&self, wanted: usize) -> bool {
        match self.settings.is_local(ICANON) {
            true => !self.lines.is_empty(),
            // With a time limit, the first byte is enough.
            false if self.settings.tenths() > 0 => !self.ready.is_empty(),
            false => self.ready.len() >= self.settings.least().min(wanted),
        }
    }

    /// Whether anything can be read, if a read asks for no more.
    #[must_use]
    pub fn has_input(&self) -> bool {
        !self.ready.is_empty() || !self.lines.is_empty()
    }

    /// How many bytes a read for up to `wanted` bytes gets: of one line at most.
    #[must_use]
    pub fn next(&self, wanted: usize) -> usize {
        let there = match self.settings.is_local(ICANON) {
            true => self.lines.front().copied().unwrap_or(0),
            false => self.ready.len(),
        };
        there.min(wanted)
    }

    /// Copies what a read gets, without taking it.
    pub fn peek(&self, into: &mut [u8]) {
        for (to, from) in into.iter_mut().zip(&self.ready) {
            *to = *from;
        }
    }

    /// Takes what has been read: `length` is at most [`Self::next`]. Of a line with nothing in it,
    /// the end, nothing is left.
    pub fn take(&mut self, length: usize) {
        self.ready.drain(..length.min(self.ready.len()));
        if let Some(line) = self.lines.front_mut() {
            *line = line.saturating_sub(length);
            if *line == 0 {
                self.lines.pop_front();
            }
        }
    }

    /// Forgets all that has been typed and not been read.
    pub fn flush(&mut self) {
        self.ready.clear();
        self.lines.clear();
        self.edited.clear();
        self.is_literal = false;
    }

    /// A byte has been typed.
    pub fn typed(&mut self, byte: u8, typed: &mut Typed) {
        let Some(byte) = self.translated(byte) else {
            return;
        };
        if core::mem::take(&mut self.is_literal) {
            self.enter(byte, &mut typed.echo);
        } else if let Some(signal) = self.signal(byte) {
            if !self.settings.is_local(NOFLSH) {
                self.flush();
            }
            self.echo(byte, &mut typed.echo);
            if !typed.signals.contains(&signal) {
                typed.signals.push(signal);
            }
        } else if self.settings.is_local(ICANON) {
            self.edit(byte, &mut typed.echo);
        } else {
            self.enter(byte, &mut typed.echo);
        }
    }

    /// What a byte stands for; `None` if it is left out.
    fn translated(&self, byte: u8) -> Option<u8> {
        let settings = &self.settings;
        let byte = match settings.is_input(ISTRIP) {
            true => byte & 0x7f,
            false => byte,
        };
        match byte {
            b'\r' if settings.is_input(IGNCR) => None,
            b'\r' if settings.is_input(ICRNL) => Some(b'\n'),
            b'\n' if settings.is_input(INLCR) => Some(b'\r'),
            byte => Some(byte),
        }
    }

    fn signal(&self, byte: u8) -> Option<Signal> {
        if !self.settings.is_local(ISIG) {
            return None;
        }
        let signals = [
            (VINTR, Signal::INT),
            (VQUIT, Signal::QUIT),
            (VSUSP, Signal::TSTP),
        ];
        let sent = |(place, _): &&(u32, Signal)| self.settings.is_special(*place, byte);
        signals.iter().find(sent).map(|(_, signal)| *signal)
    }

    /// A byte of a line.
    fn edit(&mut self, byte: u8, echo: &mut Vec<u8>) {
        let settings = self.settings;
        let is = |place| settings.is_special(place, byte);
        let is_extended = |place| settings.is_local(IEXTEN) && is(place);
        if is(VERASE) {
            self.erase(1, echo);
        } else if is_extended(VWERASE) {
            let word = self.last_word();
            self.erase(word, echo);
        } else if is(VKILL) {
            self.kill(byte, echo);
        } else if is_extended(VLNEXT) {
            self.is_literal = true;
            if settings.is_local(ECHO) && settings.is_local(ECHOCTL) {
                echo.extend_from_slice(b"^\x08");
            }
        } else if is(VEOF) {
            self.end_line(None, echo);
        } else if byte == b'\n' || is(VEOL) || is_extended(VEOL2) {
            if byte == b'\n' && settings.is_local(ECHO | ECHONL) {
                self.written(b"\n", echo);
            } else {
                self.echo(byte, echo);
            }
            self.end_line(Some(byte), echo);
        } else {
            self.enter(byte, echo);
        }
    }

    /// A byte without a special meaning.
    fn enter(&mut self, byte: u8, echo: &mut Vec<u8>) {
        if self.used() + FOR_END >= ROOM {
            return self.refuse(echo);
        }
        if self.edited.is_empty() {
            self.start = self.column;
        }
        self.echo(byte, echo);
        match self.settings.is_local(ICANON) {
            true => self.edited.push(byte),
            false => self.ready.push_back(byte),
        }
    }

    fn refuse(&mut self, echo: &mut Vec<u8>) {
        self.dropped += 1;
        echo.push(BELL);
    }

    /// The line being edited can be read, with `last` at its end.
    fn end_line(&mut self, last: Option<u8>, echo: &mut Vec<u8>) {
        if self.used() + 1 + usize::from(last.is_some()) > ROOM {
            return self.refuse(echo);
        }
        let before = self.ready.len();
        self.ready.extend(self.edited.drain(..));
        self.ready.extend(last);
        self.lines.push_back(self.ready.len() - before);
    }

    /// Takes characters from the end of the line being edited, and from the screen.
    fn erase(&mut self, characters: usize, echo: &mut Vec<u8>) {
        if self.edited.is_empty() {
            return;
        }
        for _ in 0..characters {
            self.take_character();
        }
        if !self.settings.is_local(ECHO) {
            return;
        }
        if !self.settings.is_local(ECHOE) {
            return self.echo(0x7f, echo);
        }
        let column = self.column_of_edited();
        for _ in column..self.column {
            echo.extend_from_slice(b"\x08 \x08");
        }
        self.column = column;
    }

    fn take_character(&mut self) {
        let is_utf8 = self.settings.is_input(IUTF8);
        while let Some(byte) = self.edited.pop()
            && is_utf8
            && is_continuation(byte)
        {}
    }

    /// Where the cursor is behind the line being edited.
    fn column_of_edited(&self) -> usize {
        let columns = |column, &byte: &u8| match byte {
            b'\t' => column + TAB - column % TAB,
            byte if byte.is_ascii_control() => {
                column
                    + if self.settings.is_local(ECHOCTL) {
                        2
                    } else {
                        0
                    }
            }
            byte if is_continuation(byte) && self.settings.is_input(IUTF8) => column,
            _ => column + 1,
        };
        self.edited.iter().fold(self.start, columns)
    }

    /// How many characters the last word has, with the spaces behind it.
    fn last_word(&self) -> usize {
        let is_utf8 = self.settings.is_input(IUTF8);
        let characters = self.edited.iter().rev();
        let characters = characters.filter(|byte| !is_utf8 || !is_continuation(**byte));
        let is_space = |byte: &&u8| byte.is_ascii_whitespace();
        let spaces = characters.clone().take_while(is_space).count();
        let word = characters.skip(spaces).take_while(|byte| !is_space(byte));
        spaces + word.count()
    }

    /// Gives up the line being edited.
    fn kill(&mut self, byte: u8, echo: &mut Vec<u8>) {
        let settings = &self.settings;
        if settings.is_local(ECHOK) && settings.is_local(ECHOKE) && settings.is_local(ECHOE) {
            return self.erase(self.edited.len(), echo);
        }
        self.edited.clear();
        self.echo(byte, echo);
        if self.settings.is_local(ECHO) && self.settings.is_local(ECHOK) {
            self.written(b"\n", echo);
        }
    }

    fn echo(&mut self, byte: u8, echo: &mut Vec<u8>) {
        if !self.settings.is_local(ECHO) {
            return;
        }
        let is_plain = !byte.is_ascii_control() || matches!(byte, b'\n' | b'\t');
        if is_plain || !self.settings.is_local(ECHOCTL) {
            return self.written(&[byte], echo);
        }
        echo.extend_from_slice(&[b'^', byte ^ 0x40]);
        self.column += 2;
    }

    /// Bytes that are written to the terminal: what is sent for them.
    pub fn written(&mut self, bytes: &[u8], sent: &mut Vec<u8>) {
        for &byte in bytes {
            match byte {
                b'\n' if self.settings.is_output(ONLCR) => sent.extend_from_slice(b"\r\n"),
                b'\r' if self.settings.is_output(OCRNL) => sent.push(b'\n'),
                byte => sent.push(byte),
            }
            self.column = match byte {
                b'\n' | b'\r' => 0,
                0x08 => self.column.saturating_sub(1),
                b'\t' => self.column + TAB - self.column % TAB,
                byte if byte.is_ascii_control() || is_continuation(byte) => self.column,
                _ => self.column.saturating_add(1),
            };
        }
    }
}

/// Whether a byte goes on with a character of UTF-8.
const fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}
