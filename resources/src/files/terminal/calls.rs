//! System calls on the terminal: read, write, and the commands of ioctl (ioctl_tty(2)).

use alloc::sync::Arc;
use alloc::vec::Vec;

use linux_raw_sys::general::{ICANON, O_NOCTTY, TCIFLUSH, TCIOFLUSH, TCOFLUSH, TOSTOP};
use linux_raw_sys::ioctl::{
    FIONREAD, TCFLSH, TCGETS, TCSBRK, TCSBRKP, TCSETS, TCSETSF, TCSETSW, TIOCGPGRP, TIOCGSID,
    TIOCGWINSZ, TIOCNOTTY, TIOCSCTTY, TIOCSPGRP, TIOCSWINSZ,
};

use super::{Controller, Settings, TERMIOS, Terminal};
use crate::errno::Errno;
use crate::files::archive::Device;
use crate::files::cursor::{Buffer, Cursor};
use crate::files::descriptors::{OpenFile, Opened};
use crate::files::ready::Events;
use crate::files::transfer::wait_for;
use crate::files::{Call, Failure, Outcome};
use crate::signals::Signal;

/// The most that one call writes: it takes 87 µs a byte on a serial line.
const MOST: u64 = 16 << 10;

impl Call<'_> {
    /// What opening the console gives. A leader of a session that has no controlling terminal gets
    /// this one, if it is nobody's.
    pub(in crate::files) fn open_console(&self, flags: u32) -> Opened {
        let Some(terminal) = self.terminal else {
            return Opened::Device(Device::Console);
        };
        let (session, foreground) = self.jobs.place();
        let is_free = terminal.controller().session == 0;
        if flags & O_NOCTTY == 0 && is_free && self.jobs.is_leader() {
            terminal.set_controller(Controller {
                session,
                foreground,
            });
        }
        Opened::Terminal(terminal.clone())
    }

    /// Reads a line, or what is there.
    ///
    /// # Errors
    /// As of read(2); EIO for a background process that cannot be stopped.
    pub(in crate::files) fn read_terminal(
        &self,
        file: &Arc<OpenFile>,
        terminal: &Terminal,
        buffers: &[Buffer],
    ) -> Outcome {
        let mut cursor = Cursor::new(self.memory, buffers, 0);
        if cursor.left() == 0 {
            return Ok(0);
        }
        self.be_foreground(terminal, Signal::TTIN)?;
        let read = terminal.read(&mut cursor)?;
        read.ok_or_else(|| wait_for(file, Events::READABLE))
    }

    /// Writes all or, of much, the first part.
    ///
    /// # Errors
    /// As of write(2).
    pub(in crate::files) fn write_terminal(
        &self,
        terminal: &Terminal,
        buffers: &[Buffer],
    ) -> Outcome {
        if terminal.state.lock().discipline.settings().is_local(TOSTOP) {
            self.be_foreground(terminal, Signal::TTOU)?;
        }
        let mut cursor = Cursor::new(self.memory, buffers, 0);
        // All is read before anything is written, so that nothing is written twice.
        let mut bytes = alloc::vec![0; cursor.left().min(MOST) as usize];
        cursor.take(&mut bytes)?;
        let mut sent = Vec::with_capacity(bytes.len());
        terminal.state.lock().discipline.written(&bytes, &mut sent);
        self.console.write(self.devices, sent, bytes.len() as u64)
    }

    /// Has a background process stopped that reads, or changes the terminal.
    fn be_foreground(&self, terminal: &Terminal, signal: Signal) -> Result<(), Failure> {
        let controller = terminal.controller();
        let (session, group) = self.jobs.place();
        if controller.session != session || controller.foreground == group {
            return Ok(());
        }
        match (self.jobs.refuses(signal), signal) {
            (true, Signal::TTOU) => Ok(()),
            (true, _) => Err(Errno::EIO.into()),
            (false, _) if self.jobs.is_orphaned() => Err(Errno::EIO.into()),
            (false, signal) => Err(Failure::Signals(group, signal)),
        }
    }

    /// `ioctl` of the terminal.
    ///
    /// # Errors
    /// As ioctl_tty(2); ENOTTY for a command that is not here.
    pub(in crate::files) fn terminal_control(
        &self,
        terminal: &Terminal,
        command: u32,
        argument: u64,
    ) -> Outcome {
        match command {
            TCGETS => {
                let settings = *terminal.state.lock().discipline.settings();
                self.memory.write(argument, &settings.to_bytes())?;
            }
            TCSETS | TCSETSW | TCSETSF => self.set_terminal(terminal, command, argument)?,
            TCFLSH => {
                self.be_foreground(terminal, Signal::TTOU)?;
                match u32::try_from(argument) {
                    Ok(TCIFLUSH | TCIOFLUSH) => terminal.state.lock().discipline.flush(),
                    // What is written has been sent.
                    Ok(TCOFLUSH) => {}
                    _ => return Err(Errno::EINVAL.into()),
                }
            }
            // The same: there is nothing to wait for; a break is not sent.
            TCSBRK | TCSBRKP => {}
            FIONREAD => {
                let bytes = terminal.state.lock().discipline.waiting() as u32;
                self.memory.write(argument, &bytes.to_le_bytes())?;
            }
            TIOCGWINSZ => {
                let window = terminal.state.lock().window;
                let bytes = window.map(u16::to_le_bytes);
                self.memory.write(argument, bytes.as_flattened())?;
            }
            TIOCSWINSZ => {
                let mut bytes = [[0; 2]; 4];
                self.memory.read(argument, bytes.as_flattened_mut())?;
                let window = bytes.map(u16::from_le_bytes);
                let old = core::mem::replace(&mut terminal.state.lock().window, window);
                if old != window {
                    let foreground = terminal.controller().foreground;
                    return Err(Failure::Signals(foreground, Signal::WINCH));
                }
            }
            _ => return self.control_jobs(terminal, command, argument),
        }
        Ok(0)
    }

    fn set_terminal(
        &self,
        terminal: &Terminal,
        command: u32,
        argument: u64,
    ) -> Result<(), Failure> {
        let mut bytes = [0; TERMIOS];
        self.memory.read(argument, &mut bytes)?;
        self.be_foreground(terminal, Signal::TTOU)?;
        let mut state = terminal.state.lock();
        if command == TCSETSF {
            state.discipline.flush();
        }
        let was_of_lines = state.discipline.settings().is_local(ICANON);
        let settings = Settings::from_bytes(&bytes);
        state.discipline.set(settings);
        drop(state);
        if was_of_lines != settings.is_local(ICANON) {
            // What could not be read may be, now.
            terminal.queue.notify(Events::READABLE);
        }
        Ok(())
    }

    /// The commands about sessions and process groups.
    fn control_jobs(&self, terminal: &Terminal, command: u32, argument: u64) -> Outcome {
        let controller = terminal.controller();
        let (session, group) = self.jobs.place();
        let is_own = controller.session == session;
        match command {
            TIOCGPGRP | TIOCGSID if is_own => {
                let number = match command {
                    TIOCGPGRP => controller.foreground,
                    _ => controller.session,
                };
                self.memory.write(argument, &number.to_le_bytes())?;
            }
            TIOCSPGRP if is_own => {
                let mut bytes = [0; 4];
                self.memory.read(argument, &mut bytes)?;
                let number = i32::from_le_bytes(bytes);
                let foreground = u32::try_from(number).map_err(|_| Errno::EINVAL)?;
                self.be_foreground(terminal, Signal::TTOU)?;
                if !self.jobs.is_group(foreground, session) {
                    return Err(Errno::EPERM.into());
                }
                terminal.set_controller(Controller {
                    session,
                    foreground,
                });
            }
            TIOCSCTTY if is_own && self.jobs.is_leader() => {}
            TIOCSCTTY => {
                // Who asks for it with 1 takes it from others.
                let is_free = controller.session == 0 || argument == 1;
                if !self.jobs.is_leader() || !is_free {
                    return Err(Errno::EPERM.into());
                }
                terminal.set_controller(Controller {
                    session,
                    foreground: group,
                });
            }
            TIOCNOTTY if is_own => {
                if self.jobs.is_leader() {
                    terminal.leave(session);
                }
            }
            _ => return Err(Errno::ENOTTY.into()),
        }
        Ok(0)
    }
}
