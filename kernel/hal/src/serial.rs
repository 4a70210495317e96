//! The first serial port (COM1) as the log's output: an NS16550 at I/O port 0x3f8, 115200 baud.
//!
//! Invariant: writing never hangs: a port that stops taking bytes is given up.

use uart_16550::backend::PioBackend;
use uart_16550::{BaudRate, Config, Uart16550};

use crate::cpu;

/// The I/O port of COM1 on every PC.
const COM1: u16 = 0x3f8;

/// Polls of a port that takes no byte until it is given up: far beyond the 87 µs that one byte
/// takes at 115200 baud.
const GIVE_UP_AFTER: u64 = 10_000_000;

/// The serial port, when there is one that works.
pub struct SerialPort {
    uart: Uart16550<PioBackend>,
    dead: bool,
}

impl SerialPort {
    /// Finds and sets up COM1; `None` when nothing answers there.
    #[must_use]
    pub fn com1() -> Option<Self> {
        // SAFETY: 0x3f8 to 0x3ff are COM1's or nobody's, and only this module uses them.
        let mut uart = unsafe { Uart16550::new_port(COM1) }.ok()?;
        let config = Config {
            baud_rate: BaudRate::Baud115200,
            ..Config::DEFAULT
        };
        uart.init(config).ok()?;
        Some(Self { uart, dead: false })
    }

    /// Sends all of `bytes`, or gives the port up for good when it takes none for long.
    pub fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.dead {
            let mut sent = 0;
            self.dead = !cpu::spin_until(GIVE_UP_AFTER, || {
                sent = self.uart.send_bytes(bytes);
                sent > 0
            });
            bytes = &bytes[sent..];
        }
    }
}
