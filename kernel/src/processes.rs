//! Processes: the kernel's own system on the grid, and the first process of it.
//!
//! Key functions: [`start_first`], [`ended`]. What processes are is in `vortex_resources`; here it
//! gets the machine, the root file system (`rootfs.tar` in the boot ramdisk, with the configuration
//! as `/etc/vortex.xml`) and the memory budgets of the configuration.
//!
//! The first process is the only one that the configuration lists; if it lists several, it is
//! `/bin/spawner`, which starts them, for the infrastructure. It has all rights.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use spin::Once;
use vortex_hal::{clock, logging};
use vortex_kernel_base::options::{Addressing, VolumeName};
use vortex_kernel_base::ramdisk::Ramdisk;
use vortex_resources::executable::Arguments;
use vortex_resources::files::{self, Archive, First};
use vortex_resources::net;
use vortex_resources::object::References;
use vortex_resources::process::ExitStatus;
use vortex_resources::system::{CoreResources, Layout, Shared, Vortex};
use vortex_sched_config::value::{Address, Congestion, Gateway};
use vortex_sched_config::{Network, ProcessPlan};
use vortex_schedulers::instantiate::activity_id;
use vortex_toolkit::Context;
use vortex_toolkit::ids::{ActivityId, CoreId};
use vortex_toolkit::memory::Multiplexor;

use crate::grid::{self, Hardware, Processor, Wired, Wiring};
use crate::{disks, nics, ramdisk};

/// The kernel's system.
pub(crate) type System = Vortex<Hardware>;

/// The root file system in the ramdisk, where no disk has one.
const ROOTFS: &str = "rootfs.tar";
/// An image in the ramdisk that is a volume, read-only.
const IMAGE: &str = "rootfs.img";
/// Starts what a configuration with several processes lists.
const SPAWNER: &str = "/bin/spawner";
/// Bytes of a frame.
const FRAME: u64 = 4096;

static WIRING: Wiring<System> = Wiring::new();
static SHARED: Once<Arc<Shared<Hardware>>> = Once::new();
static ENDED: Once<ExitStatus> = Once::new();

impl Wired for System {
    fn wiring() -> &'static Wiring<Self> {
        &WIRING
    }

    fn resources(wired: &'static grid::Shared<Self>) -> CoreResources<Hardware> {
        let shared = SHARED.call_once(|| share(wired));
        let core = wired.places.here().unwrap_or(CoreId(0));
        CoreResources::new(shared.clone(), core)
    }

    #[inline]
    fn next_due(resources: &CoreResources<Hardware>) -> Option<u64> {
        resources.next_deadline()
    }

    fn run_due(resources: &mut CoreResources<Hardware>, context: &mut Context<'_, Self>) {
        resources.run_timers(context);
    }
}

/// What the cores share.
fn share(wired: &'static grid::Shared<System>) -> Arc<Shared<Hardware>> {
    let memory = Arc::new(Multiplexor::new(Hardware));
    for (activity, number) in wired.plan.activities.iter().zip(0..) {
        let frames = activity.memory.map(|bytes| bytes.get() / FRAME);
        memory.set_budget(ActivityId(number), frames);
    }
    let references: Arc<dyn References> = memory.clone();
    let ramdisk = ramdisk::open();
    let ramdisk = ramdisk.as_ref();
    let archive = open_archive(ramdisk, &references);
    let layout = Layout {
        plan: wired.plan.clone(),
        schedulers: wired.schedulers.clone(),
        homes: wired.homes.clone(),
        hertz: clock::tsc_hz(),
    };
    let on_end = Box::new(|status| {
        ENDED.call_once(|| status);
        grid::wake_boot_core();
    });
    let shared = Shared::new(
        Hardware,
        memory,
        archive,
        wired.grid.clone(),
        layout,
        on_end,
    );
    if let Some(image) = ramdisk.and_then(|ramdisk| ramdisk.file(IMAGE)) {
        shared.storage.add_image("ram0", image);
    }
    shared
}

/// The root file system; what is wrong with it is told, and left out.
fn open_archive(ramdisk: Option<&Ramdisk<'static>>, references: &Arc<dyn References>) -> Archive {
    let file = |name| ramdisk.and_then(|ramdisk| ramdisk.file(name));
    let configuration = file(grid::CONFIGURATION).map(|bytes| ("/etc/vortex.xml", bytes));
    let tar = file(ROOTFS).unwrap_or_default();
    let extra: Vec<_> = configuration.into_iter().collect();
    let (archive, problems) = Archive::new(tar, &extra, references);
    for problem in problems {
        log::warn!("{ROOTFS}: {problem}");
    }
    archive
}

/// How the first process has ended, once no process is left.
pub(crate) fn ended() -> Option<ExitStatus> {
    ENDED.get().copied()
}

/// What all cores share, once the first of them has entered the grid.
pub(crate) fn shared() -> Option<&'static Arc<Shared<Hardware>>> {
    SHARED.get()
}

