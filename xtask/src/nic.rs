//! A guest's network interface, at QEMU's user network: it reaches the host's network from there, and
//! is reached by ports of the host's own address that are forwarded.
//!
//! Key types: [`Nic`] (what the guest sees), [`Forward`] (a port), [`arguments`].

use std::ffi::OsString;
use std::str::FromStr;

/// The interface that a guest has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Nic {
    /// virtio-net
    VirtioNet,
    /// Intel 82574
    E1000e,
    /// None
    None,
}

impl Nic {
    /// What QEMU calls it.
    const fn device(self) -> Option<&'static str> {
        match self {
            Self::VirtioNet => Some("virtio-net-pci"),
            Self::E1000e => Some("e1000e"),
            Self::None => None,
        }
    }
}

/// A TCP port of the host's that is one of the guest's. Only the host itself reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The host's port.
    pub host: u16,
    /// The guest's.
    pub guest: u16,
}

/// `HOST:GUEST`.
impl FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| text.parse().ok().filter(|port| *port > 0);
        let ports = text.split_once(':');
        let ports = ports.and_then(|(host, guest)| Some((port(host)?, port(guest)?)));
        let (host, guest) = ports.ok_or("expected HOST:GUEST, two ports, such as 8080:80")?;
        Ok(Self { host, guest })
    }
}

/// The QEMU arguments for an interface and its forwarded ports; none without an interface. `number`
/// is another one for each interface of a guest.
#[must_use]
pub fn arguments(nic: Nic, number: usize, forwards: &[Forward]) -> Vec<OsString> {
    let Some(device) = nic.device() else {
        return Vec::new();
    };
    let mut network = format!("user,id=net{number}");
    for Forward { host, guest } in forwards {
        network += &format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}");
    }
    // Without an option ROM the firmware does not try to boot from it.
    let device = format!("{device},netdev=net{number},romfile=");
    ["-netdev", &network, "-device", &device]
        .map(OsString::from)
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_from_the_command_line() {
        let right: Forward = "8080:80".parse().unwrap();
        assert_eq!((right.host, right.guest), (8080, 80));
        for bad in ["", "80", ":80", "80:", "0:80", "80:0", "65536:80", "a:b"] {
            assert!(bad.parse::<Forward>().is_err(), "{bad}");
        }
    }

    #[test]
    fn qemu_is_told_of_the_interface() {
        let forwards = ["8080:80", "8443:443"].map(|text| text.parse().unwrap());
        let expected = [
            "-netdev",
            "user,id=net1,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=tcp:127.0.0.1:8443-:443",
            "-device",
            "e1000e,netdev=net1,romfile=",
        ];
        assert_eq!(arguments(Nic::E1000e, 1, &forwards), expected);
        assert!(arguments(Nic::None, 0, &forwards).is_empty());
    }
}
