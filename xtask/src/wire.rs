//! A wire that treats packets badly, between a guest and clients in a network namespace.
//!
//! Key types: [`Wire`], [`Treatment`] (what happens to packets), [`Treated`] (to how many it has),
//! [`Hell`] (what arrives besides).
//!
//! It does what netem (tc-netem(8)) does, which many kernels are built without, and draws what it does
//! from a seed. QEMU hands over each frame as a datagram on a Unix socket; a second QEMU, without a
//! machine, is the plug that has the clients' tap device. So neither end can leave segmentation or
//! checksums to the other: each frame is complete, as on a cable, and damage to it can be seen.

mod forward;
mod hell;
mod treatment;

pub use hell::Hell;
pub use treatment::{Treated, Treatment};

use std::ffi::OsString;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::forward::Forwarder;
use crate::network::{Link, Namespace};
use crate::packages::{self, Package};
use crate::process::{POLL, Running};

/// How long the plug may take to be there.
const PATIENCE: Duration = Duration::from_secs(20);
const TAP: &str = "tap0";
/// The guest's address on the wire: QEMU's usual one.
const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

/// The wire, with its clients' end.
pub struct Wire {
    clients: Namespace,
    folder: tempfile::TempDir,
    _plug: Running,
    /// What the guest sends to, and what it is sent from.
    near: UnixDatagram,
    /// From the guest, and to it.
    ways: [Forwarder; 2],
}

impl Wire {
    /// A wire to which nothing happens yet; each way has draws of its own from the seed. The clients have [`Link::CLIENTS`] for an address; the guest is to take [`Link::GUEST`].
    ///
    /// # Errors
    /// When there are no namespaces here, or QEMU does not start.
    pub fn new(seed: u64) -> Result<Self> {
        packages::require(&[Package::NetworkTools, Package::Qemu])?;
        let clients = Namespace::new()?;
        let address = format!("{}/24", Link::CLIENTS);
        for arguments in [
            &["tuntap", "add", TAP, "mode", "tap"][..],
            &["address", "add", &address, "dev", TAP],
            &["link", "set", TAP, "up"],
        ] {
            clients.run("ip", arguments)?;
        }
        let folder = tempfile::tempdir().context("cannot make a folder for sockets")?;
        let path = |name: &str| folder.path().join(name);
        let bind = |name: &str| UnixDatagram::bind(path(name)).context("cannot make a socket");
        let (near, far) = (bind(NEAR)?, bind(FAR)?);
        let mut plug = plug(&clients, folder.path())?;
        await_socket(&mut plug, &path(PLUG))?;
        let way = |from: &UnixDatagram, to: &UnixDatagram, target: &str, seed| {
            Forwarder::start(from, to, path(target), seed)
        };
        let ways = [
            way(&near, &far, PLUG, seed)?,
            way(&far, &near, GUEST, seed.wrapping_add(1))?,
        ];
        Ok(Self {
            clients,
            folder,
            _plug: plug,
            near,
            ways,
        })
    }

    /// Where the clients are.
    #[must_use]
    pub const fn clients(&self) -> &Namespace {
        &self.clients
    }

    /// QEMU's arguments for a network card of this kind at the guest's end.
    #[must_use]
    pub fn device(&self, kind: &str) -> Vec<OsString> {
        device(self.folder.path(), kind)
    }

    /// From now on this happens to packets, each way.
    ///
    /// # Errors
    /// When its chances are none.
    pub fn treat(&self, treatment: Treatment) -> Result<()> {
        self.ways.iter().try_for_each(|way| way.treat(treatment))
    }

    /// A frame arrives at the guest, whatever is in it, as soon as QEMU takes it.
    ///
    /// # Errors
    /// When the guest has not started, or has ended, or takes nothing.
    pub fn inject(&self, frame: &[u8]) -> Result<()> {
        let sent = self.near.send_to(frame, self.folder.path().join(GUEST));
        sent.context("QEMU takes no frames")?;
        Ok(())
    }

    /// What has happened to packets since, to those from the guest and to those to it.
    #[must_use]
    pub fn treated(&self) -> [Treated; 2] {
        self.ways.each_ref().map(Forwarder::treated)
    }
}

/// The sockets: the guest's, the one that it sends to, the plug's, the one that that sends to.
const GUEST: &str = "guest";
const NEAR: &str = "near";
const PLUG: &str = "plug";
const FAR: &str = "far";

/// QEMU's argument for a network of datagrams, by this name.
fn datagrams(folder: &Path, name: &str, own: &str, other: &str) -> String {
    let path = |file: &str| crate::qemu::escape_commas(&folder.join(file));
    format!(
        "dgram,id={name},local.type=unix,local.path={},remote.type=unix,remote.path={}",
        path(own),
        path(other)
    )
}

/// QEMU's arguments for a card whose frames go to the socket `near` in a folder and come to `guest`.
fn device(folder: &Path, kind: &str) -> Vec<OsString> {
    let network = datagrams(folder, "wire0", GUEST, NEAR);
    // Without an option ROM the firmware does not try to boot from it.
    let mac = GUEST_MAC.map(|byte| format!("{byte:02x}")).join(":");
    let device = format!("{kind},netdev=wire0,mac={mac},romfile=");
    ["-netdev", &network, "-device", &device]
        .map(OsString::from)
        .into()
}

/// Starts what joins the clients' tap device to the sockets.
fn plug(clients: &Namespace, folder: &Path) -> Result<Running> {
    let tap = format!("tap,id=tap,ifname={TAP},script=no,downscript=no,vnet_hdr=off");
    let mut qemu = clients.command("qemu-system-x86_64");
    qemu.args(["-machine", "none", "-nodefaults", "-display", "none"])
        .args(["-monitor", "none", "-serial", "none", "-netdev", &tap])
        .args(["-netdev", &datagrams(folder, "wire", PLUG, FAR)])
        .args(["-netdev", "hubport,hubid=0,id=port0,netdev=tap"])
        .args(["-netdev", "hubport,hubid=0,id=port1,netdev=wire"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // It misses a card at its hub.
        .stderr(Stdio::null());
    Running::start(&mut qemu)
}

fn await_socket(plug: &mut Running, socket: &Path) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !socket.exists() {
        if let Some(status) = plug.wait_until(Instant::now())? {
            bail!("QEMU cannot join the clients to the wire ({status})");
        }
        if Instant::now() > deadline {
            bail!("QEMU has not joined the clients to the wire within {PATIENCE:?}");
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}
