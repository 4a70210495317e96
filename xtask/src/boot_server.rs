//! A server from which machines boot over a network: dnsmasq, with a TFTP folder.
//!
//! Key types: [`Service`] (what to serve, and where), [`BootServer`] (it runs), [`Event`] (what it does),
//! [`Range`] (the addresses that it may give out).
//!
//! Without a range it gives no addresses: it stands beside the network's own DHCP server and only says
//! what to boot (a *proxy* DHCP server, PXE specification 2.1, section 2.2.2). Machines are told by their
//! architecture (RFC 4578, section 2.1): there are files for 64-bit UEFI, and for no other.

mod event;
mod interface;
mod range;

pub use event::{Event, Mac};
pub use interface::Interface;
pub use range::Range;

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use self::event::Reader;
use crate::packages::{self, Package};
use crate::process::{self, Running};
use crate::{netboot, ui};

/// The architectures that the files are for: 64-bit x86 UEFI has both numbers.
const UEFI: [u16; 2] = [7, 9];
/// What dnsmasq says when it serves.
const SERVES: &str = "started, version";
/// What it says when somebody else has a port that it needs.
const TAKEN: &str = "Address already in use";

/// What to serve, and where.
#[derive(Clone, Debug)]
pub struct Service {
    /// The TFTP folder, as [`crate::boot_image::BootImage::pxe`] has it.
    pub folder: PathBuf,
    /// The name of the network interface.
    pub interface: String,
    /// The addresses that it gives out; none, beside another DHCP server, if `None`.
    pub range: Option<Range>,
    /// What programs are started by, such as in a namespace of the network; by nothing if it is empty.
    pub launcher: Vec<OsString>,
}

/// A server that runs, and ends with this value.
#[must_use = "the server ends when this is dropped"]
pub struct BootServer {
    dnsmasq: Running,
    log: BufReader<ChildStderr>,
    reader: Reader,
    interface: Interface,
}

