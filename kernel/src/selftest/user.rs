//! User mode: small programs, given as bytes, make system calls, exceptions and endless loops, and
//! the kernel checks what it sees of them.
//!
//! Key types: [`Process`], one page of code, one of data, and a thread. `across` has what needs a
//! second core.

mod across;

use alloc::format;
use alloc::vec::Vec;

use vortex_hal::address_space::{Access, AddressSpace, Mapped, Root};
use vortex_hal::traps::Exception;
use vortex_hal::user::{self, Exit, Registers};
use vortex_hal::{clock, cores, cpu, interrupts, timer, user_frames};
use vortex_kernel_base::address::Frame;

use super::{Failure, ensure};

/// Where the code is.
const CODE: u64 = 0x40_0000;
/// Where the data is; the stack pointer begins at its end.
const DATA: u64 = 0x50_0000;
const DATA_END: u64 = DATA + 4096;

const BREAKPOINT: u8 = 3;
const DEBUG: u8 = 1;
const INVALID_OPCODE: u8 = 6;
const GENERAL_PROTECTION: u8 = 13;
const PAGE_FAULT: u8 = 14;
const ALIGNMENT: u8 = 17;

/// Bits of a page fault's error code.
const PRESENT: u64 = 1;
const WRITE: u64 = 2;
const USER: u64 = 4;
const FETCH: u64 = 16;

/// A user program in memory.
struct Process {
    space: AddressSpace,
    root: Root,
    registers: Registers,
    data: Frame,
    /// The frames of its tables.
    tables: Vec<Frame>,
}

impl Process {
    /// With `code` at [`CODE`] and zeros at [`DATA`].
    fn new(code: &[u8]) -> Result<Self, Failure> {
        let missing = || Failure::new(format_args!("no memory for a process"));
        let mut tables = Vec::new();
        let mut allocate = || {
            let frame = user_frames::allocate()?;
            tables.push(frame);
            Some(frame)
        };
        let mut space = AddressSpace::new(&mut allocate).ok_or_else(missing)?;
        let execute = Access {
            write: false,
            execute: true,
        };
        let write = Access {
            write: true,
            execute: false,
        };
        let [text, data] = [user_frames::allocate(), user_frames::allocate()];
        let (text, data) = (text.ok_or_else(missing)?, data.ok_or_else(missing)?);
        for (address, frame, access) in [(CODE, text, execute), (DATA, data, write)] {
            user_frames::zero(frame);
            let mapped = space.map(address, frame, access, &mut allocate);
            mapped.map_err(|error| Failure::new(format_args!("{error}")))?;
        }
        user_frames::write(text, 0, code);
        Ok(Self {
            root: space.root(),
            space,
            registers: Registers::new(CODE, DATA_END),
            data,
            tables,
        })
    }

    /// Runs until something happens.
    fn run(&mut self) -> Exit {
        user::run(&self.root, &mut self.registers, || true)
    }

    /// Puts `value` in rdi.
    fn set_argument(&mut self, value: u64) {
        let mut general = self.registers.general();
        general[8] = value;
        self.registers.set_general(&general);
    }

    /// Runs up to an exception.
    fn run_to_exception(&mut self) -> Result<Exception, Failure> {
        loop {
            match self.run() {
                Exit::Interrupt => {}
                Exit::Exception(exception) => return Ok(exception),
                exit => {
                    return Err(Failure::new(format_args!(
                        "{exit:?} where an exception was expected, at {:#x}",
                        self.registers.instruction_pointer()
                    )));
                }
            }
        }
    }

    /// Runs up to the next system call.
    fn run_to_call(&mut self) -> Result<(), Failure> {
        match self.run() {
            Exit::SystemCall => Ok(()),
            // Something else's interrupt.
            Exit::Interrupt => self.run_to_call(),
            exit => Err(Failure::new(format_args!(
                "{exit:?} where a system call was expected, at {:#x}",
                self.registers.instruction_pointer()
            ))),
        }
    }

