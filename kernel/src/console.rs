//! The console as a terminal: the boot option `terminal=`, and the interrupts of the port at which it
//! is typed.
//!
//! Key function: [`attach`].

use vortex_hal::{ioapic, logging};
use vortex_kernel_base::options::TerminalSize;
use vortex_resources::files::Terminal;
use vortex_resources::system::{Kind, Message};
use vortex_toolkit::ids::ActivityId;

use crate::devices;
use crate::grid::{self, interrupts, interrupts::Waiting};
use crate::processes::{self, System};

/// Makes the console a terminal of this size, before the first process starts. What is typed becomes
/// requests to the Process Resource.
pub(crate) fn attach(wired: &grid::Shared<System>, size: TerminalSize) {
    let Some(shared) = processes::shared() else {
        return;
    };
    shared
        .terminal
        .call_once(|| Terminal::new(size.columns, size.rows));
    let payer = ActivityId::INFRASTRUCTURE;
    let resource = shared.destination(Kind::Process, payer);
    let registered = interrupts::register(wired, resource, |_| Message::Console, Waiting::All);
    let vector = match registered {
        Ok(vector) => vector,
        Err(error) => return log::warn!("nothing can be typed: {error}"),
    };
    let apic_id = devices::apic_id_for(wired, resource);
    let Some(line) = logging::input_line() else {
        return log::warn!("nothing can be typed: there is no serial port");
    };
    match ioapic::connect_line(line, vector, apic_id) {
        Ok(()) => {
            logging::interrupt_on_input();
            log::info!("terminal: interrupt line {line}, vector {vector:#x}");
        }
        Err(error) => log::warn!("nothing can be typed: {error}"),
    }
}
