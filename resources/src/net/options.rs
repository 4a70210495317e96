//! Options of sockets: those that servers set (socket(7), tcp(7), ip(7)).
//!
//! Key types: [`Options`]. What has no effect here is kept all the same, so that it reads as it was
//! set; what is not known gives ENOPROTOOPT, as on Linux.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use linux_raw_sys::net as linux;
use vortex_abi::calls::{SO_ACTIVITY, SOL_VORTEX};
use vortex_tcp::{Algorithm, Config, KeepAlive, SECOND, State};

use super::ports::Sharing;
use super::socket::{Kind, Socket, Stage};
use super::tcp::Information;
use super::udp::BUFFER;
use crate::errno::Errno;

const SOCKET: u32 = linux::SOL_SOCKET;
const IP: u32 = 0;
const TCP: u32 = 6;

/// Of what Linux takes, the smallest buffers.
const MIN_SEND: i64 = 4608;
const MIN_RECEIVE: i64 = 2304;
/// The largest that can be asked for (`net.core.wmem_max`).
const MAX_BUFFER: i64 = 4 << 20;

/// What can be set and has no effect: what is on by itself, hints, and what only others than TCP and
/// UDP over IPv4 have.
const WITHOUT_EFFECT: [(u32, u32); 17] = [
    (SOCKET, linux::SO_BROADCAST),
    (SOCKET, linux::SO_DONTROUTE),
    (SOCKET, linux::SO_OOBINLINE),
    (SOCKET, linux::SO_PRIORITY),
    (SOCKET, linux::SO_RCVLOWAT),
    (SOCKET, linux::SO_TIMESTAMP),
    (SOCKET, linux::SO_BUSY_POLL),
    (SOCKET, linux::SO_PASSCRED),
    (IP, linux::IP_TOS),
    (IP, linux::IP_TTL),
    (IP, linux::IP_MTU_DISCOVER),
    (IP, linux::IP_RECVERR),
    (TCP, linux::TCP_DEFER_ACCEPT),
    (TCP, linux::TCP_QUICKACK),
    (TCP, linux::TCP_SYNCNT),
    (TCP, linux::TCP_LINGER2),
    (TCP, linux::TCP_NOTSENT_LOWAT),
];

/// Ways to find a share of the network by Linux's names (`TCP_CONGESTION`), and the length of one with
/// what follows it.
const ALGORITHMS: [(&str, Algorithm); 2] =
    [("cubic", Algorithm::Cubic), ("reno", Algorithm::NewReno)];
const ALGORITHM_NAME: usize = 16;

/// What has been set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) sharing: Sharing,
    pub(crate) receive_timeout_ns: u64,
    pub(crate) send_timeout_ns: u64,
    /// Seconds; 0 resets.
    pub(crate) linger: Option<u32>,
    keeps_alive: bool,
    keep_alive: KeepAlive,
    nodelay: bool,
    cork: bool,
    user_timeout_ms: u32,
    algorithm: Option<Algorithm>,
    send_buffer: Option<u32>,
    receive_buffer: Option<u32>,
    /// What has no effect.
    others: BTreeMap<(u32, u32), i32>,
}

impl Options {
    /// What a connection is opened with.
    pub(crate) fn config(&self) -> Config {
        let usual = Config::default();
        let bytes = |set: Option<u32>, usual| set.map_or(usual, |bytes| bytes as usize);
        Config {
            nodelay: self.nodelay,
            keep_alive: self.keep_alive(),
            user_timeout: self.user_timeout(),
            algorithm: self.algorithm,
            send_buffer: bytes(self.send_buffer, usual.send_buffer),
            receive_buffer: bytes(self.receive_buffer, usual.receive_buffer),
            ..usual
        }
    }

    /// What an accepted socket has of these.
    pub(crate) fn inherited(&self) -> Self {
        self.clone()
    }

    fn keep_alive(&self) -> Option<KeepAlive> {
        self.keeps_alive.then_some(self.keep_alive)
    }

    fn user_timeout(&self) -> Option<u64> {
        (self.user_timeout_ms > 0).then(|| u64::from(self.user_timeout_ms) * 1000)
    }
}

/// A whole number of 32 bits, as options have it.
fn integer(value: &[u8]) -> Result<i32, Errno> {
    value
        .first_chunk()
        .map(|bytes| i32::from_ne_bytes(*bytes))
        .ok_or(Errno::EINVAL)
}

