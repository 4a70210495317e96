//! A network of this tool's own, apart from the machine's: a guest's end and its clients' end, with
//! a link of a chosen rate between them.
//!
//! Key types: [`Link`], [`Namespace`].
//!
//! The namespaces (network_namespaces(7)) have no names: each lives in a process that holds it, which
//! the kernel ends with this one however that ends, and with the last process in it all its devices
//! are gone. Nothing is ever left behind, and nothing of the machine's own network is touched.
//!
//! In the guest's namespace a bridge has the guest's tap device and one end of a pair of virtual
//! devices; the other end is the clients'. The shaper is on the pair, behind the bridge.
//!
//! That does not hold a guest back that sends faster. QEMU is told to wait when much of what it has
//! sent is not on the link yet ([`Link::device`]), and does so for virtio-net only, and only as far as
//! the host's kernel charges packets behind the bridge to QEMU; measured, the shaper drops a tenth. So
//! a guest whose own schedulers are to choose what waits is told the link's rate (`<rate>`).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::Ipv4Addr;
use std::ops::Sub;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::packages::{self, Package};
use crate::process::{self, POLL, Running};

/// How long a namespace may take to be there.
const PATIENCE: Duration = Duration::from_secs(10);
/// The clients' device, its other end on the bridge, and the guest's device.
const CLIENTS: &str = "clients0";
const FAR: &str = "guest0";
const TAP: &str = "tap0";
const BRIDGE: &str = "bridge0";
/// Bytes that wait in the shaper, at most: all that QEMU may have sent, and more.
const SHAPER: u32 = 1 << 20;
/// Bytes that QEMU may have sent and that are not on the link yet, as the kernel counts them.
const SEND_BUFFER: u32 = 256 << 10;

/// A network namespace that ends when this is dropped.
pub struct Namespace {
    holder: Running,
    /// Whether it is in a user namespace too, because this process has no rights to make one alone.
    has_users: bool,
}

impl Namespace {
    /// A new one, with nothing in it but a loop-back device.
    ///
    /// # Errors
    /// When there are no such namespaces here, or no right to make them.
    pub fn new() -> Result<Self> {
        let has_users = !rustix::process::geteuid().is_root();
        let mut unshare = Command::new(tool("unshare")?);
        if has_users {
            unshare.args(["--user", "--map-root-user"]);
        }
        Self::hold(unshare, has_users)
    }

    /// Another one, with the same rights.
    fn sibling(&self) -> Result<Self> {
        Self::hold(self.enter(&tool("unshare")?), self.has_users)
    }

