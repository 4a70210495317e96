//! DHCP: how an interface gets its address (RFC 2131), as a state machine with time as a parameter.
//!
//! Key types: [`Client`], [`Step`] (what it wants done).
//!
//! It takes the first offer, asks for it, renews it at half of its time and then again and again, and
//! begins anew when the time is over or the server says no. Servers are asked by broadcast, also for
//! renewal.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress};
use vortex_tcp::{Instant, Micros, SECOND};

use super::interface::Mac;
use super::link::Settings;

/// The ports of servers and clients.
pub(crate) const SERVER: u16 = 67;
pub(crate) const CLIENT: u16 = 68;
/// The longest message that is looked at.
pub(crate) const MAX_MESSAGE: usize = 1500;

/// From one attempt to the next: this long at first, and twice as long each time up to the most.
const FIRST_WAIT: Micros = 2 * SECOND;
const MOST_WAIT: Micros = 64 * SECOND;
/// Requests for one offer, before others are asked for.
const REQUESTS: u32 = 4;
/// A lease without a time, and the shortest that is believed, in seconds.
const USUAL_LEASE: u32 = 3600;
const SHORTEST_LEASE: u32 = 60;
/// What is asked for: the mask, the router (RFC 2132).
const ASKED: [u8; 2] = [1, 3];

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No server has offered anything.
    Selecting,
    /// An offer has been asked for.
    Requesting { offer: Ipv4Addr, server: Ipv4Addr },
    /// The address is had until then.
    Bound { address: Ipv4Addr, ends: Instant },
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// This is to be sent to all servers.
    pub(crate) send: Option<Vec<u8>>,
    /// The interface has this address from now on, or none.
    pub(crate) configure: Option<Option<Settings>>,
}

/// The client of one interface.
#[derive(Debug)]
pub(crate) struct Client {
    mac: EthernetAddress,
    transaction: u32,
    state: State,
    attempts: u32,
    due: Instant,
}

impl Client {
    /// For an interface; the number is random.
    pub(crate) const fn new(mac: Mac, transaction: u32, now: Instant) -> Self {
        Self {
            mac: EthernetAddress(mac.0),
            transaction,
            state: State::Selecting,
            attempts: 0,
            due: now,
        }
    }

    /// When [`Self::expired`] is to be called.
    pub(crate) const fn due(&self) -> Instant {
        self.due
    }

    /// Does what is due.
    pub(crate) fn expired(&mut self, now: Instant) -> Step {
        if now < self.due {
            return Step::default();
        }
        let mut configure = None;
        match self.state {
            State::Bound { ends, .. } if now >= ends => {
                configure = Some(None);
                self.begin();
            }
            State::Requesting { .. } if self.attempts >= REQUESTS => self.begin(),
            State::Bound { .. } | State::Selecting | State::Requesting { .. } => {}
        }
        let wait = FIRST_WAIT << self.attempts.min(5);
        self.attempts += 1;
        self.due = now + wait.min(MOST_WAIT);
        if let State::Bound { ends, .. } = self.state {
            self.due = self.due.min(ends);
        }
        Step {
            send: self.message(),
            configure,
        }
    }

    fn begin(&mut self) {
        self.state = State::Selecting;
        self.attempts = 0;
        self.transaction = self.transaction.wrapping_add(1);
    }

    /// What it says in its state.
    fn message(&self) -> Option<Vec<u8>> {
        let unspecified = Ipv4Addr::UNSPECIFIED;
        let (message_type, client_ip, requested_ip, server_identifier) = match self.state {
            State::Selecting => (DhcpMessageType::Discover, unspecified, None, None),
            State::Requesting { offer, server } => (
                DhcpMessageType::Request,
                unspecified,
                Some(offer),
                Some(server),
            ),
            State::Bound { address, .. } => (DhcpMessageType::Request, address, None, None),
        };
        let repr = DhcpRepr {
            message_type,
            transaction_id: self.transaction,
            secs: 0,
            client_hardware_address: self.mac,
            client_ip,
            your_ip: unspecified,
            server_ip: unspecified,
            router: None,
            subnet_mask: None,
            relay_agent_ip: unspecified,
            broadcast: true,
            requested_ip,
            client_identifier: Some(self.mac),
            server_identifier,
            parameter_request_list: Some(&ASKED),
            dns_servers: None,
            max_size: Some(MAX_MESSAGE as u16),
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        let mut bytes = alloc::vec![0; repr.buffer_len()];
        let mut packet = DhcpPacket::new_unchecked(&mut bytes[..]);
        repr.emit(&mut packet).ok()?;
        Some(bytes)
    }

    /// A server has said something, which may be anything.
    pub(crate) fn heard(&mut self, message: &[u8], now: Instant) -> Step {
        let Ok(packet) = DhcpPacket::new_checked(message) else {
            return Step::default();
        };
        let Ok(repr) = DhcpRepr::parse(&packet) else {
            return Step::default();
        };
        let is_ours =
            repr.transaction_id == self.transaction && repr.client_hardware_address == self.mac;
        if !is_ours {
            return Step::default();
        }
        match (repr.message_type, self.state) {
            (DhcpMessageType::Offer, State::Selecting) => {
                let Some(server) = repr.server_identifier.filter(|_| is_one(repr.your_ip)) else {
                    return Step::default();
                };
                self.state = State::Requesting {
                    offer: repr.your_ip,
                    server,
                };
                self.attempts = 0;
                self.due = now;
                self.expired(now)
            }
            (DhcpMessageType::Ack, State::Requesting { .. } | State::Bound { .. })
                if is_one(repr.your_ip) =>
            {
                self.bind(&repr, now)
            }
            (DhcpMessageType::Nak, State::Requesting { .. } | State::Bound { .. }) => {
                self.begin();
                self.due = now + FIRST_WAIT;
                Step {
                    send: None,
                    configure: Some(None),
                }
            }
            _ => Step::default(),
        }
    }

    fn bind(&mut self, repr: &DhcpRepr<'_>, now: Instant) -> Step {
        let seconds = repr.lease_duration.unwrap_or(USUAL_LEASE);
        let lease = u64::from(seconds.max(SHORTEST_LEASE)) * SECOND;
        self.state = State::Bound {
            address: repr.your_ip,
            ends: now + lease,
        };
        self.attempts = 0;
        self.due = now + lease / 2;
        let mask = repr.subnet_mask.unwrap_or(Ipv4Addr::new(255, 255, 255, 0));
        let settings = Settings {
            address: repr.your_ip,
            prefix: mask.to_bits().leading_ones() as u8,
            gateway: repr.router.filter(|router| is_one(*router)),
        };
        Step {
            send: None,
            configure: Some(Some(settings)),
        }
    }
}

/// Whether an address can be a machine's.
const fn is_one(address: Ipv4Addr) -> bool {
    !address.is_unspecified()
        && !address.is_broadcast()
        && !address.is_multicast()
        && !address.is_loopback()
}

#[cfg(test)]
mod tests;
