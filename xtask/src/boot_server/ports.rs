//! Whether somebody else has the ports. dnsmasq itself does not notice: it shares them with others that
//! share them, and then each gets some of the packets.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::Interface;

/// DHCP, TFTP, and the second port of PXE (PXE specification 2.1, section 2.2.3).
const PORTS: [&str; 3] = ["67", "69", "4011"];

/// Makes sure that nobody has the ports at the interface; `command` makes a command of a program's name.
///
/// # Errors
/// When somebody has one; with who, as far as this user may know.
pub(super) fn check(interface: &Interface, command: impl Fn(&str) -> Command) -> Result<()> {
    let output = command("ss")
        .args([
            "--no-header",
            "--listening",
            "--udp",
            "--numeric",
            "--processes",
        ])
        .output()
        .context("cannot start ss (of iproute2)")?;
    ensure!(
        output.status.success(),
        "`ss` failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    if let Some(line) = taken(&String::from_utf8_lossy(&output.stdout), interface) {
        bail!(taken_by(interface, line));
    }
    Ok(())
}

/// What to do about it.
pub(super) fn taken_by(interface: &Interface, who: &str) -> String {
    format!(
        "another server has the DHCP or the TFTP port at {}; stop it, perhaps by `systemctl stop dnsmasq \
         tftpd-hpa`, and try again\n  {who}",
        interface.name
    )
}

/// The line of the socket that has one of the ports, as `ss` says (ss(8)): the local address is in its
/// fourth column, `ADDRESS[%DEVICE]:PORT`.
pub(super) fn taken<'a>(listening: &'a str, interface: &Interface) -> Option<&'a str> {
    let own = interface.address.to_string();
    let is_taken = |line: &&str| {
        let local = line.split_whitespace().nth(3).unwrap_or_default();
        let Some((address, port)) = local.rsplit_once(':') else {
            return false;
        };
        let (address, device) = address.split_once('%').unwrap_or((address, ""));
        let is_here = device.is_empty() || device == interface.name;
        let is_ours = ["0.0.0.0", "*", "[::]", &own].contains(&address);
        PORTS.contains(&port) && is_here && is_ours
    };
    listening.lines().map(str::trim).find(is_taken)
}
