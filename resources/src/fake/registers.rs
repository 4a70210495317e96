//! A thread's state on the fake machine.
//!
//! Key types: [`Registers`].

use alloc::vec;
use alloc::vec::Vec;

use super::program::register;
use crate::machine::USER_END;

/// Bytes of the extended state: FXSAVE's part, XSAVE's header, and a little more.
const EXTENDED: usize = 640;

/// A thread's state.
#[derive(Debug)]
pub struct Registers {
    pub(super) general: [u64; 18],
    bases: [u64; 2],
    extended: Vec<u8>,
    /// Cycles left of a computation.
    pub(super) left: u64,
    /// The processor that has not left it.
    pub(super) held_by: Option<u16>,
}

impl crate::machine::Registers for Registers {
    fn new(entry: u64, stack: u64) -> Self {
        let mut general = [0; 18];
        general[register::RIP] = entry;
        general[register::RSP] = stack;
        Self {
            general,
            bases: [0; 2],
            extended: vec![0; EXTENDED],
            left: 0,
            held_by: None,
        }
    }

    fn fork(&mut self) -> Self {
        Self {
            extended: self.extended.clone(),
            held_by: None,
            ..*self
        }
    }

    fn number(&self) -> u64 {
        self.general[register::RAX]
    }

    fn arguments(&self) -> [u64; 6] {
        use register::{R8, R9, R10, RDI, RDX, RSI};
        [RDI, RSI, RDX, R10, R8, R9].map(|register| self.general[register])
    }

    fn set_result(&mut self, value: u64) {
        self.general[register::RAX] = value;
    }

    fn instruction_pointer(&self) -> u64 {
        self.general[register::RIP]
    }

    fn stack_pointer(&self) -> u64 {
        self.general[register::RSP]
    }

    fn set_stack_pointer(&mut self, value: u64) {
        self.general[register::RSP] = value;
    }

    fn restart_call(&mut self, number: u64) {
        self.general[register::RAX] = number;
        self.general[register::RIP] -= 1;
    }

    fn fs_base(&self) -> u64 {
        self.bases[0]
    }

    fn set_fs_base(&mut self, base: u64) -> bool {
        self.bases[0] = base;
        base < USER_END
    }

    fn gs_base(&self) -> u64 {
        self.bases[1]
    }

    fn set_gs_base(&mut self, base: u64) -> bool {
        self.bases[1] = base;
        base < USER_END
    }

    fn general(&mut self) -> [u64; 18] {
        self.general
    }

    fn set_general(&mut self, values: &[u64; 18]) {
        self.general = *values;
    }

    fn floating_point(&mut self) -> &[u8] {
        &self.extended
    }

    fn set_floating_point(&mut self, state: &[u8]) -> bool {
        let fits = state.len() == EXTENDED;
        if fits {
            self.extended.copy_from_slice(state);
        }
        fits
    }
}
