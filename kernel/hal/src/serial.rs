//! Serial ports: NS16550s at I/O ports 0x3f8 (COM1, the log's output) and 0x2f8 (COM2, the console
//! of processes where there is one), 115200 baud.
//!
//! Invariant: writing never hangs: a port that stops taking bytes is given up.

use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::IER;
use uart_16550::{BaudRate, Config, Uart16550};

use crate::cpu;

/// The I/O ports of COM1 and COM2 on every PC.
const COM1: u16 = 0x3f8;
const COM2: u16 = 0x2f8;

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
        let uart = unsafe { Uart16550::new_port(COM1) }.ok()?;
        Self::set_up(uart)
    }

    /// Finds and sets up COM2; `None` when nothing answers there.
    #[must_use]
    pub fn com2() -> Option<Self> {
        // SAFETY: 0x2f8 to 0x2ff are COM2's or nobody's, and only this module uses them.
        let uart = unsafe { Uart16550::new_port(COM2) }.ok()?;
        Self::set_up(uart)
    }

    fn set_up(mut uart: Uart16550<PioBackend>) -> Option<Self> {
        let config = Config {
            baud_rate: BaudRate::Baud115200,
            ..Config::DEFAULT
        };
        uart.init(config).ok()?;
        Some(Self { uart, dead: false })
    }

    /// Has the port interrupt when something comes. It interrupts again only when all has been taken.
    pub fn interrupt_on_input(&mut self) {
        self.uart.enable_interrupts(IER::DATA_READY);
    }

    /// Takes what has come; the number of bytes.
    pub fn read(&mut self, into: &mut [u8]) -> usize {
        self.uart.receive_bytes(into)
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
