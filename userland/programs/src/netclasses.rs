//! What Linux's classes of traffic have sent: rtnetlink(7), `RTM_GETTCLASS`.
//!
//! Key type: [`Sent`]. A class is known by the minor number of its handle, as in `1:3`.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, send, socket};

/// What a class has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Bytes, with all headers.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
}

/// Where the system lists its interfaces.
const INTERFACES: &str = "/sys/class/net";
/// Bytes of an answer; the system sends as many messages as fit.
const ANSWER: usize = 64 << 10;

const HEADER: usize = 16;
/// `struct tcmsg`: family, the interface's number, handle, parent, information.
const TRAFFIC: usize = 20;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_CLASS: u16 = 40;
const GET_CLASS: u16 = 42;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;
/// Attributes: `TCA_STATS2`, and in it `TCA_STATS_BASIC`.
const STATISTICS: u16 = 7;
const BASIC: u16 = 1;

/// What the classes of all interfaces have sent, by their minor numbers.
///
/// # Errors
/// What the system says.
pub fn all() -> io::Result<BTreeMap<u16, Sent>> {
    let mut sent = BTreeMap::new();
    for entry in fs::read_dir(INTERFACES)? {
        let index = fs::read_to_string(entry?.path().join("ifindex"))?;
        let index = index.trim().parse().map_err(io::Error::other)?;
        add_interface(index, &mut sent)?;
    }
    Ok(sent)
}

fn add_interface(index: u32, sent: &mut BTreeMap<u16, Sent>) -> io::Result<()> {
    let socket = socket(AddressFamily::NETLINK, SocketType::DGRAM, None)?;
    send(&socket, &request(index), SendFlags::empty())?;
    let mut answer = vec![0; ANSWER];
    loop {
        let (_, length) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
        if length == 0 || read(&answer[..length.min(ANSWER)], sent)? {
            return Ok(());
        }
    }
}

/// Asks for all classes of an interface.
fn request(index: u32) -> Vec<u8> {
    let length = u32::try_from(HEADER + TRAFFIC).unwrap_or(0);
    let (sequence, from) = (1_u32, 0_u32);
    let mut request = Vec::new();
    request.extend(length.to_ne_bytes());
    request.extend(GET_CLASS.to_ne_bytes());
    request.extend(DUMP.to_ne_bytes());
    request.extend(sequence.to_ne_bytes());
    request.extend(from.to_ne_bytes());
    request.extend([0; 4]);
    request.extend(index.to_ne_bytes());
    request.resize(HEADER + TRAFFIC, 0);
    request
}

/// Takes in the messages of an answer; whether it was the last one.
fn read(mut messages: &[u8], sent: &mut BTreeMap<u16, Sent>) -> io::Result<bool> {
    while let Some(length) = u32_at(messages, 0) {
        let length = length as usize;
        let message = messages.get(HEADER..length).ok_or_else(damaged)?;
        match u16_at(messages, 4) {
            Some(DONE) => return Ok(true),
            Some(ERROR) => {
                let number = u32_at(message, 0).ok_or_else(damaged)?;
                let number = number.cast_signed().wrapping_neg();
                return Err(io::Error::from_raw_os_error(number));
            }
            Some(NEW_CLASS) => add_class(message, sent).ok_or_else(damaged)?,
            _ => {}
        }
        messages = messages.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Ok(false)
}

/// Adds up a class; `None` if the message is damaged.
fn add_class(message: &[u8], sent: &mut BTreeMap<u16, Sent>) -> Option<()> {
    let minor = u32_at(message, 8)?.to_le_bytes();
    let minor = u16::from_le_bytes([minor[0], minor[1]]);
    let statistics = attribute(message.get(TRAFFIC..)?, STATISTICS);
    // A class of a kind that counts nothing has none.
    let Some(basic) = statistics.and_then(|all| attribute(all, BASIC)) else {
        return Some(());
    };
    let class = sent.entry(minor).or_default();
    class.bytes = class.bytes.wrapping_add(u64_at(basic, 0)?);
    class.packets = class.packets.wrapping_add(u32_at(basic, 8)?.into());
    Some(())
}

/// The first attribute of a kind.
fn attribute(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16_at(attributes, 0)?);
        let value = attributes.get(4..length)?;
        if u16_at(attributes, 2)? == kind {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let bytes = bytes.get(offset..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*bytes))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let bytes = bytes.get(offset..)?.first_chunk()?;
    Some(u64::from_ne_bytes(*bytes))
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a damaged message of netlink")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with_header(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + body.len()).unwrap();
        let mut message = Vec::from(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.resize(HEADER, 0);
        message.extend(body);
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    fn attribute_of(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn class(minor: u32, bytes: u64, packets: u32) -> Vec<u8> {
        let mut body = vec![0; TRAFFIC];
        body[8..12].copy_from_slice(&(0x1_0000 | minor).to_ne_bytes());
        body.extend(attribute_of(1, b"htb\0"));
        let mut basic = Vec::from(bytes.to_ne_bytes());
        basic.extend(packets.to_ne_bytes());
        let queue = attribute_of(3, &[9; 20]);
        let statistics = [queue, attribute_of(BASIC, &basic)].concat();
        body.extend(attribute_of(STATISTICS, &statistics));
        with_header(NEW_CLASS, &body)
    }

    #[test]
    fn classes_are_counted_by_their_minor_numbers() {
        let mut sent = BTreeMap::new();
        let first = [class(1, 5000, 4), class(2, 70, 1)].concat();
        assert!(!read(&first, &mut sent).unwrap());
        let last = [class(2, 30, 1), with_header(DONE, &[0; 4])].concat();
        assert!(read(&last, &mut sent).unwrap());
        let (bytes, packets) = (5000, 4);
        assert_eq!(sent[&1], Sent { bytes, packets });
        let (bytes, packets) = (100, 2);
        assert_eq!(sent[&2], Sent { bytes, packets });
    }

    #[test]
    fn the_systems_errors_are_told() {
        let refused = with_header(ERROR, &(-13_i32).to_ne_bytes());
        let error = read(&refused, &mut BTreeMap::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let short = &class(1, 5000, 4)[..40];
        assert!(read(short, &mut BTreeMap::new()).is_err());
    }

    #[test]
    fn this_system_answers() {
        assert!(all().is_ok_and(|sent| sent.values().all(|sent| sent.packets <= sent.bytes)));
    }

    proptest! {
        #[test]
        fn no_answer_is_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes, &mut BTreeMap::new());
        }
    }
}