impl BootServer {
    /// Starts it. The thread that calls this must outlive the returned value.
    ///
    /// # Errors
    /// When the folder has no files to boot, the interface is missing, down or without an address, the
    /// range is not of its network, there is no right to serve, or another server has the ports: then
    /// with what to do.
    pub fn start(service: &Service) -> Result<Self> {
        packages::require(&[Package::Dnsmasq, Package::NetworkTools])?;
        let folder = files(&service.folder)?;
        let interface = Interface::find(&service.interface, |program| service.command(program))?;
        if let Some(range) = &service.range {
            range.check(&interface)?;
        }
        ensure!(
            !service.launcher.is_empty() || rustix::process::geteuid().is_root(),
            "ports 67 and 69 and the answers to machines without an address take root's rights; run it \
             so: sudo {}",
            own_command_line()
        );
        let mut dnsmasq = service.command("dnsmasq");
        dnsmasq
            .args(arguments(&interface, &folder, service.range.as_ref()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut dnsmasq = Running::start(&mut dnsmasq)?;
        let log = dnsmasq.child().stderr.take();
        let mut log = BufReader::new(log.context("dnsmasq has no log")?);
        await_start(&mut dnsmasq, &mut log, &interface)?;
        Ok(Self {
            dnsmasq,
            log,
            reader: Reader::default(),
            interface,
        })
    }

    /// The interface at which it serves.
    #[must_use]
    pub const fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Waits for what happens next; `None` when the server has ended.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub fn next_event(&mut self) -> Result<Option<Event>> {
        while let Some(line) = line(&mut self.log)? {
            if let Some(event) = self.reader.read(&line) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Ends the server, and says everything that has happened and was not asked for.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub fn end(mut self) -> Result<Vec<Event>> {
        // What is in the pipe can be read after the end.
        self.dnsmasq.child().kill().context("cannot end dnsmasq")?;
        let mut events = Vec::new();
        while let Some(event) = self.next_event()? {
            events.push(event);
        }
        Ok(events)
    }
}

impl Service {
    fn command(&self, program: &str) -> Command {
        let path = process::find_program(program).unwrap_or_else(|| program.into());
        match self.launcher.split_first() {
            None => process::command(path),
            Some((launcher, arguments)) => {
                let mut command = Command::new(launcher);
                command.args(arguments).arg(path);
                command
            }
        }
    }
}

/// The folder's full path, if all is there that a machine asks for.
fn files(folder: &Path) -> Result<PathBuf> {
    for file in [netboot::FILE, "bootloader", "kernel-x86_64"] {
        ensure!(
            folder.join(file).is_file(),
            "there is no {} to boot; `cargo xtask image` makes it",
            folder.join(file).display()
        );
    }
    std::fs::canonicalize(folder)
        .with_context(|| format!("cannot find the folder {}", folder.display()))
}

/// How this program was called, for somebody who is to call it again.
fn own_command_line() -> String {
    let own = std::env::current_exe().unwrap_or_else(|_| "cargo xtask".into());
    let words = std::env::args().skip(1);
    std::iter::once(own.to_string_lossy().into_owned())
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

/// dnsmasq's arguments. It reads no configuration, serves no names, and leaves no file.
fn arguments(interface: &Interface, folder: &Path, range: Option<&Range>) -> Vec<OsString> {
    let name = &interface.name;
    let mut arguments = [
        "--no-daemon",
        "--conf-file=/dev/null",
        "--port=0",
        "--bind-interfaces",
        "--except-interface=lo",
        "--dhcp-leasefile=/dev/null",
        "--log-dhcp",
        // Others often may not enter the home folder that the files are in.
        "--user=root",
        "--enable-tftp",
    ]
    .map(String::from)
    .to_vec();
    arguments.push(format!("--interface={name}"));
    match range {
        None => {
            arguments.push(format!("--dhcp-range={},proxy", interface.address));
            let file = netboot::FILE;
            arguments.extend(UEFI.map(|number| format!("--pxe-service={number},Vortex,{file}")));
        }
        Some(Range { first, last }) => {
            arguments.push(format!("--dhcp-range={first},{last}"));
            // It is no router, which dnsmasq would say otherwise.
            arguments.push("--dhcp-option=option:router".into());
            let is_uefi = |number| format!("--dhcp-match=set:uefi,option:client-arch,{number}");
            arguments.extend(UEFI.map(is_uefi));
            arguments.push(format!("--dhcp-boot=tag:uefi,{}", netboot::FILE));
        }
    }
    let mut arguments: Vec<OsString> = arguments.into_iter().map(OsString::from).collect();
    let mut root = OsString::from("--tftp-root=");
    root.push(folder);
    arguments.push(root);
    arguments
}

/// Waits until it serves; or says why it does not.
fn await_start(
    dnsmasq: &mut Running,
    log: &mut BufReader<ChildStderr>,
    interface: &Interface,
) -> Result<()> {
    let mut said = Vec::new();
    while let Some(line) = line(log)? {
        if line.contains(SERVES) {
            return Ok(());
        }
        said.push(line);
    }
    let status = dnsmasq.wait()?;
    let said = said.join("\n  ");
    if said.contains(TAKEN) {
        bail!(
            "another server has the DHCP or the TFTP port at {} (`ss -lunp '( sport = :67 or sport = :69 \
             )'` says which); stop it, perhaps by `systemctl stop dnsmasq tftpd-hpa`, and try again\n  \
             {said}",
            interface.name
        );
    }
    bail!("dnsmasq does not serve ({status}):\n  {said}");
}

/// The next line of a log, without its end; `None` after the last.
fn line(log: &mut impl BufRead) -> Result<Option<String>> {
    let mut bytes = Vec::new();
    let read = log.read_until(b'\n', &mut bytes);
    if read.context("cannot read what dnsmasq says")? == 0 {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&bytes).trim_end().to_owned()))
}

/// Tells the user what happens.
pub fn show(event: &Event) {
    match event {
        Event::Asks(_, arch) if !UEFI.contains(arch) => ui::warn(&format!(
            "{event}; the files are for 64-bit UEFI only: choose UEFI, not legacy, in its setup"
        )),
        Event::Missing(..) => ui::warn(&event.to_string()),
        Event::Asks(..) | Event::Gives(..) | Event::Sent(..) => ui::done(&event.to_string()),
    }
}

#[cfg(test)]
mod tests;
