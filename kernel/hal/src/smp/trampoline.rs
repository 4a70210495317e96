//! From real mode to the kernel: code for a page below 1 MiB.
//!
//! Key types: [`Trampoline`]. The page has [`real_mode`] at its start, [`long_mode`] at
//! [`LONG_MODE_AT`] and [`Parameters`] at [`PARAMETERS_AT`]. It runs on page tables of its own,
//! which show the kernel's half and the page itself at its physical address; so the kernel's own
//! tables never map anything in the lower half.

use core::arch::naked_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};

use vortex_kernel_base::address::Frame;

use crate::cores::{APIC_ID_OFFSET, CORES, COUNT, Core};
use crate::paging::{self, MapError, TrampolineTables};
use crate::stacks::{CORE_STRIDE, FIRST_MAIN_TOP};

/// Where in the page the 64-bit code is.
const LONG_MODE_AT: usize = 0x100;
/// Where in the page the parameters are.
const PARAMETERS_AT: usize = 0x200;
/// How much of each piece of code is copied: all of it and some of the padding after it.
const CODE_BYTES: usize = 128;

/// The kernel's top-level table, for [`find_self`].
static ROOT: AtomicU64 = AtomicU64::new(0);

/// What the code in the page looks up there.
#[repr(C)]
struct Parameters {
    /// The address of [`find_self`].
    entry: u64,
    /// Flat segments: none, 64-bit code. Marked as accessed already: the page is read-only.
    gdt: [u64; 2],
    /// The top-level table, below 4 GiB.
    root: u32,
    /// Where [`long_mode`] is: an address and a selector.
    far_address: u32,
    far_selector: u16,
    /// Where the GDT is: its limit and its address, split because of its alignment.
    gdt_limit: u16,
    gdt_address: [u16; 2],
}

/// A page with the trampoline in it.
pub(super) struct Trampoline {
    page: Frame,
    tables: TrampolineTables,
}

/// Fills `page`, which is below 1 MiB and nobody else's.
pub(super) fn prepare(page: Frame) -> Result<Trampoline, MapError> {
    const CODE_64: u64 = 0x00af_9b00_0000_ffff;
    let tables = TrampolineTables::new(page)?;
    ROOT.store(paging::root()?.address(), Ordering::Release);
    let at = page.address() as u32;
    let gdt_address = at + (PARAMETERS_AT + offset_of!(Parameters, gdt)) as u32;
    let parameters = Parameters {
        entry: find_self as *const () as u64,
        gdt: [0, CODE_64],
        root: tables.root().address() as u32,
        far_address: at + LONG_MODE_AT as u32,
        far_selector: 8,
        gdt_limit: size_of::<[u64; 2]>() as u16 - 1,
        gdt_address: [gdt_address as u16, (gdt_address >> 16) as u16],
    };
    let target = paging::direct(page);
    for (code, offset) in [
        (real_mode as *const u8, 0),
        (long_mode as *const u8, LONG_MODE_AT),
    ] {
        // SAFETY: stays in the page.
        let target = unsafe { target.add(offset) };
        // SAFETY: the code and its padding are longer than that, and the page is ours.
        unsafe { target.copy_from_nonoverlapping(code, CODE_BYTES) };
    }
    // SAFETY: stays in the page, and is a multiple of the parameters' alignment.
    let target = unsafe { target.add(PARAMETERS_AT).cast::<Parameters>() };
    // SAFETY: the page is ours and has room for them.
    unsafe { target.write(parameters) };
    Ok(Trampoline { page, tables })
}

impl Trampoline {
    /// The page's number, for the STARTUP message.
    pub(super) fn page(&self) -> u8 {
        self.page.number() as u8
    }

    /// Gives back the tables; when no core is on its way through any more.
    pub(super) fn remove(self) {
        self.tables.free();
    }
}

/// Goes from real mode to long mode in one step (Intel SDM volume 3, 9.8.5): paging, protection
/// and long mode come on together. The data segment is set to the page, so that offsets in the
/// page are addresses.
#[unsafe(naked)]
extern "C" fn real_mode() {
    naked_asm!(
        ".code16",
        "cli",
        "cld",
        "mov ax, cs",
        "mov ds, ax",
        "mov eax, 0x20", // CR4: physical address extension.
        "mov cr4, eax",
        "mov eax, dword ptr ds:[{root}]",
        "mov cr3, eax",
        "mov ecx, 0xc0000080", // EFER: long mode, no-execute.
        "rdmsr",
        "or eax, 0x900",
        "wrmsr",
        "lgdt ds:[{gdt}]",
        "mov eax, 0x80010033", // CR0: paging, write protection, caches on, protection.
        "mov cr0, eax",
        ".byte 0x66, 0xff, 0x2e", // A far jump to the 32-bit address and selector at …
        ".short {far}",
        ".code64",
        ".rept {padding}",
        "nop",
        ".endr",
        root = const PARAMETERS_AT + offset_of!(Parameters, root),
        gdt = const PARAMETERS_AT + offset_of!(Parameters, gdt_limit),
        far = const PARAMETERS_AT + offset_of!(Parameters, far_address),
        padding = const CODE_BYTES,
    )
}

/// Leaves the page for the kernel.
#[unsafe(naked)]
extern "C" fn long_mode() {
    naked_asm!(
        "lea rbx, [rip]",
        "and rbx, -4096",
        "jmp qword ptr [rbx + {entry}]",
        ".rept {padding}",
        "nop",
        ".endr",
        entry = const PARAMETERS_AT + offset_of!(Parameters, entry),
        padding = const CODE_BYTES,
    )
}

/// In the kernel, without a stack: takes the kernel's tables, finds this core's index by its APIC
/// ID (as [`cpu::apic_id`](crate::cpu::apic_id) does), takes the core's stack and enters Rust.
/// Global pages are still off, so the trampoline's translations go with its tables.
#[unsafe(naked)]
extern "C" fn find_self() -> ! {
    naked_asm!(
        "mov rax, [rip + {root}]",
        "mov cr3, rax",
        "xor eax, eax",
        "cpuid",
        "cmp eax, 0xb",
        "jb 2f",
        "mov eax, 0xb",
        "xor ecx, ecx",
        "cpuid",
        "test bx, bx",
        "jnz 3f",
        "2: mov eax, 1",
        "cpuid",
        "shr ebx, 24",
        "mov edx, ebx",
        "3: lea rsi, [rip + {cores}]",
        "xor edi, edi",
        "4: cmp rdi, [rip + {count}]",
        "jae 6f",
        "cmp edx, [rsi + {apic_id}]",
        "je 5f",
        "add rsi, {core_bytes}",
        "inc rdi",
        "jmp 4b",
        "5: imul rax, rdi, {stride}",
        "movabs rsp, {first_top}",
        "add rsp, rax",
        "xor ebp, ebp",
        "push rbp",
        "jmp {enter}",
        "6: hlt",
        "jmp 6b",
        root = sym ROOT,
        cores = sym CORES,
        count = sym COUNT,
        apic_id = const APIC_ID_OFFSET,
        core_bytes = const size_of::<Core>(),
        stride = const CORE_STRIDE,
        first_top = const FIRST_MAIN_TOP,
        enter = sym super::enter,
    )
}