    /// Starts the process that is in the namespace, and waits until it is.
    fn hold(mut unshare: Command, has_users: bool) -> Result<Self> {
        unshare
            .args(["--net", "--"])
            .args(dying_with_this())
            .args(["sleep", "infinity"]);
        let holder = Running::start(&mut unshare)?;
        let mut namespace = Self { holder, has_users };
        let own = fs::read_link("/proc/thread-self/ns/net").context("there are no namespaces")?;
        let deadline = Instant::now() + PATIENCE;
        let name = format!("/proc/{}/ns/net", namespace.holder.id());
        // The link of a process that has just ended cannot be read.
        while fs::read_link(&name).map_or(true, |its| its == own) {
            if let Some(status) = namespace.holder.wait_until(Instant::now())? {
                bail!(
                    "cannot make a network namespace ({status}); it takes root, or a kernel that \
                     lets users make them (sysctl kernel.unprivileged_userns_clone=1)"
                );
            }
            if Instant::now() > deadline {
                bail!("a network namespace was not there within {PATIENCE:?}");
            }
            std::thread::sleep(POLL);
        }
        namespace.run("ip", &["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// A command that runs in the namespace, and that the kernel ends when the thread that started it
    /// ends.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let launcher = self.launcher();
        let mut command = Command::new(&launcher[0]);
        command.args(&launcher[1..]).arg(program);
        command
    }

    /// The beginning of a command line for what is to run in the namespace, as of [`Self::command`].
    #[must_use]
    pub fn launcher(&self) -> Vec<OsString> {
        let [setpriv, rest @ ..] = dying_with_this();
        let mut command = self.enter(Path::new(setpriv));
        command.args(rest);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(OsStr::to_os_string).collect()
    }

    fn enter(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--net"]);
        if self.has_users {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--").arg(program);
        command
    }

    /// Runs a command in the namespace to its end.
    ///
    /// # Errors
    /// When it fails; the error has what it said.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let output = self
            .command(tool(program)?)
            .args(arguments)
            .output()
            .with_context(|| format!("cannot start {program}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!(
                "`{program} {}` failed: {}",
                arguments.join(" "),
                said.trim()
            );
        }
        Ok(())
    }
}

/// In front of a command: the kernel ends it when the thread that started it ends. It comes after the
/// change of namespaces, which would undo it.
const fn dying_with_this() -> [&'static str; 4] {
    ["setpriv", "--pdeathsig", "KILL", "--"]
}

fn tool(name: &str) -> Result<std::path::PathBuf> {
    process::find_program(name)
        .with_context(|| format!("there is no `{name}`; it is of util-linux or iproute2"))
}

/// A guest's end of a network and its clients' end.
pub struct Link {
    guest: Namespace,
    clients: Namespace,
}

impl Link {
    /// Why there can be no link on this machine; `None` if there can.
    #[must_use]
    pub fn obstacle() -> Option<String> {
        const TUN: &str = "/dev/net/tun";
        if !Path::new(TUN).exists() {
            return Some(format!("there is no {TUN} (`modprobe tun` makes it)"));
        }
        let tools = packages::require(&[Package::NetworkTools]);
        let namespace = tools.and_then(|()| Namespace::new());
        namespace.err().map(|error| format!("{error:#}"))
    }

    /// The clients' address, in a network of 24 bits.
    pub const CLIENTS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
    /// The guest's address, for the guest to take.
    pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

    /// A link of so many megabits (10^6 bits) a second each way, or one without a limit.
    ///
    /// # Errors
    /// When there are no namespaces here, or devices cannot be made in them.
    pub fn new(megabits: Option<u32>) -> Result<Self> {
        packages::require(&[Package::NetworkTools])?;
        let guest = Namespace::new()?;
        let clients = guest.sibling()?;
        let there = clients.holder.id().to_string();
        for arguments in [
            &["link", "add", BRIDGE, "type", "bridge"][..],
            &["tuntap", "add", TAP, "mode", "tap"],
            &[
                "link", "add", FAR, "type", "veth", "peer", "name", CLIENTS, "netns", &there,
            ],
            &["link", "set", TAP, "master", BRIDGE],
            &["link", "set", FAR, "master", BRIDGE],
        ] {
            guest.run("ip", arguments)?;
        }
        for device in [TAP, FAR, BRIDGE] {
            guest.run("ip", &["link", "set", device, "up"])?;
        }
        let address = format!("{}/24", Self::CLIENTS);
        clients.run("ip", &["address", "add", &address, "dev", CLIENTS])?;
        clients.run("ip", &["link", "set", CLIENTS, "up"])?;
        if let Some(megabits) = megabits {
            shape(&guest, FAR, megabits)?;
            shape(&clients, CLIENTS, megabits)?;
        }
        Ok(Self { guest, clients })
    }

    /// Where the guest is: QEMU is to be started there.
    #[must_use]
    pub const fn guest(&self) -> &Namespace {
        &self.guest
    }

    /// Where the clients are.
    #[must_use]
    pub const fn clients(&self) -> &Namespace {
        &self.clients
    }

    /// An address at which packets from the clients end before they get to the guest.
    ///
    /// # Errors
    /// When the guest's end cannot have it.
    pub fn outside(&self) -> Result<Ipv4Addr> {
        let address = Ipv4Addr::new(10, 77, 0, 3);
        let own = format!("{address}/24");
        self.guest
            .run("ip", &["address", "replace", &own, "dev", BRIDGE])?;
        Ok(address)
    }

    /// What has passed between the guest and its end of the link by now.
    ///
    /// # Errors
    /// When the host does not tell.
    pub fn traffic(&self) -> Result<Traffic> {
        let file = format!("/proc/{}/net/dev", self.guest.holder.id());
        let devices = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        traffic(&devices, TAP).with_context(|| format!("{file} does not tell of {TAP}"))
    }

    /// QEMU's arguments for a network card of this kind at the guest's end.
    #[must_use]
    pub fn device(&self, kind: &str) -> [OsString; 4] {
        let tap = format!("tap,ifname={TAP},script=no,downscript=no,sndbuf={SEND_BUFFER},id=link0");
        // Without an option ROM the firmware does not try to boot from it.
        let device = format!("{kind},netdev=link0,romfile=");
        ["-netdev", &tap, "-device", &device].map(OsString::from)
    }
}

/// What has passed, each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic([Passed; 2]);

/// What has passed one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Passed {
    bytes: u64,
    frames: u64,
}

/// Bytes of the largest frame of the link.
const LARGEST_FRAME: u64 = 1514;

impl Traffic {
    /// Frames as cards have them: one that is cut into segments later counts once.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.0.iter().map(|way| way.frames).sum()
    }

