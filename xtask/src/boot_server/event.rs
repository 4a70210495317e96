//! What a server does, read from dnsmasq's log.
//!
//! Its lines are not made for programs; what is not understood is no event.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// The address of a machine's network card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl FromStr for Mac {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(())?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| ())?;
        }
        parts.next().is_none().then_some(Self(bytes)).ok_or(())
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A machine's firmware asks what to boot; with the number of its architecture (RFC 4578).
    Asks(Mac, u16),
    /// A machine is given this address.
    Gives(Mac, Ipv4Addr),
    /// The machine with this address has this file.
    Sent(Ipv4Addr, String),
    /// The machine with this address wanted a file that is not there.
    Missing(Ipv4Addr, String),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asks(mac, 0) => write!(f, "{mac} asks what to boot, with BIOS"),
            Self::Asks(mac, 7 | 9) => write!(f, "{mac} asks what to boot, with UEFI"),
            Self::Asks(mac, arch) => write!(f, "{mac} asks what to boot, with architecture {arch}"),
            Self::Gives(mac, address) => write!(f, "{mac} has the address {address}"),
            Self::Sent(to, file) => write!(f, "{to} has got {file}"),
            Self::Missing(to, file) => write!(f, "{to} asks for {file}, which is not there"),
        }
    }
}

/// Reads the log line by line.
#[derive(Default)]
pub(super) struct Reader {
    /// The transaction and the architecture of the firmware that was heard last.
    firmware: Option<(String, u16)>,
    /// Who broke off a transfer, which the next line about it calls sent: so firmware asks for sizes.
    broke_off: Option<Ipv4Addr>,
    last: Option<Event>,
}

impl Reader {
    /// What a line says has happened. A repetition of the last is nothing new.
    pub(super) fn read(&mut self, line: &str) -> Option<Event> {
        let event = if let Some(text) = line.strip_prefix("dnsmasq-dhcp: ") {
            self.dhcp(text)
        } else {
            self.tftp(line.strip_prefix("dnsmasq-tftp: ")?)
        };
        let event = event.filter(|event| self.last.as_ref() != Some(event))?;
        self.last = Some(event.clone());
        Some(event)
    }

    /// A line that begins with the number of the transaction.
    fn dhcp(&mut self, text: &str) -> Option<Event> {
        let (transaction, text) = text.split_once(' ')?;
        if let Some(class) = text.strip_prefix("vendor class: PXEClient:Arch:") {
            let arch = class.split(':').next()?.parse().ok()?;
            self.firmware = Some((transaction.to_owned(), arch));
            return None;
        }
        let (what, rest) = text.split_once('(')?;
        let (_, rest) = rest.split_once(") ")?;
        let mut words = rest.split(' ');
        match what {
            "DHCPACK" => {
                let address = words.next()?.parse().ok()?;
                Some(Event::Gives(words.next()?.parse().ok()?, address))
            }
            "PXE" | "DHCPDISCOVER" => {
                let mac = words.find_map(|word| word.parse().ok())?;
                let (asked, arch) = self.firmware.as_ref()?;
                (asked == transaction).then_some(Event::Asks(mac, *arch))
            }
            _ => None,
        }
    }

    fn tftp(&mut self, text: &str) -> Option<Event> {
        if text.starts_with("error ") {
            let (_, from) = text.rsplit_once(" received from ")?;
            self.broke_off = from.parse().ok();
            return None;
        }
        if let Some(text) = text.strip_prefix("sent ") {
            let (path, to) = text.rsplit_once(" to ")?;
            let to = to.parse().ok()?;
            let is_whole = self.broke_off.take() != Some(to);
            return is_whole.then(|| Event::Sent(to, name(path)));
        }
        let text = text.strip_prefix("file ")?;
        let (path, to) = text.rsplit_once(" not found for ")?;
        Some(Event::Missing(to.parse().ok()?, name(path)))
    }
}

/// A file's name without its folder.
fn name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}