    /// Gives back all memory; all of the tables' frames must come back.
    fn end(mut self) -> Result<(), Failure> {
        self.registers.park();
        for address in [CODE, DATA] {
            let Some(Mapped { frame, .. }) = self.space.unmap(address) else {
                return Err(Failure::new(format_args!("{address:#x} was not mapped")));
            };
            self.space.flush(address, 1);
            user_frames::free(frame);
        }
        let mut freed = Vec::new();
        while !self.space.release(2, &mut |frame| freed.push(frame)) {}
        freed.sort_unstable();
        self.tables.sort_unstable();
        ensure(
            freed == self.tables,
            format_args!("{freed:?} came back of the tables {:?}", self.tables),
        )?;
        freed.into_iter().for_each(user_frames::free);
        let late = user::run(&self.root, &mut self.registers, || true);
        equal("entering released tables", &late, &Exit::NotEntered)
    }
}

/// Fails unless both are equal.
fn equal<T: core::fmt::Debug + PartialEq + ?Sized>(
    what: &str,
    found: &T,
    expected: &T,
) -> Result<(), Failure> {
    ensure(
        found == expected,
        format_args!("{what}: {found:x?}, expected {expected:x?}"),
    )
}

pub(super) fn check() -> Result<(), Failure> {
    check_system_call()?;
    measure_round_trip()?;
    check_page_faults()?;
    check_forbidden()?;
    check_wild_pointers()?;
    check_flags()?;
    check_endless_loop()?;
    check_floating_point()?;
    check_not_entered()?;
    across::check()
}

/// Registers get through a system call, both ways.
fn check_system_call() -> Result<(), Failure> {
    let mut process = Process::new(&[
        0xb8, 39, 0, 0, 0, // mov eax, 39
        0xbf, 0x11, 0, 0, 0, // mov edi, 0x11
        0xbe, 0x22, 0, 0, 0, // mov esi, 0x22
        0xba, 0x33, 0, 0, 0, // mov edx, 0x33
        0x41, 0xba, 0x44, 0, 0, 0, // mov r10d, 0x44
        0x41, 0xb8, 0x55, 0, 0, 0, // mov r8d, 0x55
        0x41, 0xb9, 0x66, 0, 0, 0, // mov r9d, 0x66
        0xbb, 0x77, 0, 0, 0, // mov ebx, 0x77
        0x0f, 0x05, // syscall
        0x48, 0x89, 0xc7, // mov rdi, rax
        0x48, 0x89, 0xce, // mov rsi, rcx
        0x4c, 0x89, 0xda, // mov rdx, r11
        0x49, 0x89, 0xda, // mov r10, rbx
        0x49, 0x89, 0xe0, // mov r8, rsp
        0x0f, 0x05, // syscall
    ])?;
    process.run_to_call()?;
    let registers = &mut process.registers;
    equal("the call's number", &registers.number(), &39)?;
    let expected = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66];
    equal("its arguments", &registers.arguments(), &expected)?;
    let behind = CODE + 0x2d;
    let rip = registers.instruction_pointer();
    equal("the instruction behind it", &rip, &behind)?;
    registers.set_result(u64::MAX - 5);
    process.run_to_call()?;
    let [result, rcx, r11, rbx, rsp, _] = process.registers.arguments();
    equal("the result", &result, &(u64::MAX - 5))?;
    equal("rcx, where the call returned", &rcx, &behind)?;
    // Interrupts on and the bit that is always set, beside the results of arithmetic.
    equal("r11, the flags", &(r11 & !0x8d5), &0x202)?;
    equal("rbx", &rbx, &0x77)?;
    equal("the stack pointer", &rsp, &DATA_END)?;
    // The same call again, but with another way back: IRET, since RCX is not the instruction
    // pointer any more.
    process.registers.restart_call(77);
    let mut general = process.registers.general();
    general[14] = 0xcccc;
    general[10] = 0xbbbb;
    process.registers.set_general(&general);
    process.run_to_call()?;
    equal("the call's number", &process.registers.number(), &77)?;
    equal("rbp", &process.registers.general()[10], &0xbbbb)?;
    process.end()
}