/// The algorithm of a name, which ends at the first zero if there is one.
fn algorithm(name: &[u8]) -> Result<Algorithm, Errno> {
    if name.is_empty() {
        return Err(Errno::EINVAL);
    }
    let name = &name[..name.len().min(ALGORITHM_NAME - 1)];
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let known = ALGORITHMS
        .iter()
        .find(|(known, _)| known.as_bytes() == name);
    known.map(|(_, algorithm)| *algorithm).ok_or(Errno::ENOENT)
}

/// A `struct timeval`, in nanoseconds.
fn timeval(value: &[u8]) -> Result<u64, Errno> {
    let (seconds, rest) = value.split_first_chunk::<8>().ok_or(Errno::EINVAL)?;
    let micros = rest.first_chunk::<8>().ok_or(Errno::EINVAL)?;
    let (seconds, micros) = (i64::from_ne_bytes(*seconds), i64::from_ne_bytes(*micros));
    if !(0..1_000_000).contains(&micros) {
        return Err(Errno::EDOM);
    }
    // As on Linux, a negative time is none at all: the shortest that there is.
    match u64::try_from(seconds) {
        Ok(seconds) => Ok(seconds.saturating_mul(1_000_000_000) + micros.cast_unsigned() * 1000),
        Err(_) => Ok(1),
    }
}

fn seconds(value: i32, most: i32) -> Result<u64, Errno> {
    match value {
        value if (1..=most).contains(&value) => Ok(u64::from(value.unsigned_abs()) * SECOND),
        _ => Err(Errno::EINVAL),
    }
}

fn buffer(value: i32, least: i64) -> u32 {
    let bytes = i64::from(value).clamp(0, MAX_BUFFER) * 2;
    u32::try_from(bytes.max(least)).unwrap_or(u32::MAX)
}

