//! What the two ends of `exchange` agree on: streams of bytes from a seed and their SHA-256, and the
//! orders that a client gives.
//!
//! Key types: [`Order`] (a client's first line), `Bytes` (a stream), `digest_of`.

pub mod client;
pub mod server;

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sha2::{Digest, Sha256};

/// Bytes that are read or written at once.
const STEP: usize = 64 << 10;
/// How far from the port of orders the one is at which everything comes back as it was.
pub const ECHO: u16 = 1;

/// What a client wants of a connection: its first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// It sends so many bytes and wants their digest.
    Put(u64),
    /// It wants so many bytes from this seed, and their digest behind them.
    Get(u64, u64),
    /// It wants what the machine counts, as a line of JSON.
    Counters,
    /// It wants the server's process to be killed, at once.
    Die,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(length) => write!(f, "put {length}"),
            Self::Get(length, seed) => write!(f, "get {length} {seed}"),
            Self::Counters => f.write_str("counters"),
            Self::Die => f.write_str("die"),
        }
    }
}

impl FromStr for Order {
    type Err = io::Error;

    fn from_str(line: &str) -> io::Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |word: &str| word.parse().map_err(io::Error::other);
        match words.as_slice() {
            ["put", length] => Ok(Self::Put(number(length)?)),
            ["get", length, seed] => Ok(Self::Get(number(length)?, number(seed)?)),
            ["counters"] => Ok(Self::Counters),
            ["die"] => Ok(Self::Die),
            _ => Err(io::Error::other(format!("no order: {line}"))),
        }
    }
}

/// A stream of bytes from a seed (xorshift64).
struct Bytes {
    state: u64,
}

impl Bytes {
    fn new(seed: u64) -> Self {
        // The only state that it never leaves is 0.
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for word in bytes.chunks_mut(8) {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            word.copy_from_slice(&self.state.to_le_bytes()[..word.len()]);
        }
    }
}

/// Has this process be allowed so many descriptors.
fn allow_descriptors(needed: u64) -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        let current = Some(needed);
        setrlimit(Resource::Nofile, Rlimit { current, ..limit })?;
    }
    Ok(())
}

fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes so many bytes from a seed; their digest.
fn write_bytes(mut to: impl Write, length: u64, seed: u64) -> io::Result<String> {
    let (mut bytes, mut digest) = (Bytes::new(seed), Sha256::new());
    let mut buffer = vec![0; STEP];
    let mut left = length;
    while left > 0 {
        let step = usize::try_from(left).map_or(STEP, |left| left.min(STEP));
        bytes.fill(&mut buffer[..step]);
        digest.update(&buffer[..step]);
        to.write_all(&buffer[..step])?;
        left -= step as u64;
    }
    Ok(hexadecimal(&digest.finalize()))
}

/// Reads so many bytes; their digest.
fn digest_of(mut from: impl Read, length: u64) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; STEP];
    let mut left = length;
    while left > 0 {
        let step = usize::try_from(left).map_or(STEP, |left| left.min(STEP));
        let read = from.read(&mut buffer[..step])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        digest.update(&buffer[..read]);
        left -= read as u64;
    }
    Ok(hexadecimal(&digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_as_they_are_written() {
        for order in [
            Order::Put(7),
            Order::Get(1 << 40, 3),
            Order::Counters,
            Order::Die,
        ] {
            assert_eq!(order.to_string().parse::<Order>().unwrap(), order);
        }
        for wrong in ["", "put", "put x", "get 1", "counters 1", "die now"] {
            assert!(wrong.parse::<Order>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn both_ends_have_the_same_digest_unless_a_bit_differs() {
        let mut stream = Vec::new();
        let sent = write_bytes(&mut stream, 200_001, 5).unwrap();
        assert_eq!(stream.len(), 200_001);
        assert_eq!(digest_of(stream.as_slice(), 200_001).unwrap(), sent);
        stream[100_000] ^= 1;
        assert_ne!(digest_of(stream.as_slice(), 200_001).unwrap(), sent);
        assert!(digest_of(stream.as_slice(), 200_002).is_err());
        let empty = write_bytes(io::sink(), 0, 5).unwrap();
        assert!(empty.starts_with("e3b0c44298fc1c14"), "{empty}");
    }
}
