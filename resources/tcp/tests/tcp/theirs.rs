//! smoltcp's whole stack as a peer.

use std::collections::VecDeque;

use smoltcp::iface::{Config as InterfaceConfig, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as Time;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use vortex_tcp::Instant;

use crate::host::{ADDRESSES, Pattern};
use crate::wire::Peer;

#[derive(Default)]
struct Queues {
    arrived: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

struct Arrived(Vec<u8>);
struct Sent<'a>(&'a mut Vec<Vec<u8>>);

impl RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Sent<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut packet = vec![0; length];
        let result = f(&mut packet);
        self.0.push(packet);
        result
    }
}

impl Device for Queues {
    type RxToken<'a> = Arrived;
    type TxToken<'a> = Sent<'a>;

    fn receive(&mut self, _: Time) -> Option<(Arrived, Sent<'_>)> {
        let packet = self.arrived.pop_front()?;
        Some((Arrived(packet), Sent(&mut self.sent)))
    }

    fn transmit(&mut self, _: Time) -> Option<Sent<'_>> {
        Some(Sent(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities
    }
}

pub(crate) struct Theirs {
    interface: Interface,
    queues: Queues,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    pattern: Pattern,
    sends: u64,
    pub(crate) written: u64,
    pub(crate) read: u64,
    closed: bool,
}

fn time(now: Instant) -> Time {
    Time::from_micros(i64::try_from(now.0).expect("not so late"))
}

impl Theirs {
    pub(crate) fn new(side: usize, buffer: usize, sends: u64) -> Self {
        let mut config = InterfaceConfig::new(HardwareAddress::Ip);
        config.random_seed = 42 + side as u64;
        let mut queues = Queues::default();
        let mut interface = Interface::new(config, &mut queues, Time::ZERO);
        interface.update_ip_addrs(|addresses| {
            let address = IpCidr::new(IpAddress::Ipv4(ADDRESSES[side]), 24);
            addresses.push(address).expect("there is room for one");
        });
        let ring = || tcp::SocketBuffer::new(vec![0; buffer]);
        let mut socket = tcp::Socket::new(ring(), ring());
        socket.set_congestion_control(tcp::CongestionControl::Reno);
        if side == 0 {
            let remote = (IpAddress::Ipv4(ADDRESSES[1]), 80);
            socket
                .connect(interface.context(), remote, 4000)
                .expect("it can");
        } else {
            socket.listen(80).expect("it can");
        }
        let mut sockets = SocketSet::new(vec![]);
        let handle = sockets.add(socket);
        Self {
            interface,
            queues,
            sockets,
            handle,
            pattern: Pattern::new(),
            sends,
            written: 0,
            read: 0,
            closed: false,
        }
    }

    pub(crate) fn state(&self) -> tcp::State {
        self.sockets.get::<tcp::Socket>(self.handle).state()
    }

    fn work(&mut self) {
        let socket = self.sockets.get_mut::<tcp::Socket>(self.handle);
        while socket.can_recv() {
            let (pattern, read) = (&self.pattern, self.read);
            let received = socket.recv(|bytes| {
                assert!(pattern.is_at(read, bytes), "the stream is whole");
                (bytes.len(), bytes.len())
            });
            self.read += received.expect("it can") as u64;
        }
        while socket.can_send() && self.written < self.sends {
            let (buffer, start) = self.pattern.at(self.written);
            let left = usize::try_from(self.sends - self.written).unwrap_or(usize::MAX);
            let end = buffer.0.len().min(start.saturating_add(left));
            let taken = socket.send_slice(&buffer.0[start..end]).expect("it can");
            self.written += taken as u64;
        }
        let is_done = self.written == self.sends && (self.sends > 0 || !socket.may_recv());
        if is_done && socket.may_send() && !self.closed {
            self.closed = true;
            socket.close();
        }
    }
}

impl Peer for Theirs {
    fn receive(&mut self, packet: Vec<u8>, _: Instant) {
        self.queues.arrived.push_back(packet);
    }

    fn poll(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        for _ in 0..2 {
            self.interface
                .poll(time(now), &mut self.queues, &mut self.sockets);
            self.work();
        }
        self.interface
            .poll(time(now), &mut self.queues, &mut self.sockets);
        out.append(&mut self.queues.sent);
    }

    fn deadline(&mut self, now: Instant) -> Option<Instant> {
        let at = self.interface.poll_at(time(now), &self.sockets)?;
        let at = u64::try_from(at.total_micros()).unwrap_or(0);
        // It asks for now while it waits for what only a packet brings.
        Some(Instant(at.max(now.0 + 1)))
    }
}
