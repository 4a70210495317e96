//! The network interface that a server is at.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// An interface that is up and has an IPv4 address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// How many bits of the address are the network's.
    pub prefix: u8,
    /// Whether there is something at the other end of the cable.
    pub has_link: bool,
}

/// An interface, as `ip -json address` says (ip-address(8)).
#[derive(Deserialize)]
struct Said {
    #[serde(rename = "ifname")]
    name: String,
    flags: Vec<String>,
    #[serde(default)]
    operstate: String,
    #[serde(default, rename = "addr_info")]
    addresses: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    family: String,
    local: Option<String>,
    prefixlen: u8,
}

impl Interface {
    /// Looks for it; `command` makes a command of a program's name.
    ///
    /// # Errors
    /// When it is not there, is down or has no address: then with what to do.
    pub(super) fn find(name: &str, command: impl Fn(&str) -> Command) -> Result<Self> {
        let output = command("ip")
            .args(["-json", "address"])
            .output()
            .context("cannot start ip")?;
        ensure!(
            output.status.success(),
            "`ip -json address` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Self::among(name, &output.stdout)
    }

    /// The interface among those that `ip` said.
    pub(super) fn among(name: &str, json: &[u8]) -> Result<Self> {
        let all: Vec<Said> =
            serde_json::from_slice(json).context("cannot read what `ip -json address` says")?;
        let Some(said) = all.iter().find(|said| said.name == name) else {
            let names = all.iter().map(|said| said.name.as_str());
            let names: Vec<_> = names.filter(|name| *name != "lo").collect();
            bail!(
                "there is no network interface {name}; there are: {}",
                names.join(", ")
            );
        };
        ensure!(
            said.flags.iter().any(|flag| flag == "UP"),
            "{name} is down; bring it up with `ip link set {name} up`"
        );
        let address = said.addresses.iter().find_map(|address| {
            let local = address.local.as_ref().filter(|_| address.family == "inet");
            Some((local?.parse().ok()?, address.prefixlen))
        });
        let (address, prefix) = address.with_context(|| {
            format!(
                "{name} has no IPv4 address; give it one of its network, such as by `ip address add \
                 10.0.0.1/24 dev {name}`"
            )
        })?;
        Ok(Self {
            name: name.to_owned(),
            address,
            prefix,
            has_link: said.operstate != "DOWN",
        })
    }

    /// Whether an address is of the interface's network.
    pub(super) fn has(&self, address: Ipv4Addr) -> bool {
        let of_the_host = 32 - u32::from(self.prefix.min(32));
        let network = |address: Ipv4Addr| u64::from(address.to_bits()) >> of_the_host;
        network(address) == network(self.address)
    }
}
