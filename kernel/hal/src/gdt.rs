//! Each core's descriptor tables: a GDT with flat segments and a TSS that names the
//! stacks which some traps switch to (Intel SDM volume 3, 3.5 and 7.7).
//!
//! Key items: [`load`], [`IstStack`], [`set_trap_stacks`], `set_user_trap_stack`.
//!
//! Invariant: a core's tables are written by that core alone, and only while its traps do not use
//! what is written.

use core::cell::UnsafeCell;

use x86_64::VirtAddr;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

use crate::cores::{self, CoreIndex, MAX_CORES};

/// The traps that run on a stack of their own, because the interrupted one cannot be trusted:
/// its slot in the TSS's interrupt stack table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum IstStack {
    /// Double faults: the stack has usually run into its guard page.
    DoubleFault = 0,
    /// Non-maskable interrupts come at any instruction.
    NonMaskable = 1,
    /// Machine checks too.
    MachineCheck = 2,
}

impl IstStack {
    /// All of them, in the order of their slots.
    pub const ALL: [Self; 3] = [Self::DoubleFault, Self::NonMaskable, Self::MachineCheck];
}

/// The kernel's segments, as selectors. The four are in the order that SYSCALL and SYSRET want
/// (Intel SDM volume 3, 5.8.8).
pub(crate) const KERNEL_CODE: u16 = 0x08;
/// See [`KERNEL_CODE`].
pub(crate) const KERNEL_DATA: u16 = 0x10;
/// User mode's segments, with its privilege level.
pub(crate) const USER_DATA: u16 = 0x18 | 3;
/// See [`USER_DATA`].
pub(crate) const USER_CODE: u16 = 0x20 | 3;

/// One core's GDT and TSS.
struct Tables {
    gdt: UnsafeCell<GlobalDescriptorTable>,
    tss: UnsafeCell<TaskStateSegment>,
}

// SAFETY: element `n` is touched by core `n` only (see the module's invariant).
unsafe impl Sync for Tables {}

static TABLES: [Tables; MAX_CORES] = [const {
    Tables {
        gdt: UnsafeCell::new(GlobalDescriptorTable::new()),
        tss: UnsafeCell::new(TaskStateSegment::new()),
    }
}; MAX_CORES];

/// Where the boot core's trap stacks are until it has real ones.
#[repr(C, align(16))]
struct EarlyStack(UnsafeCell<[u8; 16 * 1024]>);

// SAFETY: only ever used as the boot core's stack.
unsafe impl Sync for EarlyStack {}

static EARLY_STACK: EarlyStack = EarlyStack(UnsafeCell::new([0; 16 * 1024]));

/// Builds and loads this core's GDT and TSS; once on each core, before its first trap.
pub fn load() {
    let index = cores::current_index();
    let tables = &TABLES[index.as_usize()];
    if index == CoreIndex::BOOT {
        let end = VirtAddr::from_ptr(EARLY_STACK.0.get()) + size_of::<EarlyStack>() as u64;
        set_trap_stacks([end.as_u64(); 3]);
    }
    // SAFETY: this core's own TSS, which nothing writes but `set_trap_stacks` (see there).
    let tss: &'static TaskStateSegment = unsafe { &*tables.tss.get() };
    // SAFETY: this core's own GDT, not loaded yet.
    let gdt: &'static mut GlobalDescriptorTable = unsafe { &mut *tables.gdt.get() };
    let code = gdt.append(Descriptor::kernel_code_segment());
    let data = gdt.append(Descriptor::kernel_data_segment());
    let user_data = gdt.append(Descriptor::user_data_segment());
    let user_code = gdt.append(Descriptor::user_code_segment());
    let task = gdt.append(Descriptor::tss_segment(tss));
    assert_eq!([code.0, data.0], [KERNEL_CODE, KERNEL_DATA]);
    assert_eq!([user_data.0, user_code.0], [USER_DATA, USER_CODE]);
    gdt.load();
    load_segments(code, data, task);
}

/// Makes the loaded table's segments the current ones. GS keeps its base: its selector stays.
fn load_segments(code: SegmentSelector, data: SegmentSelector, task: SegmentSelector) {
    use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
    // SAFETY: `code` is a 64-bit ring-0 code segment of the table just loaded.
    unsafe { CS::set_reg(code) };
    // SAFETY: `data` is a ring-0 data segment of that table.
    unsafe { SS::set_reg(data) };
    // SAFETY: as above; 64-bit mode ignores what DS holds.
    unsafe { DS::set_reg(data) };
    // SAFETY: as above.
    unsafe { ES::set_reg(data) };
    // SAFETY: `task` is the available TSS of that table, which lives as long as the kernel.
    unsafe { x86_64::instructions::tables::load_tss(task) };
}

/// Gives this core's traps their stacks: the top of each, in the order of [`IstStack::ALL`].
pub fn set_trap_stacks(tops: [u64; 3]) {
    let tables = &TABLES[cores::current_index().as_usize()];
    for (stack, top) in IstStack::ALL.into_iter().zip(tops) {
        // SAFETY: this core's own TSS, which nobody else refers to mutably.
        let slot = unsafe { &raw mut (*tables.tss.get()).interrupt_stack_table[stack as usize] };
        // SAFETY: the CPU reads the slot only as such a trap begins, and both the old and the
        // new stack are good, so it does not matter when the write lands.
        unsafe { slot.write_volatile(VirtAddr::new(top)) };
    }
}

/// Says where a trap from user mode on this core puts what it saves: the end of that, a multiple
/// of 16. While user mode does not run.
pub(crate) fn set_user_trap_stack(end: u64) {
    let tables = &TABLES[cores::current_index().as_usize()];
    // SAFETY: this core's own TSS, which nobody else refers to mutably.
    let slot = unsafe { &raw mut (*tables.tss.get()).privilege_stack_table[0] };
    // SAFETY: the CPU reads the slot only as a trap from user mode begins.
    unsafe { slot.write_volatile(VirtAddr::new(end)) };
}
