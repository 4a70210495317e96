//! Programs for the fake processor.
//!
//! Key types: [`Program`] (an assembler), [`Instruction`], [`Operand`]. An instruction is one byte
//! long: its address is that of the text and its index. What it does is not in memory, but its page
//! must be there and executable.

use alloc::vec::Vec;

/// Where the text of every program begins.
pub const TEXT: u64 = 0x40_0000;
/// Where the data of every program begins; readable and writable, zero at first.
pub const DATA: u64 = 0x80_0000;
/// Bytes of data.
pub const DATA_BYTES: u64 = 1 << 20;

/// The general registers, by their place in [`crate::machine::Registers::general`].
pub mod register {
    macro_rules! registers {
        ($($name:ident = $place:literal)*) => {$(
            #[doc = concat!("`", stringify!($name), "`.")]
            pub const $name: usize = $place;
        )*};
    }

    registers! {
        R8 = 0 R9 = 1 R10 = 2 R12 = 4 R13 = 5 R14 = 6 R15 = 7 RDI = 8 RSI = 9 RBX = 11 RDX = 12
        RAX = 13 RSP = 15 RIP = 16
    }
}

/// A place in a program, known before it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// What an instruction works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A number.
    Value(u64),
    /// A register.
    Register(usize),
    /// The address of a place.
    Address(Label),
}

impl From<u64> for Operand {
    fn from(value: u64) -> Self {
        Self::Value(value)
    }
}

impl From<Label> for Operand {
    fn from(label: Label) -> Self {
        Self::Address(label)
    }
}

/// What is compared for a jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The same.
    Equal,
    /// Not the same.
    NotEqual,
    /// Less, without a sign.
    Below,
}

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// Takes so many cycles.
    Compute(Operand),
    /// Sets a register.
    Set(usize, Operand),
    /// Adds to a register.
    Add(usize, Operand),
    /// Loads 32 bits.
    Load(usize, Operand),
    /// Stores 32 bits.
    Store(Operand, Operand),
    /// Stores 64 bits.
    StoreLong(Operand, Operand),
    /// Adds to 32 bits in memory, at once; the register gets what was there.
    FetchAdd(usize, Operand, Operand),
    /// Goes on elsewhere.
    Jump(Operand),
    /// Goes on elsewhere if so.
    JumpIf(Condition, Operand, Operand, Label),
    /// A system call.
    Call,
    /// Takes an address from the stack and goes on there.
    Return,
    /// An exception with this vector.
    Trap(u8),
    /// Writes a number into the log of the machine.
    Note(Operand),
}

/// An assembler.
#[derive(Clone, Debug, Default)]
pub struct Program {
    pub(super) instructions: Vec<Instruction>,
    /// The index of each label's place.
    pub(super) places: Vec<Option<usize>>,
}

impl Program {
    /// Without instructions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A label for a place to be said later by [`Self::bind`].
    pub fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// The place of a label is here.
    pub fn bind(&mut self, label: Label) {
        self.places[label.0] = Some(self.instructions.len());
    }

    /// A label for this place.
    pub fn here(&mut self) -> Label {
        let label = self.label();
        self.bind(label);
        label
    }

    /// Adds an instruction.
    pub fn push(&mut self, instruction: Instruction) -> &mut Self {
        self.instructions.push(instruction);
        self
    }

    /// Takes so many cycles.
    pub fn compute(&mut self, cycles: u64) -> &mut Self {
        self.push(Instruction::Compute(cycles.into()))
    }

    /// Writes a number into the log.
    pub fn note(&mut self, value: u64) -> &mut Self {
        self.push(Instruction::Note(value.into()))
    }

    /// Writes a register into the log.
    pub fn note_register(&mut self, register: usize) -> &mut Self {
        self.push(Instruction::Note(Operand::Register(register)))
    }

    /// Sets a register.
    pub fn set(&mut self, register: usize, to: impl Into<Operand>) -> &mut Self {
        self.push(Instruction::Set(register, to.into()))
    }

    /// Adds to a register.
    pub fn add(&mut self, register: usize, what: u64) -> &mut Self {
        self.push(Instruction::Add(register, what.into()))
    }

    /// Stores 32 bits.
    pub fn store(&mut self, address: impl Into<Operand>, value: impl Into<Operand>) -> &mut Self {
        self.push(Instruction::Store(address.into(), value.into()))
    }

    /// Stores 64 bits.
    pub fn store_long(
        &mut self,
        address: impl Into<Operand>,
        value: impl Into<Operand>,
    ) -> &mut Self {
        self.push(Instruction::StoreLong(address.into(), value.into()))
    }

    /// Loads 32 bits.
    pub fn load(&mut self, register: usize, address: impl Into<Operand>) -> &mut Self {
        self.push(Instruction::Load(register, address.into()))
    }

    /// Goes on elsewhere.
    pub fn jump(&mut self, to: Label) -> &mut Self {
        self.push(Instruction::Jump(to.into()))
    }

    /// Goes on elsewhere if a register is so, compared with a number.
    pub fn jump_if(
        &mut self,
        register: usize,
        condition: Condition,
        value: u64,
        to: Label,
    ) -> &mut Self {
        let register = Operand::Register(register);
        self.push(Instruction::JumpIf(condition, register, value.into(), to))
    }

    /// A system call; the result is in `RAX`.
    pub fn call(&mut self, number: u32, arguments: &[Operand]) -> &mut Self {
        use register::{R8, R9, R10, RAX, RDI, RDX, RSI};
        for (register, argument) in [RDI, RSI, RDX, R10, R8, R9].iter().zip(arguments) {
            self.set(*register, *argument);
        }
        self.set(RAX, u64::from(number)).push(Instruction::Call)
    }

    /// A loop: `body`, so many times, counted in a register.
    pub fn repeat(&mut self, register: usize, times: u64, body: impl FnOnce(&mut Self)) {
        self.set(register, 0);
        let top = self.here();
        body(self);
        self.add(register, 1);
        self.jump_if(register, Condition::Below, times, top);
    }

    /// The index of a label's place.
    pub(super) fn resolve(&self, label: Label) -> usize {
        self.places[label.0].expect("the label has a place")
    }
}