    /// Packets of the link, for which frames are cut: as many as the bytes fill, if that is more.
    #[must_use]
    pub fn packets(&self) -> u64 {
        let ways = self.0.iter();
        ways.map(|way| way.frames.max(way.bytes.div_ceil(LARGEST_FRAME)))
            .sum()
    }
}

impl Sub for Traffic {
    type Output = Self;

    /// What has passed since `earlier`.
    fn sub(self, earlier: Self) -> Self {
        let ways = [0, 1].map(|way| Passed {
            bytes: self.0[way].bytes - earlier.0[way].bytes,
            frames: self.0[way].frames - earlier.0[way].frames,
        });
        Self(ways)
    }
}

/// What a device has received and sent, as `/proc/net/dev` has it: after its name eight figures each, the
/// first of which are bytes and the second frames.
fn traffic(devices: &str, device: &str) -> Option<Traffic> {
    let mut lines = devices.lines().filter_map(|line| line.split_once(':'));
    let (_, figures) = lines.find(|(name, _)| name.trim() == device)?;
    let figures: Vec<&str> = figures.split_whitespace().collect();
    let figure = |index: usize| figures.get(index)?.parse::<u64>().ok();
    let way = |first: usize| {
        Some(Passed {
            bytes: figure(first)?,
            frames: figure(first + 1)?,
        })
    };
    Some(Traffic([way(0)?, way(8)?]))
}

/// Holds what a device sends to a rate.
fn shape(namespace: &Namespace, device: &str, megabits: u32) -> Result<()> {
    let rate = format!("{megabits}mbit");
    // What goes out at once: a millisecond's worth, and at least a large segment.
    let burst = (megabits * 125).max(64 << 10).to_string();
    let limit = SHAPER.to_string();
    let shaper = ["tbf", "rate", &rate, "burst", &burst, "limit", &limit];
    let arguments = [&["qdisc", "add", "dev", device, "root"][..], &shaper].concat();
    namespace.run("tc", &arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_count_for_the_packets_that_they_are_cut_into() {
        let devices = |bytes: u64, frames: u64| {
            let line = format!("link0: {bytes} {frames} 0 0 0 0 0 0 600 10 0 0 0 0 0 0");
            format!("Inter-| Receive | Transmit\n face |bytes packets\n    lo: 9 9 9 9\n{line}\n")
        };
        let [small, large] = [(6_000, 100), (6_000 + 151_401, 110)]
            .map(|(bytes, frames)| traffic(&devices(bytes, frames), "link0").expect("it is there"));
        assert_eq!((small.frames(), small.packets()), (110, 110));
        let since = large - small;
        assert_eq!((since.frames(), since.packets()), (10, 101));
        assert_eq!(traffic(&devices(0, 0), "link1"), None);
        assert_eq!(traffic("link0: 1 2 3", "link0"), None);
    }
}