/// Says how long a system call that does nothing takes. With `-icount shift=0` QEMU's time-stamp
/// counter counts instructions, so the figure is exact: two of them are the program's.
fn measure_round_trip() -> Result<(), Failure> {
    const CALLS: u64 = 1000;
    let mut process = Process::new(&[0x0f, 0x05, 0xeb, 0xfc])?; // again: syscall; jmp again
    process.run_to_call()?;
    let begin = cpu::timestamp();
    let mut calls = 0;
    while calls < CALLS {
        let exit = user::run(&process.root, &mut process.registers, || true);
        calls += u64::from(exit == Exit::SystemCall);
    }
    let taken = cpu::timestamp() - begin;
    log::info!("a system call takes {} cycles", taken / CALLS);
    process.end()
}

/// Runs `code` with `argument` in rdi and checks for an exception.
fn expect_exception(
    code: &[u8],
    argument: u64,
    expected: (u8, u64, Option<u64>),
) -> Result<(), Failure> {
    let mut process = Process::new(code)?;
    process.set_argument(argument);
    let exception = process.run_to_exception()?;
    let found = (
        exception.vector(),
        exception.error_code(),
        exception.address(),
    );
    let what = format!("exception of {code:x?} with rdi {argument:#x}");
    equal(&what, &found, &expected)?;
    process.end()
}

/// Page faults tell the address and what was tried.
fn check_page_faults() -> Result<(), Failure> {
    let read = [0x48, 0x8b, 0x07]; // mov rax, [rdi]
    let write = [0x48, 0x89, 0x07]; // mov [rdi], rax
    let jump = [0xff, 0xe7]; // jmp rdi
    let kernel = 0xffff_8000_0010_0000;
    let cases: [(&[u8], u64, u64); 6] = [
        (&read, 0x123_4567, USER),
        (&write, 0x123_4567, USER | WRITE),
        (&write, CODE + 8, USER | WRITE | PRESENT),
        (&jump, DATA, USER | FETCH | PRESENT),
        (&jump, 0x123_4567, USER | FETCH),
        (&read, kernel, USER | PRESENT),
    ];
    for (code, address, error_code) in cases {
        expect_exception(code, address, (PAGE_FAULT, error_code, Some(address)))?;
    }
    Ok(())
}

/// What user mode must not do ends in an exception of its own.
fn check_forbidden() -> Result<(), Failure> {
    let cases: [(&[u8], u8); 11] = [
        (&[0xf4], GENERAL_PROTECTION),                     // hlt
        (&[0xfa], GENERAL_PROTECTION),                     // cli
        (&[0xe4, 0x80], GENERAL_PROTECTION),               // in al, 0x80
        (&[0x0f, 0x20, 0xd8], GENERAL_PROTECTION),         // mov rax, cr3
        (&[0x0f, 0x32], GENERAL_PROTECTION),               // rdmsr
        (&[0xcd, 0x80], GENERAL_PROTECTION),               // int 0x80
        (&[0xcd, 0x20], GENERAL_PROTECTION),               // int 0x20
        (&[0xcd, 0x02], GENERAL_PROTECTION),               // int 2, the NMI
        (&[0xcc], BREAKPOINT),                             // int3
        (&[0xce], INVALID_OPCODE),                         // into
        (&[0xf3, 0x48, 0x0f, 0xae, 0xdf], INVALID_OPCODE), // wrgsbase rdi
    ];
    for (code, vector) in cases {
        let mut process = Process::new(code)?;
        let exception = process.run_to_exception()?;
        equal(
            &format!("vector of {code:x?}"),
            &exception.vector(),
            &vector,
        )?;
        process.end()?;
    }
    Ok(())
}

