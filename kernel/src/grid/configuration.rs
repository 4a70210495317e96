//! Choosing the configuration: that of the boot ramdisk, or the built-in one.

use vortex_kernel_base::ramdisk::Ramdisk;
use vortex_sched_config::{Configuration, Known, Plan, load};
use vortex_schedulers::instantiate::{Instantiated, instantiate};

use super::Wired;

/// The file in the ramdisk that has it.
pub(crate) const FILE: &str = "vortex.xml";

/// The configuration that is used.
pub(super) struct Chosen<Y: Wired> {
    /// Where it is from.
    pub(super) source: &'static str,
    /// What it says.
    pub(super) plan: Plan,
    /// What has become of it.
    pub(super) instantiated: Instantiated<Y>,
}

/// The configuration in `ramdisk` for a machine with so many `cores`; the built-in one, saying so,
/// when there is none or it has faults. `hertz` is the rate of the time-stamp counter.
pub(super) fn choose<Y: Wired>(
    ramdisk: Option<&Ramdisk<'_>>,
    cores: usize,
    hertz: u64,
) -> Chosen<Y> {
    let cores = u32::try_from(cores).unwrap_or(u32::MAX);
    if let Some(chosen) = ramdisk.and_then(|ramdisk| from_file(ramdisk, cores, hertz)) {
        return chosen;
    }
    log::info!("the built-in configuration is used");
    let plan = Configuration::builtin(cores)
        .plan(&Known::standard(cores))
        .unwrap_or_else(|report| panic!("the built-in configuration: {report}"));
    let instantiated = instantiate(&plan, hertz)
        .unwrap_or_else(|error| panic!("the built-in configuration: {error}"));
    Chosen {
        source: "built-in",
        plan,
        instantiated,
    }
}

/// The configuration in the file; `None`, with what is wrong in the log, when it cannot be used.
fn from_file<Y: Wired>(ramdisk: &Ramdisk<'_>, cores: u32, hertz: u64) -> Option<Chosen<Y>> {
    let Some(file) = ramdisk.file(FILE) else {
        log::info!("the boot ramdisk has no file {FILE:?}");
        return None;
    };
    let report = match load(file, &Known::standard(cores)) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                log::warn!("{FILE}: {warning}");
            }
            return match instantiate(&loaded.plan, hertz) {
                Ok(instantiated) => Some(Chosen {
                    source: FILE,
                    plan: loaded.plan,
                    instantiated,
                }),
                Err(error) => {
                    log::error!("{FILE}: {error}");
                    None
                }
            };
        }
        Err(report) => report,
    };
    for fault in &report.faults {
        log::error!("{FILE}: {fault}");
    }
    for warning in &report.warnings {
        log::warn!("{FILE}: {warning}");
    }
    if report.omitted > 0 {
        log::error!("{FILE}: and {} more faults", report.omitted);
    }
    log::error!("{FILE} cannot be used on this machine with {cores} cores");
    None
}