/// Attaches the disk controllers and the network interfaces, whose addresses are as the boot option
/// says, or else the configuration.
pub(crate) fn attach_devices(
    wired: &grid::Shared<System>,
    platform: &Processor,
    option: Option<Addressing>,
) {
    if let Some(shared) = SHARED.get() {
        let configured = || configured_addressing(&wired.plan.networks);
        let addressing = option.map_or_else(configured, addressing_of);
        shared.network.configure(addressing);
        disks::attach(wired, shared, platform);
        nics::attach(wired, shared, platform);
        set_links(shared, &wired.plan.networks);
    }
}

/// What the configuration says of links: `net0` is the first interface, and so on.
fn set_links(shared: &Shared<Hardware>, networks: &[Network]) {
    for network in networks {
        if network.rate.is_none() && network.congestion.is_none() {
            continue;
        }
        let number = network.interface.strip_prefix("net");
        let number = number.and_then(|number| number.parse().ok());
        let Some(id) = shared.nics.ids().find(|id| Some(id.0) == number) else {
            log::warn!("{}: there is no such interface", network.interface);
            continue;
        };
        if let Some(rate) = network.rate {
            shared.nics.set_rate(id, rate.get());
        }
        if let Some(congestion) = network.congestion {
            shared.network.set_algorithm(id, algorithm_of(congestion));
        }
    }
}

const fn algorithm_of(congestion: Congestion) -> net::Algorithm {
    match congestion {
        Congestion::Cubic => net::Algorithm::Cubic,
        Congestion::NewReno => net::Algorithm::NewReno,
    }
}

fn addressing_of(option: Addressing) -> net::Addressing {
    match option {
        Addressing::Dhcp => net::Addressing::Dhcp,
        Addressing::None => net::Addressing::None,
        Addressing::Fixed {
            address,
            prefix,
            gateway,
        } => net::Addressing::Fixed(net::Settings {
            address,
            prefix,
            gateway,
        }),
    }
}

/// What the configuration says of the first interface. Others cannot have addresses of their own.
fn configured_addressing(networks: &[Network]) -> net::Addressing {
    let mut addressing = net::Addressing::Dhcp;
    for network in networks {
        let Some(Address::Static { address, prefix }) = network.address else {
            continue;
        };
        if network.interface == "net0" {
            addressing = net::Addressing::Fixed(net::Settings {
                address,
                prefix,
                gateway: network.gateway.map(Gateway::get),
            });
        } else {
            log::warn!(
                "{}: only net0 can have a fixed address; this one asks for one",
                network.interface
            );
        }
    }
    addressing
}

/// Mounts the root file system, which is on the volume `root` if one is named, and starts the first
/// process. False, and the log says why, if there is none to start. One that is not there counts as
/// ended, with the status that a shell has for that.
pub(crate) fn start_first(
    wired: &grid::Shared<System>,
    platform: &Processor,
    root: Option<VolumeName>,
) -> bool {
    let root = root.map(|name| name.as_str().into());
    let plan = &wired.plan;
    let Some(shared) = SHARED.get() else {
        return false;
    };
    let (path, activity, arguments) = match plan.processes.as_slice() {
        [] => {
            log::info!("the configuration lists no process");
            return false;
        }
        [only] => (
            only.path.as_str(),
            activity_id(only.activity),
            arguments_of(only),
        ),
        _ => (SPAWNER, ActivityId::INFRASTRUCTURE, plain(SPAWNER)),
    };
    FIRST.call_once(|| path.into());
    let first = First {
        path: path.into(),
        arguments,
        activity,
        root,
    };
    let sent = wired.grid.submit(platform, files::boot(shared, first));
    if sent.is_err() {
        log::error!("{path}: cannot be started: the inbox is full");
    }
    sent.is_ok()
}

static FIRST: Once<alloc::string::String> = Once::new();

/// Says how the first process has ended, for whoever reads the log.
pub(crate) fn report(status: ExitStatus) {
    let path = FIRST.get().map_or("?", alloc::string::String::as_str);
    match status {
        ExitStatus::Signalled(signal, _) => logging::print_line(format_args!(
            "vortex: process {path} killed by signal {}",
            signal.number()
        )),
        status => logging::print_line(format_args!(
            "vortex: process {path} exited with status {}",
            status.for_shell()
        )),
    }
}

fn plain(path: &str) -> Arguments {
    Arguments {
        path: path.into(),
        arguments: alloc::vec![path.into()],
        ..Arguments::default()
    }
}

fn arguments_of(process: &ProcessPlan) -> Arguments {
    let mut arguments = plain(&process.path);
    let further = process
        .args
        .iter()
        .map(|argument| argument.as_bytes().to_vec());
    arguments.arguments.extend(further);
    arguments.environment = process
        .env
        .iter()
        .map(|variable| alloc::format!("{}={}", variable.name, variable.value).into_bytes())
        .collect();
    arguments
}