/// Instruction pointers outside the user's half, and a stack pointer that is no address.
fn check_wild_pointers() -> Result<(), Failure> {
    let call = [0x0f, 0x05, 0x0f, 0x05]; // syscall; syscall
    for wild in [
        1 << 47,
        0xffff_7fff_ffff_ffff,
        0xffff_8000_0000_0000,
        u64::MAX,
    ] {
        let mut process = Process::new(&call)?;
        process.run_to_call()?;
        // As after a system call, where SYSRET would be used.
        let mut general = process.registers.general();
        (general[14], general[16]) = (wild, wild);
        process.registers.set_general(&general);
        let vector = process.run_to_exception()?.vector();
        let what = format!("vector at {wild:#x}");
        equal(&what, &vector, &GENERAL_PROTECTION)?;
        process.registers.set_instruction_pointer(CODE + 2);
        process.registers.set_stack_pointer(wild);
        process.run_to_call()?;
        equal("rsp", &process.registers.stack_pointer(), &wild)?;
        process.end()?;
    }
    Ok(())
}

/// Flags that user mode sets do not reach the kernel, and come back.
fn check_flags() -> Result<(), Failure> {
    const TRAP: u64 = 1 << 8;
    const DIRECTION: u64 = 1 << 10;
    const NESTED: u64 = 1 << 14;
    const ALIGNMENT_CHECK: u64 = 1 << 18;
    let code = [
        0x57, 0x9d, // push rdi; popfq
        0x0f, 0x05, // syscall
        0x9c, 0x5f, // pushfq; pop rdi
        0x0f, 0x05, // syscall
        0xcc, // int3
    ];
    let wanted = DIRECTION | NESTED | ALIGNMENT_CHECK | 0x202;
    let mut process = Process::new(&code)?;
    process.set_argument(wanted);
    let kernels = || equal("the kernel's flags", &(cpu::flags() & wanted), &0x202);
    process.run_to_call()?;
    kernels()?;
    process.run_to_call()?;
    equal("the flags", &process.registers.arguments()[0], &wanted)?;
    let vector = process.run_to_exception()?.vector();
    equal("vector at a breakpoint", &vector, &BREAKPOINT)?;
    kernels()?;
    process.end()?;
    let trap = [0x57, 0x9d, 0x90, 0x90]; // push rdi; popfq; nop; nop
    expect_exception(&trap, TRAP | 0x202, (DEBUG, 0, None))?;
    // …; mov rax, [rsp - 31]; int3. Not every emulator checks the alignment.
    let unaligned = [0x57, 0x9d, 0x48, 0x8b, 0x44, 0x24, 0xe1, 0xcc];
    let mut process = Process::new(&unaligned)?;
    process.set_argument(ALIGNMENT_CHECK | 0x202);
    let exception = process.run_to_exception()?;
    ensure(
        [ALIGNMENT, BREAKPOINT].contains(&exception.vector()),
        format_args!("{exception} after reading what is not aligned"),
    )?;
    process.end()
}

/// An interrupt ends a loop that does nothing else, and its handler's time is counted.
fn check_endless_loop() -> Result<(), Failure> {
    let mut process = Process::new(&[0xeb, 0xfe])?; // here: jmp here
    let core = cores::current();
    let cycles = interrupts::cycles(core);
    let end = clock::now_ns() + super::PATIENCE;
    loop {
        let ticks = timer::ticks(core);
        let is_before = || timer::ticks(core) == ticks;
        timer::arm(clock::now_ns() + 5_000_000);
        let exit = user::run(&process.root, &mut process.registers, is_before);
        if exit == Exit::Interrupt && !is_before() {
            break;
        }
        // The timer was faster than this core, or something else interrupted it.
        let is_fine = [Exit::Interrupt, Exit::NotEntered].contains(&exit);
        ensure(is_fine, format_args!("{exit:?} in an endless loop"))?;
        ensure(
            clock::now_ns() < end,
            format_args!("the timer does not end a loop"),
        )?;
    }
    let rip = process.registers.instruction_pointer();
    equal("the loop's instruction", &rip, &CODE)?;
    let taken = interrupts::cycles(core) - cycles;
    ensure(
        taken > 0,
        format_args!("the timer's handler took no cycles"),
    )?;
    process.end()
}

