//! The registers a trap found: what the entry code leaves on the stack.

use core::fmt;

/// The interrupted registers, in the order in which the entry pushes them (last first).
#[repr(C)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the register of that name")]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    /// Which entry of the IDT was taken.
    pub vector: u64,
    /// What the CPU says about the trap; 0 for those that say nothing.
    pub error_code: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

impl fmt::Display for TrapFrame {
    /// Seven lines of registers, without a line end after the last.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            [("rax", self.rax), ("rbx", self.rbx), ("rcx", self.rcx)],
            [("rdx", self.rdx), ("rsi", self.rsi), ("rdi", self.rdi)],
            [("rbp", self.rbp), ("rsp", self.rsp), ("rip", self.rip)],
            [("r8", self.r8), ("r9", self.r9), ("r10", self.r10)],
            [("r11", self.r11), ("r12", self.r12), ("r13", self.r13)],
            [("r14", self.r14), ("r15", self.r15), ("rfl", self.rflags)],
        ];
        for row in rows {
            for (name, value) in row {
                write!(formatter, "  {name:<3} {value:016x}")?;
            }
            writeln!(formatter)?;
        }
        write!(formatter, "  cs  {:04x}  ss  {:04x}", self.cs, self.ss)
    }
}