impl Socket {
    /// setsockopt(2).
    ///
    /// # Errors
    /// As setsockopt(2).
    pub(crate) fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        match level {
            SOCKET => self.set_general(name, value)?,
            TCP if matches!(self.kind, Kind::Stream(_)) && name == linux::TCP_CONGESTION => {
                self.options.lock().algorithm = Some(algorithm(value)?);
            }
            TCP if matches!(self.kind, Kind::Stream(_)) => self.set_tcp(name, integer(value)?)?,
            IP if self.family() == linux::AF_INET => self.set_other(IP, name, value)?,
            _ if self.family() == linux::AF_UNIX => return Err(Errno::EOPNOTSUPP),
            _ => return Err(Errno::ENOPROTOOPT),
        }
        self.apply();
        Ok(())
    }

    /// Has the connection know what has been set.
    pub(crate) fn apply(&self) {
        let options = self.options.lock();
        match &self.kind {
            Kind::Stream(stream) => {
                if let Some(stream) = stream.connection() {
                    let (alive, timeout) = (options.keep_alive(), options.user_timeout());
                    let (nodelay, cork) = (options.nodelay, options.cork);
                    stream.set_options(nodelay, cork, alive, timeout, options.algorithm);
                }
            }
            Kind::Datagram(endpoint) => {
                if let Some(bytes) = options.send_buffer {
                    endpoint.sending.set_limit(bytes as usize);
                }
                if let Some(bytes) = options.receive_buffer {
                    endpoint.set_room(bytes as usize);
                }
            }
            Kind::Local(_) => {}
        }
    }

    fn set_general(&self, name: u32, value: &[u8]) -> Result<(), Errno> {
        let mut options = self.options.lock();
        match name {
            linux::SO_RCVTIMEO => options.receive_timeout_ns = timeval(value)?,
            linux::SO_SNDTIMEO => options.send_timeout_ns = timeval(value)?,
            linux::SO_LINGER => {
                let (is_on, rest) = value.split_first_chunk::<4>().ok_or(Errno::EINVAL)?;
                let time = integer(rest)?.unsigned_abs();
                options.linger = (i32::from_ne_bytes(*is_on) != 0).then_some(time);
            }
            linux::SO_REUSEADDR => options.sharing.address = integer(value)? != 0,
            linux::SO_REUSEPORT => options.sharing.port = integer(value)? != 0,
            linux::SO_KEEPALIVE => options.keeps_alive = integer(value)? != 0,
            linux::SO_SNDBUF => options.send_buffer = Some(buffer(integer(value)?, MIN_SEND)),
            linux::SO_RCVBUF => {
                options.receive_buffer = Some(buffer(integer(value)?, MIN_RECEIVE));
            }
            name => {
                drop(options);
                return self.set_other(SOCKET, name, value);
            }
        }
        Ok(())
    }

    fn set_tcp(&self, name: u32, value: i32) -> Result<(), Errno> {
        let mut options = self.options.lock();
        match name {
            linux::TCP_NODELAY => options.nodelay = value != 0,
            linux::TCP_CORK => options.cork = value != 0,
            linux::TCP_KEEPIDLE => options.keep_alive.idle = seconds(value, 32_767)?,
            linux::TCP_KEEPINTVL => options.keep_alive.interval = seconds(value, 32_767)?,
            linux::TCP_KEEPCNT => {
                let probes = u8::try_from(value)
                    .ok()
                    .filter(|probes| (1..128).contains(probes));
                options.keep_alive.probes = probes.ok_or(Errno::EINVAL)?;
            }
            linux::TCP_USER_TIMEOUT => {
                options.user_timeout_ms = u32::try_from(value).map_err(|_| Errno::EINVAL)?;
            }
            name => {
                drop(options);
                return self.set_other(TCP, name, &value.to_ne_bytes());
            }
        }
        Ok(())
    }

    fn set_other(&self, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        if !WITHOUT_EFFECT.contains(&(level, name)) {
            return Err(Errno::ENOPROTOOPT);
        }
        // Options of IP may be set by one byte.
        let value = match *value {
            [byte, ..] if level == IP && value.len() < 4 => i32::from(byte),
            _ => integer(value)?,
        };
        self.options.lock().others.insert((level, name), value);
        Ok(())
    }

    /// getsockopt(2).
    ///
    /// # Errors
    /// As getsockopt(2).
    pub(crate) fn option(&self, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        let value = match (level, name) {
            (SOCKET, linux::SO_RCVTIMEO | linux::SO_SNDTIMEO) => {
                let options = self.options.lock();
                let ns = match name {
                    linux::SO_RCVTIMEO => options.receive_timeout_ns,
                    _ => options.send_timeout_ns,
                };
                let (seconds, micros) = (ns / 1_000_000_000, ns % 1_000_000_000 / 1000);
                let both = [seconds, micros].map(u64::to_ne_bytes);
                return Ok(both.as_flattened().into());
            }
            (SOCKET, linux::SO_LINGER) => {
                let linger = self.options.lock().linger;
                let both = [u32::from(linger.is_some()), linger.unwrap_or(0)];
                return Ok(both.map(u32::to_ne_bytes).as_flattened().into());
            }
            (TCP, linux::TCP_INFO) => return self.information(),
            (TCP, linux::TCP_CONGESTION) if matches!(self.kind, Kind::Stream(_)) => {
                return Ok(self.algorithm_name());
            }
            (SOL_VORTEX, SO_ACTIVITY) => self.activity().0.cast_signed(),
            (SOCKET, name) => self.general(name)?,
            (TCP, name) if matches!(self.kind, Kind::Stream(_)) => self.of_tcp(name)?,
            (IP, name) if self.family() == linux::AF_INET => self.other(IP, name)?,
            _ if self.family() == linux::AF_UNIX => return Err(Errno::EOPNOTSUPP),
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(value.to_ne_bytes().into())
    }

    fn general(&self, name: u32) -> Result<i32, Errno> {
        let options = self.options.lock();
        let is_stream = matches!(self.kind, Kind::Stream(_));
        let usual = Config::default();
        let usual = match is_stream {
            true => (usual.send_buffer, usual.receive_buffer),
            false => (BUFFER, BUFFER),
        };
        let bytes = |set: Option<u32>, usual: usize| set.map_or(usual as i32, u32::cast_signed);
        Ok(match name {
            linux::SO_ERROR => {
                drop(options);
                let error = self.take_error();
                error.map_or(0, |error| i32::from(error.number()))
            }
            linux::SO_TYPE => match self.kind {
                Kind::Stream(_) | Kind::Local(_) => linux::SOCK_STREAM as i32,
                Kind::Datagram(_) => linux::SOCK_DGRAM as i32,
            },
            linux::SO_DOMAIN => self.family().cast_signed(),
            linux::SO_PROTOCOL => match self.kind {
                Kind::Stream(_) => 6,
                Kind::Datagram(_) => 17,
                Kind::Local(_) => 0,
            },
            linux::SO_ACCEPTCONN => i32::from(self.stage() == Stage::Listening),
            linux::SO_REUSEADDR => i32::from(options.sharing.address),
            linux::SO_REUSEPORT => i32::from(options.sharing.port),
            linux::SO_KEEPALIVE => i32::from(options.keeps_alive),
            linux::SO_SNDBUF => bytes(options.send_buffer, usual.0),
            linux::SO_RCVBUF => bytes(options.receive_buffer, usual.1),
            name => {
                drop(options);
                self.other(SOCKET, name)?
            }
        })
    }

    fn of_tcp(&self, name: u32) -> Result<i32, Errno> {
        let options = self.options.lock();
        let seconds = |micros: u64| (micros / SECOND) as i32;
        Ok(match name {
            linux::TCP_NODELAY => i32::from(options.nodelay),
            linux::TCP_CORK => i32::from(options.cork),
            linux::TCP_KEEPIDLE => seconds(options.keep_alive.idle),
            linux::TCP_KEEPINTVL => seconds(options.keep_alive.interval),
            linux::TCP_KEEPCNT => options.keep_alive.probes.into(),
            linux::TCP_USER_TIMEOUT => options.user_timeout_ms.cast_signed(),
            linux::TCP_MAXSEG => {
                drop(options);
                self.connection_information()
                    .map_or(536, |info| info.mss.cast_signed())
            }
            name => {
                drop(options);
                self.other(TCP, name)?
            }
        })
    }

    fn other(&self, level: u32, name: u32) -> Result<i32, Errno> {
        if !WITHOUT_EFFECT.contains(&(level, name)) {
            return Err(Errno::ENOPROTOOPT);
        }
        let usual = match (level, name) {
            (IP, linux::IP_TTL) => 64,
            (IP, linux::IP_MTU_DISCOVER) | (SOCKET, linux::SO_RCVLOWAT) => 1,
            (TCP, linux::TCP_QUICKACK) => 1,
            (TCP, linux::TCP_SYNCNT) => 6,
            (TCP, linux::TCP_LINGER2) => 60,
            _ => 0,
        };
        let options = self.options.lock();
        Ok(options.others.get(&(level, name)).copied().unwrap_or(usual))
    }

    /// The name of the algorithm that the connection has, or is to have.
    fn algorithm_name(&self) -> Vec<u8> {
        let chosen = self.options.lock().algorithm;
        let current = self.connection_information().map(|info| info.algorithm);
        let current = current.or(chosen).unwrap_or_default();
        let names = ALGORITHMS.iter();
        let name = names
            .filter(|(_, one)| *one == current)
            .map(|(name, _)| name);
        let mut bytes: Vec<u8> = name.flat_map(|name| name.bytes()).collect();
        bytes.resize(ALGORITHM_NAME, 0);
        bytes
    }

    fn connection_information(&self) -> Option<Information> {
        match &self.kind {
            Kind::Stream(stream) => Some(stream.connection()?.information()),
            Kind::Datagram(_) | Kind::Local(_) => None,
        }
    }

    /// The first part of `struct tcp_info`: the state, the segment size, the round trip and the
    /// window; other fields are 0.
    fn information(&self) -> Result<Vec<u8>, Errno> {
        if !matches!(self.kind, Kind::Stream(_)) {
            return Err(Errno::ENOPROTOOPT);
        }
        const LENGTH: usize = 104;
        let mut bytes = alloc::vec![0; LENGTH];
        let information = self.connection_information();
        bytes[0] = match (self.stage(), information.map(|info| info.state)) {
            (Stage::Listening, _) => 10,
            (_, None | Some(State::Closed)) => 7,
            (_, Some(State::Established)) => 1,
            (_, Some(State::SynSent)) => 2,
            (_, Some(State::SynReceived)) => 3,
            (_, Some(State::FinWait1)) => 4,
            (_, Some(State::FinWait2)) => 5,
            (_, Some(State::TimeWait)) => 6,
            (_, Some(State::CloseWait)) => 8,
            (_, Some(State::LastAck)) => 9,
            (_, Some(State::Closing)) => 11,
        };
        if let Some(info) = information {
            let mut put = |at: usize, value: u32| {
                bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
            };
            put(16, info.mss);
            put(68, u32::try_from(info.round_trip_us).unwrap_or(u32::MAX));
            put(80, info.window_bytes / info.mss.max(1));
            put(100, u32::try_from(info.retransmissions).unwrap_or(u32::MAX));
        }
        Ok(bytes)
    }
}
