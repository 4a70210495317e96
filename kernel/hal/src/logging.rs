//! The `log` crate's output: lines on the serial port and, where there is one, the framebuffer.
//!
//! Key functions: [`init`], [`print_line`] for lines with no prefix, [`print_dying`] for a core
//! that reports its own death; [`write_console`] and [`read_console`] for processes, on the second
//! serial port where there is one.
//!
//! Invariant: a line is written whole, under one lock; [`print_dying`] takes that lock by force
//! when its holder does not let go.

use core::fmt::{self, Write};

use log::{LevelFilter, Log, Metadata, Record};

use crate::framebuffer::{Geometry, TextScreen};
use crate::paging::{self, MapError};
use crate::serial::SerialPort;
use crate::sync::{IrqLock, Level};
use crate::{clock, cores};

/// Polls that a dying core waits for the log's holder, which is usually stopped by then.
const SEIZE_AFTER: u64 = 1_000_000;

/// Where lines go.
struct Outputs {
    serial: Option<SerialPort>,
    screen: Option<TextScreen>,
}

impl Write for Outputs {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(serial) = &mut self.serial {
            for (number, part) in text.split('\n').enumerate() {
                if number > 0 {
                    serial.write(b"\r\n");
                }
                serial.write(part.as_bytes());
            }
        }
        if let Some(screen) = &mut self.screen {
            screen.write(text);
        }
        Ok(())
    }
}

static OUTPUTS: IrqLock<Outputs> = IrqLock::new(
    Level::Log,
    Outputs {
        serial: None,
        screen: None,
    },
);

/// The processes' own port.
static CONSOLE: IrqLock<Option<SerialPort>> = IrqLock::new(Level::Log, None);

struct Logger;

impl Log for Logger {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        print_line(format_args!(
            "[{} core {}] {} {}: {}",
            Milliseconds(clock::now_ns()),
            cores::current_index(),
            record.level(),
            record.target(),
            record.args()
        ));
    }

    fn flush(&self) {}
}

/// A time in nanoseconds, shown as milliseconds with three decimals; 0 is before there is a clock.
struct Milliseconds(u64);

impl fmt::Display for Milliseconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return write!(formatter, "    -.--- ms");
        }
        let microseconds = self.0 / 1000;
        write!(
            formatter,
            "{:>5}.{:03} ms",
            microseconds / 1000,
            microseconds % 1000
        )
    }
}

/// Finds the serial ports and starts logging at `Info` and above.
pub fn init() {
    OUTPUTS.lock().serial = SerialPort::com1();
    if let Some(mut port) = SerialPort::com2() {
        port.write(CONSOLE_BEGINS);
        *CONSOLE.lock() = Some(port);
    }
    // Fails only when a logger is set already, which is then this one.
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// Shows what is logged from now on on a framebuffer too: `geometry` at the physical address
/// `physical`, a multiple of 4.
///
/// # Errors
/// When it cannot be mapped; a framebuffer that makes no sense is not used, without an error.
///
/// # Safety
/// There is a framebuffer of that geometry there, and nobody else uses it.
pub unsafe fn add_screen(physical: u64, geometry: Geometry) -> Result<(), MapError> {
    let Some(bytes) = geometry.bytes() else {
        return Ok(());
    };
    let base = paging::map_mmio(physical, bytes)?;
    // SAFETY: mapped just now for good, and the caller vouches for what is there.
    let screen = unsafe { TextScreen::new(base, geometry) };
    OUTPUTS.lock().screen = screen;
    Ok(())
}

/// Writes one line with no prefix.
pub fn print_line(line: fmt::Arguments<'_>) {
    let mut outputs = OUTPUTS.lock();
    // The outputs never fail.
    let _ = outputs.write_fmt(line);
    let _ = outputs.write_str("\n");
}

/// What comes before all that processes write, on a port of their own: the firmware has written
/// there, too. The one that reads it (`xtask`) leaves out everything up to here.
const CONSOLE_BEGINS: &[u8] = b"\nvortex: console\n";

/// Writes what a process has written, as it is, to the processes' own serial port, or to the log's
/// if there is no other. Nothing else comes between these bytes.
pub fn write_console(bytes: &[u8]) {
    if let Some(port) = CONSOLE.lock().as_mut() {
        return port.write(bytes);
    }
    if let Some(serial) = &mut OUTPUTS.lock().serial {
        serial.write(bytes);
    }
}

/// The lines of COM1 and COM2 on every PC.
const COM1_LINE: u8 = 4;
const COM2_LINE: u8 = 3;

/// The line of the port at which is typed for processes; `None` where there is no port.
pub fn input_line() -> Option<u8> {
    if CONSOLE.lock().is_some() {
        return Some(COM2_LINE);
    }
    OUTPUTS.lock().serial.as_ref().map(|_| COM1_LINE)
}

/// Has that port interrupt when something comes.
pub fn interrupt_on_input() {
    if let Some(port) = CONSOLE.lock().as_mut() {
        return port.interrupt_on_input();
    }
    if let Some(port) = &mut OUTPUTS.lock().serial {
        port.interrupt_on_input();
    }
}

/// Takes what was typed for processes; the number of bytes.
pub fn read_console(into: &mut [u8]) -> usize {
    if let Some(port) = CONSOLE.lock().as_mut() {
        return port.read(into);
    }
    let mut outputs = OUTPUTS.lock();
    outputs
        .serial
        .as_mut()
        .map_or(0, |serial| serial.read(into))
}

/// Writes a line from a core that will never return to what it did before, taking the outputs by
/// force when their holder does not let go.
pub fn print_dying(line: fmt::Arguments<'_>) {
    // SAFETY: the holder is stopped or is this core itself, in frames it never returns to; both
    // outputs accept bytes at any point.
    let mut outputs = unsafe { OUTPUTS.seize(SEIZE_AFTER) };
    let _ = outputs.write_fmt(line);
    let _ = outputs.write_str("\n");
}
