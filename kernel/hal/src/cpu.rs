//! One core's instruction-level services: features, interrupt flag, halting, model-specific
//! registers.
//!
//! Invariant: on the host, where the kernel's unit tests run, the privileged instructions are
//! never executed: interrupts count as always off there.

use raw_cpuid::CpuId;

/// What this CPU offers beyond the x86-64 baseline, as CPUID reports it (Intel SDM volume 2,
/// CPUID; AMD APM volume 3, appendix E).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// The local APIC can be driven through model-specific registers.
    pub x2apic: bool,
    /// The local APIC timer compares with the time-stamp counter.
    pub tsc_deadline: bool,
    /// The time-stamp counter runs at one rate in every power state.
    pub invariant_tsc: bool,
    /// Supervisor mode must not execute user pages.
    pub smep: bool,
    /// Supervisor mode must not touch user pages unless it says so.
    pub smap: bool,
    /// User mode must not read the descriptor-table registers.
    pub umip: bool,
    /// Machine checks are reported.
    pub machine_check: bool,
    /// Translations marked global survive a change of address space.
    pub global_pages: bool,
    /// Pages can be marked as not executable.
    pub no_execute: bool,
    /// Pages of 1 GiB.
    pub gibibyte_pages: bool,
    /// The number of bits of a physical address.
    pub physical_address_bits: u8,
}

impl Features {
    /// Reads them from the CPU this runs on.
    #[must_use]
    pub fn detect() -> Self {
        let cpuid = CpuId::new();
        let mut features = Self {
            physical_address_bits: 36,
            ..Self::default()
        };
        if let Some(basic) = cpuid.get_feature_info() {
            features.x2apic = basic.has_x2apic();
            features.tsc_deadline = basic.has_tsc_deadline();
            features.global_pages = basic.has_pge();
            features.machine_check = basic.has_mce();
        }
        if let Some(extended) = cpuid.get_extended_feature_info() {
            features.smep = extended.has_smep();
            features.smap = extended.has_smap();
            features.umip = extended.has_umip();
        }
        if let Some(extended) = cpuid.get_extended_processor_and_feature_identifiers() {
            features.no_execute = extended.has_execute_disable();
            features.gibibyte_pages = extended.has_1gib_pages();
        }
        if let Some(power) = cpuid.get_advanced_power_mgmt_info() {
            features.invariant_tsc = power.has_invariant_tsc();
        }
        if let Some(sizes) = cpuid.get_processor_capacity_feature_info() {
            features.physical_address_bits = sizes.physical_address_bits();
        }
        features
    }
}

/// Turns on what protects the kernel from its own mistakes, from user mode and from the hardware:
/// write protection and no-execute always, global pages, SMEP, SMAP, UMIP and machine checks where
/// the CPU has them. On each core.
pub fn protect(features: &Features) {
    use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags};
    let wanted = [
        (features.machine_check, Cr4Flags::MACHINE_CHECK_EXCEPTION),
        (features.global_pages, Cr4Flags::PAGE_GLOBAL),
        (
            features.smep,
            Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION,
        ),
        (features.smap, Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION),
        (features.umip, Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION),
    ];
    let flags = wanted.iter().filter(|(present, _)| *present);
    let cr4 = flags.fold(Cr4::read(), |all, (_, flag)| all | *flag);
    // SAFETY: the CPU has the features, and the kernel's pages obey all of them: none is for
    // user mode.
    unsafe { Cr4::write(cr4) };
    let cr0 = Cr0::read() | Cr0Flags::WRITE_PROTECT | Cr0Flags::NUMERIC_ERROR;
    // SAFETY: the kernel writes to no page that is read-only.
    unsafe { Cr0::write(cr0) };
    // SAFETY: the boot loader has put no-execute bits in its tables, so the CPU has the feature.
    unsafe { Efer::write(Efer::read() | EferFlags::NO_EXECUTE_ENABLE) };
}

/// This core's APIC ID as CPUID tells it: the x2APIC ID where leaf 0xb has one, else the initial
/// APIC ID of leaf 1. Needs no access to the local APIC.
#[must_use]
pub fn apic_id() -> u32 {
    let cpuid = CpuId::new();
    let extended = cpuid
        .get_extended_topology_info()
        .and_then(|mut levels| levels.next())
        .filter(|level| level.processors() != 0)
        .map(|level| level.x2apic_id());
    let initial = cpuid
        .get_feature_info()
        .map_or(0, |basic| u32::from(basic.initial_local_apic_id()));
    extended.unwrap_or(initial)
}

/// The time-stamp counter: cycles since the core was reset, not serialised with the instructions
/// around it.
#[must_use]
pub fn timestamp() -> u64 {
    // SAFETY: RDTSC only reads a counter, and neither the kernel nor a usual host disables it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// This core's flags register (Intel SDM volume 1, 3.4.3).
#[must_use]
pub fn flags() -> u64 {
    x86_64::registers::rflags::read_raw()
}

/// Whether this core takes interrupts.
#[must_use]
pub fn interrupts_enabled() -> bool {
    cfg!(target_os = "none") && x86_64::instructions::interrupts::are_enabled()
}

/// Lets this core take interrupts.
pub fn enable_interrupts() {
    if cfg!(target_os = "none") {
        x86_64::instructions::interrupts::enable();
    }
}

/// Holds off interrupts on this core.
pub fn disable_interrupts() {
    if cfg!(target_os = "none") {
        x86_64::instructions::interrupts::disable();
    }
}

/// Sleeps until the next interrupt and takes it. Interrupts are enabled in the same step, so one
/// that comes between a caller's last check (interrupts off) and the halt is not slept through.
pub fn wait_for_interrupt() {
    if cfg!(target_os = "none") {
        x86_64::instructions::interrupts::enable_and_hlt();
    }
}

/// Stops this core for good.
pub fn halt_forever() -> ! {
    loop {
        disable_interrupts();
        #[cfg(target_os = "none")]
        x86_64::instructions::hlt();
        // The host has no privileged halt: give the time slice away.
        #[cfg(not(target_os = "none"))]
        std::thread::park();
    }
}

/// Spins until `condition` holds or `spins` polls have gone by; says whether it came to hold. For
/// bounded waits before there is a clock.
pub fn spin_until(mut spins: u64, mut condition: impl FnMut() -> bool) -> bool {
    loop {
        if condition() {
            return true;
        }
        if spins == 0 {
            return false;
        }
        spins -= 1;
        core::hint::spin_loop();
    }
}
