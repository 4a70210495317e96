//! The `log` crate's output: lines on the serial port and, where there is one, the framebuffer.
//!
//! Key functions: [`init`], [`print_line`] for lines with no prefix, [`print_dying`] for a core
//! that reports its own death.
//!
//! Invariant: a line is written whole, under one lock; [`print_dying`] takes that lock by force
//! when its holder does not let go.

use core::fmt::{self, Write};

use log::{LevelFilter, Log, Metadata, Record};

use crate::cores;
use crate::serial::SerialPort;
use crate::sync::{IrqLock, Level};

/// Polls that a dying core waits for the log's holder: longer than any line takes.
const SEIZE_AFTER: u64 = 50_000_000;

/// Where lines go.
struct Outputs {
    serial: Option<SerialPort>,
}

impl Write for Outputs {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (number, part) in text.split('\n').enumerate() {
            if let Some(serial) = &mut self.serial {
                if number > 0 {
                    serial.write(b"\r\n");
                }
                serial.write(part.as_bytes());
            }
        }
        Ok(())
    }
}

static OUTPUTS: IrqLock<Outputs> = IrqLock::new(Level::Log, Outputs { serial: None });

struct Logger;

impl Log for Logger {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        print_line(format_args!(
            "[{} core {}] {} {}: {}",
            Milliseconds(crate::cpu::timestamp()),
            cores::current_index(),
            record.level(),
            record.target(),
            record.args()
        ));
    }

    fn flush(&self) {}
}

/// A time in nanoseconds, shown as milliseconds with three decimals.
struct Milliseconds(u64);

impl fmt::Display for Milliseconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let microseconds = self.0 / 1000;
        write!(
            formatter,
            "{:>5}.{:03} ms",
            microseconds / 1000,
            microseconds % 1000
        )
    }
}

/// Finds the serial port and starts logging at `Info` and above.
pub fn init() {
    OUTPUTS.lock().serial = SerialPort::com1();
    // Fails only when a logger is set already, which is then this one.
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// Writes one line with no prefix.
pub fn print_line(line: fmt::Arguments<'_>) {
    let mut outputs = OUTPUTS.lock();
    // The outputs never fail.
    let _ = outputs.write_fmt(line);
    let _ = outputs.write_str("\n");
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