/// Takes values into floating-point registers and gives them back after the next system call.
const FLOATING_POINT: [u8; 0x83 - 0x51] = [
    0x66, 0x48, 0x0f, 0x6e, 0xef, // movq xmm5, rdi
    0x89, 0x16, // mov [rsi], edx
    0x0f, 0xae, 0x16, // ldmxcsr [rsi]
    0xdf, 0x6e, 0x08, // fild qword [rsi + 8]
    0x0f, 0x05, // syscall
    0x66, 0x48, 0x0f, 0x7e, 0xef, // movq rdi, xmm5
    0x0f, 0xae, 0x1e, // stmxcsr [rsi]
    0x8b, 0x16, // mov edx, [rsi]
    0xdf, 0x3e, // fistp qword [rsi]
    0x4c, 0x8b, 0x16, // mov r10, [rsi]
    0x64, 0x4c, 0x8b, 0x04, 0x25, 0, 0, 0, 0, // mov r8, fs:[0]
    0x65, 0x4c, 0x8b, 0x0c, 0x25, 0, 0, 0, 0, // mov r9, gs:[0]
    0x0f, 0x05, // syscall
];

/// A thread with values of its own in every kind of register that stays in the core, stopped
/// between taking them and giving them back.
fn floating_point_process(value: u64) -> Result<Process, Failure> {
    let mut process = Process::new(&FLOATING_POINT)?;
    for (offset, word) in [(8, value + 2), (16, value + 3), (24, value + 4)] {
        user_frames::write(process.data, offset, &u64::to_le_bytes(word));
    }
    let registers = &mut process.registers;
    let bases = registers.set_fs_base(DATA + 16) && registers.set_gs_base(DATA + 24);
    ensure(bases, format_args!("user addresses were refused as bases"))?;
    let mut general = registers.general();
    // rdi, rsi, rdx: MXCSR with the rounding mode as the value says.
    (general[8], general[9], general[12]) = (value, DATA, 0x1f80 | (value & 3) << 13);
    registers.set_general(&general);
    process.run_to_call()?;
    Ok(process)
}

/// Whether such a thread has its values still.
fn check_values(process: &mut Process, value: u64) -> Result<(), Failure> {
    process.run_to_call()?;
    let found = process.registers.arguments();
    let expected = [
        value,
        DATA,
        0x1f80 | (value & 3) << 13,
        value + 2,
        value + 3,
        value + 4,
    ];
    equal("registers of a thread", &found, &expected)
}

/// Threads that take turns keep their floating-point registers and bases.
fn check_floating_point() -> Result<(), Failure> {
    let mut first = floating_point_process(0x1111_1111)?;
    first.registers.park();
    let mut second = floating_point_process(0x2222_2222)?;
    second.registers.park();
    // The third is changed from outside, as by a signal's handler.
    let mut third = floating_point_process(0x3333_3333)?;
    let mut state = third.registers.floating_point().to_vec();
    let xmm5 = 160 + 5 * 16;
    equal("xmm5", &state[xmm5..xmm5 + 4], &[0x33; 4][..])?;
    state[xmm5..xmm5 + 8].copy_from_slice(&0x4444_4444_u64.to_le_bytes());
    ensure(
        third.registers.set_floating_point(&state),
        format_args!("floating-point state was refused"),
    )?;
    let mut fork = second.registers.fork();
    check_values(&mut first, 0x1111_1111)?;
    first.registers.park();
    check_values(&mut second, 0x2222_2222)?;
    second.registers.park();
    core::mem::swap(&mut second.registers, &mut fork);
    check_values(&mut second, 0x2222_2222)?;
    second.registers.park();
    third.run_to_call()?;
    equal(
        "what was put in xmm5",
        &third.registers.arguments()[0],
        &0x4444_4444,
    )?;
    third.registers.park();
    first.end()?;
    second.end()?;
    third.end()
}

/// User mode is not entered when there is something to do, and reports nothing then.
fn check_not_entered() -> Result<(), Failure> {
    let mut process = Process::new(&[0x0f, 0x05])?;
    let exit = user::run(&process.root, &mut process.registers, || false);
    equal("a run that was declined", &exit, &Exit::NotEntered)?;
    let rip = process.registers.instruction_pointer();
    equal("the instruction pointer", &rip, &CODE)?;
    process.run_to_call()?;
    process.end()
}
